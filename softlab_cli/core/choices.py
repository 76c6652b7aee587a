"""What may be chosen by name, where whoever acts on it needs numpy: `--help` does not."""

from __future__ import annotations

from typing import Literal

__all__ = [
    "BACKGROUNDS",
    "NGFF_VERSIONS",
    "OVERLAP_RULES",
    "SUM_RULES",
    "Background",
    "OverlapRule",
    "SumRule",
]

OverlapRule = Literal["error", "first", "last", "highest"]

OVERLAP_RULES: tuple[OverlapRule, ...] = ("error", "first", "last", "highest")
"""What to do where segments overlap; the names of ``--on-overlap``."""

Background = Literal["first", "rest"]

BACKGROUNDS: tuple[Background, ...] = ("first", "rest")
"""Where background is among several volumes; the names of ``--background``."""

SumRule = Literal["error", "normalise"]

SUM_RULES: tuple[SumRule, ...] = ("error", "normalise")
"""What to do where soft labels do not sum to 1; the names of ``--sums``."""

NGFF_VERSIONS = ("0.5", "0.6")
"""Versions of OME-NGFF; the names of ``--ome``."""
