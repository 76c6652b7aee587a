"""Loops of the geodesic distance transform, for processors and GPUs, and of its maps."""
