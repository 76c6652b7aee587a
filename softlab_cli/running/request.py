"""What a user asks for, and the classes that follow from it without reading any case."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from softlab_cli.cases import class_names_from
from softlab_cli.cases.soft import is_store
from softlab_cli.core.classes import (
    ClassTable,
    LabelClass,
    named_in,
    read_aliases,
    read_class_names,
)
from softlab_cli.core.errors import UsageError
from softlab_cli.core.fractions import PADDING_VALUE
from softlab_cli.core.names import NamedClass, NameRule, alternatives, is_pattern
from softlab_cli.core.numbers import LARGEST_LABEL_VALUE
from softlab_cli.core.places import refuse_url
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.store.documents import read_store_info
from softlab_cli.store.writer import StoreWriter

__all__ = [
    "Request",
    "given_classes",
    "ignored_values",
    "kept_classes",
    "notes_of_stores",
    "stored_classes",
    "with_names",
    "with_unlabelled",
]


@dataclass(frozen=True)
class Request:
    """What a user asks for; the fields are named like the options of the command line.

    Parameters
    ----------
    inputs
        Label maps: folders, files, datasets, datalists or manifests.
    out
        The store.
    images
        Images of the same cases, paired by name; label maps are put on their grids.
    reading
        How label maps are read, where there is a choice.
    labels
        Label values that are classes, such as ``0-4``; by default all that occur.
    image_like
        Whether what looks like an image is refused or read as a label map, where the
        classes are all that occur.
    classes_from
        A JSON file with class values and names, and other names of classes.
    ignore_labels
        Numbers of voxels that are not labelled: any whole ones, and NaN.
    rater_pattern
        How file names tell case and rater, such as ``{case}_{rater}.nii.gz``.
    class_pattern
        How file names tell case and class, where each file holds one class of a case,
        such as ``{case}/{class}.nii.gz``.
    min_raters
        Raters that a case must have, for methods that take several.
    keep_raters
        Store the labels of each rater as well.
    train_only
        Stop when the method has learned; no store is written.
    labels_only
        Store the recipe and the hard labels; soft labels are computed on read.
    ome
        Version of the OME-NGFF metadata: 0.5, or 0.6 with the exact affine.
    overwrite
        Remove an existing store first.
    sync
        Wait until a case is on the disk before it counts as done.
    workers, threads
        Processes, and threads in each; by default what cores and memory allow.
    max_memory
        Bytes for all workers together; by default what is free.
    case_timeout
        Seconds that a case may take, its scan and its soft labels each; by default any.
    part
        (I, N): only every N-th case, from the I-th on.
    dask
        Address of a Dask scheduler.
    config
        The configuration to keep in the store.
    """

    inputs: Sequence[Path]
    out: Path
    images: Path | None = None
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    labels: str | None = None
    image_like: Literal["refuse", "ok"] = "refuse"
    classes_from: Path | None = None
    ignore_labels: Sequence[float] = ()
    rater_pattern: str | None = None
    class_pattern: str | None = None
    min_raters: int = 1
    keep_raters: bool = False
    train_only: bool = False
    labels_only: bool = False
    ome: str = "0.5"
    overwrite: bool = False
    sync: bool = True
    workers: int | None = None
    threads: int | None = None
    max_memory: int | None = None
    case_timeout: float | None = None
    part: tuple[int, int] | None = None
    dask: str | None = None
    config: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse URLs, which no path can hold."""
        refuse_url(*self.inputs, self.out, self.images)


def given_classes(request: Request) -> ClassTable | None:
    """The class table that the request names, or its data set; None when it must be scanned."""
    path = _names_file(request)
    names = read_class_names(path)[0] if path else {}
    if request.labels:
        return ClassTable.from_text(request.labels, names, ignored_values(request))
    return ClassTable.from_values(names, names, ignored_values(request)) if names else None


def kept_classes(request: Request, existing: StoreWriter | None) -> ClassTable | None:
    """The class table of the store that goes on, with the ignored values of this run."""
    if existing is None:
        return None
    return replace(existing.info.classes, ignore_values=tuple(sorted(ignored_values(request))))


