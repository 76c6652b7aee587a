"""Overlap, surfaces and volumes as others reckon them, for comparison, with their faults named.

Each function gives the figures of one class of one case under our names for them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.distances import PointSet, nearest_distances
from softlab_cli.evaluation.metrics.grids import check_spacing, on_one_grid
from softlab_cli.evaluation.metrics.overlap import Overlap
from softlab_cli.evaluation.metrics.raters import THRESHOLDS, threshold_counts
from softlab_cli.evaluation.metrics.surface import SurfaceDistances
from softlab_cli.evaluation.metrics.volumes import crps_saturating

__all__ = [
    "QUBIQ_THRESHOLDS",
    "curvas2024_overlap",
    "curvas2025_overlap",
    "monai_overlap",
    "qubiq_overlap",
    "svls_overlap",
]

QUBIQ_THRESHOLDS = tuple(i / 10 for i in range(1, 10))

SMOOTH = 1e-6
"""What CURVAS-PDACVI adds below its DSC."""


def svls_overlap(overlap: Overlap, surfaces: SurfaceDistances) -> Mapping[str, float]:
    """DSC, and surface DSC at 2 mm as the SVLS papers probably have it.

    Known fault: the surface DSC is one-sided, the share of the predicted surface within 2 mm
    of the reference. Which surface and which code it was the papers do not say.

    Parameters
    ----------
    overlap
        The class's voxels.
    surfaces
        The class's surfaces, with a tolerance of 2 mm among theirs.
    """
    return {"dice": overlap.dice, "surface_dice_2mm": surfaces.one_sided_surface_dice(2.0)}


def monai_overlap(
    reference: NDArray[np.bool_],
    prediction: NDArray[np.bool_],
    spacing_mm: Sequence[float],
    *,
    tolerances_mm: Sequence[float] = (2.0,),
) -> Mapping[str, float]:
    """MONAI's DSC, IoU, HD, HD95, ASSD and surface DSC, with its defaults (1.6.1).

    A surface is the voxels of the object with a face neighbour outside of it, each of which
    counts as one.

    Known faults:

    - voxels are counted, whatever area of the surface they stand for: at (3, .7, .7) mm and 2 mm
      its surface DSC is .951 where the area gives .928, and the order of two predictions may
      change with the tolerance (``use_subvoxels`` mends it, for surface DSC only);
    - the distance is that between centres of voxels on the inside of each surface, so that
      of two objects that touch it is a voxel, and that of one voxel to another is not that
      of their surfaces;
    - a percentile is interpolated between two distances;
    - where one or both are empty: surface DSC 0 or nan, distances infinite or nan, and nan is left
      out of means in silence.

    Parameters
    ----------
    reference, prediction
        (Z, Y, X) whether a voxel has the class; a picture without Z.
    spacing_mm
        Of the voxels, one for each axis.
    tolerances_mm
        For surface DSC.
    """
    first, second = (a.view(np.bool_) for a in on_one_grid(reference, prediction, ()))
    check_spacing(spacing_mm, first.ndim)
    counts = Overlap(1, int(first.sum()), int(second.sum()), int((first & second).sum()))
    one, two = _edge_voxels(first), _edge_voxels(second)
    there, back = nearest_distances(one, two, spacing_mm), nearest_distances(two, one, spacing_mm)
    both = np.concatenate([there, back])
    found = {"dice": counts.dice, "iou": counts.iou}
    for tolerance in tolerances_mm:
        near = float((both <= tolerance).mean()) if len(both) else math.nan
        found[f"surface_dice_{tolerance:g}mm"] = near
    missing = math.nan if not len(both) else math.inf
    if not (len(one) and len(two)):
        return found | {"hausdorff_mm": missing, "hausdorff_95_mm": math.nan, "assd_mm": missing}
    percentile = max(float(np.percentile(d, 95)) for d in (there, back))
    return found | {
        "hausdorff_mm": float(both.max()),
        "hausdorff_95_mm": percentile,
        "assd_mm": float(both.mean()),
    }


def _edge_voxels(mask: NDArray[np.bool_]) -> PointSet:
    """The voxels with a face neighbour outside; what lies outside of the volume is outside."""
    padded = np.pad(mask, 1)
    inner = mask.copy()
    middle = (slice(1, -1),) * mask.ndim
    for axis in range(mask.ndim):
        for step in (-1, 1):
            inner &= np.roll(padded, step, axis)[middle]
    volume = (mask & ~inner).reshape((1, *mask.shape)[-3:])
    z, y, x = np.nonzero(volume)
    rows = (z * volume.shape[1] + y).astype(np.int32)
    return PointSet(rows, x.astype(np.int32), volume.shape[1])


def curvas2024_overlap(
    raters: Sequence[NDArray[np.bool_]],
    prediction: NDArray[np.bool_],
    volumes_mm3: Sequence[float],
    predicted_mm3: float,
) -> Mapping[str, float]:
    """Consensus DSC and CRPS of the code that judged CURVAS 2024.

    Known faults:

    - the consensus DSC hands a volume (Z, Y, X) to a metric that takes it for Z cases of Y classes:
      it is the mean over slices of the mean over rows of the DSC of a row, without the
      first row, and rows without reference are left out, whatever is predicted there;
    - its CRPS: see `softlab_cli.evaluation.metrics.volumes.crps_saturating`.

    Parameters
    ----------
    raters, prediction
        Each (Z, Y, X), whether a voxel has the class.
    volumes_mm3, predicted_mm3
        Of the raters and of the soft prediction.
    """
    stack = np.stack([np.asarray(rater, np.bool_) for rater in raters])
    said: NDArray[np.bool_] = np.logical_and.reduce(stack)
    disputed = np.logical_or.reduce(stack) & ~said
    predicted = np.asarray(prediction, np.bool_) & ~disputed
    reference = said[:, 1:].sum(axis=-1)
    total = reference + predicted[:, 1:].sum(axis=-1)
    common = (said & predicted)[:, 1:].sum(axis=-1)
    of_row = np.where(reference > 0, 2 * common / np.maximum(total, 1), np.nan)
    of_slice = [row[np.isfinite(row)].mean() for row in of_row if np.isfinite(row).any()]
    return {
        "consensus_dice": float(np.mean(of_slice)) if of_slice else 0.0,
        "crps_mm3": crps_saturating(volumes_mm3, predicted_mm3),
    }


def curvas2025_overlap(
    raters: Sequence[NDArray[np.bool_]],
    prediction: NDArray[Any],
    volumes_mm3: Sequence[float],
    predicted_mm3: float,
) -> Mapping[str, float]:
    """Thresholded DSC and CRPS of the code that judged CURVAS-PDACVI 2025.

    Known faults: 1e-6 is added to the sum of voxels, so that a perfect prediction has a little
    less than 1, and a single voxel .9999995; the CRPS saturates as in 2024.

    Parameters
    ----------
    raters
        Each (Z, Y, X), whether a voxel has the class.
    prediction
        (Z, Y, X) soft labels of the class.
    volumes_mm3, predicted_mm3
        Of the raters and of the prediction.
    """
    levels = _levels(raters, prediction, THRESHOLDS)
    every = []
    for place in range(len(THRESHOLDS)):
        above = slice(place + 1, None)
        total = int(levels[above].sum()) + int(levels[:, above].sum())
        common = int(levels[above, above].sum())
        every.append(2 * common / (total + SMOOTH) if total else 1.0)
    return {
        "thresholded_dice": math.fsum(every) / len(every),
        "crps_mm3": crps_saturating(volumes_mm3, predicted_mm3),
    }


def qubiq_overlap(
    raters: Sequence[NDArray[np.bool_]], prediction: NDArray[Any]
) -> Mapping[str, float]:
    """Thresholded DSC as QUBIQ 2020 and 2021 describe it: .1, .2 to .9, prediction and mean alike.

    Known fault: with few raters most thresholds ask the same of the raters' mean (with three
    there are three masks), and of the prediction something else, so that a calibrated
    prediction between two shares is not the best. Parameters as `curvas2025_overlap`.
    """
    levels = threshold_counts(prediction, _votes(raters), len(raters), thresholds=QUBIQ_THRESHOLDS)
    return {"thresholded_dice": levels.dice}


def _levels(
    raters: Sequence[NDArray[np.bool_]], prediction: NDArray[Any], thresholds: Sequence[float]
) -> NDArray[np.int64]:
    votes = _votes(raters)
    return threshold_counts(prediction, votes, len(raters), thresholds=thresholds).levels


def _votes(raters: Sequence[NDArray[np.bool_]]) -> NDArray[np.uint16]:
    votes = np.zeros(raters[0].shape, np.uint16)
    for rater in raters:
        votes += np.asarray(rater, np.bool_)
    return votes
