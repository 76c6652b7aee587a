"""GeoLS with the authors' numbers beside adigasu/GeoLS and GeodisTK.

Theirs end at the maps, in float32. The soft label is the paper's formula, (1 - alpha)
onehot + alpha map, which is evaluated here in float64 of their maps and rounded once.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from importlib.util import find_spec
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import numpy as np
from click.testing import CliRunner
from numpy.typing import NDArray

import softlab_cli
from softlab_cli.cli.main import cli
from softlab_cli.geodesic import resolve_engine
from softlab_cli.geodesic.base import StepCost
from tests.conftest import REAL, blobs, write_image

from .checkout import CannotRun, Checkout
from .figures import Row, Ulps

FLARE_MM = (2.5, 2.0, 2.0)
BRATS_MM = (1.0, 1.0, 1.0)
SMOOTHING = 0.1
CLASSES_OF_CT = 8
MOST = 2.0**-11
"""What rounding maps first may be worth: less than half a step of float16, and a step
once that is rounded. Not so in units in the last place: where the maps' mean is next to
1, the background's is next to 0, with as many digits less."""

Volume = NDArray[Any]


@dataclass
class Case:
    """A label map, the channels of its image, and their name and spacing of the data set."""

    name: str
    dataset: str
    labels: NDArray[np.uint8]
    images: list[NDArray[np.float32]]

    @property
    def spacing_mm(self) -> tuple[float, float, float]:
        return FLARE_MM if self.dataset == "FLARE" else BRATS_MM

    @property
    def class_count(self) -> int:
        return int(self.labels.max()) + 1

    @property
    def onehot(self) -> NDArray[np.bool_]:
        return self.labels == np.arange(self.class_count)[:, None, None, None]


def compare(checkout: Checkout) -> Iterator[Row]:
    """All comparisons with the repository."""
    if find_spec("GeodisTK") is None:
        raise CannotRun("the package GeodisTK is missing; docs/FIDELITY.md says how to build it")
    code = checkout.load("geodesic_maps", stubs=["PIL"] if find_spec("PIL") is None else [])
    cases = [organs(), tumours(), without_skeletons(), *ct()]
    names = "; ".join(case.name for case in cases)
    same = f"all {len(cases)}"
    yield same_bits(code, cases, names)
    maps, behind, lost, soft, early = (Ulps() for _ in range(5))
    for case in cases:
        with TemporaryDirectory() as folder:
            theirs = their_maps(code, case, Path(folder))
            found = ours(case, Path(folder), 1.0)
            soft.add(ours(case, Path(folder), SMOOTHING), blend(case, theirs))
        has_map = theirs.any(axis=(1, 2, 3))
        maps.add(found[1:], theirs[1:])
        behind.add(found[0], theirs[0])
        if not has_map.all():
            lost.add(found[~has_map], theirs[~has_map])
        early.add(blend(case, rounded_first(theirs, has_map)), blend(case, theirs))
    yield Row("maps of foreground classes (`--smoothing 1`)", same, str(maps), maps.largest <= 1)
    yield Row("- those of classes without a skeleton", cases[2].name, str(lost), not lost.different)
    yield Row("- the background's", same, str(behind), behind.farthest <= MOST)
    yield Row("soft labels, alpha .1", same, str(soft), soft.farthest <= MOST)
    yield Row("- their own, had they rounded the maps to float16 first", same, str(early))


def same_bits(code: ModuleType, cases: list[Case], names: str) -> Row:
    """Distances before anything is made of them, four iterations, lambda 1 and 1/2."""
    engine, different, values = resolve_engine("parity"), 0, 0
    for case in cases:
        seeds = code.get_seeds(case.labels, case.class_count)
        places = [np.flatnonzero(mask) for mask in seeds if mask.any()]
        for weight in (1.0, 0.5):
            found = engine.distances(
                case.images[0][None], places, case.spacing_mm, StepCost("geodistk", weight)
            )
            for mask, distance in zip([m for m in seeds if m.any()], found, strict=True):
                other = code.geodesic_distance_3d(
                    case.images[0], mask, list(case.spacing_mm), weight
                )
                different += int(
                    np.count_nonzero(distance.view(np.uint32) != other.view(np.uint32))
                )
                values += distance.size
    apart = f"{different} of {values} float32 values differ"
    return Row("distances of GeodisTK, lambda 1 and .5", names, apart, not different)


