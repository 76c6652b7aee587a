"""Learned soft labels of one radiologist beside smoothed ones, judged by four radiologists.

    python examples/study/vls.py --given FOLDER --out examples/out/study-vls

FOLDER holds ``lidc_4raters_64x64.npz``: slices of lung nodules (LIDC-IDRI, CC BY 3.0) that four
radiologists have drawn, as arrays ``case_id`` (<patient>_n<nodule>_s<slice>), ``image``, ``raters``
(bit k is radiologist k + 1) and ``pixel_spacing_mm``. Networks learn from the first radiologist
alone, in two folds of patients; all four judge. That is hours on a CPU; what is whole is not done
again, and a training that was interrupted goes on.

``OUT/seed<n>/evaluation`` is what `softlab evaluate` says (NLL, Brier; region ``union``), and
``OUT/seed<n>/disagreement.csv`` how well entropy tells where the four disagree: AUROC within 6
pixels of the first one's edge, and ``strat``, the same among pixels of equal distance to it, where
distance alone would have 0.5.
"""

from __future__ import annotations

import argparse
import csv
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray
from scipy import ndimage

import softlab_cli

RATERS = 4
REACH_PIXELS = 6.1
FEWEST = 20
"""Pixels that agree, and that do not, below which a distance says nothing."""

PATIENT = "^([^_]+)_"

KERNELS = {
    "svls-k3": ["--kernel-size", "3"],
    "svls-k7": ["--kernel-size", "7", "--sigma-voxels", "3"],
}


def main() -> None:
    """Make the data, train, judge."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--given", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("examples/out/study-vls"))
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--engines", nargs="+", default=["crossfit", "vls"])
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--slices", type=int, help="Only the first so many, to try it.")
    parser.add_argument("--min-skill", type=float, default=0.2)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--workers", type=int, default=2)
    options = parser.parse_args()
    data = slices(options.given / "lidc_4raters_64x64.npz", options.out, options.slices)
    for seed in options.seeds:
        folder = options.out / f"seed{seed}"
        folder.mkdir(parents=True, exist_ok=True)
        stores = dict(every_store(data, folder, seed, options))
        evaluate(data, stores, folder)
        write_disagreement(data, stores, folder / "disagreement.csv")


def slices(path: Path, out: Path, most: int | None) -> Path:
    """The slices whose pixels have a known size, as a folder of images and one for each rater."""
    target, draft = out / "data", out / ".data-in-work"
    if target.exists():
        return target
    content = dict(np.load(path))  # the archive would unpack an array each time
    for row in np.flatnonzero(np.isfinite(content["pixel_spacing_mm"]))[:most]:
        name, size = f"{content['case_id'][row]}.nii.gz", float(content["pixel_spacing_mm"][row])
        write(content["image"][row], size, draft / "images" / name)
        for k in range(RATERS):
            write((content["raters"][row] >> k) & 1, size, draft / f"r{k + 1}" / name)
    draft.rename(target)
    return target


def write(values: NDArray[np.uint8], size_mm: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = sitk.GetImageFromArray(values)
    picture.SetSpacing([size_mm, size_mm])
    sitk.WriteImage(picture, str(path))


def softlab(*arguments: Any) -> None:
    """Run a command of softlab, and say how long it took."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "softlab_cli", *map(str, arguments)], check=True)
    print(f"{time.perf_counter() - started:.0f} s: softlab {arguments[0]}", flush=True)


def every_store(
    data: Path, folder: Path, seed: int, options: argparse.Namespace
) -> Iterator[tuple[str, Path]]:
    """Each arm and its store."""
    inputs = ["--in", data / "r1", "--images", data / "images", "--labels", "0,1"]
    for name, how in KERNELS.items():
        store = folder / f"{name}.zarr"
        softlab("svls", *inputs, *how, "--out", store)
        yield name, store
    network = ["--device", options.device, "--workers", options.workers]
    for engine in options.engines:
        store = folder / f"{engine}.zarr"
        softlab(
            "vls", *inputs, "--out", store, "--engine", engine, "--folds", 2, "--seed", seed,
            "--steps", options.steps, "--group-by", PATIENT, "--smoothing", 0.49,
            "--min-skill", options.min_skill, *network,
        )  # fmt: skip
        yield engine, store
        blended = folder / f"{engine}-on-svls.zarr"
        softlab(
            "vls", *inputs, "--out", blended, "--model", f"{store}.fit", "--base", "svls",
            "--smoothing", 0.4, *network,
        )  # fmt: skip
        yield f"{engine}-on-svls", blended


