"""What is measured: tolerances, bins, regions, and whose figures are wanted beside ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.metrics.regions import REGIONS, Reach
from softlab_cli.evaluation.metrics.tallies import ALL

__all__ = ["BOX", "PARITIES", "Settings", "parse_regions"]

PARITIES = ("svls", "monai", "curvas2024", "curvas2025", "qubiq")
"""Tools whose figures can be had for comparison."""

BOX = "box"
"""The region that CURVAS-PDACVI judges in; counted for its figures only."""

REACHES = {"union": Reach(mm=10.0), "band": Reach(mm=3.0), "foreground": None}
"""Regions, and how far they reach where nobody says it."""

LARGEST_BINS = 1000
SVLS_TOLERANCE_MM = 2.0


def parse_regions(texts: Sequence[str]) -> dict[str, Reach | None]:
    """Regions from ``union``, ``union=5mm``, ``band=2vox``, ``foreground`` and ``all``.

    ``all`` is always there. Several may stand in one text, with commas between them.

    Raises
    ------
    UsageError
        For what is no region.
    """
    found: dict[str, Reach | None] = {}
    for text in filter(None, (p.strip() for t in texts for p in t.split(","))):
        name, _, reach = text.partition("=")
        if name == ALL and not reach:
            continue
        if name not in REACHES or (reach and REACHES[name] is None):
            raise UsageError(
                f"--regions {text!r} is no region.",
                remedy=f"There are {ALL}, {', '.join(REGIONS)}; union and band take a distance: "
                "union=10mm, band=2vox.",
            )
        found[name] = _reach(text, reach) if reach else REACHES[name]
    return found


def _reach(text: str, reach: str) -> Reach:
    match = re.fullmatch(r"(\d+(?:\.\d+)?)(mm|vox)", reach)
    if not match or (match[2] == "vox" and "." in match[1]):
        raise UsageError(
            f"--regions {text!r}: {reach!r} is no distance.", remedy="Write 10mm, or 2vox."
        )
    return Reach(mm=float(match[1])) if match[2] == "mm" else Reach(voxels=int(match[1]))


@dataclass(frozen=True)
class Settings:
    """What is measured; the fields are named like the options of the command line.

    Parameters
    ----------
    tolerances_mm
        Distances at which the surface DSC is reckoned, in mm.
    bins
        Bins of the calibration errors.
    regions
        Regions that calibration is judged in besides all voxels, with how far they reach.
    parity
        Tools whose figures are wanted for comparison.
    temperatures
        Whether the best temperature is looked for; it takes about as long as all other counts.
    ordered
        Whether classes have an order, so that the ranked probability score means something.

    Raises
    ------
    UsageError
        For what has no meaning.
    """

    tolerances_mm: tuple[float, ...] = (2.0,)
    bins: int = 15
    regions: Mapping[str, Reach | None] = field(default_factory=dict)
    parity: tuple[str, ...] = ()
    temperatures: bool = True
    ordered: bool = False

    def __post_init__(self) -> None:
        """Look whether it all has a meaning."""
        if not 0 < self.bins <= LARGEST_BINS:
            raise UsageError(f"--bins {self.bins}: give 1 to {LARGEST_BINS}.")
        if not self.tolerances_mm or not all(0 <= t < float("inf") for t in self.tolerances_mm):
            raise UsageError(
                f"--tolerance-mm {', '.join(map(str, self.tolerances_mm)) or 'none'} is no "
                "distance.",
                remedy="Give millimetres, 0 or more.",
            )
        if strange := [name for name in self.parity if name not in PARITIES]:
            raise UsageError(
                f"--parity {strange[0]!r} is not known.", remedy=f"There are {', '.join(PARITIES)}."
            )

    @property
    def all_regions(self) -> dict[str, Reach | None]:
        """Those that were asked for, and those that the figures of others need."""
        found = dict(self.regions)
        if "svls" in self.parity:
            found.setdefault("foreground", None)
        return found | ({BOX: None} if "curvas2025" in self.parity else {})

    @property
    def all_tolerances_mm(self) -> tuple[float, ...]:
        """The same of tolerances."""
        wanted = dict.fromkeys(float(t) for t in self.tolerances_mm)
        if "svls" in self.parity:
            wanted[SVLS_TOLERANCE_MM] = None
        return tuple(wanted)

    @property
    def bin_counts(self) -> tuple[int, ...]:
        """Numbers of bins that are asked of the counts, those of other tools among them."""
        others = {"svls": 10, "monai": 20, "curvas2024": 50, "curvas2025": 50}
        wanted = {self.bins} | {others[name] for name in self.parity if name in others}
        return tuple(sorted(wanted))

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        regions = {name: reach and asdict(reach) for name, reach in self.regions.items()}
        return {
            "tolerances_mm": list(self.tolerances_mm), "bins": self.bins, "regions": regions,
            "parity": list(self.parity), "temperatures": self.temperatures,
            "ordered": self.ordered,
        }  # fmt: skip
