"""The class table: label value on disk <-> class_index 0..C-1 <-> name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import ClassError, InputError, UsageError
from softlab_cli.core.jsonfile import load_json
from softlab_cli.core.names import title_of
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.core.system import reading

__all__ = [
    "ClassTable",
    "LabelClass",
    "named_in",
    "read_aliases",
    "read_class_names",
]


@dataclass(frozen=True)
class LabelClass:
    """One class: its place in the soft label, its value on disk, its name.

    Its colour, for pictures, is six hex digits, or empty; it makes no other class.
    """

    index: int
    value: int
    name: str
    colour: str = field(default="", compare=False)


@dataclass(frozen=True)
class ClassTable:
    """All classes of a store, in the order of their label values.

    Parameters
    ----------
    classes
        One entry for each class; entry i has index i.
    ignore_values
        Label values that mean "not labelled": such voxels get the zero vector
        and count for no neighbour.
    """

    classes: tuple[LabelClass, ...]
    ignore_values: tuple[int, ...] = ()

    @classmethod
    def from_values(
        cls,
        values: Iterable[int],
        names: Mapping[int, str] | None = None,
        ignore_values: Iterable[int] = (),
    ) -> ClassTable:
        """A table of the given label values (sorted, ignored ones left out).

        Parameters
        ----------
        values
            Label values, each 0..65535.
        names
            Names of label values; others are called ``background`` (0) and
            ``label_<value>``.
        ignore_values
            Label values that are no class.

        Raises
        ------
        ClassError
            For values outside 0..65535, an empty table or a name used twice.
        """
        ignored = tuple(sorted(set(map(int, ignore_values))))
        names = dict(names or {})
        kept = sorted(set(map(int, values)) - set(ignored))
        for value in (*kept, *ignored):
            if not 0 <= value <= LARGEST_LABEL_VALUE:
                raise ClassError(
                    f"label value {value} is outside 0..{LARGEST_LABEL_VALUE}.",
                    remedy="Renumber it with --map, such as --map "
                    f"{value}={_free_value(kept)}, or leave its voxels out with --ignore-label.",
                )
        if not kept:
            raise ClassError("no label value is left for a class.", remedy="Check --ignore-label.")
        classes = tuple(
            LabelClass(i, v, names.get(v, "background" if v == 0 else f"label_{v}"))
            for i, v in enumerate(kept)
        )
        seen: dict[str, int] = {}
        for entry in classes:
            if entry.name in seen:
                raise ClassError(
                    f"the name {entry.name!r} stands for label values {seen[entry.name]} "
                    f"and {entry.value}.",
                    remedy="Give each class a name of its own.",
                )
            seen[entry.name] = entry.value
        return cls(classes, ignored)

    def __len__(self) -> int:
        return len(self.classes)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Class names in the order of their indices."""
        return tuple(c.name for c in self.classes)

    @cached_property  # metadata ask for it once a class
    def values(self) -> tuple[int, ...]:
        """Label values in the order of their class indices."""
        return tuple(c.value for c in self.classes)

    @cached_property
    def background_index(self) -> int | None:
        """Class index of label value 0, or None when 0 is no class."""
        return self.values.index(0) if 0 in self.values else None

    @cached_property
    def index_dtype(self) -> np.dtype[Any]:
        """uint8 while every index and the ignore mark fit in it, else uint16."""
        return np.dtype(np.uint8 if len(self) <= 255 else np.uint16)

    @cached_property
    def ignore_index(self) -> int:
        """The mark of ignored voxels among class indices: 255 or 65535."""
        return int(np.iinfo(self.index_dtype).max)

    @cached_property
    def lookup(self) -> NDArray[np.int32]:
        """(65536,) int32: label value to class index, ignore index, or -1 for none."""
        table = np.full(LARGEST_LABEL_VALUE + 1, -1, np.int32)
        table[list(self.ignore_values)] = self.ignore_index
        table[list(self.values)] = np.arange(len(self), dtype=np.int32)
        return table

    def find(self, key: str | int) -> LabelClass:
        """The class with this name, or with this label value.

        Raises
        ------
        ClassError
            When there is none; the message lists the valid names.
        """
        text = str(key)
        for entry in self.classes:
            if text in (entry.name, str(entry.value)):
                return entry
        some = ", ".join(f"{c.value} {c.name}" for c in self.classes[:20])
        more = f" and {len(self) - 20} more" if len(self) > 20 else ""
        raise ClassError(f"no class {text!r}.", remedy=f"There are: {some}{more}.")

    @property
    def colours(self) -> dict[str, str]:
        """Class name to colour, which is empty where none is known."""
        return {c.name: c.colour for c in self.classes}

    def coloured(self, colours: Mapping[str, str]) -> ClassTable:
        """The same classes with the colours of these names; see `LabelClass`."""
        classes = tuple(replace(c, colour=colours.get(c.name, c.colour)) for c in self.classes)
        return replace(self, classes=classes)

    def to_json(self, *, colours: bool = False) -> list[dict[str, Any]]:
        """The table as the store keeps it, with colours where they are wanted and known."""
        return [
            {"index": c.index, "value": c.value, "name": c.name}
            | ({"color": c.colour} if colours and c.colour else {})
            for c in self.classes
        ]

    @classmethod
    def from_json(
        cls, classes: Sequence[Mapping[str, Any]], ignore_values: Iterable[int] = ()
    ) -> ClassTable:
        """The table that `to_json` wrote."""
        entries = tuple(
            LabelClass(int(c["index"]), int(c["value"]), str(c["name"]), _colour(c.get("color")))
            for c in classes
        )
        return cls(entries, tuple(int(v) for v in ignore_values))

    @classmethod
    def from_text(
        cls,
        text: str,
        names: Mapping[int, str] | None = None,
        ignore_values: Iterable[int] = (),
    ) -> ClassTable:
        """The table that ``--labels`` describes.

        Parameters
        ----------
        text
            Comma-separated values (``0,1,4``), ranges (``0-4``), named values
            (``0=background,1=liver``) or names that `names` knows (``liver``). A
            value's name may be a pattern; see `softlab_cli.core.names.title_of`.
        names
            Names of label values, from ``--classes-from``.
        ignore_values
            Label values that are no class.
        """
        by_name = {name: value for value, name in (names or {}).items()}
        titles = _titles(named_in(text))
        found: dict[int, str] = {}
        known = dict(names or {})
        for part in filter(None, (p.strip() for p in text.split(","))):
            if m := re.fullmatch(r"(\d+)(?:-(\d+))?", part):
                first, last = int(m[1]), int(m[2] or m[1])
                if last < first or last > LARGEST_LABEL_VALUE:
                    raise UsageError(
                        f"--labels {part}: not a range within 0..65535.",
                        remedy="Read larger label values as smaller ones with --map.",
                    )
                found.update((v, known.get(v, "")) for v in range(first, last + 1))
            elif m := re.fullmatch(r"(\d+)=(.+)", part):
                known[int(m[1])] = found[int(m[1])] = titles[int(m[1])]
            elif part in by_name:
                found[by_name[part]] = part
            else:
                raise UsageError(
                    f"--labels: {part!r} is neither a label value nor a known class name.",
                    remedy="Write values (0,1,4), ranges (0-4), named values (1=liver), or give "
                    "the names with --classes-from.",
                )
        return cls.from_values(found, known, ignore_values)


