"""The cells that predicted probabilities are counted in.

float16 has 15,361 numbers from 0 to 1. Counts of each of them (a cell a number) hold
all that calibration figures of stored predictions need: bins of any number and any
size, sums, squares and logarithms follow exactly, and counts add up over cases.

float32 has too many numbers. Its cells are ranges (lower, upper]: those between
neighbouring numbers with 10 bits of mantissa, cut again at the ends of the bins that
are asked for. What a cell's numbers lack to its upper end is added up beside the
counts, in steps of 2^-32, so that

- in bins of equal width, counts are exact, and sums of p are to 2^-33 a voxel;
- bins of equal count can be cut inside a cell (as inside equal numbers of float16),
  where the order within the cell is not known: its voxels are shared out evenly;
- entropies and temperatures take a cell's mean for each of its numbers, which is
  right to 2^-22 of p.

More bits of mantissa make it finer: 16 is good for a million voxels and a few classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property, lru_cache
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.kernels.forecasts import FIXED, find_cells
from softlab_cli.kernels.sizes import read_only

__all__ = ["CLIP", "FITS", "TACE_THRESHOLD", "Cells", "bin_edges", "exact_sums"]

CLIP = 1e-7
"""Least probability in a logarithm; smaller ones are counted as it."""

TACE_THRESHOLD = 1e-3
"""Probabilities up to this one are left out of TACE."""

FITS = 1 << 62
"""Sums below it are reckoned in int64 at once."""

HALF_BITS = 10
SMALLEST_EXPONENT = -14
LARGEST_SINGLE_BITS = 20


@dataclass(frozen=True)
class Cells:
    """What is counted as one probability.

    Two passes can be added when their cells are equal.

    Parameters
    ----------
    mantissa_bits
        Bits of mantissa of the numbers that part the cells; 10 are those of float16.
    bin_counts
        Numbers of equal-width bins that will be asked for; empty where every cell is one
        number (float16), as any will do there.
    single
        Whether cells are ranges of float32 and not numbers of float16.
    """

    mantissa_bits: int = HALF_BITS
    bin_counts: tuple[int, ...] = ()
    single: bool = False

    @classmethod
    def half(cls) -> Cells:
        """Cells of float16 predictions: each number is one."""
        return cls()

    @classmethod
    def ranges(
        cls, bin_counts: tuple[int, ...] = (10, 15, 20, 50), mantissa_bits: int = HALF_BITS
    ) -> Cells:
        """Cells of float32 predictions; they take float16 as well.

        Raises
        ------
        UsageError
            When two ends of bins would lie between neighbouring numbers.
        """
        if not HALF_BITS <= mantissa_bits <= LARGEST_SINGLE_BITS:
            raise UsageError(
                f"{mantissa_bits} bits of mantissa cannot part cells.",
                remedy=f"Give {HALF_BITS} to {LARGEST_SINGLE_BITS}.",
            )
        made = cls(mantissa_bits, tuple(sorted(set(bin_counts))), True)
        if len(set(made._steps)) < len(made._steps):
            raise UsageError(
                f"bins of {', '.join(map(str, bin_counts))} have ends too near to each other for "
                f"{mantissa_bits} bits of mantissa.",
                remedy="Ask for fewer numbers of bins, or for more bits.",
            )
        return made

    def __len__(self) -> int:
        return len(self.upper)

    @cached_property
    def numbers(self) -> NDArray[np.float64]:
        """The numbers of so many bits of mantissa from 0 to 1, in order."""
        per_octave = 1 << self.mantissa_bits
        index = np.arange(-SMALLEST_EXPONENT * per_octave + per_octave + 1)
        octave = np.maximum(index >> self.mantissa_bits, 1)
        mantissa = index - (octave - 1) * per_octave
        found = np.ldexp(mantissa.astype(np.float64), octave - 15 - self.mantissa_bits)
        return np.asarray(found[found <= 1.0], np.float64)

    @cached_property
    def _between(self) -> NDArray[np.float64]:
        """Ends of bins that are no number of `numbers`."""
        if not self.single:
            return np.empty(0)
        ends = {CLIP, TACE_THRESHOLD} | {k / n for n in self.bin_counts for k in range(1, n)}
        return np.array(sorted(ends - set(self.numbers.tolist())))

    @property
    def _steps(self) -> list[int]:
        return [int(step) for step in np.searchsorted(self.numbers, self._between)]

    @cached_property
    def upper(self) -> NDArray[np.float64]:
        """(cells,) the number of each cell, or its upper end."""
        return np.sort(np.concatenate([self.numbers, self._between]))

    @property
    def scale(self) -> int:
        """Steps that make 1; of float16 it is exact, of float32 rounded."""
        return int(FIXED) if self.single else 1 << 24

    @cached_property
    def steps(self) -> NDArray[np.int64]:
        """(cells,) `upper` in steps of `scale`."""
        return np.rint(self.upper * self.scale).astype(np.int64)

    @cached_property
    def _find_tables(self) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
        edges = np.full(len(self.numbers), np.inf)
        edges[self._steps] = self._between
        inside = np.isfinite(edges)
        return np.cumsum(inside) - inside, edges

    def find(self, values: NDArray[Any]) -> NDArray[Any]:
        """Cell of each probability.

        Parameters
        ----------
        values
            Contiguous float16 from 0 to 1 without -0, of `ranges` float32.
        """
        if not self.single:
            return values.view(np.uint16)
        cells: NDArray[Any] = np.empty(values.shape, np.uint32)
        skipped, edges = self._find_tables
        find_cells(values.reshape(-1), self.mantissa_bits, skipped, edges, cells.reshape(-1))
        return cells

    def bins(self, count: int, *, closed: str = "upper") -> NDArray[np.int64]:
        """(cells,) the equal-width bin that each cell lies in.

        Parameters
        ----------
        count
            Number of bins; of float32 one of `bin_counts`.
        closed
            ``upper``: bins are (lower, upper], and 0 lies in the first. ``lower``: they are
            [lower, upper), and 1 lies in a bin of its own, number `count`; of float32 a cell that
            ends where a bin ends counts to the next one as a whole.

        Raises
        ------
        UsageError
            When float32 was counted without regard to these bins.
        """
        if self.single and count not in self.bin_counts:
            raise UsageError(
                f"{count} bins were not asked for when float32 predictions were counted (asked "
                f"for: {', '.join(map(str, self.bin_counts))}).",
                remedy="Name them before.",
            )
        ends = np.arange(count + 1) / count
        if closed == "lower":
            return np.searchsorted(ends, self.upper, side="right") - 1
        return np.maximum(np.searchsorted(ends, self.upper, side="left") - 1, 0)


@lru_cache(maxsize=64)
def bin_edges(cells: Cells, count: int, closed: str) -> NDArray[np.int64]:
    """(bins + 1,) the first cell of each bin, and the end of the last; see `Cells.bins`."""
    bins = np.arange(count + (2 if closed == "lower" else 1))
    return read_only(np.searchsorted(cells.bins(count, closed=closed), bins))


def exact_sums(count: NDArray[np.int64], factors: NDArray[np.int64], power: int = 1) -> list[int]:
    """Sum over the last axis of counts times whole factors (to a power), without a limit.

    Parameters
    ----------
    count
        (..., cells), 0 or more.
    factors
        (cells,), 0 to 2^40 (2^32 where they are squared).
    power
        1 or 2.

    Returns
    -------
    One sum for each row, in order.
    """
    rows = count.reshape(prod(count.shape[:-1]), count.shape[-1])
    largest = int(factors.max(initial=0)) ** power
    if int(rows.sum(axis=1).max(initial=0)) * largest < FITS:
        found: list[int] = (rows @ factors**power).tolist()
        return found
    # Both are cut into parts whose products can be added up in 64 bits.
    many = int(rows.max(initial=0)) >> 24 > 0
    totals = [0] * len(rows)
    for shift, part in _parts(factors, power):
        sums = (((rows & 0xFFFFFF) if many else rows) @ part).tolist()
        high = ((rows >> 24) @ part).tolist() if many else [0] * len(rows)
        for row, total in enumerate(sums):
            totals[row] += (total + (high[row] << 24)) << shift
    return totals


def _parts(factors: NDArray[np.int64], power: int) -> Iterator[tuple[int, NDArray[np.int64]]]:
    """Powers of the factors in parts of 16 bits, and where each begins."""
    wide = int(factors.max(initial=0)) ** power >= 1 << 62
    powers = (factors.astype(object) if wide else factors) ** power
    for shift in range(0, 80 if wide else 62, 16):
        part = ((powers >> shift) & 0xFFFF).astype(np.int64)
        if part.any():
            yield shift, part
