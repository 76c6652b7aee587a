"""Geodesic label smoothing."""
