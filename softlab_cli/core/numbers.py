"""Numbers that stand for labels in files, whatever they are."""

from __future__ import annotations

__all__ = ["parse_number"]


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
        return number
    return int(number)
