"""Which methods the hook knows, and how each makes the soft labels of a preprocessed case."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from softlab_cli.core.blocks import Grid
from softlab_cli.core.errors import ClassError, UsageError
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.labels.indices import index_label_map
from softlab_cli.methods import (
    MSVLS,
    SVLS,
    GeoLS,
    LocalMethod,
    OneHot,
    RaterMethod,
    UniformSmoothing,
)
from softlab_cli.nnunet.preprocessed import OUTSIDE, PreprocessedCase
from softlab_cli.nnunet.raters import Rater, read_raters
from softlab_cli.running.prepare import Prepared, count_labels, fuse_raters, make_maps
from softlab_cli.store.writer import StoreWriter

__all__ = ["METHODS", "Recipe", "Subject", "make_method"]


@dataclass(frozen=True)
class Subject:
    """A case that soft labels are made of.

    Parameters
    ----------
    case
        The preprocessed case.
    raters
        Label maps of its raters.
    store
        Where it is going to.
    grid
        How it will be cut.
    threads
        Threads that may compute.
    max_memory
        Bytes for the process that does it.
    """

    case: PreprocessedCase
    raters: Sequence[Rater]
    store: StoreWriter
    grid: Grid
    threads: int
    max_memory: int


@dataclass(frozen=True)
class Recipe:
    """A method of the hook.

    Parameters
    ----------
    method
        The class of its parameters.
    prepare
        Reads a case, and does what the method has to do with the whole of it.
    takes_raters
        Whether it is made of several raters' label maps, and not of nnU-Net's one.
    takes_image
        Whether it depends on the image as well.
    """

    method: type[LocalMethod] | type[RaterMethod] | type[GeoLS]
    prepare: Callable[[Any, Subject], AbstractContextManager[Prepared]]
    takes_raters: bool = False
    takes_image: bool = False


def make_method(
    name: str, parameters: Mapping[str, Any], *, in_slices: bool
) -> LocalMethod | RaterMethod | GeoLS:
    """A method with its parameters.

    Parameters
    ----------
    name
        A key of `METHODS`.
    parameters
        Those that were given.
    in_slices
        Whether patches are slices: then nothing is smoothed across them.

    Raises
    ------
    UsageError
        For a parameter that the method does not have.
    """
    made = METHODS[name].method
    known = [f.name for f in fields(made) if f.init]  # type: ignore[arg-type]
    given = dict(parameters)
    for key in given:
        if key not in known:
            option = f"--{key.replace('_', '-')}"
            raise UsageError(f"the method {name} takes no {option}.", remedy="Leave it out.")
    if in_slices and "slicewise" in known:
        given["slicewise"] = True
    return made(**given)


@contextmanager
def _prepare_local(method: LocalMethod, subject: Subject) -> Iterator[Prepared]:
    yield _hard_labels(method, subject)


@contextmanager
def _prepare_raters(method: RaterMethod, subject: Subject) -> Iterator[Prepared]:
    info, names = subject.store.info, tuple(name for name, _ in subject.raters)
    indices = read_raters(subject.case, subject.raters, info.classes)
    patterns = find_patterns(indices, len(info.classes), info.classes.ignore_index)
    yield fuse_raters(method, patterns, names, subject.case.geometry, info)


@contextmanager
def _prepare_maps(method: GeoLS, subject: Subject) -> Iterator[Prepared]:
    case, ready = subject.case, _hard_labels(OneHot(), subject)
    with make_maps(
        method, ready, case.intensities, subject.store, case.case_id, subject.threads,
        max_memory=subject.max_memory, block=subject.grid.block,
    ) as made:  # fmt: skip
        yield made


def _hard_labels(method: LocalMethod, subject: Subject) -> Prepared:
    """nnU-Net's own segmentation, to be softened by a local method."""
    case, classes = subject.case, subject.store.info.classes
    values = np.where(case.values == OUTSIDE, np.int16(0), case.values)
    try:
        indices = index_label_map(values, classes).class_indices
    except ClassError as error:
        error.remedy = "Add the labels to dataset.json, and run nnUNetv2_preprocess again."
        raise
    return Prepared(case.geometry, indices, count_labels(indices, classes), method, indices)


METHODS: dict[str, Recipe] = {
    "svls": Recipe(SVLS, _prepare_local),
    "ls": Recipe(UniformSmoothing, _prepare_local),
    "onehot": Recipe(OneHot, _prepare_local),
    "msvls": Recipe(MSVLS, _prepare_raters, takes_raters=True),
    "geols": Recipe(GeoLS, _prepare_maps, takes_image=True),
}
"""Every method of the hook, by its name on the command line."""