def _colour(text: object) -> str:
    return text if isinstance(text, str) and re.fullmatch("[0-9A-Fa-f]{6}", text) else ""


def named_in(text: str) -> dict[int, str]:
    """The names and patterns that ``--labels`` gives to label values, as they are written."""
    parts = (re.fullmatch(r"(\d+)=(.+)", part.strip()) for part in text.split(","))
    return {int(m[1]): m[2].strip() for m in parts if m}


def _titles(patterns: Mapping[int, str]) -> dict[int, str]:
    """Class names of patterns: themselves, where two would be called the same."""
    titles = {value: title_of(pattern) for value, pattern in patterns.items()}
    given = list(titles.values())
    return {v: patterns[v] if given.count(title) > 1 else title for v, title in titles.items()}


def _free_value(taken: Sequence[int]) -> int:
    """The smallest label value above 0 that is not taken."""
    return next(n for n in range(1, len(taken) + 2) if n not in taken)


def read_class_names(path: str | Path) -> tuple[dict[int, str], int | None]:
    """Label values and names from a file, for ``--classes-from``.

    Understands nnU-Net's ``dataset.json`` (``labels``: name to value; an
    ``ignore`` entry is the ignore label; a region's list of values gives no class
    of its own), the older form (value to name), and a plain JSON object in either
    direction.

    Parameters
    ----------
    path
        The JSON file, or an nnU-Net dataset folder that holds ``dataset.json``.

    Returns
    -------
    names
        Label value to name.
    ignore
        The ignore label, if the file names one.
    """
    path, content = _load(path)
    plain = {k: v for k, v in content.items() if k != "aliases"}
    labels = content.get("labels", plain)
    if not isinstance(labels, dict) or not labels:
        raise InputError(
            "has no 'labels' object.",
            remedy='Expected {"labels": {"background": 0, "liver": 1}} as in nnU-Net.',
            path=path,
        )
    names: dict[int, str] = {}
    ignore: int | None = None
    for key, entry in labels.items():
        try:
            if isinstance(entry, list):
                for value in map(int, entry):
                    names.setdefault(value, f"label_{value}")
                continue
            pair = (entry, key) if isinstance(entry, int) else (key, entry)
            value, name = int(pair[0]), str(pair[1])
        except (TypeError, ValueError, OverflowError) as error:
            raise InputError(
                f"labels: {key!r}: {entry!r} has no label value.",
                remedy='Expected {"labels": {"background": 0, "liver": 1}} as in nnU-Net.',
                path=path,
            ) from error
        if name == "ignore":
            ignore = value
        else:
            names[value] = name
    if 0 in names and names[0] == "label_0":
        names[0] = "background"
    return names, ignore


