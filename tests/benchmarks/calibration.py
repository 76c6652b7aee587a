"""Calibration of a stored prediction, against what others offer: one tool a process.

``python -m tests.benchmarks.calibration TOOL --classes C --shape Z Y X`` prints seconds
(reading included, imports not) and the class-wise calibration error that each finds,
20 bins, mean over classes. softlab finds all its other figures in the same time.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import AAL_SHAPE, ROOT
from .measure import Job, Result, alternate, held_mib, most_held_mib
from .report import number, show_command, table

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Case = tuple[NDArray[np.float16], NDArray[np.uint8]]

__all__ = ["TOOLS", "calibration_tools"]

BINS = 20
SLICES = 4
SIDE = 8
"""Voxels along a side of the blocks of one class that references are made of."""


def paths(classes: int, shape: tuple[int, ...]) -> tuple[Path, Path]:
    """Prediction and reference."""
    name = f"calibration-{classes}-{'x'.join(map(str, shape))}"
    return ROOT / "inputs" / f"{name}.npy", ROOT / "inputs" / f"{name}-reference.npy"


def make_case(classes: int, shape: tuple[int, ...]) -> None:
    """Softmax of noise that is higher in the reference's class, as networks' float16."""
    import numpy as np

    prediction, reference = paths(classes, shape)
    if reference.exists():
        return
    prediction.parent.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, classes, [-(-n // SIDE) for n in shape]).astype(np.uint8)
    out = np.lib.format.open_memmap(prediction, "w+", dtype=np.float16, shape=(classes, *shape))
    labels = np.zeros(shape, np.uint8)
    for z in range(shape[0]):
        plane = coarse[z // SIDE].repeat(SIDE, 0).repeat(SIDE, 1)[: shape[1], : shape[2]]
        labels[z] = plane
        logits = 2 * rng.standard_normal((classes, *plane.shape), np.float32)
        logits += 9 * (plane == np.arange(classes, dtype=np.uint8)[:, None, None])
        logits -= logits.max(axis=0)
        np.exp(logits, out=logits)
        out[:, z] = logits / logits.sum(axis=0)
    out.flush()
    np.save(reference, labels)


def load(classes: int, shape: tuple[int, ...]) -> Case:
    """The prediction as a map of its file."""
    import numpy as np

    prediction, reference = paths(classes, shape)
    return np.load(prediction, mmap_mode="r"), np.load(reference)


def softlab(case: Case, threads: int) -> float:
    """Everything that softlab says of calibration, temperatures left out."""

    from softlab_cli.evaluation.metrics import calibration, scores
    from softlab_cli.evaluation.metrics.gathering import Gatherer

    prediction, labels = case
    gatherer = Gatherer(len(prediction), threads=threads)
    for z in range(0, len(labels), SLICES):
        gatherer.add(_read(prediction, z), labels[z : z + SLICES])
    part = gatherer.counts().within()
    for figure in (calibration.ece, calibration.mce, scores.brier, scores.nll, scores.entropy):
        figure(part)
    for means in (calibration.ace, calibration.tace):
        means(part)
    return calibration.sce(part, BINS).mean


def _read(prediction: Any, z: int) -> NDArray[np.float16]:
    """Some slices of all classes; read, as pages of a map would count as memory of the process."""
    import numpy as np

    classes, depth, *plane = prediction.shape
    block = np.empty((classes, min(SLICES, depth - z), *plane), np.float16)
    with open(prediction.filename, "rb") as file:
        for c in range(classes):
            file.seek(prediction.offset + prediction[0, 0].nbytes * (c * depth + z))
            file.readinto(block[c])
    return block


def monai(case: Case, threads: int) -> float:
    """MONAI's CalibrationErrorMetric."""
    import numpy as np
    import torch
    from monai.metrics import CalibrationErrorMetric

    torch.set_num_threads(threads)
    prediction, labels = case
    p = torch.from_numpy(np.array(prediction))[None]
    reference = torch.from_numpy(labels)[None]
    one_hot = torch.stack([reference == c for c in range(p.shape[1])], dim=1)
    metric = CalibrationErrorMetric(num_bins=BINS)
    metric(p, one_hot)
    return float(metric.aggregate().item())


def sklearn(case: Case, threads: int) -> float:
    """scikit-learn's calibration_curve, class by class, which leaves the weights to be counted."""
    import numpy as np
    from sklearn.calibration import calibration_curve

    prediction, labels = case
    found = []
    for c in range(len(prediction)):
        p = np.asarray(prediction[c], np.float32).ravel()
        true, confidence = calibration_curve(labels.ravel() == c, p, n_bins=BINS)
        counts, _ = np.histogram(p, np.linspace(0, 1, BINS + 1))
        found.append(float((np.abs(true - confidence) * counts[counts > 0]).sum() / len(p)))
    return sum(found) / len(found)


