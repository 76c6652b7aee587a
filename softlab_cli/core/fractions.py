"""Soft labels that a source already has: fractional segments, read one at a time.

A DICOM SEG of kind FRACTIONAL, contours with partial volume, and a label map that
was resampled linearly give fractions, not label values. All segments of a case
together can be far larger than the memory, so each is read when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.choices import OverlapRule
from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import Geometry

__all__ = [
    "PADDING_VALUE",
    "SoftClasses",
    "SoftSegments",
]

PADDING_VALUE = 65535
"""Label value of padding pixels that are to be ignored."""


class SoftClasses(Protocol):
    """The soft label of a case that its files have: every class, one at a time.

    Attributes
    ----------
    geometry
        The grid.
    warnings
        What was found odd.
    metadata
        Facts of the files.
    """

    @property
    def geometry(self) -> Geometry: ...  # noqa: D102

    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def metadata(self) -> dict[str, Any]: ...  # noqa: D102

    def classes(self) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Label value and (Z, Y, X) soft label of each class; at a voxel they sum to 1."""
        ...


@dataclass(frozen=True)
class SoftSegments:
    """Fractions of each segment on one grid.

    Parameters
    ----------
    geometry
        The grid.
    values
        Label value of each segment. When 0 is among them the segments are
        complete (they sum to 1); otherwise background is what they leave.
    names
        Name of each segment.
    read
        Index of a segment to its (Z, Y, X) float32 fractions in 0..1.
    resolution
        Smallest step of the stored fractions; sums above 1 by no more than half
        a step for each segment are rounding and no overlap.
    warnings, metadata
        As in `LabelMap`.
    on_overlap
        What happens where segments sum to more than 1, unless `classes` is told.
    """

    geometry: Geometry
    values: tuple[int, ...]
    names: tuple[str, ...]
    read: Callable[[int], NDArray[np.float32]] = field(repr=False)
    resolution: float = 0.0
    warnings: tuple[str, ...] = ()
    metadata: dict[str, Any] = field(default_factory=dict)
    on_overlap: OverlapRule = "error"

    def __len__(self) -> int:
        return len(self.values)

    def total(self) -> NDArray[np.float32]:
        """(Z, Y, X) sum of all segments."""
        total = np.zeros(self.geometry.shape, np.float32)
        for index in range(len(self)):
            total += self.read(index)
        return total

    def classes(
        self, on_overlap: OverlapRule | None = None
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """Every class as a soft label, background first; at each voxel they sum to 1.

        Two passes over the segments; two volumes are held at a time.

        Parameters
        ----------
        on_overlap
            What happens where the segments sum to more than 1; by default what the
            attribute says. ``error`` refuses, ``first`` and ``last`` leave to each
            segment what the ones before or after it do not take, ``highest`` divides
            by the sum, so that the highest fraction stays the highest.

        Yields
        ------
        Label value, and (Z, Y, X) float32 in 0..1.

        Raises
        ------
        InputError
            For an overlap under ``error``; the message counts the voxels.
        """
        on_overlap = on_overlap or self.on_overlap
        total = self.total()
        self._check(total, on_overlap)
        if 0 not in self.values:
            yield 0, np.maximum(np.float32(1.0) - total, np.float32(0.0))
        if on_overlap in ("first", "last"):
            yield from self._in_turn(range(len(self))[:: 1 if on_overlap == "first" else -1])
            return
        np.maximum(total, np.float32(1.0), out=total)
        for index, value in enumerate(self.values):
            yield value, self.read(index) / total

    def _check(self, total: NDArray[np.float32], on_overlap: OverlapRule) -> None:
        largest = float(total.max(initial=0.0))
        allowed = 1.0 + self.resolution * len(self) / 2 + 1e-5
        if largest <= allowed or on_overlap != "error":
            return
        count = int((total > allowed).sum())
        raise InputError(
            f"segments overlap: at {count:,} voxels they sum to more than 1 (to {largest:.4g} at "
            "most).",
            remedy="Say which one counts with --on-overlap first, last or highest.",
        )

    def _in_turn(self, order: range) -> Iterator[tuple[int, NDArray[np.float32]]]:
        left = np.ones(self.geometry.shape, np.float32)
        for index in order:
            taken = np.minimum(self.read(index), left)
            left -= taken
            yield self.values[index], taken
