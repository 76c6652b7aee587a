"""Soft labels as files store them, made numbers of 0 to 1, or refused by name and count."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.labels.softfiles import SoftInput, SoftPart

__all__ = ["HARD", "ShareReader"]

ROUNDING = 1e-3
"""How far outside 0..1 a number may lie; what writes eight bits, or interpolates, rounds so."""

WORTH_SAYING = 1e-6
"""Rounding of float32 is not told."""

HARD = "is a hard label map: there is no soft label to import."

CLEARLY_SCALED = 10.0
"""Numbers up to it may be of 0 to 1, with an error, or label values."""

RARELY_LARGEST = 0.5
"""Where no number of a case is as large once divided, the scale may be a wrong one."""

NEARLY = 1e-4
"""Float32 is as near to a number that has been divided, and times the same again."""

LIKELY_SCALES = (100.0, 255.0)
"""Per cent, and eight bits."""


class ShareReader:
    """Reads the volumes of a case as numbers of 0 to 1.

    Parameters
    ----------
    source
        The opened files.
    scale
        Number that stands for 1; by default 1.

    Raises
    ------
    UsageError
        For a scale that is not above 0.
    """

    def __init__(self, source: SoftInput, scale: float | None) -> None:
        if scale is not None and not 0 < scale < np.inf:
            raise UsageError(
                f"--scale {scale:g} is not above 0.",
                remedy="It is the number that stands for 1, such as 100 for per cent.",
            )
        self.source, self.scale = source, scale
        self._rounded: dict[int, tuple[int, float]] = {}
        self._largest = 0.0

    @property
    def tolerance(self) -> float:
        """How far from 1 the sum of a voxel may be by rounding alone."""
        steps = [part.file.step / (self.scale or 1.0) for part in self.source.parts]
        # Whole numbers are 0 and 1 to the bit, and no rounding of anything.
        return ROUNDING + sum(step for step in steps if step < 1) / 2

    @property
    def is_hard(self) -> bool:
        """Whether the files can hold 0 and 1 alone."""
        return self.scale is None and all(file.is_integer for file in self.source.files)

    def read(self, index: int) -> NDArray[np.float32]:
        """(Z, Y, X) float32 of a volume, all of 0..1, the caller's own.

        Raises
        ------
        InputError
            For numbers that are none, or outside 0..1 by more than rounding.
        """
        values = self.source.read(index)
        if self.scale is not None:
            values /= np.float32(self.scale)
        values += np.float32(0)  # there is no -0 in a store
        least, largest = float(values.min()), float(values.max())
        self._largest = max(self._largest, largest)
        if least >= 0 and largest <= 1:
            return values
        if not (least >= -ROUNDING and largest <= 1 + ROUNDING):  # also what is no number
            raise self._refusal(values, self.source.parts[index])
        far = np.count_nonzero((values < -WORTH_SAYING) | (values > 1 + WORTH_SAYING))
        if far:
            self._rounded[index] = int(far), max(-least, largest - 1)
        np.maximum(values, np.float32(0), out=values)
        return np.minimum(values, np.float32(1), out=values)

    def notes(self) -> tuple[str, ...]:
        """What was rounded in the volumes that were read, and whether the scale fits them."""
        return (*self._note_of_rounding(), *self._note_of_scale())

    def _note_of_scale(self) -> tuple[str, ...]:
        if self.scale is None or not 0 < self._largest < RARELY_LARGEST:
            return ()
        said = f"the largest number is {self._largest:.2g} after --scale {self.scale:g}"
        before = self._largest * self.scale
        likely = next((s for s in LIKELY_SCALES if abs(before - s) < NEARLY * s), None)
        if likely is None:
            return (f"{said}, the number that stands for 1.",)
        return (f"{said}, and {likely:g} before it; if that stands for 1, say --scale {likely:g}.",)

    def _note_of_rounding(self) -> tuple[str, ...]:
        if not self._rounded:
            return ()
        count = sum(n for n, _ in self._rounded.values())
        most = max(by for _, by in self._rounded.values())
        return (f"{count:,} numbers lay outside 0..1, by {most:.2g} at most; taken as 0 or 1.",)

    def _refusal(self, values: NDArray[np.float32], part: SoftPart) -> InputError:
        where = f"volume {part.volume + 1}: " if part.file.count > 1 else ""
        none = int(np.count_nonzero(np.isnan(values)))
        if none:
            return InputError(
                f"{where}holds {none:,} voxels that are not a number (NaN).",
                remedy="Write 0 where a class is absent.",
                path=part.file.path,
            )
        least, largest = float(values.min()), float(values.max())
        outside = int(np.count_nonzero((values < -ROUNDING) | (values > 1 + ROUNDING)))
        how = "" if self.scale is None else f" once divided by {self.scale:g}"
        problem = (
            f"{where}holds {outside:,} voxels outside 0..1{how} "
            f"(from {least:.4g} to {largest:.4g})."
        )
        remedy = self._remedy(least, largest)
        if self.scale is None and part.file.count == 1 and _are_whole(values):
            problem = f"{HARD} It {problem}"
            remedy = (
                "Make one with softlab svls, or resample it onto the grid of --images with "
                "--resample-labels linear."
            )
            if largest > CLEARLY_SCALED:
                remedy += f" {self._remedy(least, largest)}"
        return InputError(problem, remedy=remedy, path=part.file.path)

    def _remedy(self, least: float, largest: float) -> str:
        if self.scale is not None:
            return "Check --scale, the number that stands for 1."
        if least < -ROUNDING or largest <= CLEARLY_SCALED:
            return "Soft labels are numbers of 0 to 1; --scale N says which number stands for 1."
        likely = next((s for s in LIKELY_SCALES if largest <= s), largest)
        return f"If {likely:g} stands for 1, say so with --scale {likely:g}."


def _are_whole(values: NDArray[np.float32]) -> bool:
    return bool(np.array_equal(values, np.rint(values)))