def read_aliases(path: str | Path) -> dict[str, tuple[str, ...]]:
    """Other names of classes from the file of `read_class_names`.

    ``{"labels": {"background": 0, "lung": 1}, "aliases": {"lung": ["Lung_L", "[Ll]ung*"]}}``

    Returns
    -------
    aliases
        Class name to its other names, which may be patterns.

    Raises
    ------
    InputError
        For aliases of what is no class, or that are no texts.
    """
    path, content = _load(path)
    aliases = content.get("aliases", {})
    names, _ = read_class_names(path)
    known = {*names.values(), "ignore"}
    if not isinstance(aliases, dict) or not all(map(_are_texts, aliases.values())):
        raise InputError(
            "'aliases' is not an object of class names with lists of other names.",
            remedy='Expected {"aliases": {"lung": ["Lung_L", "[Ll]ung*"]}} beside "labels".',
            path=path,
        )
    if strange := [name for name in aliases if name not in known]:
        raise InputError(
            f"aliases: {', '.join(map(repr, strange))}: no such class.",
            remedy=f"Its labels are: {', '.join(sorted(known - {'ignore'}))}.",
            path=path,
        )
    return {name: (one,) if isinstance(one, str) else tuple(one) for name, one in aliases.items()}


def _are_texts(entry: object) -> bool:
    listed = entry if isinstance(entry, list) else [entry]
    return all(isinstance(text, str) for text in listed)


def _load(path: str | Path) -> tuple[Path, dict[str, Any]]:
    """A JSON object, and its file: the path, or ``dataset.json`` in that folder."""
    path = Path(path)
    with reading(path):
        if path.is_dir():
            path = path / "dataset.json"
    content = load_json(path)
    return path, content if isinstance(content, dict) else {}
