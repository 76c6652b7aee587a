"""Figures of a predicted label map: overlap, volumes and surfaces, by rater and class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from softlab_cli.evaluation.metrics.overlap import Overlap, confusion
from softlab_cli.evaluation.metrics.published_overlap import monai_overlap, svls_overlap
from softlab_cli.evaluation.metrics.surface import SurfaceDistances, surface_distances
from softlab_cli.evaluation.rows import Row, mean_of_classes, mean_of_raters
from softlab_cli.evaluation.scene import Scene
from softlab_cli.evaluation.settings import Settings

__all__ = ["hard_figures"]


def hard_figures(
    scene: Scene, hard: NDArray[Any], settings: Settings, threads: int = 1
) -> list[Row]:
    """Overlap, volumes and surfaces against each rater, and their means.

    Parameters
    ----------
    scene
        The references.
    hard
        (Z, Y, X) predicted class indices.
    settings
        Tolerances, and whose figures are wanted beside.
    threads
        The result does not depend on it.
    """
    rows: list[Row] = []
    for number, name in enumerate(scene.names):
        of_rater = list(_of_rater(scene, number, name, hard, settings, threads))
        rows += [*of_rater, *mean_of_classes(of_rater)]
    return rows + (list(mean_of_raters(rows)) if len(scene.names) > 1 else [])


def _of_rater(
    scene: Scene, number: int, name: str, hard: NDArray[Any], settings: Settings, threads: int
) -> Iterator[Row]:
    reference, predicted = scene.flat(scene.raters[number]), scene.flat(hard)
    classes, ignored = scene.foreground, scene.ignore_index
    pairs = confusion(
        reference, predicted, len(scene.classes), ignore_index=ignored, threads=threads
    )
    surfaces = surface_distances(
        reference, predicted, scene.space, classes,
        tolerances_mm=settings.all_tolerances_mm, ignore_index=ignored, threads=threads,
    )  # fmt: skip
    for found in surfaces:
        overlap = pairs.overlap(found.class_index)
        figures = _figures(overlap, found, scene, settings)
        for metric, value in figures.items():
            title = scene.classes[found.class_index]
            yield Row.of(name, title, metric, value, absent=overlap.is_absent)
        for metric, value in _of_others(overlap, found, number, hard, scene, settings):
            yield Row.of(name, scene.classes[found.class_index], metric, value)


def _figures(
    overlap: Overlap, surfaces: SurfaceDistances, scene: Scene, settings: Settings
) -> Mapping[str, float]:
    voxel, unit = scene.voxel_mm3, scene.unit
    near = {f"surface_dice_{t:g}mm": surfaces.surface_dice(t) for t in settings.tolerances_mm}
    return {
        "dice": overlap.dice,
        "iou": overlap.iou,
        **near,
        "hausdorff_mm": surfaces.hausdorff_mm,
        "hausdorff_95_mm": surfaces.hausdorff_95_mm,
        "assd_mm": surfaces.assd_mm,
        f"reference_volume_{unit}": overlap.reference_volume_mm3(voxel),
        f"prediction_volume_{unit}": overlap.prediction_volume_mm3(voxel),
        f"volume_difference_{unit}": overlap.volume_difference_mm3(voxel),
        "relative_volume_difference": overlap.relative_volume_difference,
    }


def _of_others(
    overlap: Overlap, surfaces: SurfaceDistances, number: int, hard: NDArray[Any], scene: Scene,
    settings: Settings,
) -> Iterator[tuple[str, float]]:  # fmt: skip
    if "svls" in settings.parity:
        for metric, value in svls_overlap(overlap, surfaces).items():
            yield f"svls:{metric}", value
    if "monai" in settings.parity:
        found = monai_overlap(
            scene.flat(scene.raters[number]) == overlap.class_index,
            scene.flat(hard) == overlap.class_index,
            scene.space,
            tolerances_mm=settings.tolerances_mm,
        )
        for metric, value in found.items():
            yield f"monai:{metric}", value