def rounded_first(maps: Volume, has_map: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Their maps, in the background as well, had the foreground's been rounded to float16."""
    foreground = maps[1:].astype(np.float16).astype(float)
    background = 1 - foreground.sum(axis=0) / max(1, int(has_map[1:].sum()))
    return np.stack([background, *foreground])


def without_skeletons() -> Case:
    """A tumour's core of 2 x 2 x 2 voxels, and an organ of 91, of which nothing is left."""
    labels = np.zeros((12, 14, 20), np.uint8)
    labels[2:9, 2:9, 2:8] = 1
    labels[3:5, 10:12, 3:5] = 2
    labels[2:6, 2:6, 10:16] = 3
    for corner in [(2, 2, 10), (2, 2, 15), (2, 5, 10), (2, 5, 15), (5, 2, 10)]:
        labels[corner] = 0
    name = "a cube of 2 x 2 x 2 voxels and an organ of 91 beside a large one"
    return Case(name, "BraTS", labels, [noise(labels, 0)])


def their_maps(code: ModuleType, case: Case, folder: Path) -> NDArray[np.float32]:
    """(C, Z, Y, X), as they read, compute and average them."""
    seg = write_image(folder / "seg.nii.gz", case.labels, case.spacing_mm)
    found: list[Any] = []
    for image in case.images:
        path = write_image(folder / "image.nii.gz", image, case.spacing_mm)
        with redirect_stdout(StringIO()):
            found.append(
                code.get_geodesic_distance(str(path), str(seg), case.class_count, case.dataset)
            )
    mean: NDArray[np.float32] = sum(found[1:], found[0]) / np.float32(len(found))
    return mean


def ours(case: Case, folder: Path, smoothing: float) -> NDArray[np.float16]:
    """(C, Z, Y, X), what ``softlab geols --parity repository`` stores."""
    labels = write_image(folder / "labels" / "case.nii.gz", case.labels, case.spacing_mm)
    for i, image in enumerate(case.images):
        write_image(folder / "images" / f"case_{i:04}.nii.gz", image, case.spacing_mm)
    store = folder / f"{smoothing}.zarr"
    done = CliRunner().invoke(
        cli,
        ["geols", "--in", str(labels.parent), "--images", str(folder / "images"),
         "--out", str(store), "--labels", f"0-{case.class_count - 1}",
         "--parity", "repository", "--smoothing", str(smoothing), "--workers", "1"],
    )  # fmt: skip
    if done.exit_code:
        raise CannotRun(done.output)
    return softlab_cli.open_store(store)["case"].read()


def blend(case: Case, maps: Volume) -> NDArray[np.float64]:
    """(1 - alpha) onehot + alpha map."""
    soft: NDArray[np.float64] = (1 - SMOOTHING) * case.onehot + SMOOTHING * maps.astype(float)
    return soft


def noise(labels: NDArray[np.uint8], seed: int) -> NDArray[np.float32]:
    """An image that looks a little like its label map."""
    rng = np.random.default_rng(seed)
    image: NDArray[np.float32] = (labels * 40 + rng.normal(0, 12, labels.shape)).astype(np.float32)
    return image


def organs() -> Case:
    """As FLARE has them: one channel, four organs."""
    labels = blobs((26, 40, 44), 5, 1)
    return Case("26 x 40 x 44 voxels, 5 classes", "FLARE", labels, [noise(labels, 1)])


def tumours() -> Case:
    """As BraTS has them: four channels."""
    labels = blobs((30, 32, 34), 4, 2)
    images = [noise(labels, seed) for seed in range(4)]
    return Case("30 x 32 x 34 voxels, 4 classes, 4 channels", "BraTS", labels, images)


def ct() -> Iterator[Case]:
    """The CT and its largest organs, where `make data` was run."""
    if not (REAL / "labels" / "s01.nii.gz").exists():
        return
    labels, image = (read(REAL / kind / "s01.nii.gz") for kind in ("labels", "images"))
    largest = np.argsort(np.bincount(labels.ravel())[1:])[:-CLASSES_OF_CT:-1] + 1
    indices = np.zeros(labels.shape, np.uint8)
    for index, value in enumerate(largest.tolist(), start=1):
        indices[labels == value] = index
    name = f"the CT (30 x 101 x 122 voxels), {CLASSES_OF_CT} classes"
    yield Case(name, "FLARE", indices, [image.astype(np.float32)])


def read(path: Path) -> Volume:
    """(Z, Y, X)."""
    from SimpleITK import GetArrayFromImage, ReadImage

    found: Volume = GetArrayFromImage(ReadImage(str(path)))
    return found
