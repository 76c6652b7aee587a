"""GeoLS, whole tool: softlab against a script in the way of the authors' code.

``python -m tests.benchmarks.geols --label FILE --image FILE --out FOLDER`` is that script:
for each class the skeleton of the whole volume, FastGeodis with 4 iterations on all threads,
exp(-D / mean), min-max; then the blend, and zarr-python with its defaults. Its last line tells
the seconds, as JSON; with ``--limit N`` only N classes are done, and the time of the others is
extrapolated.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .inputs import INPUTS, ROOT
from .measure import Job, Result, run_job
from .report import number, show_command, table

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["whole_geols"]

SMOOTHING = 0.1
LIMIT = 4


@dataclass(frozen=True)
class Brain:
    """A label map with its image, both of mricron-data."""

    title: str
    folder: Path
    label: str
    image: str


def whole_geols(quick: bool) -> str:
    """The table: 5 and 117 classes of AAL along the T1 image of the same brain, and inia19."""
    brains = list(_brains(quick))
    run_job(Result(_jobs(brains[0])[0]))  # does not count: it compiles softlab's kernels
    sections = [_one_table(brain) for brain in brains]
    title = "## GeoLS, whole tool, all threads"
    remark = (
        f"One run of each. \\* Of the foreground classes {LIMIT} were done, and the time of a "
        "class was multiplied up; the peak memory is that of the part. FastGeodis has its own "
        "metric, and has not converged after 4 iterations."
    )
    return "\n\n".join([title, *sections, remark])


def _brains(quick: bool) -> Iterator[Brain]:
    shape = "181 x 217 x 181"
    yield Brain(f"AAL along ch2, {shape}, 5 classes", INPUTS["aal-5"].folder, "", "ch2")
    if not quick:
        yield Brain(f"AAL along ch2, {shape}, 117 classes", INPUTS["aal-117"].folder, "", "ch2")
        yield Brain("inia19, 128 x 206 x 168, 725 classes", ROOT / "inputs" / "inia19",
                    "inia19-NeuroMaps", "inia19-t1-brain")  # fmt: skip


def _jobs(brain: Brain) -> tuple[Job, Job]:
    """softlab, and the authors' way."""
    image = _given(brain.image, ROOT / "inputs" / brain.image)
    label = _given(brain.label, brain.folder) if brain.label else brain.folder / "aal.nii.gz"
    store = ROOT / "out" / f"geols-{brain.folder.name}.zarr"
    ours = Job("softlab", [
        sys.executable, "-m", "softlab_cli", "geols", "--in", str(label.parent), "--images",
        str(image.parent), "--out", str(store), "--no-progress", "--workers", "1",
    ], out=store, one_core=False)  # fmt: skip
    out = ROOT / "out" / f"geols-peer-{brain.folder.name}"
    peer = Job("skeletonize, FastGeodis, numpy, zarr-python", [
        sys.executable, "-m", "tests.benchmarks.geols", "--label", str(label), "--image",
        str(image), "--out", str(out), "--limit", str(LIMIT),
    ], out=out, one_core=False)  # fmt: skip
    return ours, peer


def _one_table(brain: Brain) -> str:
    jobs = _jobs(brain)
    results = [Result(job) for job in jobs]
    for result in results:
        run_job(result)
    rows = [
        [
            r.job.name + ("" if r.share == 1 else " \\*"),
            number(r.process_s[-1]),
            number(r.process_s[-1] / results[0].process_s[-1]),
            number(r.peak_mib[-1]),
            number(r.store_mib),
        ]
        for r in results
    ]
    head = ["", "process s", "times softlab's", "peak MiB", "store MiB"]
    commands = "\n".join(show_command(job.command) for job in jobs)
    return "\n\n".join([f"### {brain.title}", table(head, rows), f"```\n{commands}\n```"])


def _given(name: str, folder: Path) -> Path:
    """An image or a label map of mricron-data, under the name that both of a case have."""
    from .data import find_aal

    target = folder / "aal.nii.gz"
    folder.mkdir(parents=True, exist_ok=True)
    shutil.copy(find_aal().with_name(f"{name}.nii.gz"), target)
    return target


def main() -> None:
    """Do it the authors' way."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("label", "image", "out"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--limit", type=int, default=10**6)
    args = parser.parse_args()
    import numpy as np
    import SimpleITK as sitk
    import zarr

    started = time.perf_counter()
    picture = sitk.ReadImage(str(args.label))
    label_map = sitk.GetArrayFromImage(picture)
    image = sitk.GetArrayFromImage(sitk.ReadImage(str(args.image))).astype(np.float32)
    spacing_mm = picture.GetSpacing()[::-1]
    values = np.unique(label_map[label_map > 0])
    done = values[: args.limit]
    fixed = time.perf_counter() - started
    maps = [_map(label_map == value, image, spacing_mm) for value in done]
    each = time.perf_counter() - started - fixed
    soft = _blend(label_map, done, maps)
    array = zarr.create_array(str(args.out), shape=soft.shape, dtype=soft.dtype)
    array[...] = soft
    spent = time.perf_counter() - started - fixed
    left_out = spent * (len(values) / len(done) - 1)
    share = len(done) / len(values)
    print(json.dumps({"job_s": fixed + spent + left_out, "left_out_s": left_out, "share": share,
                      "maps_s": each}))  # fmt: skip


def _map(mask: NDArray[Any], image: NDArray[Any], spacing_mm: Any) -> NDArray[Any]:
    import FastGeodis
    import numpy as np
    import torch
    from skimage.morphology import skeletonize

    seeds = torch.from_numpy((1 - skeletonize(mask)).astype(np.float32))[None, None]
    tensor = torch.from_numpy(image)[None, None]
    found = FastGeodis.generalised_geodesic3d(tensor, seeds, list(spacing_mm), 1e10, 1.0, 4)
    distance: NDArray[Any] = found[0, 0].numpy()
    near = np.exp(-distance / distance.mean())
    stretched: NDArray[Any] = (near - near.min()) / (near.max() - near.min())
    return stretched


def _blend(label_map: NDArray[Any], values: NDArray[Any], maps: list[NDArray[Any]]) -> NDArray[Any]:
    import numpy as np

    foreground = np.stack(maps)
    every = np.concatenate([1 - foreground.mean(axis=0, keepdims=True), foreground])
    every /= every.sum(axis=0)
    every *= SMOOTHING
    for index, value in enumerate([0, *values]):
        every[index][label_map == value] += 1 - SMOOTHING
    soft: NDArray[Any] = every.astype(np.float16)
    return soft


if __name__ == "__main__":
    main()
