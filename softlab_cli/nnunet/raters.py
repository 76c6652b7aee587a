"""Several raters of nnU-Net's cases, brought onto the grid of its preprocessed data.

Each rater's label map goes the way that nnU-Net's own segmentation went: the same
reader, axes, crop box and resampling. Raters that agree with it are then equal to it,
voxel for voxel.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, GeometryError, InputError, SoftlabError, UsageError
from softlab_cli.labels.indices import index_label_map
from softlab_cli.nnunet.preprocessed import PreprocessedCase

__all__ = ["Rater", "name_raters", "rater_files", "read_raters"]

SPACING_TOLERANCE = 1e-3
"""Relative; headers keep spacings in single precision."""

Rater = tuple[str, Path]
"""Name of a rater, and its folder or its label map of one case."""


def name_raters(folders: Sequence[Path]) -> tuple[Rater, ...]:
    """Raters by the names of their folders.

    Raises
    ------
    UsageError
        When two folders have one name.
    InputError
        When one is no folder.
    """
    raters = tuple((folder.resolve().name, folder) for folder in folders)
    for number, (name, folder) in enumerate(raters):
        if not folder.is_dir():
            raise InputError(
                "is no folder of a rater's label maps.", remedy="Check the path.", path=folder
            )
        if name in [other for other, _ in raters[:number]]:
            raise UsageError(
                f"two raters are called {name!r}.", remedy="Give their folders different names."
            )
    return raters


def rater_files(raters: Sequence[Rater], case_id: str, file_ending: str) -> tuple[Rater, ...]:
    """The raters that have a label map of a case, with the file.

    Raises
    ------
    InputError
        When none has.
    """
    files = [(name, folder / f"{case_id}{file_ending}") for name, folder in raters]
    found = tuple((name, file) for name, file in files if file.is_file())
    if not found:
        raise InputError(
            f"no rater has a file {case_id}{file_ending}.",
            remedy="Name label maps as in labelsTr, or leave the case out of the data set.",
        )
    return found


def read_raters(
    case: PreprocessedCase, raters: Sequence[Rater], classes: ClassTable
) -> Iterator[NDArray[np.unsignedinteger[Any]]]:
    """Class indices of one rater after the other, on the grid of the preprocessed case.

    Parameters
    ----------
    case
        The case.
    raters
        From `rater_files`.
    classes
        The class table.

    Yields
    ------
    class_indices
        (Z, Y, X) uint8 or uint16.
    """
    for _, file in raters:
        try:
            values = _read_on_grid(case, file)
            yield index_label_map(values, classes).class_indices
        except SoftlabError as error:
            if error.path is None:
                error.path = file
            if isinstance(error, ClassError):
                error.remedy = "Correct the label map, or add its labels to dataset.json."
            raise


def _read_on_grid(case: PreprocessedCase, file: Path) -> NDArray[np.int16]:
    plans = case.configuration.manager()
    try:
        raw, facts = plans.image_reader_writer_class().read_seg(str(file))
    except RuntimeError as error:
        problem = f"cannot be read ({error})."
        raise InputError(problem, remedy="Fetch or export the file again.", path=file) from error
    axes = [axis + 1 for axis in plans.transpose_forward]
    labels = np.asarray(raw).transpose([0, *axes])
    _check_grid(case, labels.shape[1:], facts, file)
    box = case.properties["bbox_used_for_cropping"]
    labels = labels[(slice(None), *(slice(*map(int, edge)) for edge in box))]
    resample = plans.get_configuration(case.configuration.name).resampling_fn_seg
    labels = resample(
        np.ascontiguousarray(labels), case.values.shape,
        list(case.original_spacing_mm), list(case.target_spacing_mm),
    )  # fmt: skip
    rounded: NDArray[np.int16] = np.rint(np.asarray(labels[0])).astype(np.int16)
    return rounded


def _check_grid(
    case: PreprocessedCase, shape: Sequence[int], facts: dict[str, Any], file: Path
) -> None:
    """Raise `GeometryError` unless a rater's label map lies on the grid of the images."""
    wanted = tuple(case.properties["shape_before_cropping"])
    spacing, wanted_spacing = tuple(facts["spacing"]), tuple(case.properties["spacing"])
    same = np.allclose(spacing, wanted_spacing, rtol=SPACING_TOLERANCE, atol=0)
    if tuple(shape) != wanted or not same:
        raise GeometryError(
            f"has the shape {tuple(map(int, shape))} and the spacing {_plain(spacing)}, the images "
            f"of the case {tuple(map(int, wanted))} and {_plain(wanted_spacing)}.",
            remedy="Resample the label map onto the grid of the images.",
            path=file,
        )


def _plain(numbers: Sequence[Any]) -> tuple[float, ...]:
    return tuple(round(float(n), 4) for n in numbers)
