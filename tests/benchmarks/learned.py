"""VLS: what a fold takes, on one core: one engine and dimension a process.

``python -m tests.benchmarks.learned ENGINE DIMS`` trains a fold on made-up slices (2) or volumes
(3), with the networks, patches and batches that a CPU has by default, for `FEW` and for `MORE`
steps, and prints processor seconds of the steps between. There is no peer: the authors'
repository does not run.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from .measure import Job, alternate
from .report import number, show_command, table

__all__ = ["folds"]

ENGINES = ("crossfit", "vls")
FEW, MORE = 5, 25
STEPS = 1500
CASES = 8
RUNS = 2


def task_of(engine: str, dims: int, steps: int, folder: Path) -> Any:
    """A fold of balls that are a little brighter than what is around them."""
    import numpy as np

    from softlab_cli.methods.arrays import ArrayCase
    from softlab_cli.methods.vls.cases import ReadTask, TrainingCase, read_case
    from softlab_cli.methods.vls.recipe import Recipe, default_sizes
    from softlab_cli.methods.vls.training import FoldTask

    sizes = default_sizes("cpu", dims)
    shape = (1, 64, 64) if dims == 2 else (56, 56, 56)
    middle = np.array(shape).reshape(3, 1, 1, 1) / 2
    ball = (np.linalg.norm(np.indices(shape) - middle, axis=0) < 14).astype(np.uint8)
    cases = []
    for i in range(CASES):
        image = ball + np.random.default_rng(i).normal(0, 1, shape).astype(np.float32)
        case = ArrayCase.of(
            [ball], image, spacing_mm=None, labels=(0, 1), ignore_value=None, threads=1
        )
        named = ArrayCase(case.classes, case.geometry, case.volumes, case.channels, 1, f"c{i}")
        facts = read_case(ReadTask(named, folder))
        cases.append(TrainingCase(facts.case_id, Path(facts.file), facts.image, facts.label))
    recipe = Recipe(
        engine, None, dims, (sizes.patch,) * dims, sizes.width, sizes.batch, steps, 8, 0.0, 1.0,
        2, 0, "cpu", 2, 1, (1.0, 1.0, 1.0),
    )  # fmt: skip
    return FoldTask(recipe, 0, folder, tuple(cases[2:]), tuple(cases[:2]), 255)


def folds(quick: bool) -> str:
    """Seconds and memory of a fold of each engine, in 2D and 3D."""
    pairs = [(engine, dims) for dims in (2, 3) for engine in ENGINES]
    jobs = [
        Job(engine, [sys.executable, "-m", "tests.benchmarks.learned", engine, str(dims)])
        for engine, dims in pairs
    ]
    rows = []
    results = alternate(jobs, 1 if quick else RUNS, warm_up=False)
    for (engine, dims), result in zip(pairs, results, strict=True):
        seconds = result.median("job_s") or 0.0
        rows.append(
            [f"{dims}D", engine, number(seconds), number(result.spread("job_s")),
             number(seconds * STEPS / 60), number(result.median("peak_mib"))]
        )  # fmt: skip
    head = ["", "engine", "CPU s a step", "spread", f"minutes of {STEPS} steps", "peak MiB"]
    remark = (
        "Processor seconds on one core, medians; *spread* is the largest over the smallest. 2D: 16 "
        "patches of 64 x 64, 16 channels; 3D: 2 patches of 48 x 48 x 48, 8 channels. There is no "
        "peer: the authors' repository does not run."
    )
    code = "\n".join(["```", *(show_command(list(job.command)) for job in jobs), "```"])
    return "\n\n".join(["## VLS: a fold on one core", table(head, rows), remark, code])


def main() -> None:
    """Train a fold twice."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("engine", choices=ENGINES)
    parser.add_argument("dims", type=int, choices=[2, 3])
    arguments = parser.parse_args()

    from softlab_cli.methods.vls.training import train_fold

    used = []
    for steps in (FEW, MORE):
        with tempfile.TemporaryDirectory() as folder:
            task = task_of(arguments.engine, arguments.dims, steps, Path(folder))
            before = time.process_time()
            train_fold(task)
            used.append(time.process_time() - before)
    print(json.dumps({"job_s": (used[1] - used[0]) / (MORE - FEW)}))


if __name__ == "__main__":
    main()
