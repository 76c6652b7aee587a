"""Soft labels of some raters of a case, by any method, on the part of the case that counts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.labels.case import RaterLabels
from softlab_cli.methods.base import LocalMethod, Method
from softlab_cli.methods.prepared import Prepared, PreparedBlocks
from softlab_cli.methods.raters.base import RaterMethod
from softlab_cli.methods.softener import Softener
from softlab_cli.store.statistics import LabelCounts
from softlab_cli.tuning.scene import Place, Scene
from softlab_cli.tuning.sinks import PlacedSink
from softlab_cli.tuning.subset import RaterSubset, Surroundings

__all__ = ["Softened", "halo_of", "threads_for", "where"]

NOT_COUNTED = LabelCounts(np.zeros(0, np.int64))
"""What hard labels hold, which nobody asks here."""

LOCAL = (LocalMethod, RaterMethod)
"""Methods that see no further than their halo, once raters are fused."""


def threads_for(sink: PlacedSink, around: Surroundings) -> int:
    """No more than there are blocks: to start a thread takes longer than a small case."""
    return min(around.threads, prod(sink.grid.blocks))


def halo_of(methods: Iterable[Method], drawn: RaterLabels) -> Shape:
    """Neighbours that any local method needs."""
    halos = [m.halo(drawn.geometry.spacing_mm) for m in methods if isinstance(m, LOCAL)]
    z, y, x = (max((halo[axis] for halo in halos), default=0) for axis in range(3))
    return z, y, x


def where(scene: Scene, method: Method) -> tuple[Grid, Mapping[Shape, Place]]:
    """The blocks that a method makes, and which of their voxels count."""
    if isinstance(method, LOCAL):
        return scene.local_grid, scene.local_places
    return scene.whole_grid, scene.whole_places


@dataclass(frozen=True)
class Softened:
    """Some raters of a case; what methods have in common is made once for all of them."""

    scene: Scene
    raters: tuple[int, ...]
    around: Surroundings

    @cached_property
    def _label_map(self) -> NDArray[Any]:
        return self.scene.label_map(self.raters[0])

    @cached_property
    def _patterns(self) -> RaterPatterns:
        return self.scene.patterns_of(self.raters)

    @contextmanager
    def prepared(self, method: Method) -> Iterator[Prepared]:
        """A method's soft labels of these raters, ready to be written."""
        scene = self.scene
        if isinstance(method, LocalMethod):
            yield self._blocks(self._label_map, method)
        elif isinstance(method, RaterMethod):
            names = [scene.drawn.names[r] for r in self.raters]
            labels = method.fuse(self._patterns, names, scene.classes.background_index)
            yield self._blocks(labels.fused.indices, labels, labels.warnings)
        else:
            blocks = scene.whole_grid
            case = RaterSubset(scene.drawn, self.raters, scene.classes, blocks, self.around)
            with method.prepare(case) as ready:
                yield ready

    def _blocks(
        self, indices: NDArray[Any], softener: Softener, warnings: tuple[str, ...] = ()
    ) -> PreparedBlocks:
        geometry = self.scene.geometry(self.scene.crop)
        return PreparedBlocks(
            geometry, indices, NOT_COUNTED, softener, indices, self.scene.classes, warnings
        )
