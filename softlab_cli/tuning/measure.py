"""One case: each setting's soft labels of some raters, against the raters left out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import ENTROPY_UNIT
from softlab_cli.evaluation.metrics.regions import Reach
from softlab_cli.fusion.patterns import RaterPatterns
from softlab_cli.labels.case import RaterLabels
from softlab_cli.methods.base import LocalMethod, Method
from softlab_cli.methods.prepared import Prepared, PreparedBlocks
from softlab_cli.methods.raters.base import RaterMethod
from softlab_cli.methods.softener import Softener
from softlab_cli.store.statistics import LabelCounts
from softlab_cli.tuning.grid import Setting
from softlab_cli.tuning.scene import Place, Scene
from softlab_cli.tuning.sinks import MovedSink, VoteSink
from softlab_cli.tuning.subset import RaterSubset, Surroundings
from softlab_cli.tuning.votes import STEP, Votes, score_tables

__all__ = ["Judged", "Moved", "measure_moved", "measure_votes"]

NOT_COUNTED = LabelCounts(np.zeros(0, np.int64))
"""What hard labels hold, which nobody asks here."""

LOCAL = (LocalMethod, RaterMethod)
"""Methods that see no further than their halo, once raters are fused."""


@dataclass(frozen=True)
class Moved:
    """What a setting does to the label map of one rater, all voxels that are labelled.

    Parameters
    ----------
    voxels
        How many there are, `foreground` of them of a class other than background.
    mass
        What was taken from the voxels' own classes, in voxels.
    touched
        Voxels of which anything was taken.
    entropy
        Sum of the voxels' entropies, in nats.
    argmax_changes, ties
        Voxels whose most probable class is another than their label, or shared by two.
    """

    voxels: int
    foreground: int
    mass: float
    touched: int
    entropy: float
    argmax_changes: int
    ties: int


@dataclass(frozen=True)
class Judged:
    """What was found in a case.

    Parameters
    ----------
    votes
        Of each setting.
    voxels
        How many voxels count.
    warnings
        What was found odd.
    """

    votes: Mapping[Setting, Votes]
    voxels: int
    warnings: tuple[str, ...] = ()


def measure_votes(
    drawn: RaterLabels, classes: ClassTable, settings: Sequence[Setting], around: Surroundings, *,
    reach: Reach | None, bins: int, clip: float,
) -> Judged:  # fmt: skip
    """How well the soft labels of each setting predict the raters that have no part in them.

    Parameters
    ----------
    drawn
        The raters' labels; two raters or more.
    classes
        The class table.
    settings
        What is tried.
    around
        The image, threads, memory.
    reach
        How far from any rater's foreground voxels count; None for all.
    bins, clip
        As for `softlab_cli.tuning.votes.score_tables`.
    """
    methods = {setting: setting.make() for setting in settings}
    scene = Scene(drawn, classes, reach, _halo(methods.values(), drawn))
    raters = range(drawn.patterns.rater_count)
    tables = score_tables(bins, clip)
    one = {s: m for s, m in methods.items() if s.of == "one"}
    others = {s: m for s, m in methods.items() if s.of == "others"}
    sinks: dict[Setting, VoteSink] = {}
    for setting, method in methods.items():
        sinks[setting] = VoteSink(*_where(scene, method), len(classes), tables)
    warnings: dict[str, None] = {}
    for rater in raters if scene.voxels else ():
        rest = tuple(r for r in raters if r != rater)
        for given, tested, tried in (((rater,), rest, one), (rest, (rater,), others)):
            subset = _Subset(scene, given, around)
            for setting, method in tried.items():
                sinks[setting].expect(tested)
                with subset.prepared(method) as ready:
                    ready.write(sinks[setting], soft=True, threads=around.threads)
                    warnings |= dict.fromkeys(ready.warnings)
    found = {s: sink.votes(len(raters) - 1 if s in one else 1) for s, sink in sinks.items()}
    return Judged(found, scene.voxels, (*drawn.warnings, *warnings))


def measure_moved(
    drawn: RaterLabels, classes: ClassTable, settings: Sequence[Setting], around: Surroundings
) -> dict[Setting, Moved]:
    """What each setting does to the label map of the first rater.

    Parameters
    ----------
    drawn, classes, around
        As for `measure_votes`.
    settings
        What is tried; those of several raters are left out.
    """
    methods = {s: s.make() for s in settings if s.of == "one"}
    scene = Scene(drawn, classes, None, _halo(methods.values(), drawn))
    subset = _Subset(scene, (0,), around)
    tables = score_tables(1, 1.0)
    found = {}
    for setting, method in methods.items():
        sink = MovedSink(*_where(scene, method), len(classes), tables)
        with subset.prepared(method) as ready:
            sums = ready.write(sink, soft=True, threads=around.threads).sums
        mass, touched = sink.moved()
        found[setting] = Moved(
            scene.voxels, scene.foreground_voxels, mass * STEP, touched,
            sums.entropy * ENTROPY_UNIT, sums.argmax_changes, sums.ties,
        )  # fmt: skip
    return found


def _halo(methods: Iterable[Method], drawn: RaterLabels) -> Shape:
    """Neighbours that any local method needs."""
    halos = [m.halo(drawn.geometry.spacing_mm) for m in methods if isinstance(m, LOCAL)]
    z, y, x = (max((halo[axis] for halo in halos), default=0) for axis in range(3))
    return z, y, x


def _where(scene: Scene, method: Method) -> tuple[Grid, Mapping[Shape, Place]]:
    """The blocks that a method makes, and which of their voxels count."""
    if isinstance(method, LOCAL):
        return scene.local_grid, scene.local_places
    return scene.whole_grid, scene.whole_places


@dataclass(frozen=True)
class _Subset:
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
