"""What stands out among numbers, and box plots that show it.

The rule is Tukey's with his outer fences (Exploratory Data Analysis, 1977): a number stands out
where it lies more than three times the distance of the quartiles beyond the nearer one. Of
volumes the logarithms count, for they differ by factors. Below `LEAST` numbers nothing stands out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from softlab_cli.report.page.scales import Scale

__all__ = ["FENCES", "LEAST", "Box", "box_of", "fences"]

FENCES = 3.0
LEAST = 8
WIDTH = 220.0


@dataclass(frozen=True)
class Box:
    """A box plot, 220 wide: places of whiskers, quartiles and median, and of what stands out.

    Parameters
    ----------
    median
        The number itself, for sorting.
    low, first, middle, third, high
        Places of the least number that does not stand out, of quartiles and median, and of the
        largest.
    outside
        Places of numbers that stand out.
    told
        All of it in words.
    """

    median: float
    low: float
    first: float
    middle: float
    third: float
    high: float
    outside: tuple[float, ...]
    told: str


def fences(values: Sequence[float], *, log: bool = False) -> tuple[float, float]:
    """The ends beyond which a number stands out; infinite with fewer than `LEAST` numbers.

    Parameters
    ----------
    values
        The numbers; above 0 where their logarithms count.
    log
        Whether those do.
    """
    if len(values) < LEAST:
        return -np.inf, np.inf
    numbers = np.log(values) if log else np.asarray(values, float)
    first, third = np.quantile(numbers, [0.25, 0.75])
    # Where most numbers are one, those that differ by no more than rounding are that one too.
    width = FENCES * (third - first) + 1e-9 * max(abs(first), abs(third), 1.0)
    ends = np.array([first - width, third + width])
    low, high = np.exp(ends) if log else ends
    return float(low), float(high)


def box_of(values: Sequence[float], low: float, high: float, text: str) -> Box:
    """The box plot of numbers above 0, on a logarithmic axis.

    Parameters
    ----------
    values
        The numbers; one at least.
    low, high
        Ends of the axis.
    text
        What they are, for those who cannot see it.
    """
    scale = Scale.around([low, high], 4, WIDTH - 4, log=True)
    least, most = fences(values, log=True)
    inside = [v for v in values if least <= v <= most]
    first, middle, third = (float(q) for q in np.quantile(values, [0.25, 0.5, 0.75]))
    outside = sorted(set(values) - set(inside))
    return Box(
        middle, scale.at(min(inside)), scale.at(first), scale.at(middle), scale.at(third),
        scale.at(max(inside)), tuple(scale.at(v) for v in outside), text,
    )  # fmt: skip
