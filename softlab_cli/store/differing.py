"""The first place where two JSON values differ, in words."""

from __future__ import annotations

import marshal
import math
from contextlib import suppress
from typing import Any

__all__ = ["first_difference"]

FLOAT_TOLERANCE = 1e-12
"""Relative; the last bit of a square root may depend on the machine."""

WITHOUT_REFERENCES = 2
"""Version of the format in which equal values have equal bytes."""


def first_difference(told: Any, expected: Any, where: str = "", *, near: float = 0) -> str:
    """The first place where two JSON values differ, in words; empty when they are the same.

    Parameters
    ----------
    told
        What a file says.
    expected
        What it should say.
    where
        Names of the entries on the way here.
    near
        Numbers that lie no further apart than this are the same.
    """
    if _are_alike(told, expected):
        return ""
    return _difference(told, expected, where, near)


def _are_alike(told: Any, expected: Any) -> bool:
    """Whether two JSON values are the same to the bit; False also where that is not known.

    Nearly all that is compared is the same, and this is ten times as fast as to look at
    each entry. Equality does not do: to Python, true is 1 and -0 is 0.
    """
    with suppress(ValueError):  # what is no JSON value
        return marshal.dumps(told, WITHOUT_REFERENCES) == marshal.dumps(
            expected, WITHOUT_REFERENCES
        )
    return False


def _difference(told: Any, expected: Any, where: str, near: float) -> str:
    if isinstance(told, dict) and isinstance(expected, dict):
        for name in dict.fromkeys([*expected, *told]):
            inner = f"{where}.{name}" if where else str(name)
            if name not in told or name not in expected:
                return f"{inner} is {'missing' if name in expected else 'not ours'}"
            if found := _difference(told[name], expected[name], inner, near):
                return found
        return ""
    if isinstance(told, list | tuple) and isinstance(expected, list | tuple):
        if len(told) != len(expected):
            return f"{where} has {len(told)} entries instead of {len(expected)}"
        pairs = enumerate(zip(told, expected, strict=True))
        every = (_difference(a, b, f"{where}[{i}]", near) for i, (a, b) in pairs)
        return next(filter(None, every), "")
    return "" if _same(told, expected, near) else f"{where} is {told!r} instead of {expected!r}"


def _same(told: Any, expected: Any, near: float) -> bool:
    numbers = isinstance(told, int | float) and isinstance(expected, int | float)
    if numbers and isinstance(told, bool) == isinstance(expected, bool):
        if abs(told - expected) < near:
            return True
        signs = math.copysign(1, told) == math.copysign(1, expected)  # also of 0
        return signs and math.isclose(told, expected, rel_tol=FLOAT_TOLERANCE)
    return type(told) is type(expected) and bool(told == expected)
