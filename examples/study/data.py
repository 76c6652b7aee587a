"""The study's data as folders that softlab reads: images, and a folder for each rater.

    <out>/lidc/train/images/<slice>.nii.gz     one nodule's slice, 64 x 64 pixels
    <out>/lidc/train/r1/<slice>.nii.gz         what the first radiologist drew; r2, r3, r4
    <out>/lidc/validation/..., <out>/lidc/test/..., <out>/lidc/patients.csv

and the same of the hippocampus, which has one rater, so ``r1`` only. No patient is in two
of the three parts. README.md says where the files come from.
"""

from __future__ import annotations

import csv
import hashlib
import shutil
import tarfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

LIDC = "lidc_4raters_64x64.npz"
HIPPOCAMPUS = "hippocampus_260.tar"
CHECKSUMS = {
    LIDC: "9644f55da4d23a0812ee94de92b870b0bde0ab07ff644d8322a20f994a524a02",
    HIPPOCAMPUS: "ba8d9dd406535eab6f21045c76823a5da7794ed9c899835d1c176b5e333f692c",
}
RATERS = 4
PARTS = ("train", "validation", "test")
SLICES_OF_A_PATIENT = 1
"""In validation and test: neighbouring slices say the same, so more of them say little more."""
VOLUMES = {"train": 40, "validation": 20, "test": 60}


def prepare(name: str, given: Path, out: Path) -> Path:
    """The folder of a data set, made where it is not there yet.

    Parameters
    ----------
    name
        ``lidc`` or ``hippocampus``.
    given
        The folder with the files of the study, or with a data set in nnU-Net's raw layout.
    out
        Where the folder goes; it is renamed when it is whole.
    """
    target = out / name
    if not target.exists():
        draft = out / f".{name}-in-work"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        if name == "lidc":
            unpack_lidc(checked(given / LIDC), draft)
        elif (given / HIPPOCAMPUS).exists():
            unpack_hippocampus(checked(given / HIPPOCAMPUS), draft)
        else:
            copy_nnunet_raw(find_nnunet_raw(given), draft)
        draft.rename(target)
    return target


def checked(path: Path) -> Path:
    """A file of the study, if it is the one that the published figures are from."""
    if not path.exists():
        raise SystemExit(f"{path} is missing; examples/study/README.md says where it comes from.")
    if hashlib.sha256(path.read_bytes()).hexdigest() != CHECKSUMS[path.name]:
        raise SystemExit(f"{path} has another checksum than {CHECKSUMS[path.name]}.")
    return path


# ---- slices of four radiologists ------------------------------------------------------


def unpack_lidc(path: Path, out: Path) -> None:
    """Write the slices of each part, and whose they are."""
    content = np.load(path)
    patients = np.array([str(case_id).split("_")[0] for case_id in content["case_id"]])
    known = np.isfinite(content["pixel_spacing_mm"])
    names = {"train": "train", "validation": "val", "test": "test"}
    for part in PARTS:
        rows = np.flatnonzero(known & (content["split"] == names[part]))
        if part != "train":
            rows = spread(rows, patients[rows])
        write_slices({key: content[key][rows] for key in content}, out / part)
    with open(out / "patients.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "patient"])
        writer.writerows(zip(content["case_id"], patients, strict=True))


def spread(rows: NDArray[np.int64], patients: NDArray[np.str_]) -> NDArray[np.int64]:
    """Few slices of each patient, from the middle of those that there are."""
    chosen = []
    for patient in dict.fromkeys(patients.tolist()):
        own = rows[patients == patient]
        places = np.linspace(0, len(own) - 1, SLICES_OF_A_PATIENT + 2)[1:-1].round().astype(int)
        chosen += own[np.unique(places)].tolist()
    return np.array(chosen)


def write_slices(content: dict[str, NDArray[Any]], out: Path) -> None:
    """Images and label maps; bit k of a pixel of ``raters`` is radiologist k + 1."""
    for row, case_id in enumerate(content["case_id"]):
        spacing_mm = float(content["pixel_spacing_mm"][row])
        write_picture(content["image"][row], spacing_mm, out / "images" / f"{case_id}.nii.gz")
        for k in range(RATERS):
            drawn = (content["raters"][row] >> k) & 1
            write_picture(drawn, spacing_mm, out / f"r{k + 1}" / f"{case_id}.nii.gz")


def write_picture(values: NDArray[np.uint8], spacing_mm: float, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = sitk.GetImageFromArray(values)
    picture.SetSpacing([spacing_mm, spacing_mm])
    sitk.WriteImage(picture, str(path))


# ---- volumes of one rater -------------------------------------------------------------


def unpack_hippocampus(path: Path, out: Path) -> None:
    """``images/<case>.nii.gz`` and ``labels/<case>.nii.gz`` of an archive, divided in parts."""
    with tarfile.open(path) as archive:
        archive.extractall(out / "all", filter="data")
    labels = sorted((out / "all" / "labels").iterdir())
    for part, label in divided(labels):
        images = [out / "all" / "images" / label.name]
        copy_case(label, images, out / part)
    shutil.rmtree(out / "all")


def find_nnunet_raw(given: Path) -> Path:
    """The folder itself, or the one in it, that has ``imagesTr`` and ``labelsTr``."""
    for folder in (given, *sorted(given.iterdir())):
        if (folder / "imagesTr").is_dir() and (folder / "labelsTr").is_dir():
            return folder
    raise SystemExit(f"{given} has neither {HIPPOCAMPUS} nor a folder with imagesTr and labelsTr.")


def copy_nnunet_raw(dataset: Path, out: Path) -> None:
    """Cases of nnU-Net's raw layout, whose images end in ``_0000`` and so on, or do not."""
    labels = [p for p in sorted((dataset / "labelsTr").glob("*.nii.gz")) if p.name[0] != "."]
    for part, label in divided(labels):
        stem = label.name.removesuffix(".nii.gz")
        images = sorted((dataset / "imagesTr").glob(f"{stem}_[0-9][0-9][0-9][0-9].nii.gz"))
        copy_case(label, images or [dataset / "imagesTr" / label.name], out / part)


def divided(labels: Sequence[Path]) -> Iterable[tuple[str, Path]]:
    """Cases of each part, drawn once and for all."""
    wanted = sum(VOLUMES.values())
    if len(labels) < wanted:
        raise SystemExit(f"There are {len(labels)} cases, and {wanted} are needed.")
    drawn = [labels[i] for i in np.random.default_rng(0).permutation(len(labels))]
    for part, count in VOLUMES.items():
        for label in drawn[:count]:
            yield part, label
        drawn = drawn[count:]


def copy_case(label: Path, images: Sequence[Path], out: Path) -> None:
    for source, folder in [(label, "r1"), *((image, "images") for image in images)]:
        (out / folder).mkdir(parents=True, exist_ok=True)
        shutil.copy(source, out / folder / source.name)
