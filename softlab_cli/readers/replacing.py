"""Other label values in place of the numbers of a file, while it is read.

The numbers may be any whole ones, and NaN: they are replaced piece by piece, so that
wide numbers are never held for a whole volume, and no table has an entry for each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError

__all__ = ["Replacing"]

SMALL = (np.dtype(np.uint8), np.dtype(np.uint16))
"""Types whose numbers are few enough for a table."""


@dataclass(frozen=True)
class Replacing:
    """What the numbers of a file become.

    Parameters
    ----------
    numbers
        Whole number to label value; all at once, so that two may change places.
    nan
        Label value of NaN; None where NaN is refused.
    stand_in
        Label value that stands for numbers which are not labelled; a file may not have
        it otherwise.
    """

    numbers: Mapping[int, int] = field(default_factory=dict)
    nan: int | None = None
    stand_in: int | None = None

    @classmethod
    def of(cls, wanted: Mapping[float, int], stand_in: int | None = None) -> Replacing:
        """From whole numbers and NaN to label values."""
        nan = next((value for number, value in wanted.items() if number != number), None)
        numbers = {int(n): value for n, value in wanted.items() if n == n}
        return cls(numbers, nan, stand_in)

    def __bool__(self) -> bool:
        return bool(self.numbers) or self.nan is not None

    def apply(self, piece: NDArray[Any], path: Path | None) -> NDArray[Any]:
        """Numbers with others in place of some.

        Parameters
        ----------
        piece
            (n,) of any type, floats without a fraction; unchanged.
        path
            The file, for messages.

        Raises
        ------
        ClassError
            When the file has the stand-in itself.
        """
        self._check_stand_in(piece, path)
        keys = self._keys(piece.dtype)
        if not keys:
            return piece
        dtype = np.uint64 if piece.dtype == np.uint64 else np.int64
        values = np.array([self.numbers[n] for n in keys], dtype)
        if piece.dtype in SMALL:
            table = np.arange(np.iinfo(piece.dtype).max + 1, dtype=np.uint16)
            table[keys] = values
            small: NDArray[Any] = table[piece]
            return small
        known = np.array(keys, piece.dtype)
        places = np.minimum(np.searchsorted(known, piece), len(keys) - 1)
        found = known[places] == piece
        return np.where(found, values[places], piece.astype(dtype)) if found.any() else piece

    def concerns(self, dtype: np.dtype[Any]) -> bool:
        """Whether numbers of this type may become others, or must be looked at."""
        return bool(self._keys(dtype)) or (dtype.kind == "f" and self.nan is not None)

    def _keys(self, dtype: np.dtype[Any]) -> list[int]:
        return sorted(n for n in self.numbers if _holds(dtype, n))

    def _check_stand_in(self, piece: NDArray[Any], path: Path | None) -> None:
        mark = self.stand_in
        if mark is None or mark in self.numbers or not _holds(piece.dtype, mark):
            return
        if (piece == mark).any():
            raise ClassError(
                f"has the label value {mark}, by which voxels that are not labelled are known.",
                remedy=f"Read it as another with --map, such as --map {mark}=1.",
                path=path,
            )


def _holds(dtype: np.dtype[Any], number: int) -> bool:
    """Whether a type can have this number."""
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return bool(dtype.type(number) == number)
    return bool(np.iinfo(dtype).min <= number <= np.iinfo(dtype).max)
