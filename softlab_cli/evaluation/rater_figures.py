"""Figures of a prediction against several raters together, and of the raters themselves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.published_overlap import (
    curvas2024_overlap,
    curvas2025_overlap,
    qubiq_overlap,
)
from softlab_cli.evaluation.metrics.raters import (
    THRESHOLDS,
    ThresholdCounts,
    energy_distances,
    rater_agreement,
    raters_against_others,
    threshold_counts,
)
from softlab_cli.evaluation.metrics.volumes import crps_empirical, crps_gaussian
from softlab_cli.evaluation.rows import Row, mean_of_classes, mean_of_raters
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings

__all__ = ["Thresholds", "Volumes", "rater_figures"]


@dataclass
class Thresholds:
    """Thresholded DSC of each class, counted block by block.

    Parameters
    ----------
    classes
        Indices of the classes that are counted.
    raters
        How many there are.
    ignore_index
        A voxel counts where no rater has it.
    """

    classes: Sequence[int]
    raters: int
    ignore_index: int
    found: dict[int, ThresholdCounts] = field(default_factory=dict)

    def add(self, values: NDArray[Any], target: NDArray[Any]) -> None:
        """Count a block: (C, z, y, x) probabilities and (R, z, y, x) class indices."""
        counted = np.all(target != self.ignore_index, axis=0)
        for c in self.classes:
            votes = np.asarray(np.sum(target == c, axis=0), np.uint16)
            # What is above no threshold in either is in no DSC.
            if not votes.any() and values[c].max() <= THRESHOLDS[0]:
                continue
            more = threshold_counts(values[c], votes, self.raters, counted=counted)
            self.found[c] = self.found[c] + more if c in self.found else more

    def dice(self, class_index: int) -> float:
        """Mean over the thresholds; 1 where the class is nowhere."""
        found = self.found.get(class_index)
        return 1.0 if found is None else found.dice


class Volumes(Protocol):
    """Whole volumes of a soft prediction, one class at a time."""

    def volume(self, class_index: int) -> NDArray[Any]:
        """(Z, Y, X) of a class."""
        ...


def rater_figures(
    scene: Scene, hard: NDArray[Any], samples: Sequence[NDArray[Any]],
    soft_mm3: Sequence[float] | None, thresholds: Thresholds | None, soft: Volumes | None,
    settings: Settings, threads: int = 1,
) -> list[Row]:  # fmt: skip
    """What only several raters have: consensus, dissensus, GED, CRPS, and the human line.

    Parameters
    ----------
    scene
        The references; two raters at least.
    hard
        (Z, Y, X) predicted class indices.
    samples
        The same of each sample of the prediction, for GED: the members that it is the mean of,
        or itself alone. Of one sample the term of samples among themselves is 0, so that GED
        blames a prediction of one label for what the raters disagree on.
    soft_mm3
        (C,) predicted volumes, sums of probabilities; None for those of the hard prediction.
    thresholds
        Counts of a soft prediction.
    soft
        The soft prediction, for the figures of others.
    settings
        Whose figures are wanted beside.
    threads
        The result does not depend on it.
    """
    rows = list(_by_class(scene, hard, samples, soft_mm3, thresholds, threads))
    rows += mean_of_classes(rows)
    line = list(_human_line(scene, threads))
    line += mean_of_classes(line)
    rows += [*line, *mean_of_raters(line)]
    if soft is not None and soft_mm3 is not None:
        others = list(_of_others(scene, hard, soft_mm3, soft, settings))
        rows += [*others, *mean_of_classes(others)]
    return rows


def _by_class(
    scene: Scene, hard: NDArray[Any], samples: Sequence[NDArray[Any]],
    soft_mm3: Sequence[float] | None, thresholds: Thresholds | None, threads: int,
) -> Iterator[Row]:  # fmt: skip
    classes, ignored = scene.foreground, scene.ignore_index
    maps = list(scene.raters)
    agreed = rater_agreement(maps, hard, len(scene.classes), ignore_index=ignored)
    energies = energy_distances(samples, maps, classes, ignore_index=ignored, threads=threads)
    for c, energy in zip(classes, energies.tolist(), strict=True):
        volumes = _rater_volumes(scene, c)
        in_mm3 = (float(np.count_nonzero(hard == c)) * scene.voxel_mm3 if soft_mm3 is None
                  else soft_mm3[c])  # fmt: skip
        figures = {
            "consensus_dice": agreed.consensus_dice(c),
            "dissensus_dice": agreed.dissensus_dice(c),
            "ged": energy,
            f"crps_empirical_{scene.unit}": crps_empirical(volumes, in_mm3),
            f"crps_gaussian_{scene.unit}": crps_gaussian(volumes, in_mm3),
        }
        if thresholds is not None:
            figures["thresholded_dice"] = thresholds.dice(c)
        absent = not any(volumes) and not (hard == c).any()
        for metric, value in figures.items():
            yield Row.of(scene.pooled, scene.classes[c], metric, value, absent=absent)


def _rater_volumes(scene: Scene, class_index: int) -> list[float]:
    return [float(np.count_nonzero(r == class_index)) * scene.voxel_mm3 for r in scene.raters]


def _human_line(scene: Scene, threads: int) -> Iterator[Row]:
    classes = scene.foreground
    line = raters_against_others(
        list(scene.raters), classes, ignore_index=scene.ignore_index, threads=threads
    )
    for name, of_rater in zip(scene.names, line.tolist(), strict=True):
        for c, value in zip(classes, of_rater, strict=True):
            # nan: neither it nor any other has the class.
            absent = bool(np.isnan(value))
            yield Row.of(name, scene.classes[c], "rater_dice_against_others", value, absent=absent)


def _of_others(
    scene: Scene, hard: NDArray[Any], soft_mm3: Sequence[float], soft: Volumes, settings: Settings
) -> Iterator[Row]:
    for c in scene.foreground:
        said = [rater == c for rater in scene.raters]
        volumes = _rater_volumes(scene, c)
        found: dict[str, float] = {}
        if "curvas2024" in settings.parity:
            figures = curvas2024_overlap(said, hard == c, volumes, soft_mm3[c])
            found |= {f"curvas2024:{name}": value for name, value in figures.items()}
        if "curvas2025" in settings.parity:
            figures = curvas2025_overlap(said, soft.volume(c), volumes, soft_mm3[c])
            found |= {f"curvas2025:{name}": value for name, value in figures.items()}
        if "qubiq" in settings.parity:
            figures = qubiq_overlap(said, soft.volume(c))
            found |= {f"qubiq:{name}": value for name, value in figures.items()}
        for metric, value in found.items():
            yield Row.of(scene.pooled, scene.classes[c], metric, value)
