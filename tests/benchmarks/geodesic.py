"""Geodesic engines alone, against FastGeodis and GeodisTK: one engine, one case a process.

``python -m tests.benchmarks.geodesic ENGINE CASE`` prints seconds of processor time for
each class, and how far a converged float64 reference is.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
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

__all__ = ["ENGINES", "geodesic_engines"]

CROP = 64
"""Side of the cube in the middle on which errors are taken: Dijkstra is slow."""


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


def softlab(engine: str) -> Solver:
    """One of softlab's engines, on one thread."""
    from softlab_cli.geodesic import StepCost, resolve_engine

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        return resolve_engine(engine).distances(image[None], seeds, spacing_mm, StepCost())

    return solve


def fastgeodis(iterations: int) -> Solver:
    """The FastGeodis package on the processor, on one thread, as one calls it."""
    import FastGeodis
    import torch

    torch.set_num_threads(1)

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        tensor = torch.from_numpy(image)[None, None]
        for places in seeds:
            mask = torch.ones(tensor.shape)
            mask.view(-1)[torch.from_numpy(places)] = 0
            yield FastGeodis.generalised_geodesic3d(
                tensor, mask, list(spacing_mm), 1e10, 1.0, iterations
            ).numpy()[0, 0]

    return solve


def geodistk() -> Solver:
    """The GeodisTK package, four iterations."""
    import GeodisTK
    import numpy as np

    def solve(image: Volume, seeds: list[Seeds], spacing_mm: Any) -> Iterator[Volume]:
        for places in seeds:
            mask = np.zeros(image.shape, np.uint8)
            mask.flat[places] = 1
            yield GeodisTK.geodesic3d_raster_scan(
                image, mask, np.array(spacing_mm, np.float32), 1.0, 4
            )

    return solve


ENGINES: dict[str, Callable[[], Solver]] = {
    "numba": lambda: softlab("numba"),
    "fastgeodis-2": lambda: fastgeodis(2),
    "fastgeodis-4": lambda: fastgeodis(4),
    "parity": lambda: softlab("parity"),
    "geodistk-4": geodistk,
}
"""softlab's two engines, each followed by what it is compared with."""


def load(case: Case, count: int) -> tuple[Volume, list[Seeds], tuple[float, float, float]]:
    """The image, whole regions as seeds of `count` classes, and the spacing."""
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
        sitk.GetArrayFromImage(image),
        [np.flatnonzero(labels == value) for value in picked],
        (z, y, x),
    )


def reference(
    image: Volume, seeds: Seeds, spacing_mm: Any, name: str, metric: str
) -> NDArray[np.float64]:
    """Dijkstra in float64 from scipy, kept in a file: lambda 1, steps of METHODS 5."""
    import numpy as np
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import dijkstra

    path = ROOT / "geodesic" / f"{name}-{metric}-{CROP}.npy"
    if path.exists():
        return np.load(path)
    index = np.arange(image.size).reshape(image.shape)
    starts, ends, costs = [], [], []
    for step in (s for s in product((-1, 0, 1), repeat=3) if s > (0, 0, 0)):
        there = tuple(
            slice(max(0, s), n - max(0, -s)) for s, n in zip(step, image.shape, strict=True)
        )
        here = tuple(
            slice(max(0, -s), n - max(0, s)) for s, n in zip(step, image.shape, strict=True)
        )
        length = np.linalg.norm(np.multiply(step, spacing_mm))
        difference = abs(image[there].astype(np.float64) - image[here])
        starts.append(index[here].ravel())
        ends.append(index[there].ravel())
        # A step of no cost would be no edge to scipy.
        cost = length * (difference + 1e-5) if metric == "geodistk" else difference + 1e-12
        costs.append(cost.ravel())
    places = (np.concatenate(starts), np.concatenate(ends))
    graph = coo_array((np.concatenate(costs), places), (image.size, image.size)).tocsr()
    found = dijkstra(graph, directed=False, indices=seeds, min_only=True).reshape(image.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.save(path, found)
    return found


def errors(solve: Solver, name: str, metric: str) -> dict[str, float]:
    """max |dG| and mean |dD| / mean D on the cube, for seeds in its middle."""
    import numpy as np

    image, _, spacing_mm = load(CASES[name], 1)
    middle = tuple(slice((n - CROP) // 2, (n + CROP) // 2) for n in image.shape)
    cube = np.ascontiguousarray(image[middle])
    seeds = np.array([cube.size // 2 + CROP * CROP // 2 + CROP // 2])
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


def measure(engine: str, name: str, classes: int) -> dict[str, float]:
    """Processor seconds for each class; compiled, and errors taken, before the clock starts."""
    solve = ENGINES[engine]()
    facts = errors(solve, name, "fastgeodis" if engine.startswith("fastgeodis") else "geodistk")
    image, seeds, spacing_mm = load(CASES[name], classes)
    started = time.process_time()
    for distance in solve(image, seeds, spacing_mm):
        del distance
    return {"cpu_s": (time.process_time() - started) / len(seeds), **facts}


def geodesic_engines(quick: bool) -> str:
    """Every engine on every case, in turns; the least of the runs."""
    sections = ["## Geodesic engines alone, one thread, processor seconds for each class"]
    for name, case in CASES.items():
        jobs = {engine: _job(engine, name, quick) for engine in ENGINES if _is_there(engine)}
        facts: dict[str, list[dict[str, float]]] = {engine: [] for engine in jobs}
        for _ in range(1 if quick else 3):
            for engine, job in jobs.items():
                facts[engine].append(facts_of(job))
        least = {engine: min(runs, key=lambda f: f["cpu_s"]) for engine, runs in facts.items()}
        commands = "\n".join(show_command(job.command) for job in jobs.values())
        sections += [f"### {case.title}", _rows(least), f"```\n{commands}\n```"]
    note = (
        f"Errors are against Dijkstra in float64 on the {CROP}^3 voxels in the middle, from one "
        "seed, each in the metric of its engine. GeodisTK is measured where it can be imported."
    )
    return "\n\n".join([*sections, note])


def _rows(facts: dict[str, dict[str, float]]) -> str:
    head = ["engine", "CPU s", "times numba's", "times parity's", "max dG", "mean dD / mean D"]
    rows = []
    for engine, f in facts.items():
        ratios = [number(f["cpu_s"] / facts[ours]["cpu_s"]) for ours in ("numba", "parity")]
        shown = [f"{f[what]:.1e}" for what in ("map_error", "distance_error")]
        rows.append([engine, number(f["cpu_s"]), *ratios, *shown])
    return table(head, rows)


def _job(engine: str, name: str, quick: bool) -> Job:
    ours = engine in ("numba", "parity")
    classes = (16 if ours else 1) if quick else (116 if ours else 4)
    command = [sys.executable, "-m", "tests.benchmarks.geodesic", engine, name]
    return Job("", [*command, "--classes", str(classes)])


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
    args = parser.parse_args()
    print(json.dumps(measure(args.engine, args.case, args.classes)))


if __name__ == "__main__":
    main()
