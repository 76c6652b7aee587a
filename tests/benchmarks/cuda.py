"""``python -m tests.benchmarks.cuda``: the CUDA engine beside FastGeodis, on one GPU.

Seconds are those of all classes over their number, the copy of every map to the host
among them, at the fastest of the repeats; the engines take turns. The first run of each
does not count (it compiles). The error is the mean difference from the engine numba's
distances over their mean. Exit status 1 when the engine cuda has other bits than numba.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from softlab_cli.core.errors import EngineError
from softlab_cli.core.memory import available_cores
from softlab_cli.geodesic.base import Engine, Seeds, StepCost
from softlab_cli.geodesic.cuda import CudaEngine
from softlab_cli.geodesic.exact import ExactEngine
from softlab_cli.geodesic.fastgeodis import FastGeodisEngine

from .data import AAL_DEFAULT, merge
from .report import environment, number, table

COSTS = {
    "fastgeodis 0.5": StepCost("fastgeodis", 0.5),
    "fastgeodis 1": StepCost("fastgeodis", 1.0),
    "geodistk 1": StepCost("geodistk", 1.0),
}
HEAD = ("", "classes", "metric, lambda", "engine", "s per class", "times cuda's", "error",
        "bits of numba", "same bits twice")  # fmt: skip


@dataclass(frozen=True)
class Work:
    """An image and the seeds of its classes."""

    name: str
    image: NDArray[np.float32]
    seeds: Sequence[Seeds]
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)

    def run(self, engine: Engine, cost: StepCost) -> Iterator[NDArray[np.float32]]:
        """The distances of all classes."""
        return engine.distances(
            self.image, self.seeds, self.spacing_mm, cost, threads=available_cores()
        )


def core_seeds(labels: NDArray[np.uint8]) -> list[Seeds]:
    """Of each class, the voxels that lie deepest in it; about as many as a skeleton's."""
    seeds = []
    for index, box in enumerate(ndimage.find_objects(labels)):
        if box is not None:
            depth = ndimage.distance_transform_edt(np.pad(labels[box] == index + 1, 1))
            places = np.argwhere(depth[1:-1, 1:-1, 1:-1] >= 0.8 * depth.max())
            places += [side.start for side in box]
            seeds.append(np.ravel_multi_index(tuple(places.T), labels.shape))
    return seeds


def blobs(size: int, classes: int) -> Work:
    """Boxes of different brightness under noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(classes + 1, size=(8, 8, 8), dtype=np.uint8)
    places = np.arange(size) * 8 // size
    labels = coarse[np.ix_(places, places, places)]
    brightness = rng.normal(scale=100, size=classes + 1).astype(np.float32)
    image = brightness[labels] + rng.normal(scale=5, size=labels.shape).astype(np.float32)
    return Work(f"blobs {size}^3", image[None], core_seeds(labels))


def brains() -> Iterator[Work]:
    """Colin's T1 with the AAL regions, merged to 4 and all 116, when they are installed."""
    aal = Path(AAL_DEFAULT)
    if not aal.exists():
        print(f"{aal} is not there (Debian's package mricron-data): only blobs are measured.")
        return
    t1 = sitk.GetArrayFromImage(sitk.ReadImage(str(aal.with_name("ch2.nii.gz"))))
    regions = sitk.ReadImage(str(aal), sitk.sitkUInt8)
    for labels in (merge(regions), regions):
        seeds = core_seeds(sitk.GetArrayFromImage(labels))
        yield Work("ch2", t1.astype(np.float32)[None], seeds)


def usable(engines: dict[str, Engine]) -> dict[str, Engine]:
    """The engines that work here; says what the others lack."""
    tiny = Work("tiny", np.zeros((1, 3, 3, 3), np.float32), [np.array([0])])
    works = {}
    for name, engine in engines.items():
        try:
            list(tiny.run(engine, COSTS["fastgeodis 0.5"]))
            works[name] = engine
        except EngineError as error:
            print(f"{name} is left out: {error}")
    return works


def seconds(work: Work, engine: Engine, cost: StepCost) -> float:
    """Seconds per class."""
    started = time.perf_counter()
    for _ in work.run(engine, cost):
        pass
    return (time.perf_counter() - started) / len(work.seeds)


def compare(work: Work, one: Engine, other: Engine, cost: StepCost) -> tuple[float, bool]:
    """Mean difference over the mean of one's distances, and whether all bits are the same."""
    gap = total = 0.0
    same = True
    for a, b in zip(work.run(one, cost), work.run(other, cost), strict=True):
        gap += float(np.abs(a - b).mean(dtype=np.float64))
        total += float(a.mean(dtype=np.float64))
        same = same and a.tobytes() == b.tobytes()
    return gap / total if total else gap, same


def fastest(
    work: Work, engines: dict[str, Engine], cost: StepCost, repeats: int
) -> dict[str, float]:
    """Seconds per class of each engine."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(1 + repeats):
        for name, engine in engines.items():
            taken[name].append(seconds(work, engine, cost))
    return {name: min(times[1:]) for name, times in taken.items()}


def rows(
    work: Work, engines: dict[str, Engine], named: str, repeats: int
) -> Iterator[tuple[str, ...]]:
    """A row for every engine that has the metric."""
    cost = COSTS[named]
    have = {
        name: engine
        for name, engine in engines.items()
        if cost.metric == "fastgeodis" or not isinstance(engine, FastGeodisEngine)
    }
    best = fastest(work, have, cost, repeats)
    for name, engine in have.items():
        error, exact = compare(work, ExactEngine(), engine, cost)
        _, again = compare(work, engine, engine, cost)
        figures = number(best[name]), number(best[name] / best["cuda"]), f"{error:.1g}"
        answers = ["yes" if same else "no" for same in (exact, again)]
        yield work.name, str(len(work.seeds)), named, name, *figures, *answers


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cuda", description=__doc__)
    parser.add_argument("--size", type=int, default=256, help="edge of the synthetic volumes")
    parser.add_argument("--classes", type=int, nargs="*", default=[1, 4, 32], help="of the blobs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-brain", action="store_true", help="only the synthetic volumes")
    args = parser.parse_args(arguments)
    CudaEngine().check()
    print(environment())
    engines = usable(
        {
            "cuda": CudaEngine(),
            "numba": ExactEngine(),
            "FastGeodis CUDA, 2 iterations": FastGeodisEngine(2, "cuda"),
            "FastGeodis CUDA, 4 iterations": FastGeodisEngine(4, "cuda"),
            "FastGeodis CUDA, 16 iterations": FastGeodisEngine(16, "cuda"),
        }
    )
    works = [blobs(args.size, classes) for classes in args.classes]
    works += [] if args.no_brain else brains()
    lines = [
        row for work in works for name in COSTS for row in rows(work, engines, name, args.repeats)
    ]
    print(f"\n{table(HEAD, lines)}")
    if any(line[3] == "cuda" and line[7] == "no" for line in lines):
        raise SystemExit("The engine cuda has other bits than the engine numba.")


if __name__ == "__main__":
    main()
