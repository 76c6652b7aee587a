"""Geodesic engines alone, against FastGeodis and GeodisTK: one engine, one case a process.

``python -m tests.benchmarks.geodesic ENGINE CASE`` prints seconds for each class, of
processor time and by the clock, and how far a converged float64 reference is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, Any

from .inputs import ROOT
from .measure import Job, facts_of
from .report import number, show_command, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Volume = NDArray[np.float32]
    Seeds = NDArray[np.int64]
    Solver = Callable[[Volume, list[Seeds], tuple[float, float, float]], Iterator[Volume]]
    """Takes an image of (channels, Z, Y, X)."""

__all__ = ["ENGINES", "geodesic_engines"]

RUNS = 2

THREADS = 2
"""Beside one: what the goals are stated for."""

MOST = 16
"""Classes of softlab's engines, spread over all; of the others, which take far longer, one."""

CROP = 64
"""Side of the cube in the middle on which errors are taken: Dijkstra is slow."""

WHOLE = "inia"
"""The case on whose whole volume they are taken as well, once."""


@dataclass(frozen=True)
class Case:
    """An image with a label map of mricron-data."""

    title: str
    image: str
    labels: str
    merged: int = 0


CASES = {
    "ch2-4": Case("ch2, 4 classes", "ch2.nii.gz", "aal.nii.gz", 29),
    "ch2-116": Case("ch2, 116 classes", "ch2.nii.gz", "aal.nii.gz"),
    "inia": Case("inia19", "inia19-t1-brain.nii.gz", "inia19-NeuroMaps.nii.gz"),
}


def softlab(engine: str, threads: int) -> Solver:
    """One of softlab's engines."""
    from softlab_cli.geodesic import StepCost, resolve_engine

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        return resolve_engine(engine).distances(
            image, seeds, spacing_mm, StepCost(), threads=threads
        )

    return solve


def fastgeodis(iterations: int, threads: int) -> Solver:
    """The FastGeodis package on the processor, as one calls it."""
    import FastGeodis
    import torch

    torch.set_num_threads(threads)

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        tensor = torch.from_numpy(image)[None]
        for places in seeds:
            mask = torch.ones(1, 1, *image.shape[1:])
            mask.view(-1)[torch.from_numpy(places)] = 0
            yield FastGeodis.generalised_geodesic3d(
                tensor, mask, list(spacing_mm), 1e10, 1.0, iterations
            ).numpy()[0, 0]

    return solve


def geodistk() -> Solver:
    """The GeodisTK package, four iterations; it knows no threads."""
    import GeodisTK
    import numpy as np

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        for places in seeds:
            mask = np.zeros(image.shape[1:], np.uint8)
            mask.flat[places] = 1
            yield GeodisTK.geodesic3d_raster_scan(
                image[0], mask, np.array(spacing_mm, np.float32), 1.0, 4
            )

    return solve


ENGINES: dict[str, Callable[[int], Solver]] = {
    "numba": lambda threads: softlab("numba", threads),
    "fastgeodis-2": lambda threads: fastgeodis(2, threads),
    "fastgeodis-4": lambda threads: fastgeodis(4, threads),
    "numba-two-channels": lambda threads: softlab("numba", threads),
    "parity": lambda threads: softlab("parity", threads),
    "geodistk-4": lambda threads: geodistk(),
}
"""softlab's engines, each followed by what it is compared with; made for some threads."""

OURS = ("numba", "numba-two-channels", "parity")


