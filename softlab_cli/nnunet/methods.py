"""Which methods the hook knows, and how each makes the soft labels of a preprocessed case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any

import numpy as np

from softlab_cli.errors import ClassError, UsageError
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.indexing import IndexedLabelMap, count_indices, index_label_map
from softlab_cli.methods import SVLS, OneHot, UniformSmoothing
from softlab_cli.methods.base import LocalMethod
from softlab_cli.methods.fuse import RaterMethod
from softlab_cli.methods.msvls import MSVLS
from softlab_cli.nnunet.preprocessed import OUTSIDE, PreprocessedCase
from softlab_cli.nnunet.raters import Rater, read_raters
from softlab_cli.onecase import write_blocks
from softlab_cli.softblock import SoftSums
from softlab_cli.store.schema import StoreInfo
from softlab_cli.store.writer import CaseWriter

__all__ = ["METHODS", "Made", "Recipe", "make_method"]


@dataclass(frozen=True)
class Made:
    """What was written of a case.

    Parameters
    ----------
    hard
        The hard label, as stored.
    sums
        Sums over the soft labels.
    facts
        What the method found out about the case, ready for JSON.
    """

    hard: IndexedLabelMap
    sums: SoftSums
    facts: Mapping[str, Any] = field(default_factory=dict)


Make = Callable[[Any, PreprocessedCase, tuple[Rater, ...], StoreInfo, CaseWriter, int], Made]
"""method, case, label maps of its raters, store, writer, threads -> what was written"""


@dataclass(frozen=True)
class Recipe:
    """A method of the hook.

    Parameters
    ----------
    method
        The class of its parameters.
    make
        Makes and writes a case.
    takes_raters
        Whether it is made of several raters' label maps, and not of nnU-Net's one.
    """

    method: type[LocalMethod] | type[RaterMethod]
    make: Make
    takes_raters: bool = False


def make_method(
    name: str, parameters: Mapping[str, Any], *, in_slices: bool
) -> LocalMethod | RaterMethod:
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


def _make_local(
    method: LocalMethod,
    case: PreprocessedCase,
    raters: Sequence[Rater],
    info: StoreInfo,
    writer: CaseWriter,
    threads: int,
) -> Made:
    """Soften nnU-Net's own segmentation."""
    values = np.where(case.values == OUTSIDE, np.int16(0), case.values)
    try:
        hard = index_label_map(values, info.classes)
    except ClassError as error:
        error.remedy = "Add the labels to dataset.json, and run nnUNetv2_preprocess again."
        raise
    sums = write_blocks(method, hard.class_indices, info, case.geometry, writer, threads)
    return Made(hard, sums)


def _make_fused(
    method: RaterMethod,
    case: PreprocessedCase,
    raters: Sequence[Rater],
    info: StoreInfo,
    writer: CaseWriter,
    threads: int,
) -> Made:
    """Fuse the raters, and soften the result."""
    classes = info.classes
    indices = read_raters(case, raters, classes)
    patterns = find_patterns(indices, len(classes), classes.ignore_index)
    names = [name for name, _ in raters]
    fused = method.fuse(patterns, names, classes.background_index)
    labels = fused.fused.hard_label(classes.index_dtype, classes.ignore_index)
    sums = write_blocks(
        fused, fused.fused.indices, info, case.geometry, writer, threads, hard=labels
    )
    return Made(count_indices(labels, classes), sums, {"raters": names, **fused.facts})


METHODS: dict[str, Recipe] = {
    "svls": Recipe(SVLS, _make_local),
    "ls": Recipe(UniformSmoothing, _make_local),
    "onehot": Recipe(OneHot, _make_local),
    "msvls": Recipe(MSVLS, _make_fused, takes_raters=True),
}
"""Every method of the hook, by its name on the command line."""
