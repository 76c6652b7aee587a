"""Surface distances of all classes: softlab, DeepMind's surface-distance and MONAI.

Two of the raters of AAL are a reference and a prediction. Each program gives surface DSC at
2 mm, HD95 and the mean distance of every class; MONAI counts voxels, so its values are others.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

from .inputs import INPUTS
from .measure import Job, Result, alternate, held_mib, most_held_mib
from .report import number, show_command, table

__all__ = ["large_surfaces", "surface_metrics"]

TOLERANCE_MM = 2.0
RUNS = 2
PACKAGES = {"softlab": "softlab_cli", "surface-distance": "surface_distance", "monai": "monai"}

Figures = list[tuple[float, float, float]]
"""Surface DSC, HD95 and mean distance of each class."""


def softlab(reference: Any, prediction: Any, spacing_mm: Any, classes: list[int]) -> Figures:
    """All classes in one call."""
    from softlab_cli.evaluation.metrics.surface import surface_distances

    found = surface_distances(
        reference, prediction, spacing_mm, classes, tolerances_mm=(TOLERANCE_MM,)
    )
    return [(f.surface_dice(TOLERANCE_MM), f.hausdorff_95_mm, f.assd_mm) for f in found]


def deepmind(reference: Any, prediction: Any, spacing_mm: Any, classes: list[int]) -> Figures:
    """Class by class, as its README does it."""
    import surface_distance as peer

    figures = []
    for c in classes:
        found = peer.compute_surface_distances(reference == c, prediction == c, spacing_mm)
        areas = found["surfel_areas_gt"].sum() + found["surfel_areas_pred"].sum()
        moment = (found["distances_gt_to_pred"] * found["surfel_areas_gt"]).sum()
        moment += (found["distances_pred_to_gt"] * found["surfel_areas_pred"]).sum()
        figures.append(
            (
                float(peer.compute_surface_dice_at_tolerance(found, TOLERANCE_MM)),
                float(peer.compute_robust_hausdorff(found, 95)),
                float(moment / areas),
            )
        )
    return figures


def monai(reference: Any, prediction: Any, spacing_mm: Any, classes: list[int]) -> Figures:
    """Class by class: one-hot of all of them needs more memory than there is."""
    import torch
    from monai.metrics import (
        compute_average_surface_distance,
        compute_hausdorff_distance,
        compute_surface_dice,
    )

    torch.set_num_threads(1)
    figures = []
    for c in classes:
        one, two = (torch.from_numpy(a == c)[None, None] for a in (prediction, reference))
        common: dict[str, Any] = {"include_background": True, "spacing": spacing_mm}
        figures.append(
            (
                float(compute_surface_dice(one, two, [TOLERANCE_MM], **common)),
                float(compute_hausdorff_distance(one, two, percentile=95, **common)),
                float(compute_average_surface_distance(one, two, symmetric=True, **common)),
            )
        )
    return figures


PROGRAMS: dict[str, Callable[..., Figures]] = {
    "softlab": softlab,
    "surface-distance": deepmind,
    "monai": monai,
}


def measure(program: str, name: str, flat: bool, count: int) -> dict[str, Any]:
    """Processor time of all classes, or of some, spread over all; a tiny pair comes before."""
    import numpy as np
    import SimpleITK as sitk

    files = INPUTS[name].files[:2]
    maps = [sitk.GetArrayFromImage(sitk.ReadImage(str(file))) for file in files]
    if len(maps) == 1:
        maps.append(np.roll(maps[0], 1, axis=0))
    spacing = tuple(float(s) for s in sitk.ReadImage(str(files[0])).GetSpacing()[::-1])
    if flat:
        maps = [np.ascontiguousarray(m[len(m) // 2]) for m in maps]
        spacing = spacing[1:]
    shared = [c for c in np.unique(maps[0]) if c and (maps[1] == c).any()]
    count = min(count, len(shared))
    classes = [int(shared[i]) for i in np.linspace(0, len(shared) - 1, count).astype(int)]
    compute = PROGRAMS[program]
    small = np.zeros((8,) * maps[0].ndim, np.uint8)
    small[2:5, 2:5] = 1
    compute(small, np.roll(small, 1, 0), spacing, [1])
    held = held_mib()
    started = time.process_time()
    figures = compute(*maps, spacing, classes)
    seconds = time.process_time() - started
    left_out = seconds * (len(shared) / len(classes) - 1)
    means = [float(np.mean(values)) for values in zip(*figures, strict=True)]
    return {
        "job_s": seconds + left_out,
        "left_out_s": left_out,
        "share": len(classes) / len(shared),
        "added_mib": None if held is None else most_held_mib() - held,
        "means": means,
    }


def surface_metrics(quick: bool) -> str:
    """A table for each input: 5 and 117 classes of a volume, and a slice of it."""
    sections = [
        _one_table(name, flat, quick)
        for name, flat in (("raters-5", False), ("raters-117", False), ("raters-117", True))
    ]
    title = "## Surface DSC, HD95 and mean distance: two raters of AAL, 181 x 217 x 181"
    return "\n\n".join([title, *sections, _remark(RUNS)])


def large_surfaces(quick: bool) -> str:
    """117 classes of a large volume; the other rater is the first, moved by a voxel."""
    title = "## Surface DSC, HD95 and mean distance: AAL at 512 x 512 x 512, and moved by a voxel"
    return "\n\n".join([title, _one_table("large-117", False, quick), _remark(1)])


def _remark(runs: int) -> str:
    return (
        f"*CPU s* is processor time of the metrics alone, the median of {runs} runs in turns; "
        "*spread* is the largest over the smallest; *added MiB* the most memory "
        "beyond that after reading and a tiny pair of masks (Linux). Peers are "
        "measured where they can be imported; where only some of the classes were done (\\*), the "
        "time is multiplied up."
    )


def _one_table(name: str, flat: bool, quick: bool) -> str:
    there = [p for p in PROGRAMS if find_spec(PACKAGES[p])]
    is_large = INPUTS[name].raters == 1
    some = 8 if is_large or (quick and not flat) else INPUTS[name].classes
    jobs = [_job(p, name, flat, some if p != "softlab" else INPUTS[name].classes) for p in there]
    results = alternate(jobs, 1 if is_large else RUNS, warm_up=False)
    rows = [_row(result, results[0]) for result in results]
    head = ["", "CPU s", "spread", "times softlab's", "added MiB", "peak MiB"]
    head += ["surface DSC", "HD95 mm", "mean mm"]
    commands = "\n".join(show_command(job.command) for job in jobs)
    title = f"### {INPUTS[name].classes} classes{', the middle slice' if flat else ''}"
    return "\n\n".join([title, table(head, rows), f"```\n{commands}\n```"])


def _row(result: Result, ours: Result) -> list[str]:
    seconds, peak = result.median("job_s"), result.median("peak_mib")
    label = result.job.name + ("" if result.share == 1 else " \\*")
    ratio = None if seconds is None else seconds / (ours.median("job_s") or seconds)
    values = [f"{value:.5f}" for value in result.facts.get("means", [])]
    figures = (seconds, result.spread("job_s"), ratio, result.facts.get("added_mib"), peak)
    return [label, *map(number, figures), *values]


def _job(program: str, name: str, flat: bool, classes: int) -> Job:
    command = [sys.executable, "-m", "tests.benchmarks.surfaces", program, name]
    command += [*(["--flat"] * flat), "--classes", str(classes)]
    return Job(program, command)


def main() -> None:
    """Measure one program on one input."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program", choices=PROGRAMS)
    parser.add_argument("input", choices=INPUTS)
    parser.add_argument("--flat", action="store_true", help="the middle slice alone")
    parser.add_argument("--classes", type=int, default=10**6, help="how many, spread over all")
    args = parser.parse_args()
    print(json.dumps(measure(args.program, args.input, args.flat, args.classes)))


if __name__ == "__main__":
    main()
