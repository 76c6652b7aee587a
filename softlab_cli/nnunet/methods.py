"""Which methods the hook knows, and how each makes the soft labels of a preprocessed case."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np

from softlab_cli.errors import ClassError, UsageError
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.indexing import index_label_map
from softlab_cli.methods import MSVLS, SVLS, LocalMethod, OneHot, RaterMethod, UniformSmoothing
from softlab_cli.nnunet.preprocessed import OUTSIDE, PreprocessedCase
from softlab_cli.nnunet.raters import Rater, read_raters
from softlab_cli.preparing import Prepared, count_labels, fuse_raters
from softlab_cli.store.schema import StoreInfo

__all__ = ["METHODS", "Recipe", "make_method"]


Prepare = Callable[[Any, PreprocessedCase, Sequence[Rater], StoreInfo], Prepared]
"""method, case, label maps of its raters, store -> the case, ready to be softened"""


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
    """

    method: type[LocalMethod] | type[RaterMethod]
    prepare: Prepare
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


def _prepare_local(
    method: LocalMethod, case: PreprocessedCase, raters: Sequence[Rater], info: StoreInfo
) -> Prepared:
    """nnU-Net's own segmentation."""
    values = np.where(case.values == OUTSIDE, np.int16(0), case.values)
    try:
        indices = index_label_map(values, info.classes).class_indices
    except ClassError as error:
        error.remedy = "Add the labels to dataset.json, and run nnUNetv2_preprocess again."
        raise
    counts = count_labels(indices, info.classes)
    return Prepared(case.geometry, indices, counts, method, indices)


def _prepare_raters(
    method: RaterMethod, case: PreprocessedCase, raters: Sequence[Rater], info: StoreInfo
) -> Prepared:
    """The raters' label maps, fused."""
    classes = info.classes
    indices = read_raters(case, raters, classes)
    patterns = find_patterns(indices, len(classes), classes.ignore_index)
    names = tuple(name for name, _ in raters)
    return fuse_raters(method, patterns, names, case.geometry, info)


METHODS: dict[str, Recipe] = {
    "svls": Recipe(SVLS, _prepare_local),
    "ls": Recipe(UniformSmoothing, _prepare_local),
    "onehot": Recipe(OneHot, _prepare_local),
    "msvls": Recipe(MSVLS, _prepare_raters, takes_raters=True),
}
"""Every method of the hook, by its name on the command line."""
