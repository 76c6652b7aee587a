"""``python -m tests.benchmarks.cuda``: the CUDA engine beside numba and FastGeodis, on one GPU.

Seconds are those of all classes, the copy of every map to the host among them, at the
fastest of the runs; the engines take turns. The first run of each does not count where
there are others (it compiles). The error is the mean difference from the engine numba's
distances over their mean. Exit status 1 when the engine cuda has other bits than numba.

A second table says what the device does, without copies: launches, blocks relaxed, and
the share of the device's bandwidth that reading and writing them takes.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

from softlab_cli.core.errors import EngineError
from softlab_cli.core.memory import available_cores
from softlab_cli.geodesic.base import Engine, Seeds, StepCost
from softlab_cli.geodesic.cuda import CudaEngine, band_of
from softlab_cli.geodesic.exact import ExactEngine
from softlab_cli.geodesic.fastgeodis import FastGeodisEngine
from softlab_cli.kernels.geodesic import cuda_maps
from softlab_cli.kernels.geodesic.cuda import Rule

from .data import AAL_DEFAULT, AAL_VARIABLE, merge
from .report import environment, number, table

COSTS = {
    "fastgeodis 0.5": StepCost("fastgeodis", 0.5),
    "fastgeodis 1": StepCost("fastgeodis", 1.0),
    "geodistk 1": StepCost("geodistk", 1.0),
}
LARGE = 512
GIB = 2**30
HEAD = ("", "classes", "metric, lambda", "engine", "s", "s per class", "error",
        "bits of numba", "same bits twice")  # fmt: skip
DEVICE_HEAD = ("", "classes", "metric, lambda", "ms", "launches", "blocks relaxed",
               "us per block", "share of bandwidth")  # fmt: skip


@dataclass(frozen=True)
class Work:
    """An image, the seeds of its classes, and what is to be measured.

    Parameters
    ----------
    costs
        Names of `COSTS`.
    compared
        Classes whose bits are compared with those of numba; None for all.
    only
        The one engine that is measured; None for all.
    runs
        How often; None is what the command line asks for, and one more.
    """

    name: str
    image: NDArray[np.float32]
    seeds: Sequence[Seeds]
    costs: Sequence[str] = tuple(COSTS)
    compared: int | None = None
    only: str | None = None
    runs: int | None = None

    def run(self, engine: Engine, cost: StepCost) -> Iterator[NDArray[np.float32]]:
        """The distances of all classes."""
        threads = available_cores()
        return engine.distances(self.image, self.seeds, (1.0, 1.0, 1.0), cost, threads=threads)

    @property
    def some(self) -> Work:
        """The classes whose bits are compared."""
        return Work(self.name, self.image, self.seeds[: self.compared])


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
    aal = Path(os.environ.get(AAL_VARIABLE, AAL_DEFAULT))
    if not aal.exists():
        print(f"{aal} is not there (Debian's package mricron-data): no brain is measured.")
        return
    t1 = sitk.GetArrayFromImage(sitk.ReadImage(str(aal.with_name("ch2.nii.gz"))))
    image = t1.astype(np.float32)[None]
    regions = sitk.ReadImage(str(aal), sitk.sitkUInt8)
    four, all_of_them = (
        core_seeds(sitk.GetArrayFromImage(labels)) for labels in (merge(regions), regions)
    )
    yield Work("ch2", image, four[:1], ["geodistk 1"])
    yield Work("ch2", image, four)
    shifted = np.roll(image, 3, axis=2) / 2
    yield Work("ch2, two channels", np.concatenate([image, shifted]), four, ["geodistk 1"])
    yield Work("ch2", image, all_of_them, ["fastgeodis 0.5", "geodistk 1"], 16, runs=2)
    yield enlarged(image, all_of_them)


def enlarged(image: NDArray[np.float32], seeds: Sequence[Seeds]) -> Work:
    """The same at 512^3, by nearest neighbour, with a voxel of background as one more class."""
    shape = image.shape[1:]
    nearest = [((np.arange(LARGE) + 0.5) * n / LARGE).astype(int) for n in shape]
    found = [enlarged_seeds(places, shape, nearest) for places in seeds]
    large = np.ascontiguousarray(image[0][np.ix_(*nearest)])[None]
    name = f"ch2 at {LARGE}^3"
    return Work(name, large, [np.array([0]), *found], ["geodistk 1"], 3, "cuda", 1)


def enlarged_seeds(places: Seeds, shape: tuple[int, ...], nearest: Sequence[NDArray[Any]]) -> Seeds:
    """The fine voxels whose coarse voxel is a seed; only the seeds' box is looked at."""
    where = np.unravel_index(places, shape)
    fine = [
        np.flatnonzero((near >= w.min()) & (near <= w.max()))
        for near, w in zip(nearest, where, strict=True)
    ]
    mask = np.zeros(shape, bool)
    mask[where] = True
    box = mask[np.ix_(*(near[axis] for near, axis in zip(nearest, fine, strict=True)))]
    inside = [axis[w] for axis, w in zip(fine, np.nonzero(box), strict=True)]
    return np.ravel_multi_index(inside, [len(near) for near in nearest]).astype(np.int64)


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
    """Seconds of all classes."""
    started = time.perf_counter()
    for _ in work.run(engine, cost):
        pass
    return time.perf_counter() - started


