"""Label marginals of a store: how much of each class its cases have, and class weights."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, overlap, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.store.reader import Case, Store
from softlab_cli.store.statistics import CaseStatistics

__all__ = ["LabelMarginals", "class_weights", "label_marginals", "stored_marginals"]

Over = Literal["all", "valid", "box"]
Of = Literal["hard", "soft"]
Method = Literal["inverse", "inverse-sqrt", "median", "effective"]

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class LabelMarginals:
    """How much of each of C classes each of N cases has.

    Parameters
    ----------
    classes
        The class table.
    case_ids
        The N cases.
    amounts
        (N, C) float64 voxels of each class, or their soft mass, in voxels.
    voxels
        (N,) float64 voxels that the amounts are a share of; 0 for a case that has no
        foreground box, where that is meant.
    voxel_mm3
        (N,) float64 volume of a voxel.
    """

    classes: ClassTable
    case_ids: tuple[str, ...]
    amounts: Floats
    voxels: Floats
    voxel_mm3: Floats

    @property
    def proportions(self) -> Floats:
        """(N, C), shares of the classes in each case; 0 in a case without voxels."""
        shares: Floats = self.amounts / np.maximum(self.voxels, 1)[:, None]
        return shares

    @property
    def pooled(self) -> Floats:
        """(C,), shares of the classes in all cases together."""
        shares: Floats = self.amounts.sum(axis=0) / max(float(self.voxels.sum()), 1.0)
        return shares

    @property
    def mm3(self) -> Floats:
        """(N, C), the amounts as volumes."""
        volumes: Floats = self.amounts * self.voxel_mm3[:, None]
        return volumes


def label_marginals(
    store: Store,
    over: Over = "valid",
    source: Of = "hard",
    *,
    case_ids: Sequence[str] | None = None,
) -> LabelMarginals:
    """Label marginals of the cases of a store.

    They come from the statistics that each case keeps. Soft masses that a store does
    not keep (of hard labels only, imported, or made by an earlier version) are summed
    over the voxels, which takes as long as reading the cases.

    Parameters
    ----------
    store
        From `softlab_cli.open_store`.
    over
        What the proportions are shares of: ``all`` voxels; the ``valid`` ones, which
        are labelled; the valid ones inside the foreground ``box``.
    source
        Voxels of the ``hard`` label or mass of the ``soft`` one. Uniform label
        smoothing inflates rare classes: with four classes and smoothing 0.1 a hard
        share of 0.001 is a soft one of 0.0259.
    case_ids
        The cases; None for all.

    Raises
    ------
    UsageError
        For other words, or no cases.
    StoreError
        For cases that are not there, or keep no statistics.

    Examples
    --------
    ::

        store = softlab_cli.open_store("soft.zarr")
        marginals = label_marginals(store)
        weights = class_weights(marginals, "inverse-sqrt")
        loss = SoftCrossEntropy(class_weights=weights)
    """
    return _gather(store, over, source, case_ids, compute=True)


def stored_marginals(
    store: Store, over: Over, source: Of, *, case_ids: Sequence[str] | None = None
) -> LabelMarginals | None:
    """As `label_marginals`, but None where the statistics of some case lack them."""
    try:
        return _gather(store, over, source, case_ids, compute=False)
    except _NotStoredError:
        return None


class _NotStoredError(Exception):
    """The statistics lack what was asked for."""


def _gather(
    store: Store, over: Over, source: Of, case_ids: Sequence[str] | None, *, compute: bool
) -> LabelMarginals:
    for name, value, known in (("over", over, get_args(Over)), ("source", source, get_args(Of))):
        if value not in known:
            listed = ", ".join(known)
            raise UsageError(f"{name}={value!r} has no meaning.", remedy=f"There are: {listed}.")
    names = tuple(store if case_ids is None else case_ids)
    if not names:
        raise UsageError("there is no case to take label marginals of.")
    rows = [_row(store[name], over, source, compute) for name in names]
    return LabelMarginals(
        store.classes,
        names,
        np.array([amounts for amounts, _, _ in rows], np.float64),
        np.array([voxels for _, voxels, _ in rows], np.float64),
        np.array([volume for _, _, volume in rows], np.float64),
    )


def _row(
    case: Case, over: Over, source: Of, compute: bool
) -> tuple[Floats | Sequence[float], float, float]:
    """Amounts, the voxels that they are a share of, and the volume of a voxel."""
    kept = case.statistics
    if kept is None:
        raise StoreError("keeps no statistics.", remedy="Compute the case again.", path=case.path)
    if over == "box":
        return _in_box(case, kept, source, compute)
    voxels = kept.voxels - (kept.ignored_voxels if over == "valid" else 0)
    if source == "hard":
        return kept.hard_voxels, voxels, kept.voxel_mm3
    if kept.soft_mass is not None:
        return kept.soft_mass, voxels, kept.voxel_mm3
    return _sum_of_voxels(case, None, compute), voxels, kept.voxel_mm3


def _in_box(
    case: Case, kept: CaseStatistics, source: Of, compute: bool
) -> tuple[Floats, float, float]:
    if kept.foreground_box is None or kept.hard_proportion_box is None:
        return np.zeros(len(case.classes)), 0, kept.voxel_mm3
    shares = np.array(kept.hard_proportion_box)
    # All foreground is inside, so any of its classes tells how many voxels are.
    foreground = np.array(kept.hard_voxels, np.float64)
    if case.classes.background_index is not None:
        foreground[case.classes.background_index] = 0
    largest = int(foreground.argmax())
    voxels = float(np.rint(foreground[largest] / shares[largest]))
    if source == "hard":
        return np.rint(shares * voxels), voxels, kept.voxel_mm3
    if kept.soft_proportion_box is not None:
        return np.array(kept.soft_proportion_box) * voxels, voxels, kept.voxel_mm3
    z, y, x = (slice(start, stop) for start, stop in kept.foreground_box)
    return _sum_of_voxels(case, (z, y, x), compute), voxels, kept.voxel_mm3


def _sum_of_voxels(case: Case, box: Region | None, compute: bool) -> Floats:
    """(C,) soft mass in a box, or in the whole case, block by block."""
    if not compute:
        raise _NotStoredError
    mass = np.zeros(len(case.classes))
    for region in Grid.for_volume(case.geometry.shape, case.geometry.ndim).regions():
        inside = region if box is None else overlap(region, box)
        if min(region_shape(inside)) > 0:
            soft = case.read(inside[3 - case.geometry.ndim :])
            mass += soft.reshape(len(mass), -1).sum(axis=1, dtype=np.float64)
    return mass


def class_weights(
    marginals: LabelMarginals, method: Method = "inverse-sqrt", *, beta: float = 0.999999
) -> Floats:
    """Class weights for a cross-entropy, from how much there is of each class.

    With n_c the amount of class c in all cases and f_c its share there:

    ``inverse``: 1 / f_c
    ``inverse-sqrt``: 1 / sqrt(f_c)
    ``median``: median of all g / g_c, with g_c the share of c in the cases that have
    it (Eigen and Fergus, Predicting Depth, Surface Normals and Semantic Labels with a
    Common Multi-Scale Convolutional Architecture, ICCV 2015)
    ``effective``: (1 - beta) / (1 - beta^n_c) (Cui et al., Class-Balanced Loss Based
    on Effective Number of Samples, CVPR 2019, equation 2); beta = 0 weighs all classes
    alike, beta towards 1 as ``inverse`` does

    Then all are scaled so that their mean over the classes that occur is 1. A class
    that never occurs has weight 0: nothing can be learned of it.

    Parameters
    ----------
    marginals
        From `label_marginals`; of hard labels, unless rare classes shall count as
        much more as smoothing makes of them.
    method
        One of the above.
    beta
        For ``effective``, from 0 to below 1. Voxels are many: 1 - 1 / (voxels of a
        small structure) is a good order of magnitude.

    Returns
    -------
    weights
        (C,) float64.

    Raises
    ------
    UsageError
        For another method or beta, or when no class occurs at all.
    """
    amounts = marginals.amounts.sum(axis=0)
    seen = amounts > 0
    if not seen.any():
        raise UsageError("no class occurs in any case, so none has a weight.")
    having = (marginals.voxels[:, None] * (marginals.amounts > 0)).sum(axis=0)
    raw = _raw_weights(amounts[seen], having[seen], method, beta)
    weights = np.zeros(len(seen))
    weights[seen] = raw / raw.mean()
    return weights


def _raw_weights(amounts: Floats, having: Floats, method: Method, beta: float) -> Floats:
    """Weights before scaling, of classes that occur.

    Parameters
    ----------
    amounts
        How much there is of each class.
    having
        Voxels of the cases that have it.
    method, beta
        As for `class_weights`.
    """
    if method == "inverse":
        return np.asarray(1 / amounts)
    if method == "inverse-sqrt":
        return np.asarray(1 / np.sqrt(amounts))
    if method == "median":
        return np.asarray(having / amounts)
    if method == "effective":
        if not 0 <= beta < 1:
            raise UsageError(f"beta={beta} has no meaning.", remedy="Give 0 or more, below 1.")
        power = amounts * np.log(beta) if beta else np.full_like(amounts, -np.inf)
        return np.asarray(-1 / np.expm1(power))
    listed = ", ".join(get_args(Method))
    raise UsageError(f"no method {method!r} of weighing.", remedy=f"There are: {listed}.")
