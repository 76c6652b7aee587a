"""`softlab_cli.calibrate`: what ``softlab calibrate`` does, of arrays."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.evaluation.arrays import ArrayPrediction, soft_arrays
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.fitting import Likelihood, Pool, Votes, likelihood, settings_for
from softlab_cli.evaluation.measure import count_soft
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.metrics.temperature import halves
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings

__all__ = ["calibrate"]

Arrays = NDArray[Any] | Sequence[NDArray[Any]]


def calibrate(
    predictions: Arrays,
    references: Arrays,
    *,
    method: str = "temperature",
    region: str = ALL,
    spacing_mm: Sequence[float] | None = None,
    class_names: Sequence[str] | None = None,
    ignore_index: int | None = None,
    sums: str = "error",
    groups: Sequence[str] | None = None,
    threads: int = 1,
) -> Calibration:
    """Fit what makes probabilities hold, on cases that a network was not trained on.

    Parameters
    ----------
    predictions
        (C, Z, Y, X) probabilities of one case, of any floating type, or a list of those of
        several; pictures have no Z.
    references
        For each (Z, Y, X) class indices, or (R, Z, Y, X) of R raters; integers.
    method
        ``temperature``: one number for all classes, which leaves the most probable class what
        it is. ``isotonic``: a map for each class that never falls, after which another class may
        be the most probable one. `softlab_cli.evaluation.calibrations` has the formulas.
    region
        Where voxels count: ``all``, ``union[=10mm]``, ``band[=3mm]``.
    spacing_mm
        Of the voxels of all cases, in array order; by default 1.
    class_names
        By default ``background``, ``label_1`` and so on; they have the label values 0, 1...
    ignore_index
        Number of voxels that a rater did not label.
    sums
        Where sums over classes are not 1: ``error``, or ``normalise``.
    groups
        The patient of each case, so that no patient is in both halves of a cross-fit.
    threads
        The result does not depend on it.

    Returns
    -------
    Calibration
        ``apply(probabilities)`` applies it, ``save(path)`` and ``Calibration.load(path)`` keep
        it for ``softlab evaluate --calibration``; ``fitted`` has the NLL before and after.

    Raises
    ------
    GeometryError
        When arrays have different shapes.
    InputError
        For what is no probability, or no labelled voxel.
    UsageError
        For arrays of other types, and options without a meaning.

    Examples
    --------
    >>> import numpy as np
    >>> import softlab_cli
    >>> truth = np.array([[0, 1, 1, 1]])
    >>> prediction = np.array([[[0.1] * 4], [[0.9] * 4]])
    >>> calibration = softlab_cli.calibrate(prediction, truth)
    >>> round(calibration.temperature, 2)
    2.0
    >>> round(float(calibration.apply(prediction)[1, 0, 0]), 3)
    0.75
    """
    settings = settings_for(method, region)
    pairs = _paired(predictions, references)
    ids = [f"{place:09d}" for place in range(len(pairs))]
    patients = dict(zip(ids, ids if groups is None else groups, strict=True))
    found = [
        soft_arrays(p, r, spacing_mm, class_names, None, ignore_index, sums=sums) for p, r in pairs
    ]
    if len({len(scene.classes) for scene, _ in found}) > 1:
        raise UsageError("the predictions have different numbers of classes.")
    single = any(source.values.dtype != np.float16 for _, source in found)
    names = dict(enumerate(found[0][0].classes))
    pool = Pool(method, ClassTable.from_values(names, names), halves(patients))
    for case_id, (scene, source) in zip(ids, found, strict=True):
        counts, _, _ = count_soft(scene, source, settings, single, None, None, threads)
        pool.add(case_id, Votes(counts.within(next(iter(settings.regions), ALL))))
    fitted, others = pool.fit(pool.whole), pool.fit_others()
    if method == "temperature":
        after, crossed = pool.tempered(fitted, others)
    else:
        wanted = [[fitted, *([others[pool.half_of[c]]] if others else [])] for c in ids]
        after, crossed = _scored(found, wanted, settings)
    return pool.finish(fitted, region, patients, after, crossed)


def _scored(
    cases: Sequence[tuple[Scene, ArrayPrediction]], calibrations: Sequence[Sequence[Calibration]],
    settings: Settings,
) -> tuple[float, float | None]:  # fmt: skip
    """The NLL over all cases after the first of each one's calibrations, and after the second."""
    sums = [Likelihood()] * len(calibrations[0])
    for (scene, source), wanted in zip(cases, calibrations, strict=True):
        found = likelihood(scene, source, wanted, settings)
        sums = [a + b for a, b in zip(sums, found, strict=True)]
    return sums[0].mean, sums[1].mean if len(sums) > 1 else None


def _paired(
    predictions: Arrays, references: Arrays
) -> list[tuple[NDArray[np.floating[Any]], NDArray[Any]]]:
    one = isinstance(predictions, np.ndarray)
    given = [predictions] if one else list(predictions)
    meant = [references] if one else list(references)
    if not given or len(given) != len(meant):
        raise UsageError(
            f"{len(given)} predictions and {len(meant)} references are no pairs.",
            remedy="Give an array of each, or two lists of equal length.",
        )
    arrays = [(np.asarray(p), np.asarray(r)) for p, r in zip(given, meant, strict=True)]
    if odd := [p.dtype for p, _ in arrays if p.dtype.kind != "f"]:
        raise UsageError(f"a prediction of type {odd[0]} has no probabilities.")
    return arrays