def load(case: Case, count: int) -> tuple[Volume, list[Seeds], tuple[float, float, float]]:
    """The image (1, Z, Y, X), whole regions as seeds of `count` classes, and the spacing."""
    import numpy as np
    import SimpleITK as sitk

    from .data import find_aal

    folder = find_aal().parent
    image = sitk.ReadImage(str(folder / case.image), sitk.sitkFloat32)
    labels = sitk.GetArrayFromImage(sitk.ReadImage(str(folder / case.labels))).astype(np.int64)
    if case.merged:
        labels = np.where(labels > 0, 1 + (labels - 1) // case.merged, 0)
    values = np.unique(labels)[1:]
    picked = values[np.linspace(0, len(values) - 1, min(count, len(values))).astype(int)]
    z, y, x = image.GetSpacing()[::-1]
    return (
        sitk.GetArrayFromImage(image)[None],
        [np.flatnonzero(labels == value) for value in picked],
        (z, y, x),
    )


def channels_for(engine: str, image: Volume) -> Volume:
    """The image, with its mirror image as a second channel if the engine wants two."""
    import numpy as np

    two = engine.endswith("two-channels")
    return np.concatenate([image, image[..., ::-1]]) if two else image


def reference(
    image: Volume, seeds: Seeds, spacing_mm: Any, name: str, metric: str
) -> NDArray[np.float64]:
    """Dijkstra in float64 from scipy, kept in a file: lambda 1, steps of METHODS 5."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    shape = image.shape[1:]
    path = ROOT / "geodesic" / f"{name}-{metric}-{len(image)}-{'x'.join(map(str, shape))}.npy"
    if path.exists():
        return np.load(path)
    index = np.arange(np.prod(shape), dtype=np.int32).reshape(shape)
    starts, ends, costs = [], [], []
    for step in (s for s in product((-1, 0, 1), repeat=3) if s > (0, 0, 0)):
        there = tuple(slice(max(0, s), n - max(0, -s)) for s, n in zip(step, shape, strict=True))
        here = tuple(slice(max(0, -s), n - max(0, s)) for s, n in zip(step, shape, strict=True))
        length = np.linalg.norm(np.multiply(step, spacing_mm))
        channels = [c[there].astype(np.float64) - c[here] for c in image]
        difference = np.linalg.norm(channels, axis=0)
        starts.append(index[here].ravel())
        ends.append(index[there].ravel())
        # A step of no cost would be no edge to scipy.
        cost = length * (difference + 1e-5) if metric == "geodistk" else difference + 1e-12
        costs.append(cost.ravel())
    places = (np.concatenate(starts), np.concatenate(ends))
    graph = coo_array((np.concatenate(costs), places), (index.size, index.size)).tocsr()
    del starts, ends, costs, places
    found = dijkstra(graph, directed=False, indices=seeds, min_only=True).reshape(shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found)
    return found


def errors(solve: Solver, engine: str, name: str, *, whole: bool = False) -> dict[str, float]:
    """max |dG| and mean |dD| / mean D on the cube for a seed in its middle, or for a class."""
    import numpy as np

    image, classes, spacing_mm = load(CASES[name], 1)
    middle = tuple(slice((n - CROP) // 2, (n + CROP) // 2) for n in image.shape[1:])
    cube = image if whole else np.ascontiguousarray(image[:, *middle])
    seeds = classes[0] if whole else np.array([(CROP**3 + CROP**2 + CROP) // 2])
    cube = channels_for(engine, cube)
    metric = "fastgeodis" if engine.startswith("fastgeodis") else "geodistk"
    exact = reference(cube, seeds, spacing_mm, name, metric)
    found = next(solve(cube, [seeds], spacing_mm)).astype(np.float64)
    return {
        "map_error": float(abs(_map(found) - _map(exact)).max()),
        "distance_error": float(abs(found - exact).mean() / exact.mean()),
    }


def _map(distance: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    decayed = np.exp(-distance / distance.mean())
    return (decayed - decayed.min()) / (decayed.max() - decayed.min())


def measure(engine: str, name: str, classes: int, threads: int) -> dict[str, float]:
    """Seconds for each class; compiled, and errors taken, before the clock starts."""
    solve = ENGINES[engine](threads)
    facts = errors(solve, engine, name)
    image, seeds, spacing_mm = load(CASES[name], classes)
    image = channels_for(engine, image)
    started, cpu_started = time.perf_counter(), time.process_time()
    for distance in solve(image, seeds, spacing_mm):
        del distance
    wall, cpu = time.perf_counter() - started, time.process_time() - cpu_started
    return {"cpu_s": cpu / len(seeds), "wall_s": wall / len(seeds), **facts}


def geodesic_engines(quick: bool) -> str:
    """Every engine on every case, in turns; the least of the runs."""
    sections = [f"## Geodesic engines alone, seconds for each class, 1 and {THREADS} threads"]
    for name, case in CASES.items():
        jobs = {
            (engine, threads): _job(engine, name, threads, quick)
            for engine in filter(_is_there, ENGINES)
            for threads in (1, THREADS)
        }
        runs: dict[tuple[str, int], list[dict[str, float]]] = {what: [] for what in jobs}
        for _ in range(1 if quick else RUNS):
            for what, job in jobs.items():
                runs[what].append(facts_of(job))
        commands = "\n".join(show_command(job.command) for job in jobs.values())
        sections += [f"### {case.title}", _rows(runs), f"```\n{commands}\n```"]
    if not quick:
        sections += _whole_volume()
    note = (
        f"The least of {1 if quick else RUNS} runs. CPU s is processor time on one thread, wall s "
        f"by the clock, on one thread and on {THREADS}; spread is that of CPU s. Errors are "
        f"against Dijkstra in float64 on the {CROP}^3 voxels in the middle, "
        "from one seed, each in the metric of its engine. Two channels are the image and its "
        "mirror image. GeodisTK is measured where it can be imported."
    )
    return "\n\n".join([*sections, note])


def _whole_volume() -> list[str]:
    """Errors on a whole volume, which take minutes of Dijkstra."""
    engines = [engine for engine in ENGINES if _is_there(engine) and "channels" not in engine]
    jobs = [replace(_job(engine, WHOLE, 1, True), name=engine) for engine in engines]
    jobs = [replace(job, command=[*job.command, "--whole"]) for job in jobs]
    rows = []
    for job in jobs:
        facts = facts_of(job)
        rows.append([job.name, *(f"{facts[f]:.1e}" for f in ("map_error", "distance_error"))])
    commands = "\n".join(show_command(job.command) for job in jobs)
    title = f"### Errors on the whole volume of {CASES[WHOLE].title}, from its first region"
    head = ["engine", "max dG", "mean dD / mean D"]
    return [title, table(head, rows), f"```\n{commands}\n```"]


def _rows(runs: dict[tuple[str, int], list[dict[str, float]]]) -> str:
    """A row for each engine: seconds, how many times ours they are, errors."""
    head = ["engine", "CPU s", "times numba's", "times parity's", "wall s"]
    head += [f"wall s, {THREADS} threads", "times numba's", "spread", "max dG", "mean dD / mean D"]
    cpu = {engine: min(f["cpu_s"] for f in runs[engine, 1]) for engine, _ in runs}
    wall = {engine: min(f["wall_s"] for f in runs[engine, 1]) for engine, _ in runs}
    both = {engine: min(f["wall_s"] for f in runs[engine, THREADS]) for engine, _ in runs}
    spread = {
        engine: max(f["cpu_s"] for f in runs[engine, 1]) / least for engine, least in cpu.items()
    }
    rows = []
    for engine in cpu:
        facts = runs[engine, THREADS][0]
        figures = [cpu[engine], cpu[engine] / cpu["numba"], cpu[engine] / cpu["parity"]]
        figures += [wall[engine], both[engine], both[engine] / both["numba"], spread[engine]]
        shown = [f"{facts[what]:.1e}" for what in ("map_error", "distance_error")]
        rows.append([engine, *map(number, figures), *shown])
    return table(head, rows)


def _job(engine: str, name: str, threads: int, quick: bool) -> Job:
    ours = engine in OURS
    classes = 4 if quick and ours else MOST if ours else 1
    command = [sys.executable, "-m", "tests.benchmarks.geodesic", engine, name]
    command += ["--classes", str(classes), "--threads", str(threads)]
    return Job("", command, one_core=threads == 1)


def _is_there(engine: str) -> bool:
    from importlib.util import find_spec

    package = {"fastgeodis": "FastGeodis", "geodistk": "GeodisTK"}.get(engine.split("-")[0])
    return package is None or find_spec(package) is not None


def main() -> None:
    """Measure one engine on one case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("case", choices=CASES)
    parser.add_argument("--classes", type=int, default=4, help="how many, spread over all")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--whole", action="store_true", help="errors on the whole volume only")
    args = parser.parse_args()
    if args.whole:
        print(json.dumps(errors(ENGINES[args.engine](1), args.engine, args.case, whole=True)))
        return
    print(json.dumps(measure(args.engine, args.case, args.classes, args.threads)))


if __name__ == "__main__":
    main()
