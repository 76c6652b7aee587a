"""Numbers that stand for labels in files, whatever they are."""

from __future__ import annotations

import math

__all__ = ["LARGEST_LABEL_VALUE", "one_nan", "parse_number"]

LARGEST_LABEL_VALUE = 65535
"""Of a class; files may have any numbers, which `--map` turns into these."""


def parse_number(text: str) -> float:
    """A whole number, or NaN, from text; ``70000.0`` is whole as well.

    Raises
    ------
    ValueError
        For any other text.
    """
    text = text.strip().lower()
    try:
        return int(text)
    except ValueError:
        number = float(text)
    if number != number or not number.is_integer():
        if text != "nan":
            raise ValueError(f"{text} is no whole number")
        return math.nan
    return int(number)


def one_nan(number: float) -> float:
    """The number; every NaN is the same object, so that a dictionary knows it as one key."""
    return math.nan if number != number else number
