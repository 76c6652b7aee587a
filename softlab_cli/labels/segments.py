"""Which segments of a file count, and as which class."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError
from softlab_cli.core.folders import some_of
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.names import NamedClass, NameRule, matches, spelling
from softlab_cli.core.volume import LabelMap
from softlab_cli.labels.numbering import no_such_class
from softlab_cli.readers import LabelObject
from softlab_cli.readers.options import ReadingOptions

__all__ = [
    "Choice",
    "as_classes",
    "check_needed",
    "choose_segments",
    "lacking",
    "merge_fractions",
]

NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Choice:
    """The segments of one file that count.

    Parameters
    ----------
    options
        How to read it: `rois` are names to the letter, `names` is what makes classes of
        them.
    names
        Numbers and names of all its segments that ``--roi`` chooses, those of no class
        included; None for a file of plain numbers.
    left_out
        Names that mean no class.
    """

    options: ReadingOptions
    names: Mapping[int, str] | None = None
    left_out: tuple[str, ...] = ()

    @property
    def classes(self) -> dict[int, str]:
        """Label values and names of the classes that its segments mean."""
        names = dict(self.names or {})
        if self.options.names is None:
            return names
        values = self.options.names.assign(names).values()
        return {value: self.options.names.titles[value] for value in values if value}

    @property
    def warnings(self) -> tuple[str, ...]:
        """That names were left out, with their number."""
        if not self.left_out:
            return ()
        count, listed = len(self.left_out), some_of(list(map(repr, self.left_out)), NAMED_AT_MOST)
        what = "1 named segment means" if count == 1 else f"{count} named segments mean"
        return (f"{what} no class and {'is' if count == 1 else 'are'} left out: {listed}.",)


def choose_segments(source: LabelObject, options: ReadingOptions, path: Path) -> Choice:
    """The segments of a file that count.

    Parameters
    ----------
    source
        The file.
    options
        What the run says of names; where it says nothing, `Choice.options` are the same.
    path
        The file, for messages.

    Raises
    ------
    ClassError
        When a pattern of ``--roi`` means nothing or there are no names, a name means two
        classes or none that may be left out, or no segment is left.
    """
    if options.rois and source.names(()) is None:
        raise ClassError(
            f"has label values without names, of which --roi {options.rois[0]} can choose none.",
            remedy="Leave --roi out; say which label values are classes with --labels, and read "
            "the others as background with --map, such as --map 2=0.",
            path=path,
        )
    if not options.loose_names and options.names is None:
        return Choice(options, source.names(options.rois))
    names = source.names(() if options.loose_names else options.rois)
    if not names:
        return Choice(options, names)
    if options.loose_names and options.rois:
        names = _loosely(names, options.rois, path)
    rule = options.names or _own_rule(names)
    values = rule.assign(names, path)
    left_out = tuple(name for n, name in names.items() if n not in values)
    if left_out and not rule.partial:
        raise no_such_class(left_out, [c.name for c in rule.classes], path)
    kept = tuple(names[n] for n, value in values.items() if value)
    if not kept:
        raise ClassError(
            f"none of its segments means a class: {some_of(list(map(repr, names.values())))}.",
            remedy=f"The classes are {', '.join(map(str, rule.classes))}; change their patterns.",
            path=path,
        )
    return Choice(replace(options, rois=kept, names=rule), names, left_out)


def check_needed(rule: NameRule | None, names: Mapping[int, str] | None, path: Path) -> None:
    """Raise `ClassError` when a file lacks a class that each file must have."""
    if rule is None or not names:
        return
    texts = list(names.values())
    if missing := rule.missing(texts):
        raise lacking(missing[0], f"no segment means class {missing[0]}", texts, path)


def lacking(
    missing: NamedClass, problem: str, names: Sequence[str], path: Path | None
) -> ClassError:
    """The error for a pattern that means nothing, with the names that there are."""
    pattern = "|".join(missing.patterns)
    return ClassError(
        f"{problem}.",
        remedy=f"There are: {some_of(list(map(repr, names)), 30)}. Change the pattern, or end it "
        f"with | where a case may lack the class: --labels '{missing.value}={pattern}|'.",
        path=path,
    )


def as_classes(label_map: LabelMap, options: ReadingOptions, path: Path) -> LabelMap:
    """A label map whose named segments have the label values and names of their classes.

    Parameters
    ----------
    label_map
        Unchanged where its reader has painted classes already, or there are no names.
    options, path
        As for `choose_segments`.
    """
    names: Mapping[int, str] = label_map.metadata.get("names", {})
    if options.names is None or not names:
        return label_map
    titles = options.names.titles
    if all(titles.get(value) == name for value, name in names.items()):
        return label_map
    values = options.names.assign(names, path)
    lookup = np.arange(max(int(label_map.values.max()), *names) + 1, dtype=np.uint16)
    lookup[list(names)] = [values.get(number, 0) for number in names]
    kept = {value: titles[value] for value in values.values() if value}
    return replace(
        label_map, values=lookup[label_map.values], metadata={**label_map.metadata, "names": kept}
    )


def merge_fractions(soft: SoftSegments, options: ReadingOptions, path: Path) -> SoftSegments:
    """Soft labels of classes from those of their segments: sums, 1 at most.

    Parameters
    ----------
    soft
        Soft labels of the segments that `choose_segments` has chosen.
    options, path
        As for `choose_segments`.
    """
    rule = options.names
    if rule is None:
        return soft
    values = rule.assign(dict(zip(soft.values, soft.names, strict=True)), path)
    parts: dict[int, list[int]] = {}
    for index, number in enumerate(soft.values):
        if values.get(number):
            parts.setdefault(values[number], []).append(index)
    indices = list(parts.values())

    def read(index: int) -> NDArray[np.float32]:
        total = soft.read(indices[index][0])
        for other in indices[index][1:]:
            total = np.minimum(total + soft.read(other), np.float32(1.0))
        return total

    titles = tuple(rule.titles[value] for value in parts)
    return replace(soft, values=tuple(parts), names=titles, read=read)


def _loosely(names: Mapping[int, str], rois: Sequence[str], path: Path) -> dict[int, str]:
    """The names that patterns mean when spelling is ignored."""
    numbers, texts = list(names), list(names.values())
    found: set[int] = set()
    for pattern in rois:
        places = matches(texts, pattern, loose=True)
        if not places:
            raise ClassError(
                f"no segment matches {pattern!r}.",
                remedy=f"There are: {', '.join(map(repr, texts))}.",
                path=path,
            )
        found.update(places)
    return {numbers[place]: texts[place] for place in sorted(found)}


def _own_rule(names: Mapping[int, str]) -> NameRule:
    """What loose names alone say of one file: names that are spelled alike are one."""
    groups: dict[str, list[int]] = {}
    for number, name in names.items():
        groups.setdefault(spelling(name), []).append(number)
    classes = (
        NamedClass(numbers[0], names[numbers[0]], tuple(names[n] for n in numbers))
        for numbers in groups.values()
    )
    return NameRule(tuple(classes), partial=False)
