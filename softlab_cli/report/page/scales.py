"""Axes of charts: where a number lies, and which numbers are written beside the axis."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Scale", "Tick"]

STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)

SAME = 1e-5
"""Of a number: within this much of one another numbers are one, as six digits write them.
Volumes of equal regions on turned grids differ in their last bits."""


@dataclass(frozen=True)
class Tick:
    """A number beside an axis: its place in the drawing, and how it is written."""

    at: float
    label: str


@dataclass(frozen=True)
class Scale:
    """Numbers along an axis.

    Parameters
    ----------
    low, high
        The numbers at both ends; `low` is below `high`.
    start, end
        Their places in the drawing.
    log
        Whether equal steps are equal factors; both ends are above 0 then.
    """

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    @classmethod
    def around(
        cls, values: Sequence[float], start: float, end: float, *, log: bool = False,
        low: float | None = None, high: float | None = None,
    ) -> Scale:  # fmt: skip
        """A scale with room for numbers; where they are one, with some room around it.

        Parameters
        ----------
        values
            The numbers; those that are not finite, and on a logarithmic scale those that are
            not above 0, do not count.
        start, end
            Places of the ends in the drawing.
        log
            As in `Scale`.
        low, high
            Ends that are given.
        """
        usable = [v for v in values if math.isfinite(v) and (v > 0 or not log)]
        least = min(usable, default=1.0 if log else 0.0) if low is None else low
        most = max(usable, default=10.0 if log else 1.0) if high is None else high
        if most - least > SAME * max(abs(least), abs(most)):
            return cls(least, most, start, end, log)
        if log:
            return cls(least / 2, least * 2, start, end, log)
        room = abs(least) / 2 or 0.5
        return cls(least - room, least + room, start, end, log)

    def at(self, value: float) -> float:
        """The place of a number; one beyond an end lies at the end."""
        inside = min(max(value, self.low), self.high)
        if self.log:
            share = math.log(inside / self.low) / math.log(self.high / self.low)
        else:
            share = (inside - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)

    def ticks(self, most: int = 6) -> tuple[Tick, ...]:
        """Round numbers between the ends, at most so many."""
        numbers = self._powers(most) if self.log else self._steps(most)
        return tuple(Tick(self.at(n), _written(n)) for n in numbers)

    def _steps(self, most: int) -> list[float]:
        width = (self.high - self.low) / max(1, most - 1)
        power = 10.0 ** math.floor(math.log10(width))
        step = next(s for s in STEPS if s * power >= width * (1 - 1e-9)) * power
        first = math.ceil(self.low / step - 1e-9)
        last = math.floor(self.high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]

    def _powers(self, most: int) -> list[float]:
        first = math.floor(math.log10(self.low) + 1e-9)
        last = math.ceil(math.log10(self.high) - 1e-9)
        inside = (self.low * (1 - 1e-9), self.high * (1 + 1e-9))
        for factors in ((1, 2, 5), (1, 3), (1,)):
            powers = [f * 10.0**p for p in range(first, last + 1) for f in factors]
            found = [n for n in powers if inside[0] <= n <= inside[1]]
            if len(found) <= most:
                return found or [self.low, self.high]
        return found[:: math.ceil(len(found) / most)]


def _written(number: float) -> str:
    text = f"{number:.6g}"
    return "0" if text == "-0" else text
