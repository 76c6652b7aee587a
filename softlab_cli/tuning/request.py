"""What a user asks of ``softlab tune``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.regions import Reach
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.settings import parse_regions
from softlab_cli.running.request import Request
from softlab_cli.tuning.grid import Grid, Setting
from softlab_cli.tuning.votes import FIGURES

__all__ = ["CLIP", "REGION", "TuneRequest", "parse_region"]

CLIP = 1e-3
"""Least probability in a logarithm: a soft label of 0 that turns out wrong costs 6.9 nats."""

REGION = "union=3vox"
LARGEST_BINS = 1000
LEAST_CLIP = 1e-12


def parse_region(text: str) -> Reach | None:
    """How far from any rater's foreground voxels count, from ``union=3vox`` or ``union=5mm``.

    ``all`` is None: all voxels count.

    Raises
    ------
    UsageError
        For what is no region, and for one that depends on the rater who is tested.
    """
    if text == ALL:
        return None
    found = parse_regions((text,))
    if list(found) != ["union"]:
        raise UsageError(
            f"--regions {text!r} would depend on the rater who is left out, or count borders only, "
            "and no soft label can be chosen by that.",
            remedy="Give one of all, union=3vox or union=5mm.",
        )
    return found["union"]


@dataclass(frozen=True)
class TuneRequest:
    """What a user asks for; the fields are named like the options of the command line.

    Parameters
    ----------
    run
        The label maps of all raters as inputs, images, classes, reading, workers and memory,
        as for a run that makes soft labels.
    grid
        What is tried.
    metric
        The figure that the best setting is chosen by, one of `FIGURES`.
    regions
        Where voxels count; see `parse_region`.
    bins
        Bins of the calibration error.
    clip
        Least probability in a logarithm.
    groups
        Case id to patient.
    model
        Rater to the folder of the model that learned from that rater's labels, for methods that
        learn. Where each case has one rater, whatever the name.

    Raises
    ------
    UsageError
        For what has no meaning.
    """

    run: Request
    grid: Grid = field(default_factory=Grid)
    metric: str = "nll"
    regions: str = REGION
    bins: int = 15
    clip: float = CLIP
    groups: Mapping[str, str] = field(default_factory=dict)
    model: Mapping[str, Path] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Look whether it all has a meaning."""
        parse_region(self.regions)
        if self.metric not in FIGURES:
            raise UsageError(
                f"--metric {self.metric!r} is no figure.", remedy=f"There are {', '.join(FIGURES)}."
            )
        if not 0 < self.bins <= LARGEST_BINS:
            raise UsageError(f"--bins {self.bins}: give 1 to {LARGEST_BINS}.")
        if not LEAST_CLIP <= self.clip < 1:
            raise UsageError(f"--clip {self.clip:g}: give {LEAST_CLIP:g} to less than 1.")
        if self.model and not any(setting.is_learned for setting in self.settings):
            raise UsageError(
                "--model has no effect: no method that learns is tried.",
                remedy="Give --images, and let --methods name vls; or leave --model out.",
            )
        if self.run.overwrite and self.run.part:
            raise UsageError(
                "--overwrite with --part would remove what the other parts have done.",
                remedy="Remove the folder first, or leave --overwrite out.",
            )

    @property
    def settings(self) -> tuple[Setting, ...]:
        """What is tried."""
        return self.grid.settings(self.run.images is not None, bool(self.model))

    @property
    def reach(self) -> Reach | None:
        """How far from any rater's foreground voxels count; None for all."""
        return parse_region(self.regions)

    def to_json(self) -> dict[str, Any]:
        """What figures depend on besides files, ready for JSON."""
        return {
            "settings": [setting.to_json() for setting in self.settings],
            "regions": self.regions, "bins": self.bins, "clip": self.clip,
        }  # fmt: skip
