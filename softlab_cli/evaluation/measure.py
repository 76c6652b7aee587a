"""One case: its prediction, block by block, and its references to figures and counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region
from softlab_cli.core.errors import GeometryError, InputError
from softlab_cli.evaluation.hard_figures import hard_figures
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.gathering import Gatherer
from softlab_cli.evaluation.metrics.soundness import SUM_TOLERANCE, most_probable
from softlab_cli.evaluation.metrics.tallies import ALL, Counts
from softlab_cli.evaluation.rater_figures import Thresholds, rater_figures
from softlab_cli.evaluation.rows import Row
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings
from softlab_cli.evaluation.soft_figures import soft_figures

__all__ = [
    "Evaluation",
    "Shares",
    "SoftPrediction",
    "count_soft",
    "hard_label",
    "measure_hard",
    "measure_soft",
]


class Shares(Protocol):
    """Soft labels that are read block by block."""

    def read(self, region: Region) -> NDArray[Any]:
        """(C, z, y, x) shares of float16 or float32; all 0 where a voxel is not labelled."""
        ...


class SoftPrediction(Protocol):
    """A prediction that is read block by block."""

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        ...

    @property
    def ndim(self) -> int:
        """2 for a picture."""
        ...

    @property
    def members(self) -> Sequence[Shares]:
        """What it is the mean of, where it is one of several: samples of what it may be."""
        ...

    def read(self, region: Region) -> NDArray[Any]:
        """(C, z, y, x) probabilities, float16 or float32."""
        ...

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None:
        """(z, y, x), where the prediction says nothing; None where it says something everywhere."""
        ...

    def volume(self, class_index: int) -> NDArray[Any]:
        """(Z, Y, X) of one class."""
        ...


@dataclass(frozen=True)
class Evaluation:
    """What was found of one case.

    Parameters
    ----------
    rows
        All figures.
    raters
        Whom the prediction was judged by.
    counts
        What calibration figures follow from, which adds up over cases; None of a label map.
    warnings
        What is odd.
    """

    rows: tuple[Row, ...]
    raters: tuple[str, ...]
    counts: Counts | None = field(default=None, repr=False)
    warnings: tuple[str, ...] = ()

    def figure(
        self, metric: str, class_name: str = ALL, region: str = ALL, rater: str | None = None
    ) -> float:
        """One figure; by default that of all raters together.

        Raises
        ------
        KeyError
            When there is none.
        """
        for row in self.rows:
            fits = row[1:4] == (class_name, region, metric)
            if fits and (is_headline(row, self.raters) if rater is None else row.rater == rater):
                return row.value
        raise KeyError((metric, class_name, region, rater))


def is_headline(row: Row, raters: tuple[str, ...]) -> bool:
    """Whether a row is of all raters together: of the only one, their mean, or pooled."""
    return row.rater == raters[0] if len(raters) == 1 else row.rater not in raters


def measure_hard(
    scene: Scene, hard: NDArray[Any], settings: Settings, threads: int = 1
) -> Evaluation:
    """A predicted label map: overlap and surfaces, and what it is to several raters.

    Parameters
    ----------
    scene
        The references.
    hard
        (Z, Y, X) class indices.
    settings, threads
        What is measured; the result does not depend on threads.
    """
    rows = hard_figures(scene, hard, settings, threads)
    if len(scene.names) > 1:
        rows += rater_figures(scene, hard, [hard], None, None, None, settings, threads)
    return Evaluation(tuple(rows), scene.names)


def measure_soft(
    scene: Scene, soft: SoftPrediction, settings: Settings, *, single: bool,
    shares: Shares | None = None, refuse_sums: bool = False, threads: int = 1,
) -> Evaluation:  # fmt: skip
    """Predicted probabilities: calibration, and what `measure_hard` says of the most probable.

    Parameters
    ----------
    scene
        The references. Where the prediction says nothing, they become not labelled.
    soft
        The prediction; never held whole.
    settings
        What is measured.
    single
        Whether probabilities are counted as float32; else they are float16.
    shares
        Soft labels that probabilities are judged by, in place of the one rater of the scene,
        whose label overlap and surfaces are judged by.
    refuse_sums
        Whether sums over classes that are not 1 are refused, and not only told.
    threads
        The result does not depend on it.

    Raises
    ------
    GeometryError
        When the prediction has another shape than the references.
    InputError
        For what is no probability, with the number of voxels.
    """
    if soft.shape != scene.raters.shape[1:]:
        raise GeometryError(
            f"the prediction of shape {soft.shape} and the reference of shape "
            f"{scene.raters.shape[1:]} are not on one grid."
        )
    several = len(scene.names) > 1
    thresholds = None
    if several:
        thresholds = Thresholds(scene.foreground, len(scene.names), scene.ignore_index)
    counts, hard, silent = count_soft(scene, soft, settings, single, shares, thresholds, threads)
    if refuse_sums and counts.faults.wrong_sum:
        raise InputError(
            f"the prediction has {counts.faults}.",
            remedy="Divide by the sum with --sums normalise.",
        )
    rows = hard_figures(scene, hard, settings, threads)
    if several:
        # Each vote has the probability, so that this is the mean over raters.
        mass = [float(m / len(scene.names)) for m in counts.within().mass]
        in_mm3 = [m * scene.voxel_mm3 for m in mass]
        samples = _samples(scene, soft) if len(soft.members) > 1 else [hard]
        rows += rater_figures(scene, hard, samples, in_mm3, thresholds, soft, settings, threads)
    rows += soft_figures(
        counts, scene.classes, scene.background, scene.names, scene.pooled, settings
    )
    return Evaluation(tuple(rows), scene.names, counts, tuple(_warnings(counts, silent)))


def _samples(scene: Scene, soft: SoftPrediction) -> list[NDArray[Any]]:
    """(Z, Y, X) the hard label of each member."""
    dtype, ignored = scene.raters.dtype, scene.ignore_index
    return [hard_label(member, soft.shape, dtype, ignored) for member in soft.members]


def _warnings(counts: Counts, silent: int) -> Iterator[str]:
    if silent:
        yield f"the prediction says nothing of {silent:,} voxels; they are left out."
    if counts.faults.wrong_sum:
        yield f"the prediction has {counts.faults}."


def count_soft(
    scene: Scene, soft: SoftPrediction, settings: Settings, single: bool, shares: Shares | None,
    thresholds: Thresholds | None, threads: int,
) -> tuple[Counts, NDArray[Any], int]:  # fmt: skip
    """Counts, (Z, Y, X) most probable classes, and how many voxels the prediction leaves out."""
    regions, codes = scene.codes(settings)
    gatherer = Gatherer(
        len(scene.classes), raters=len(scene.names), soft=shares is not None, regions=regions,
        cells=Cells.ranges(settings.bin_counts) if single else Cells.half(),
        temperatures=settings.temperatures, ordered=settings.ordered,
        ignore_index=scene.ignore_index, threads=threads,
    )  # fmt: skip
    hard = np.empty(soft.shape, scene.raters.dtype)
    silent = 0
    for region in Grid.for_volume(soft.shape, soft.ndim).regions():
        values = soft.read(region)
        target = np.ascontiguousarray(scene.raters[(slice(None), *region)])
        nothing = soft.unlabelled(region)
        if nothing is not None and nothing.any():
            silent += int(np.count_nonzero(nothing))
            target = np.where(nothing, np.array(scene.ignore_index, target.dtype), target)
            scene.raters[(slice(None), *region)] = target  # overlap and surfaces leave them out too
            values[:, nothing] = 0
            values[0, nothing] = 1  # any class does: nobody has a vote there
        voted = target if shares is None else _shares(shares, region, nothing)
        hard[region] = gatherer.add(values, voted, codes[region])
        if thresholds is not None:
            thresholds.add(values, target)
    return gatherer.counts(), hard, silent


def _shares(
    shares: Shares, region: Region, nothing: NDArray[np.bool_] | None
) -> NDArray[np.floating[Any]]:
    """(C, z, y, x) shares of a block; 0 where the prediction says nothing."""
    found = shares.read(region)
    total = found.sum(axis=0, dtype=np.float32)
    wrong = int(np.count_nonzero((np.abs(total - 1) > SUM_TOLERANCE) & (total != 0)))
    if wrong:
        raise InputError(
            f"the reference has soft labels that do not sum to 1, at {wrong:,} voxels of a block "
            "at least.",
            remedy="Divide by the sum with --sums normalise.",
        )
    if nothing is not None:
        found[:, nothing] = 0
    return found


def hard_label(
    soft: Shares, shape: tuple[int, int, int], dtype: Any, ignore_index: int
) -> NDArray[Any]:
    """(Z, Y, X) the most probable class, the first of several.

    Parameters
    ----------
    soft
        The soft labels.
    shape
        (Z, Y, X).
    dtype
        Of class indices.
    ignore_index
        The mark of voxels whose classes are all 0.
    """
    found = np.empty(shape, dtype)
    for region in Grid.for_volume(shape).regions():
        top, highest = most_probable(soft.read(region))
        found[region] = np.where(highest > 0, top, ignore_index)
    return found
