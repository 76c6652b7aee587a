"""The JSON file of a calibration, read strictly: it comes from anywhere."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from softlab_cli.core.classes import ClassTable, LabelClass
from softlab_cli.core.errors import InputError
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.core.system import unreadable
from softlab_cli.evaluation.metrics.isotonic import Knots
from softlab_cli.evaluation.metrics.temperature import HIGHEST, LOWEST

__all__ = ["FORMAT", "METHODS", "Fitted", "Parts", "read_calibration"]

METHODS = ("temperature", "isotonic")

FORMAT = 1
LARGEST_NLL = 1e6

LARGEST_BYTES = 1 << 28
LARGEST_COUNT = 1 << 62
MOST_KNOTS = 1 << 15
"""More than twice the numbers of float16 from 0 to 1."""

KEYS = {"softlab_calibration", "softlab", "method", "classes", "fitted"}
FITTED = {"cases", "patients", "votes", "region", "nll_before", "nll_after", "nll_cross_fitted",
          "fingerprints"}  # fmt: skip
REMEDY = "Make it anew with softlab calibrate."


@dataclass(frozen=True)
class Fitted:
    """What a calibration was fitted on, and what came of it.

    Parameters
    ----------
    cases, patients
        How many; no case is named.
    votes
        Voxels times raters.
    region
        Where they lie, as ``--region`` has it.
    nll_before, nll_after
        Mean negative log-likelihood of the votes in nats, of the same cases: the latter is too
        good.
    nll_cross_fitted
        The same where each half of the cases has the calibration of the other; None for one
        patient.
    fingerprints
        Of their files; see `softlab_cli.evaluation.calibrations.fingerprint`.
    """

    cases: int
    patients: int
    votes: int
    region: str
    nll_before: float
    nll_after: float
    nll_cross_fitted: float | None = None
    fingerprints: frozenset[str] = field(default=frozenset(), repr=False)


@dataclass(frozen=True)
class Parts:
    """What `softlab_cli.evaluation.calibrations.Calibration` is made of."""

    method: str
    classes: ClassTable
    temperature: float | None
    maps: tuple[Knots, ...]
    fitted: Fitted | None


class _OddError(Exception):
    """What is wrong with a part of the file."""


def read_calibration(path: Path) -> Parts:
    """A calibration from its file.

    Raises
    ------
    InputError
        For a file that is none, or not a sound one; it is named, with what is wrong.
    """
    content = _content(path)
    try:
        return _calibration(content)
    except _OddError as odd:
        raise InputError(f"is no sound calibration: {odd}.", remedy=REMEDY, path=path) from odd


def _content(path: Path) -> Any:
    try:
        with open(path, "rb") as file:
            text = file.read(LARGEST_BYTES + 1)
    except OSError as error:
        raise unreadable(error, path, "Check --calibration.") from error
    if len(text) > LARGEST_BYTES:
        raise InputError("is too large for a calibration.", remedy=REMEDY, path=path)
    try:
        return json.loads(text, object_pairs_hook=_once, parse_constant=_refuse)
    except (ValueError, RecursionError, _OddError) as error:
        raise InputError(f"is not JSON ({error}).", remedy=REMEDY, path=path) from error


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _OddError("a name stands twice in one object")
    return found


def _refuse(text: str) -> None:
    raise _OddError(f"{text} is no number")


def _calibration(content: Any) -> Parts:
    if not isinstance(content, dict) or "softlab_calibration" not in content:
        raise _OddError("it has no 'softlab_calibration'")
    if content["softlab_calibration"] != FORMAT or content["softlab_calibration"] is True:
        raise _OddError(
            f"it is of format {content['softlab_calibration']!r:.40}, and this softlab reads "
            f"{FORMAT}"
        )
    method = content.get("method")
    if method not in METHODS:
        raise _OddError(f"method {method!r:.40} is none of {', '.join(METHODS)}")
    own = "temperature" if method == "temperature" else "maps"
    _keys(content, KEYS | {own}, "it")
    if not isinstance(content["softlab"], str):
        raise _OddError("'softlab' is no text")
    classes = _classes(content["classes"])
    fitted = None if content["fitted"] is None else _fitted(content["fitted"])
    if own == "temperature":
        temperature = _number(content[own], LOWEST, HIGHEST, own)
        return Parts(method, classes, temperature, (), fitted)
    maps = _listed(content[own], len(classes), own)
    if len(maps) != len(classes):
        raise _OddError(f"there are {len(maps)} maps of {len(classes)} classes")
    named = zip(maps, classes.names, strict=True)
    return Parts(method, classes, None, tuple(_knots(m, name) for m, name in named), fitted)


def _keys(content: Any, wanted: set[str], what: str) -> None:
    if not isinstance(content, dict):
        raise _OddError(f"{what} is no object")
    if odd := sorted(set(content) ^ wanted):
        has = "has" if odd[0] in content else "lacks"
        raise _OddError(f"{what} {has} {odd[0]!r:.40}")


def _listed(content: Any, most: int, what: str) -> list[Any]:
    if not isinstance(content, list) or not 0 < len(content) <= most:
        raise _OddError(f"{what} is no list of 1 to {most:,} entries")
    return content


def _number(content: Any, low: float, high: float, what: str) -> float:
    if isinstance(content, bool) or not isinstance(content, int | float):
        raise _OddError(f"{what} {content!r:.40} is no number")
    if not low <= content <= high:
        raise _OddError(f"{what} {content!r:.40} is not from {low:g} to {high:g}")
    return float(content)


def _whole(content: Any, low: int, high: int, what: str) -> int:
    if isinstance(content, bool) or not isinstance(content, int) or not low <= content <= high:
        raise _OddError(f"{what} {content!r:.40} is no whole number from {low} to {high}")
    return content


def _classes(content: Any) -> ClassTable:
    found = []
    for place, entry in enumerate(_listed(content, LARGEST_LABEL_VALUE, "classes")):
        _keys(entry, {"index", "value", "name"}, "a class")
        _whole(entry["index"], place, place, "the index of a class")
        value = _whole(entry["value"], 0, LARGEST_LABEL_VALUE, "the value of a class")
        if not isinstance(entry["name"], str) or not entry["name"]:
            raise _OddError(f"the name of class {place} is no text")
        found.append(LabelClass(place, value, entry["name"]))
    if len(found) < 2:
        raise _OddError("there is one class only")
    if any(a.value >= b.value for a, b in pairwise(found)):
        raise _OddError("the values of the classes do not rise")
    if len({entry.name for entry in found}) < len(found):
        raise _OddError("two classes have one name")
    return ClassTable(tuple(found))


def _knots(content: Any, name: str) -> Knots:
    what = f"the map of {name!r:.40}"
    _keys(content, {"probability", "becomes"}, what)
    x, y = (
        [_number(n, 0.0, 1.0, f"a knot of {name!r:.40}") for n in _listed(part, MOST_KNOTS, what)]
        for part in (content["probability"], content["becomes"])
    )
    if len(x) != len(y):
        raise _OddError(f"{what} has {len(x)} probabilities and {len(y)} numbers that they become")
    if any(a >= b for a, b in pairwise(x)):
        raise _OddError(f"{what} has probabilities that do not rise")
    if any(a > b for a, b in pairwise(y)):
        raise _OddError(f"{what} falls")
    return Knots(tuple(x), tuple(y))


def _fitted(content: Any) -> Fitted:
    _keys(content, FITTED, "'fitted'")
    counts = {n: _whole(content[n], 1, LARGEST_COUNT, n) for n in ("cases", "patients", "votes")}
    if not isinstance(content["region"], str):
        raise _OddError("'region' is no text")
    scores = _scores(content)
    prints = content["fingerprints"]
    if not isinstance(prints, list) or not all(map(_is_fingerprint, prints)):
        raise _OddError("'fingerprints' are no list of 16 hex digits each")
    return Fitted(**counts, region=content["region"], **scores, fingerprints=frozenset(prints))


def _scores(content: Mapping[str, Any]) -> dict[str, Any]:
    crossed = content["nll_cross_fitted"]
    names = ["nll_before", "nll_after", *([] if crossed is None else ["nll_cross_fitted"])]
    return {name: _number(content[name], 0.0, LARGEST_NLL, name) for name in names}


def _is_fingerprint(text: Any) -> bool:
    return isinstance(text, str) and re.fullmatch("[0-9a-f]{16}", text) is not None