def stored_classes(request: Request) -> ClassTable | None:
    """The class table that all inputs have, where they are stores and nothing else is chosen."""
    reading = request.reading
    if not all(map(is_store, map(Path, request.inputs))) or reading.rois or reading.loose_names:
        return None
    first, *others = [read_store_info(path).classes for path in request.inputs]
    if any(table.classes != first.classes for table in others):
        return None
    return replace(first, ignore_values=tuple(sorted(ignored_values(request))))


def notes_of_stores(request: Request) -> Iterator[str]:
    """What the stores among the inputs say of voxels that are not labelled."""
    for path in filter(is_store, map(Path, request.inputs)):
        marks = [v for v in read_store_info(path).classes.ignore_values
                 if v not in request.ignore_labels]  # fmt: skip
        if marks:
            yield (
                f"{path}: label value {', '.join(map(str, marks))} stands for voxels that are not "
                "labelled there, and does so in every input here"
            )


def ignored_values(request: Request) -> set[int]:
    """Label values that are no class: those that were named, and padding where it is ignored."""
    numbers = _ignored_numbers(request)
    inside = {int(number) for number in numbers if _is_label_value(number)}
    if len(inside) < len(numbers) or request.reading.padding == "ignore":
        inside.add(PADDING_VALUE)
    return inside


def with_unlabelled(request: Request) -> Request:
    """The request with what its ignored numbers mean for reading, where no label value is one."""
    outside = tuple(n for n in _ignored_numbers(request) if not _is_label_value(n))
    return replace(request, reading=replace(request.reading, unlabelled=outside))


def with_names(request: Request, classes: ClassTable) -> Request:
    """The request with what its classes mean for the names of segments."""
    rule = _name_rule(request, classes)
    return replace(request, reading=replace(request.reading, names=rule))


def _name_rule(request: Request, classes: ClassTable) -> NameRule | None:
    """Which name is which class; None where each class has one name, by the letter."""
    loose = request.reading.loose_names
    given = named_in(request.labels or "")
    path = _names_file(request)
    aliases = read_aliases(path) if path else {}
    named = [c for c in classes.classes if c.name != f"label_{c.value}"]
    entries = [_named_class(c, given.get(c.value), aliases.get(c.name, ())) for c in named]
    if "ignore" in aliases and (ignored := ignored_values(request)):
        entries.append(NamedClass(min(ignored), "ignore", ("ignore", *aliases["ignore"])))
    if not loose and not aliases and not any(map(is_pattern, given.values())):
        return None
    numbers = frozenset(c.value for c in classes.classes) - {c.value for c in named}
    return NameRule(tuple(entries), numbers, loose, partial=bool(request.labels or path))


def _named_class(entry: LabelClass, pattern: str | None, aliases: Sequence[str]) -> NamedClass:
    if pattern is None or not is_pattern(pattern):
        return NamedClass(entry.value, entry.name, (entry.name, *aliases))
    patterns = alternatives(pattern)
    return NamedClass(entry.value, entry.name, patterns, needed="" not in patterns)


def _names_file(request: Request) -> Path | None:
    return request.classes_from or class_names_from(request.inputs)


def _ignored_numbers(request: Request) -> tuple[float, ...]:
    """The numbers to ignore, that of the names file among them; each once, NaN last."""
    path = _names_file(request)
    ignore = read_class_names(path)[1] if path else None
    stores = filter(is_store, map(Path, request.inputs))
    stored = [value for p in stores for value in read_store_info(p).classes.ignore_values]
    numbers = [*request.ignore_labels, *([] if ignore is None else [ignore]), *stored]
    if strange := [n for n in numbers if n == n and not float(n).is_integer()]:
        raise UsageError(f"--ignore-label {strange[0]} is no whole number.", remedy="Or give nan.")
    missing = [float("nan")] if any(n != n for n in numbers) else []
    return (*sorted({int(n) for n in numbers if n == n}), *missing)


def _is_label_value(number: float) -> bool:
    return 0 <= number <= LARGEST_LABEL_VALUE
