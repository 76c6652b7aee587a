"""What files of a prediction or a reference are: probabilities or a label map."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import numpy as np

from softlab_cli.cases import Case
from softlab_cli.core.caseid import PICTURE_SUFFIXES, image_suffix
from softlab_cli.core.errors import SoftlabError, UsageError
from softlab_cli.core.folders import is_probabilities
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.labels.softfiles import open_soft_input
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers import open_label_object, path_of
from softlab_cli.readers.soft import SoftFile, open_soft_file
from softlab_cli.store.documents import read_store_info

__all__ = ["Kind", "is_soft_reference", "kind_of"]

Kind = Literal["half", "single", "hard"]
"""Probabilities of float16, of another type, or a label map."""

SEGMENTS = (".seg.nrrd",)


def kind_of(case: Case, reading: ReadingOptions) -> Kind:
    """What a prediction is, as far as its headers tell.

    A file with one volume of floats is read, since label maps are written as floats, too:
    whole numbers, some above 1, are one. A FRACTIONAL segmentation is made of
    probabilities unless ``--threshold`` asks for its hard label.

    Raises
    ------
    SoftlabError
        When its files cannot be opened.
    """
    path = case.label_maps[0]
    if is_store_case(path):
        return "single" if reading.sums == "normalise" else "half"
    suffix = image_suffix(path.name)
    if not is_probabilities(path) and (not suffix or suffix in SEGMENTS):
        return "single" if reading.threshold is None and _is_fractional(case) else "hard"
    source = open_soft_input(case, reading)
    whole = reading.scale is None and all(file.is_integer for file in source.files)
    if whole and (case.class_names or len(source.parts) == 1):
        return "hard"
    one = reading.scale is None and not case.class_names and len(source.parts) == 1
    if one and _largest_of_whole(source.files[0]) > 1:
        return "hard"
    exact = is_probabilities(path) and all(file.dtype == np.float16 for file in source.files)
    return "half" if exact and reading.sums == "error" else "single"


def is_soft_reference(case: Case, reading: ReadingOptions) -> bool:
    """Whether a reference has soft labels.

    A store has, unless it keeps its raters, who count then, or holds hard labels or
    one-hot ones alone. Of other files those have that a prediction could be, but maps of
    one class of whole numbers alone, which are label maps.

    Raises
    ------
    UsageError
        For soft labels that are one of several references.
    SoftlabError
        When a file cannot be opened.
    """
    path = case.label_maps[0]
    if is_store_case(path):
        info = read_store_info(path.parent)
        found = not (info.labels_only or info.keep_raters or info.method == "onehot")
        alone = len(case.drawings) == 1
    else:
        parts = [_alone(case, rater) for rater in case.drawings]
        found = any(_is_soft(part, reading) for part in parts)
        alone = len(parts) == 1
    if found and not alone:
        raise UsageError(
            f"soft labels are a reference of their own, and there are {len(case.drawings)} "
            f"({', '.join(case.drawings)}).",
            remedy="Give one --ref with soft labels, or the label maps of the raters.",
            path=path,
        )
    return found


def _alone(case: Case, rater: str) -> Case:
    """A case with the files of one rater."""
    kept = [place for place, name in enumerate(case.raters) if name == rater]
    return replace(
        case,
        label_maps=tuple(case.label_maps[i] for i in kept),
        raters=tuple(case.raters[i] for i in kept),
        class_names=tuple(case.class_names[i] for i in kept) if case.class_names else (),
    )


def _is_soft(case: Case, reading: ReadingOptions) -> bool:
    suffix = image_suffix(case.label_maps[0].name)
    if suffix in PICTURE_SUFFIXES:
        return False
    if not suffix or suffix in SEGMENTS:
        return kind_of(case, reading) != "hard"
    try:
        files = [open_soft_file(path) for path in case.label_maps]
    except SoftlabError:
        return False  # it is said where the label map is read
    if any(file.count > 1 for file in files):
        return True
    return reading.scale is not None or any(_largest_of_whole(file) < 0 for file in files)


def _largest_of_whole(file: SoftFile) -> float:
    """The largest number of a volume of whole numbers alone; below 0 where it has others."""
    if file.is_integer:
        return 0.0
    values = file.read(0)
    values = values[~np.isnan(values)]  # --ignore-label nan
    if not np.array_equal(values, np.rint(values)):
        return -1.0
    return float(values.max(initial=0.0))


def _is_fractional(case: Case) -> bool:
    described = open_label_object(path_of(next(iter(case.drawings.values())))).describe()
    return described.facts.get("segmentation_type") == "FRACTIONAL"
