"""One case: each setting's soft labels of some raters, against the raters left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.softblock import ENTROPY_UNIT
from softlab_cli.evaluation.metrics.regions import Reach
from softlab_cli.labels.case import RaterLabels
from softlab_cli.tuning.grid import Setting
from softlab_cli.tuning.scene import Scene
from softlab_cli.tuning.sinks import MovedSink, VoteSink
from softlab_cli.tuning.softening import Softened, halo_of, threads_for, where
from softlab_cli.tuning.subset import Surroundings
from softlab_cli.tuning.votes import STEP, Votes, score_tables

__all__ = ["Judged", "Moved", "measure_moved", "measure_votes"]


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
    reach: Reach | None, bins: int, clip: float, models: Mapping[str, Path] | None = None,
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
    models
        Models of methods that learn, by the rater whose labels they learned from. With some,
        soft labels of one rater are those of these raters, whatever the method: all settings
        are judged by the same pairs.

    Raises
    ------
    InputError
        When a rater with a model is not there.
    """
    sources = _sources(drawn, models or {})
    any_model = next(iter(sources.values()))
    methods = {setting: setting.make(any_model) for setting in settings}
    scene = Scene(drawn, classes, reach, halo_of(methods.values(), drawn))
    raters = range(drawn.patterns.rater_count)
    tables = score_tables(bins, clip)
    one = {s: m for s, m in methods.items() if s.of == "one"}
    others = {s: m for s, m in methods.items() if s.of == "others"}
    sinks: dict[Setting, VoteSink] = {}
    for setting, method in methods.items():
        sinks[setting] = VoteSink(*where(scene, method), len(classes), tables)
    warnings: dict[str, None] = {}
    for rater in raters if scene.voxels else ():
        rest = tuple(r for r in raters if r != rater)
        sides = [((rater,), rest, one)] if rater in sources else []
        for given, tested, tried in (*sides, (rest, (rater,), others)):
            subset = Softened(scene, given, around)
            for setting, method in tried.items():
                sinks[setting].expect(tested)
                own = setting.make(sources[rater]) if setting.is_learned else method
                with subset.prepared(own) as ready:
                    threads = threads_for(sinks[setting], around)
                    ready.write(sinks[setting], soft=True, threads=threads)
                    warnings |= dict.fromkeys(ready.warnings)
    of_one = len(sources) - (len(sources) == len(raters))
    found = {s: sink.votes(of_one if s in one else 1) for s, sink in sinks.items()}
    return Judged(found, scene.voxels, (*drawn.warnings, *warnings))


def _sources(drawn: RaterLabels, models: Mapping[str, Path]) -> dict[int, Path | None]:
    """The raters whose own soft labels are judged, each with a model where there are some."""
    if not models:
        return dict.fromkeys(range(len(drawn.names)))
    missing = [name for name in models if name not in drawn.names]
    if missing:
        raise InputError(
            f"has no rater {missing[0]!r}, whose model is given, among {', '.join(drawn.names)}.",
            remedy="Leave the case out, or give --model of raters that all cases have.",
        )
    return {drawn.names.index(name): model for name, model in models.items()}


def measure_moved(
    drawn: RaterLabels, classes: ClassTable, settings: Sequence[Setting], around: Surroundings,
    model: Path | None = None,
) -> dict[Setting, Moved]:  # fmt: skip
    """What each setting does to the label map of the first rater.

    Parameters
    ----------
    drawn, classes, around
        As for `measure_votes`.
    settings
        What is tried; those of several raters are left out.
    model
        That of methods that learn.
    """
    methods = {s: s.make(model) for s in settings if s.of == "one"}
    scene = Scene(drawn, classes, None, halo_of(methods.values(), drawn))
    subset = Softened(scene, (0,), around)
    tables = score_tables(1, 1.0)
    found = {}
    for setting, method in methods.items():
        sink = MovedSink(*where(scene, method), len(classes), tables)
        with subset.prepared(method) as ready:
            sums = ready.write(sink, soft=True, threads=threads_for(sink, around)).sums
        mass, touched = sink.moved()
        found[setting] = Moved(
            scene.voxels, scene.foreground_voxels, mass * STEP, touched,
            sums.entropy * ENTROPY_UNIT, sums.argmax_changes, sums.ties,
        )  # fmt: skip
    return found