def torchmetrics(case: Case, threads: int) -> float:
    """torchmetrics' calibration_error of each class's own probability, class by class."""
    import numpy as np
    import torch
    from torchmetrics.functional.classification import binary_calibration_error

    torch.set_num_threads(threads)
    prediction, labels = case
    reference = torch.from_numpy(labels)
    found = []
    for c in range(len(prediction)):
        p = torch.from_numpy(np.asarray(prediction[c], np.float32))
        found.append(float(binary_calibration_error(p, (reference == c).int(), n_bins=BINS)))
    return sum(found) / len(found)


TOOLS: dict[str, Callable[[Any, int], float]] = {
    "softlab": softlab, "monai": monai, "sklearn": sklearn, "torchmetrics": torchmetrics,
}  # fmt: skip

SIZES = {"small, 117 classes": (117, (16, 217, 181)), "117 classes": (117, AAL_SHAPE),
         "5 classes": (5, AAL_SHAPE), "5 classes, 512 x 512 x 512": (5, (512, 512, 512)),
         "one slice, 117 classes": (117, (1, 512, 512))}  # fmt: skip

LARGEST_FOR_PEERS = 10**8
"""Probabilities; of more they get the first slices, and their time is multiplied up: MONAI would
need tens of GB."""

RUNS = 2


def calibration_tools(quick: bool) -> str:
    """Processor time and memory of each tool at each size, one thread, in turns."""
    rows, commands = [], []
    for title, (classes, shape) in SIZES.items():
        if quick and not title.startswith("small"):
            continue
        jobs = [_job(name, classes, shape) for name in TOOLS if _is_there(name)]
        results = alternate(jobs, 1 if quick else RUNS, warm_up=False)
        ours = results[0].median("job_s") or 0.0
        for job, result in zip(jobs, results, strict=True):
            rows.append([title, *_row(result, ours)])
            commands.append(show_command(list(job.command)))
    head = ["", "tool", "CPU s", "spread", "times softlab's", "added MiB", "peak MiB",
            "class-wise error, 20 bins"]  # fmt: skip
    title = "## Calibration of a stored float16 prediction, 181 x 217 x 181 (small: 16 slices)"
    remark = (
        f"Processor time of the figures with reading, medians of {1 if quick else RUNS} in turns; "
        "*spread* is the largest over the smallest. *added MiB* is the most memory beyond that "
        "before the prediction was opened. \\*: some slices only, time multiplied up."
    )
    code = "\n".join(["```", *commands, "```"])
    return "\n\n".join([title, table(head, rows), remark, code])


def _is_there(tool: str) -> bool:
    return tool == "softlab" or find_spec(tool) is not None


def _row(result: Result, ours: float) -> list[str]:
    seconds, facts = result.median("job_s") or 0.0, result.facts
    label = result.job.name + ("" if result.share == 1 else " \\*")
    return [label, number(seconds), number(result.spread("job_s")), number(seconds / ours),
            number(facts["added_mib"]), number(result.median("peak_mib")),
            f"{float(facts['value']):.9f}"]  # fmt: skip


def _job(name: str, classes: int, shape: tuple[int, ...]) -> Job:
    make_case(classes, shape)
    command = [sys.executable, "-m", "tests.benchmarks.calibration", name,
               "--classes", str(classes), "--shape", *map(str, shape)]  # fmt: skip
    return Job(name, command, has_torchvision=name == "torchmetrics")


def main() -> None:
    """Run one tool."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tool", choices=TOOLS)
    parser.add_argument("--classes", type=int, default=117)
    parser.add_argument("--shape", type=int, nargs=3, default=AAL_SHAPE)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    shape = tuple(arguments.shape)
    make_case(arguments.classes, shape)
    tiny = (2, (2, 4, 4))
    make_case(*tiny)
    TOOLS[arguments.tool](load(*tiny), arguments.threads)  # imports and compiling
    prediction, labels = load(arguments.classes, shape)
    depth = len(labels)
    if arguments.tool != "softlab" and prediction.size > LARGEST_FOR_PEERS:
        depth = max(1, LARGEST_FOR_PEERS // prediction[:, 0].size)
    share = depth / len(labels)
    held = held_mib() or 0.0
    used = time.process_time()
    case = (prediction[:, :depth], labels[:depth]) if share < 1 else (prediction, labels)
    value = TOOLS[arguments.tool](case, arguments.threads)
    cpu_s = (time.process_time() - used) / share
    print(json.dumps({"job_s": cpu_s, "value": value, "share": share,
                      "added_mib": most_held_mib() - held}))  # fmt: skip


if __name__ == "__main__":
    main()