def compare(
    one: Iterable[NDArray[np.float32]], other: Iterable[NDArray[np.float32]]
) -> tuple[float, bool]:
    """Mean difference over the mean of one's distances, and whether all bits are the same."""
    gap = total = 0.0
    same = True
    for a, b in zip(one, other, strict=True):
        gap += float(np.abs(a - b).mean(dtype=np.float64))
        total += float(a.mean(dtype=np.float64))
        same = same and a.tobytes() == b.tobytes()
    return gap / total if total else gap, same


def fastest(work: Work, engines: dict[str, Engine], cost: StepCost, runs: int) -> dict[str, float]:
    """Seconds of each engine."""
    taken: dict[str, list[float]] = {name: [] for name in engines}
    for _ in range(runs):
        for name, engine in engines.items():
            taken[name].append(seconds(work, engine, cost))
    return {name: min(times[1:] or times) for name, times in taken.items()}


def rows(
    work: Work, engines: dict[str, Engine], named: str, repeats: int
) -> Iterator[tuple[str, ...]]:
    """A row for every engine that has the metric."""
    cost = COSTS[named]
    have = {
        name: engine
        for name, engine in engines.items()
        if work.only in (None, name)
        and (cost.metric == "fastgeodis" or not isinstance(engine, FastGeodisEngine))
    }
    best = fastest(work, have, cost, work.runs or 1 + repeats)
    exact_ones = list(work.some.run(ExactEngine(), cost))
    for name, engine in have.items():
        error, exact = compare(exact_ones, work.some.run(engine, cost))
        _, again = compare(work.some.run(engine, cost), work.some.run(engine, cost))
        figures = number(best[name]), number(best[name] / len(work.seeds)), f"{error:.1g}"
        answers = ["yes" if same else "no" for same in (exact, again)]
        row = work.name, str(len(work.seeds)), named, name, *figures, *answers
        print(" | ".join(row), file=sys.stderr)
        yield row


def device_row(work: Work, named: str, bandwidth: float) -> tuple[str, ...]:
    """What the device does for as many classes as it takes at once, 116 at most."""
    cost = COSTS[named]
    seeds = list(islice(work.seeds, 116))
    device = cuda_maps.open_device()
    side = cuda_maps.block_side(len(work.image), device.shared_bytes())
    rule = Rule(cost.metric == "geodistk", cost.linear, *cost.shares)
    steps = cost.coefficients((1.0, 1.0, 1.0))
    band = band_of(work.image, len(seeds), steps, cost, side)
    maps = cuda_maps.DeviceMaps(device, work.image, len(seeds), steps, rule, side, band)
    maps.compute(seeds)
    launches, blocks = maps.launches, maps.blocks_relaxed
    started = time.perf_counter()
    maps.compute(seeds)
    taken = time.perf_counter() - started
    launches, blocks = maps.launches - launches, maps.blocks_relaxed - blocks
    halo, channels = (side + 2) ** 3, len(work.image)
    moved = 4 * blocks * ((1 + channels) * halo + 2 * side**3)
    share = f"{moved / taken / bandwidth:.1%}" if bandwidth else "-"
    figures = number(1e3 * taken), str(launches), str(blocks), number(1e6 * taken / blocks)
    return work.name, str(len(seeds)), named, *figures, share


def copied_bytes_per_second() -> float:
    """What a large copy within the device reads and writes; 0 where cupy is missing."""
    try:
        import cupy
    except ImportError:
        return 0.0
    one, other = (cupy.cuda.Memory(2 * GIB) for _ in range(2))
    rates = []
    for _ in range(3):
        cupy.cuda.runtime.deviceSynchronize()
        started = time.perf_counter()
        cupy.cuda.runtime.memcpyAsync(
            one.ptr, other.ptr, 2 * GIB, cupy.cuda.runtime.memcpyDeviceToDevice, 0
        )
        cupy.cuda.runtime.deviceSynchronize()
        rates.append(4 * GIB / (time.perf_counter() - started))
    return max(rates)


def card() -> str:
    """The GPU and its driver, as NVIDIA's tool says."""
    query = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    try:
        return subprocess.run(query, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "no nvidia-smi"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what the command line asks for, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.cuda", description=__doc__)
    parser.add_argument("--blobs", type=int, metavar="SIZE", help="a synthetic volume, too")
    parser.add_argument("--classes", type=int, nargs="*", default=[1, 32], help="of the blobs")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-brain", action="store_true", help="only the synthetic volumes")
    args = parser.parse_args(arguments)
    CudaEngine().check()
    print(f"{environment()}\n- {card()}\n")
    engines = usable(
        {
            "cuda": CudaEngine(),
            "numba": ExactEngine(),
            "FastGeodis CUDA, 2 iterations": FastGeodisEngine(2, "cuda"),
            "FastGeodis CUDA, 4 iterations": FastGeodisEngine(4, "cuda"),
            "FastGeodis CUDA, 16 iterations": FastGeodisEngine(16, "cuda"),
        }
    )
    works = [blobs(args.blobs, classes) for classes in args.classes if args.blobs]
    works += [] if args.no_brain else brains()
    bandwidth = copied_bytes_per_second()
    chosen = [(work, named) for work in works for named in work.costs]
    on_device = [device_row(work, named, bandwidth) for work, named in chosen]
    lines = [row for work, named in chosen for row in rows(work, engines, named, args.repeats)]
    print(f"\n{table(HEAD, lines)}\n\n{table(DEVICE_HEAD, on_device)}")
    print(f"\nA copy within the device moves {bandwidth / 1e9:.0f} GB/s, read and written.")
    if any(line[3] == "cuda" and line[7] == "no" for line in lines):
        raise SystemExit("The engine cuda has other bits than the engine numba.")


if __name__ == "__main__":
    main()
