"""The settings side by side: what each does to one slice of one case."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import SoftlabError
from softlab_cli.labels.case import read_rater_labels
from softlab_cli.tuning.case import TuneTask, around_of
from softlab_cli.tuning.plan import TunePlan
from softlab_cli.tuning.scene import Scene
from softlab_cli.tuning.sinks import SliceSink
from softlab_cli.tuning.softening import Softened, halo_of, threads_for, where

__all__ = ["SideBySide", "side_by_side"]

MARGIN = 8
"""Voxels that are shown around the foreground."""


@dataclass(frozen=True)
class SideBySide:
    """One slice, and what settings do to it.

    Parameters
    ----------
    case_id
        The case.
    z
        The slice, that with most foreground.
    labels
        (Y, X) class indices around the foreground.
    moved
        Name of each setting to (Y, X), the share of a voxel's soft label that is not its own
        class's.
    pixel_mm
        Distance of rows and of columns.
    """

    case_id: str
    z: int
    labels: NDArray[Any]
    moved: Mapping[str, NDArray[np.float32]]
    pixel_mm: tuple[float, float]


def side_by_side(plan: TunePlan) -> SideBySide | None:
    """The first case with any foreground, of its first rater; None where there is none."""
    for task in plan.every:
        try:
            found = _shown(task)
        except SoftlabError:  # it has failed, and this was said
            continue
        if found is not None:
            return found
    return None


def _shown(task: TuneTask) -> SideBySide | None:
    around = around_of(task)
    model = next(iter(task.request.model.values()), None)
    methods = {s.name: s.make(model) for s in task.request.settings if s.of == "one"}
    drawn = read_rater_labels(task.case, task.classes, task.reading)
    scene = Scene(drawn, task.classes, None, halo_of(methods.values(), drawn))
    labels = scene.label_map(0)
    inside = (labels != task.classes.ignore_index) & (labels != task.classes.background_index)
    if not inside.any():
        return None
    z = int(inside.sum(axis=(1, 2)).argmax())
    rows, columns = (_around(inside[z].any(axis=1 - axis)) for axis in (0, 1))
    softened, moved = Softened(scene, (0,), around), {}
    for name, method in methods.items():
        sink = SliceSink(*where(scene, method), len(task.classes), z)
        with softened.prepared(method) as ready:
            ready.write(sink, soft=True, threads=threads_for(sink, around))
        moved[name] = sink.moved()[rows, columns]
    _, *pixel_mm = drawn.geometry.spacing_mm
    cut = labels[z, rows, columns]
    return SideBySide(task.case_id, z, cut, moved, (pixel_mm[0], pixel_mm[1]))


def _around(there: NDArray[np.bool_]) -> slice:
    places = np.flatnonzero(there)
    return slice(max(0, int(places[0]) - MARGIN), int(places[-1]) + 1 + MARGIN)
