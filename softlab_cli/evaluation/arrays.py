"""`softlab_cli.evaluate`: the figures of ``softlab evaluate``, of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.errors import GeometryError, InputError, UsageError
from softlab_cli.evaluation.calibrated import Calibrated
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.measure import Evaluation, measure_hard, measure_soft
from softlab_cli.evaluation.metrics.grids import check_spacing
from softlab_cli.evaluation.metrics.soundness import SUM_TOLERANCE, find_faults, renormalised
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings, parse_regions

__all__ = ["ArrayPrediction", "evaluate", "soft_arrays"]


def evaluate(
    prediction: NDArray[Any],
    reference: NDArray[Any],
    *,
    spacing_mm: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    rater_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    tolerance_mm: Sequence[float] = (2.0,),
    bins: int = 15,
    regions: Sequence[str] = (),
    parity: Sequence[str] = (),
    temperature: bool = True,
    ordered: bool = False,
    sums: str = "error",
    calibration: Calibration | None = None,
    threads: int = 1,
) -> Evaluation:
    """Judge a prediction by one rater or several: what ``softlab evaluate`` does with a case.

    Parameters
    ----------
    prediction
        (C, Z, Y, X) probabilities of any floating type, which sum to 1 over the classes; or
        (Z, Y, X) class indices, of which overlap and surfaces are reckoned only. Pictures
        have no Z.
    reference
        (Z, Y, X) class indices, or (R, Z, Y, X) of R raters; integers. Class 0 is background.
        Or (C, Z, Y, X) soft labels of any floating type, all 0 where a voxel is not labelled;
        overlap and surfaces are against the class of their largest share then.
    spacing_mm
        Of the voxels, in array order; by default 1.
    class_names, rater_names
        By default ``background``, ``label_1`` and so on, and ``r1``, ``r2`` and so on.
    ignore_index
        Number of voxels that a rater did not label.
    tolerance_mm, bins, regions, parity, temperature, ordered, sums
        As the options of ``softlab evaluate``.
    calibration
        What `softlab_cli.calibrate` has fitted on other cases; applied before anything else.
    threads
        The result does not depend on it.

    Returns
    -------
    Evaluation
        Its ``rows`` are those of ``cases.csv``; ``figure("dice", "liver")`` is one of them.

    Raises
    ------
    GeometryError
        When the arrays have different shapes.
    InputError
        For what is no probability, or sums that are not 1.
    UsageError
        For arrays of other types, and options without a meaning.

    Examples
    --------
    >>> import numpy as np
    >>> import softlab_cli
    >>> truth = np.array([[0, 0, 1, 1]])
    >>> prediction = np.stack([1 - truth, truth]).astype(np.float16)
    >>> softlab_cli.evaluate(prediction, truth).figure("dice", "label_1")
    1.0
    """
    settings = Settings(
        tuple(tolerance_mm), bins, parse_regions(regions), tuple(parity), temperature, ordered
    )
    soft, by_shares = (array.dtype.kind == "f" for array in (prediction, reference))
    if calibration is not None and not soft:
        raise UsageError("class indices have no probabilities that could be calibrated.")
    ndim = prediction.ndim - soft
    shape = prediction.shape[int(soft) :]
    shares = _shares(reference, shape, sums) if by_shares else None
    labels = _labels_of(shares) if shares is not None else np.asarray(reference)
    labels = _with_raters(labels, shape, ndim)
    count = len(prediction) if soft else _class_count(labels, prediction, class_names, ignore_index)
    if shares is not None and len(shares) != count:
        raise UsageError(f"a reference of {len(shares)} classes and a prediction of {count}.")
    unlabelled = NOT_LABELLED if by_shares else ignore_index
    scene = _scene(labels, count, ndim, spacing_mm, class_names, rater_names, unlabelled)
    if not soft:
        hard = _volume(_indices(prediction, count, ignore_index, "prediction"), ndim)
        return measure_hard(scene, hard, settings, threads)
    source = _as_source(_sound(prediction, sums), ndim)
    judged_by = None if shares is None else _as_source(shares, ndim)
    if calibration is None:
        single = source.values.dtype != np.float16
        return measure_soft(
            scene, source, settings, single=single, shares=judged_by, threads=threads
        )
    calibrated = Calibrated(source, calibration)
    found = measure_soft(
        scene, calibrated, settings, single=True, shares=judged_by, threads=threads
    )
    return replace(found, warnings=(*calibrated.warnings, *found.warnings))


def soft_arrays(
    prediction: NDArray[Any], reference: NDArray[Any], spacing_mm: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None, rater_names: Sequence[str] | None = None,
    ignore_index: int | None = None, *, sums: str = "error",
) -> tuple[Scene, ArrayPrediction]:  # fmt: skip
    """Probabilities and what they are judged against; see `evaluate`."""
    ndim = prediction.ndim - 1
    labels = _with_raters(np.asarray(reference), prediction.shape[1:], ndim)
    wanted = (spacing_mm, class_names, rater_names, ignore_index)
    scene = _scene(labels, len(prediction), ndim, *wanted)
    return scene, _as_source(_sound(prediction, sums), ndim)


NOT_LABELLED = -1
"""Stands for voxels without a share until class indices are made unsigned."""


def _shares(reference: NDArray[Any], shape: tuple[int, ...], sums: str) -> NDArray[Any]:
    """(C, ...) soft labels that can be counted; 0 where a voxel is not labelled."""
    if reference.shape[1:] != shape:
        raise _not_on_one_grid(reference, shape)
    labelled = reference.any(axis=0)
    if sums == "normalise":
        found = np.zeros(reference.shape, np.float32)
        found[:, labelled] = renormalised(reference[:, labelled])
        return found
    faults = find_faults(reference[:, labelled], SUM_TOLERANCE)
    if faults.unusable or faults.wrong_sum:
        raise InputError(
            f"the reference has {faults}.",
            remedy="Give soft labels that sum to 1, or all 0 where a voxel is not labelled; "
            'sums="normalise" divides by the sum.',
        )
    return reference if reference.dtype == np.float16 else reference.astype(np.float32)


def _labels_of(shares: NDArray[Any]) -> NDArray[np.int64]:
    """The class of the largest share, the first of several."""
    return np.where(shares.any(axis=0), shares.argmax(axis=0), NOT_LABELLED)


def _as_source(values: NDArray[Any], ndim: int) -> ArrayPrediction:
    return ArrayPrediction(values if ndim == 3 else values[:, np.newaxis], ndim)


@dataclass(frozen=True)
class ArrayPrediction:
    """A prediction in memory; see `softlab_cli.evaluation.measure.SoftPrediction`."""

    values: NDArray[Any]
    ndim: int
    members: tuple[()] = ()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        _, z, y, x = self.values.shape
        return z, y, x

    def read(self, region: Region) -> NDArray[Any]:
        """(C, z, y, x), the caller's own."""
        return np.array(self.values[(slice(None), *region)])

    def unlabelled(self, region: Region) -> None:
        """It says something everywhere."""
        return None

    def volume(self, class_index: int) -> NDArray[Any]:
        """(Z, Y, X) of one class."""
        found: NDArray[Any] = self.values[class_index]
        return found