def evaluate(data: Path, stores: dict[str, Path], folder: Path) -> None:
    """What `softlab evaluate` says of each store, by all raters."""
    patients = folder / "patients.csv"
    with patients.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient"])
        for path in sorted((data / "images").iterdir()):
            case_id = path.name.removesuffix(".nii.gz")
            writer.writerow([case_id, case_id.split("_")[0]])
    raters = [part for k in range(RATERS) for part in ("--ref", data / f"r{k + 1}")]
    runs = [part for name, store in stores.items() for part in ("--pred", f"{name}={store}")]
    softlab(
        "evaluate", *runs, *raters, "--labels", "0,1", "--regions", "union=4vox",
        "--groups", patients, "--baseline", "svls-k7", "--out", folder / "evaluation",
    )  # fmt: skip


def write_disagreement(data: Path, stores: dict[str, Path], path: Path) -> None:
    """How well the entropy of each store tells where raters disagree."""
    first, disputed = drawn(data)
    distance = {case_id: distance_to_edge(mask) for case_id, mask in first.items()}
    near = {case_id: abs(d) < REACH_PIXELS for case_id, d in distance.items()}
    apart = np.concatenate([disputed[c][near[c]] for c in first])
    bins = np.concatenate([np.abs(distance[c][near[c]]).round(1) for c in first])
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["arm", "auroc", "strat"])
        for name, store in stores.items():
            cases = softlab_cli.open_store(store)
            read = {c: cases[c].read()[1].reshape(near[c].shape) for c in first}
            soft = np.concatenate([read[c][near[c]] for c in first]).astype(float)
            doubt = -abs(soft - 0.5)  # ordered as entropy is
            writer.writerow(
                [name, f"{auroc(doubt, apart):.4f}", f"{strat(doubt, apart, bins):.4f}"]
            )
    print(path.read_text())


def drawn(data: Path) -> tuple[dict[str, NDArray[Any]], dict[str, NDArray[Any]]]:
    """What the first rater drew, and where not all four agree, by case id."""
    first, disputed = {}, {}
    for path in sorted((data / "r1").iterdir()):
        case_id = path.name.removesuffix(".nii.gz")
        masks = [
            sitk.GetArrayFromImage(sitk.ReadImage(str(data / f"r{k + 1}" / path.name)))
            for k in range(RATERS)
        ]
        first[case_id] = np.atleast_3d(masks[0] > 0).reshape(1, *masks[0].shape)
        disputed[case_id] = (np.ptp(masks, axis=0) > 0).reshape(1, *masks[0].shape)
    return first, disputed


def distance_to_edge(mask: NDArray[Any]) -> NDArray[np.float64]:
    """Pixels to the edge of what was drawn, below 0 outside."""
    if not mask.any() or mask.all():
        return np.full(mask.shape, np.inf)
    inside = ndimage.distance_transform_edt(mask)
    return np.where(mask, inside - 0.5, 0.5 - ndimage.distance_transform_edt(~mask))


def auroc(score: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Chance that a positive has the higher score; a tie counts half."""
    _, place, counts = np.unique(score, return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[place]
    ones = int(positive.sum())
    zeros = len(score) - ones
    return float((rank[positive].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def strat(
    score: NDArray[np.float64], positive: NDArray[np.bool_], bins: NDArray[np.float64]
) -> float:
    """AUROC within each bin, weighted by the pairs that it is made of."""
    total = weight = 0.0
    for value in np.unique(bins):
        inside = bins == value
        ones = int(positive[inside].sum())
        zeros = int(inside.sum()) - ones
        if min(ones, zeros) > FEWEST:
            total += ones * zeros * auroc(score[inside], positive[inside])
            weight += ones * zeros
    return total / weight if weight else float("nan")


if __name__ == "__main__":
    main()
