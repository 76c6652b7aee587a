"""Small valid inputs of every reader, to be changed at random."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import SimpleITK as sitk

from tests.conftest import blobs
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices
from tests.pictures_support import png, tiff

__all__ = ["Specimen", "make_specimens"]

SHAPE = (5, 8, 10)
LABELS = blobs(SHAPE, 4, seed=3)


SEGMENTS = {
    f"Segment{number}_{key}": value
    for number, name in enumerate(("liver", "spleen", "kidney"))
    for key, value in (
        ("ID", f"Segment_{number + 1}"), ("Name", name), ("LabelValue", str(number + 1)),
        ("Layer", "0"), ("Extent", "0 9 0 7 0 4"), ("Color", "0.5 0.25 1"),
    )
}  # fmt: skip
"""What 3D Slicer writes into the header of a segmentation."""


@dataclass(frozen=True)
class Specimen:
    """A valid input.

    Parameters
    ----------
    kind
        As the table counts it.
    folder
        Where its files are.
    entry
        What is read, from `folder`: a label map, a series (a folder) or a list of cases.
    how
        ``plain``, ``object`` (SEG, RTSTRUCT), ``series`` or ``list``.
    changed
        The files that may be changed, and up to where the bytes of each are a header
        that nothing protects; None where no byte is under a checksum.
    images
        The series of an object, from `folder`.
    """

    kind: str
    folder: Path
    entry: str
    how: str
    changed: dict[str, int | None]
    images: str = ""


def make_specimens(folder: Path) -> dict[str, Specimen]:
    """One of each kind, by name."""
    found = [*_plain(folder), *_pictures(folder), *_dicom(folder), *_lists(folder)]
    return {specimen.kind: specimen for specimen in found}


def _plain(folder: Path) -> list[Specimen]:
    made = []
    for kind, packed in (
        ("nii", False), ("nii.gz", True), ("mha", False), ("packed.mha", True), ("nrrd", False),
        ("packed.nrrd", True), ("seg.nrrd", True), ("mhd", False), ("packed.mhd", True),
        ("nhdr", False), ("packed.nhdr", True),
    ):  # fmt: skip
        place = folder / kind
        place.mkdir(parents=True)
        image = sitk.GetImageFromArray(LABELS)
        image.SetSpacing((0.5, 0.75, 2.0))
        image.SetOrigin((3.0, -4.0, 5.5))
        for key, value in (SEGMENTS if kind == "seg.nrrd" else {}).items():
            image.SetMetaData(key, value)
        name = f"a.{kind.removeprefix('packed.')}"
        sitk.WriteImage(image, str(place / name), packed)
        changed = {path.name: _protected_from(path, packed) for path in place.iterdir()}
        made.append(Specimen(kind, place, name, "plain", changed))
    return made + _by_nibabel(folder)


def _protected_from(path: Path, packed: bool) -> int | None:
    """Where the compressed bytes of a file begin, which have a checksum."""
    if not packed:
        return None
    content = path.read_bytes()
    if path.name.endswith((".nii.gz", ".zraw", ".raw.gz")):
        return 0
    end = (
        content.find(b"LOCAL\n") + 6 if content.startswith(b"Object") else content.find(b"\n\n") + 2
    )
    return end if end < len(content) and end > 5 else None


def _by_nibabel(folder: Path) -> list[Specimen]:
    import nibabel

    made = []
    for kind, how in (("mgz", nibabel.MGHImage), ("hdr", nibabel.Nifti1Pair),
                      ("analyze", nibabel.Spm2AnalyzeImage)):  # fmt: skip
        place = folder / kind
        place.mkdir(parents=True)
        name = "a.mgz" if kind == "mgz" else "a.hdr"
        image = how(LABELS.T.astype(np.int16 if kind == "analyze" else np.uint8), np.eye(4))
        nibabel.save(image, place / ("a.mgz" if kind == "mgz" else "a.img"))
        changed = {path.name: 0 if kind == "mgz" else None for path in place.iterdir()}
        changed.pop("a.mat", None)
        made.append(Specimen(kind, place, name, "plain", changed))
    return made


def _pictures(folder: Path) -> list[Specimen]:
    place = folder / "pictures"
    place.mkdir(parents=True)
    files = {
        "png": ("a.png", png(8, 0, LABELS[0])),
        "palette.png": ("b.png", png(4, 3, LABELS[0], palette=True)),
        "tif": ("c.tif", tiff(list(LABELS))),
    }
    made = []
    for kind, (name, content) in files.items():
        (place / name).write_bytes(content)
        protected = None if name.endswith("tif") else 0
        made.append(Specimen(kind, place, name, "plain", {name: protected}))
    image = sitk.GetImageFromArray(LABELS)
    sitk.WriteImage(image, str(place / "d.tif"), True)
    return [*made, Specimen("packed.tif", place, "d.tif", "plain", {"d.tif": None})]


def _dicom(folder: Path) -> list[Specimen]:
    place = folder / "dicom"
    slices = make_slices(np.zeros(SHAPE, np.int16))
    save_slices(place / "series", slices)
    changed: dict[str, int | None] = {
        f"series/{path.name}": None for path in (place / "series").iterdir()
    }
    made = [Specimen("series", place, "series", "series", changed)]
    names = {1: "liver", 2: "spleen"}
    planes = np.stack([LABELS == 1, LABELS == 2], axis=-1).astype(np.uint8)
    for kind, pixels in (("BINARY", planes), ("FRACTIONAL", planes.astype(float)),
                         ("LABELMAP", np.where(LABELS < 3, LABELS, 0))):  # fmt: skip
        name = f"{kind.lower()}.dcm"
        make_seg(place / name, slices, pixels, kind, names)
        made.append(Specimen(f"SEG {kind}", place, name, "object", {name: None}, "series"))
    corners = np.array([[1.2, 1.3], [6.4, 1.3], [6.4, 5.2], [1.2, 5.2]])
    contours = [_placed(slices[z], corners + z / 10) for z in range(1, 4)]
    make_rtstruct(place / "rs.dcm", slices, {"liver": contours, "spleen": contours[:1]})
    return [*made, Specimen("RTSTRUCT", place, "rs.dcm", "object", {"rs.dcm": None}, "series")]


def _placed(image: object, corners: np.ndarray) -> np.ndarray:
    """Corners (n, 2) in voxels x, y of a slice, in LPS millimetres."""
    x0, y0, z0 = (float(v) for v in image.ImagePositionPatient)  # type: ignore[attr-defined]
    return np.column_stack(
        [x0 + corners[:, 0] * 0.7, y0 + corners[:, 1] * 0.8, np.full(len(corners), z0)]
    )


def _lists(folder: Path) -> list[Specimen]:
    place = folder / "lists"
    place.mkdir(parents=True)
    for name in ("a.nii.gz", "b.nii.gz"):
        sitk.WriteImage(sitk.GetImageFromArray(LABELS), str(place / name), True)
    rows = [["case_id", "label", "image", "rater"], ["a", "a.nii.gz", "a.nii.gz", "r1"],
            ["b", "b.nii.gz", "b.nii.gz", "r1"]]  # fmt: skip
    datalist = {"training": [{"image": n, "label": n} for n in ("a.nii.gz", "b.nii.gz")]}
    texts = {
        "csv": "\n".join(map(",".join, rows)),
        "tsv": "\n".join(map("\t".join, rows)),
        "json": json.dumps(datalist, indent=1),
    }
    made = []
    for kind, text in texts.items():
        (place / f"list.{kind}").write_text(text + "\n")
        made.append(Specimen(kind, place, f"list.{kind}", "list", {f"list.{kind}": None}))
    return made


def unpacked(content: bytes) -> tuple[bytes, Callable[[bytes], bytes]]:
    """What a gzip file holds, and how to pack it again; other files are their content."""
    if not content.startswith(b"\x1f\x8b"):
        return content, lambda inner: inner
    return gzip.decompress(content), lambda inner: gzip.compress(inner, 1, mtime=0)