def _sound(prediction: NDArray[Any], sums: str) -> NDArray[Any]:
    if sums not in ("error", "normalise"):
        raise UsageError(f"sums is {sums!r}.", remedy="Give error or normalise.")
    if sums == "normalise":
        return renormalised(prediction)
    faults = find_faults(prediction, SUM_TOLERANCE)
    if faults.wrong_sum and not faults.unusable:
        raise InputError(
            f"the prediction has {faults}.", remedy='Divide by the sum with sums="normalise".'
        )
    return prediction if prediction.dtype == np.float16 else prediction.astype(np.float32)


def _with_raters(reference: NDArray[Any], shape: tuple[int, ...], ndim: int) -> NDArray[Any]:
    labels = reference[np.newaxis] if reference.ndim == ndim else reference
    if ndim not in (2, 3) or labels.ndim != ndim + 1 or labels.shape[1:] != shape:
        raise _not_on_one_grid(reference, shape)
    if not len(labels):
        raise UsageError("there is no rater.")
    return labels


def _not_on_one_grid(reference: NDArray[Any], shape: tuple[int, ...]) -> GeometryError:
    return GeometryError(
        f"a prediction on {shape} and a reference of shape {reference.shape} are not on one grid.",
        remedy="Give the reference as (Z, Y, X) or (raters, Z, Y, X), or soft labels as (classes, "
        "Z, Y, X), and the prediction as (classes, Z, Y, X); pictures without Z.",
    )


def _class_count(
    labels: NDArray[Any], hard: NDArray[Any], names: Sequence[str] | None, ignored: int | None
) -> int:
    if names is not None:
        return len(names)
    largest = [int(a[a != ignored].max(initial=0)) for a in (labels, hard)]
    return max(largest) + 1


def _scene(
    labels: NDArray[Any], count: int, ndim: int, spacing_mm: Sequence[float] | None,
    class_names: Sequence[str] | None, rater_names: Sequence[str] | None, ignored: int | None,
) -> Scene:  # fmt: skip
    spacing = tuple(float(s) for s in spacing_mm or (1.0,) * ndim)
    check_spacing(spacing, ndim)
    classes = class_names or ["background", *(f"label_{c}" for c in range(1, count))]
    raters = rater_names or [f"r{r}" for r in range(1, len(labels) + 1)]
    if len(classes) != count or len(raters) != len(labels):
        raise UsageError(
            f"{len(classes)} names for {count} classes, {len(raters)} for {len(labels)} raters.",
            remedy="Give one for each.",
        )
    indices = _indices(labels, count, ignored, "reference")
    volumes = indices if ndim == 3 else indices[:, np.newaxis]
    mark = int(np.iinfo(indices.dtype).max)
    whole = (1.0,) * (3 - ndim) + spacing
    return Scene(volumes, tuple(raters), tuple(classes), 0, mark, whole, ndim)


def _volume(values: NDArray[Any], ndim: int) -> NDArray[Any]:
    return values if ndim == 3 else values[np.newaxis]


def _indices(
    values: NDArray[Any], count: int, ignored: int | None, what: str
) -> NDArray[np.unsignedinteger[Any]]:
    """Class indices of the least type, with its largest number where nothing is labelled."""
    if values.dtype.kind not in "iub":
        raise UsageError(f"the {what} is of type {values.dtype}.", remedy="Give class indices.")
    dtype = np.uint8 if count <= 255 else np.uint16
    nothing = np.zeros(values.shape, bool) if ignored is None else values == ignored
    odd = values[((values < 0) | (values >= count)) & ~nothing]
    if odd.size:
        raise UsageError(
            f"the {what} has class index {int(odd[0])}, and there are {count} classes.",
            remedy="Give both the same classes, or say ignore_index.",
        )
    return np.where(nothing, np.iinfo(dtype).max, values).astype(dtype)
