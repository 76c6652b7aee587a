"""What is typed after an option, as the value that it means; the rest is a bad argument."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import click

from softlab_cli.cli.main import DEBUG
from softlab_cli.core.errors import UsageError
from softlab_cli.core.memory import parse_bytes
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE, parse_number

__all__ = [
    "A_PATH",
    "by_name",
    "bytes_of",
    "levels_of",
    "listed",
    "listed_numbers",
    "listed_wholes",
    "numbers",
    "part_of",
    "per_axis",
    "remember_debug",
    "sides_of",
    "spacing_of",
    "value_map",
    "weights_of",
]

A_PATH = click.Path(path_type=Path, readable=False)
"""Any path: the library says of one that is missing, or cannot be read, more than click does."""

Number = TypeVar("Number", int, float)


def bytes_of(ctx: click.Context, param: click.Parameter, value: str | None) -> int | None:
    """Bytes from an amount of memory such as 16G."""
    try:
        return None if value is None else parse_bytes(value)
    except UsageError as error:
        raise click.BadParameter(str(error)) from error


def by_name(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> dict[str, Path]:
    """Paths by their names from NAME=PATH, repeated; the name of a path alone is empty."""
    found: dict[str, Path] = {}
    for text in value:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = "", text
        if not path:
            raise click.BadParameter(f"{text!r} names no path.")
        if name in found:
            raise click.BadParameter(f"{name!r} is given twice." if name else "give each a name.")
        found[name] = Path(path)
    return found


def part_of(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, int] | None:
    """(part, parts) from 2/8, counted from 1."""
    if value is None:
        return None
    match = re.fullmatch(r"(\d+)/(\d+)", value.strip())
    if not match or not 1 <= int(match[1]) <= int(match[2]):
        raise click.BadParameter(f"{value!r} is not a part such as 2/8 (1 <= I <= N).")
    return int(match[1]), int(match[2])


def per_axis(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> float | tuple[float, ...] | None:
    """One number for all axes, or one for each of z,y,x."""
    if value is None:
        return None
    try:
        numbers = tuple(float(part) for part in value.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) not in (1, 3):
        raise click.BadParameter(f"{value!r} is neither one number nor three (z,y,x).")
    return numbers[0] if len(numbers) == 1 else numbers


def sides_of(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[int, ...] | None:
    """Voxels along all axes, or along each of z,y,x or y,x."""
    if value is None:
        return None
    parts = value.split(",")
    if len(parts) > 3 or not all(part.strip().isdecimal() for part in parts):
        raise click.BadParameter(f"{value!r} is neither one whole number nor one for each axis.")
    return tuple(int(part) for part in parts)


def spacing_of(
    ctx: click.Context, param: click.Parameter, value: str | None
) -> tuple[float, ...] | None:
    """Millimetres along z, y and x, above 0."""
    given = per_axis(ctx, param, value)
    if given is None:
        return None
    numbers = given if isinstance(given, tuple) else (given,) * 3
    if not all(0 < number < math.inf for number in numbers):
        raise click.BadParameter(f"{value!r} is no distance above 0.")
    return numbers


def value_map(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> dict[str, dict[float, int]]:
    """Rater to label values, from 1=2,nan=0 or r2:1=2; a rater of "" stands for all."""
    found: dict[str, dict[float, int]] = {}
    for text in value:
        rater, _, pairs = text.rpartition(":")
        for pair in pairs.split(","):
            number, _, target = pair.partition("=")
            try:
                source, becomes = parse_number(number), _label_value(target)
            except ValueError as error:
                raise click.BadParameter(
                    f"{pair!r} is not a pair of label values such as 5=2 or nan=0 (any whole "
                    f"number, or nan, becomes 0 to {LARGEST_LABEL_VALUE})."
                ) from error
            if found.setdefault(rater, {}).setdefault(source, becomes) != becomes:
                raise click.BadParameter(
                    f"{number.strip()} becomes {found[rater][source]} and {becomes}"
                    f"{f' in the label maps of {rater}' if rater else ''}; give it once."
                )
    return found


def _label_value(text: str) -> int:
    if not text.strip().isdecimal() or int(text) > LARGEST_LABEL_VALUE:
        raise ValueError(text)
    return int(text)


def numbers(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[float, ...]:
    """Whole numbers, and NaN."""
    try:
        return tuple(map(parse_number, value))
    except ValueError as error:
        raise click.BadParameter(f"{error}, and not nan.") from error


def levels_of(ctx: click.Context, param: click.Parameter, value: str) -> tuple[float, ...]:
    """Soft labels between 0 and 1, from 0.1,0.5."""
    try:
        levels = tuple(float(part) for part in value.split(",") if part.strip())
    except ValueError:
        levels = (-1.0,)
    if not all(0 < level < 1 for level in levels):
        raise click.BadParameter(f"{value!r} is no list of soft labels such as 0.1,0.5 (0 to 1).")
    return levels


def weights_of(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> dict[str, float] | None:
    """Rater to weight, from r1=0.5."""
    found: dict[str, float] = {}
    for text in value:
        rater, _, weight = text.rpartition("=")
        if rater in found:
            raise click.BadParameter(f"the rater {rater!r} is given two weights.")
        try:
            found[rater] = float(weight)
        except ValueError:
            rater = ""
        if not rater:
            raise click.BadParameter(f"{text!r} is not a rater and its weight, such as r1=0.5.")
    return found or None


def listed(ctx: click.Context, param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """All that is given, repeated or with commas between."""
    return tuple(part.strip() for text in value for part in text.split(",") if part.strip())


def listed_numbers(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[float, ...]:
    """Numbers, repeated or with commas between."""
    return tuple(_one_of(float, "number", text) for text in listed(ctx, param, value))


def listed_wholes(
    ctx: click.Context, param: click.Parameter, value: tuple[str, ...]
) -> tuple[int, ...]:
    """Whole numbers, repeated or with commas between."""
    return tuple(_one_of(int, "whole number", text) for text in listed(ctx, param, value))


def _one_of(kind: Callable[[str], Number], what: str, text: str) -> Number:
    try:
        return kind(text)
    except ValueError as error:
        raise click.BadParameter(f"{text!r} is no {what}.") from error


def remember_debug(ctx: click.Context, param: click.Parameter, value: bool) -> None:
    """Note that tracebacks are wanted."""
    if value:
        ctx.meta[DEBUG] = True
