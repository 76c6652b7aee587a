"""A picture whose header was read: what PNG and TIFF files say in the same words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Picture"]


@dataclass(frozen=True)
class Picture:
    """A file's header, and how to decode its pixels.

    Parameters
    ----------
    shape
        Pages, rows and columns of one volume.
    numbers
        Numbers for each pixel: 1 for grey, 2 with alpha, 3 or 4 for colours.
    volumes
        Volumes in the file.
    dtype
        Type of one number once decoded, in this machine's byte order.
    decode
        Gives all numbers: (volumes, Z, Y, X, numbers). Raises `InputError` for a
        damaged file.
    spacing_mm
        Along (Z, Y, X); 1 where the file does not say.
    says_z
        Whether the file says how far apart its pages are.
    is_flat
        Whether it is one page.
    warnings
        What is odd.
    """

    shape: tuple[int, int, int]
    numbers: int
    volumes: int
    dtype: np.dtype[Any]
    decode: Callable[[], NDArray[Any]]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    says_z: bool = False
    is_flat: bool = True
    warnings: tuple[str, ...] = ()

    @property
    def channels(self) -> int:
        """Numbers of all volumes for each voxel."""
        return self.numbers * self.volumes
