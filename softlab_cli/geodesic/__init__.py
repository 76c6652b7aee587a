"""Geodesic distance through an image: engines behind one function.

Importing this is cheap; an engine's module is imported when the engine is asked for.
"""

from __future__ import annotations

from softlab_cli.geodesic.base import UNREACHABLE, Engine, StepCost
from softlab_cli.geodesic.distance import geodesic_distance
from softlab_cli.geodesic.engines import ENGINES, resolve_engine

__all__ = [
    "ENGINES",
    "UNREACHABLE",
    "Engine",
    "StepCost",
    "geodesic_distance",
    "resolve_engine",
]
