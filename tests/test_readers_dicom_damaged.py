"""DICOM files with damaged elements: an error of ours, whatever the libraries raise."""

from __future__ import annotations

import pickle
import random
from pathlib import Path

import numpy as np
import pytest
from pydicom import dcmread

from softlab_cli.core.errors import InputError
from softlab_cli.labels.read import read_labels
from softlab_cli.readers import open_label_object
from softlab_cli.readers.dicom.guard import damage_explained
from softlab_cli.readers.options import ReadingOptions
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save_slices

SHAPE = (3, 6, 7)
OPTIONS = ReadingOptions(on_overlap="highest", threshold=0.5)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A series, with a SEG and an RTSTRUCT of it."""
    folder = tmp_path_factory.mktemp("scene")
    slices = make_slices(np.zeros(SHAPE, np.int16))
    save_slices(folder / "series", slices)
    planes = np.zeros((*SHAPE, 1), np.uint8)
    planes[1, 2:4, 2:5] = 1
    make_seg(folder / "seg.dcm", slices, planes, "BINARY", {1: "liver"})
    x, y, z = (float(v) for v in slices[1].ImagePositionPatient)
    box = np.array([[x + 1, y + 1, z], [x + 3, y + 1, z], [x + 3, y + 3, z], [x + 1, y + 3, z]])
    make_rtstruct(folder / "rs.dcm", slices, {"liver": [box]})
    return folder


def without_segment_number(ds) -> None:
    del ds.SharedFunctionalGroupsSequence[0].SegmentIdentificationSequence[0][0x0062000B]


def without_roi_number(ds) -> None:
    ds.StructureSetROISequence[0].ROINumber = None


@pytest.mark.parametrize(
    ("name", "change"), [("seg.dcm", without_segment_number), ("rs.dcm", without_roi_number)]
)
def test_items_without_what_they_must_have(scene, tmp_path, name, change) -> None:
    ds = dcmread(scene / name)
    change(ds)
    ds.save_as(tmp_path / name)
    with pytest.raises(InputError) as caught:
        read_labels(tmp_path / name, (scene / "series",), OPTIONS)
    assert caught.value.path == tmp_path / name


@pytest.mark.parametrize("name", ["seg.dcm", "rs.dcm"])
def test_any_bytes_changed(scene, tmp_path, name) -> None:
    content = (scene / name).read_bytes()
    chance = random.Random(1)
    refused = 0
    for _ in range(60):
        changed = bytearray(content)
        at = chance.randrange(132, len(content))
        changed[at : at + 4] = chance.randbytes(4)
        (tmp_path / name).write_bytes(changed)
        try:
            read_labels(tmp_path / name, (scene / "series",), OPTIONS)
        except InputError:
            refused += 1
    assert refused > 5


def test_errors_that_nobody_has_foreseen() -> None:
    with (
        pytest.raises(InputError, match=r"makes no sense \(KeyError: 3\)"),
        damage_explained(Path("a.dcm")),
    ):
        raise KeyError(3)
    with pytest.raises(MemoryError), damage_explained(Path("a.dcm")):
        raise MemoryError


def test_a_guarded_object_can_be_pickled(scene) -> None:
    source = pickle.loads(pickle.dumps(open_label_object(scene / "seg.dcm")))
    assert source.describe().kind
