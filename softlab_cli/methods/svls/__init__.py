"""Spatially varying label smoothing."""
