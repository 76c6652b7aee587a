"""What a user asks for, and the classes that follow from it without reading any case."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from softlab_cli.cases import class_names_from
from softlab_cli.core.classes import ClassTable, read_class_names
from softlab_cli.core.fractions import PADDING_VALUE
from softlab_cli.core.places import refuse_url
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.store.writer import StoreWriter

__all__ = ["Request", "given_classes", "ignored_values", "kept_classes"]


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
        A JSON file with class values and names.
    ignore_labels
        Label values of voxels that are not labelled.
    rater_pattern
        How file names tell case and rater, such as ``{case}_{rater}.nii.gz``.
    class_pattern
        How file names tell case and class, where each file holds one class of a case,
        such as ``{case}/{class}.nii.gz``.
    min_raters
        Raters that a case must have, for methods that take several.
    keep_raters
        Store the labels of each rater as well.
    labels_only
        Store the recipe and the hard labels; soft labels are computed on read.
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
    ignore_labels: Sequence[int] = ()
    rater_pattern: str | None = None
    class_pattern: str | None = None
    min_raters: int = 1
    keep_raters: bool = False
    labels_only: bool = False
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
    path = request.classes_from or class_names_from(request.inputs)
    names, ignored = read_class_names(path) if path else ({}, None)
    ignore_values = [*ignored_values(request), *([] if ignored is None else [ignored])]
    if request.labels:
        return ClassTable.from_text(request.labels, names, ignore_values)
    return ClassTable.from_values(names, names, ignore_values) if names else None


def kept_classes(request: Request, existing: StoreWriter | None) -> ClassTable | None:
    """The class table of the store that goes on, with the ignored values of this run."""
    if existing is None:
        return None
    return replace(existing.info.classes, ignore_values=tuple(sorted(ignored_values(request))))


def ignored_values(request: Request) -> set[int]:
    """Label values that are no class: those that were named, and padding where it is ignored."""
    padding = {PADDING_VALUE} if request.reading.padding == "ignore" else set()
    return {*request.ignore_labels, *padding}
