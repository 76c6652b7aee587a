"""What holds labels: opened once, and asked the same whatever its kind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

from softlab_cli.cases import discover_cases
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, InputError
from softlab_cli.labels.fractions import open_fractions
from softlab_cli.labels.read import probe_labels, read_labels, series_for
from softlab_cli.readers import open_label_object
from softlab_cli.readers.options import ReadingOptions
from tests.conftest import write_image
from tests.dicom_support import make_rtstruct, make_seg, make_slices, save, save_slices
from tests.seg_nrrd_support import segment_keys, write_seg_nrrd

SHAPE = (4, 9, 11)
NAMES = {1: "liver", 3: "left kidney"}


@pytest.fixture
def slices() -> list[Dataset]:
    return make_slices(np.zeros(SHAPE, np.int16))


def labels() -> np.ndarray:
    values = np.zeros(SHAPE, np.uint8)
    values[1:3, 2:6, 3:8] = 1
    values[2, 6:8, 3:5] = 3
    return values


def square(slices: list[Dataset], z: int) -> np.ndarray:
    """LPS millimetres of a square over voxels 2 to 5 of a slice."""
    x, y = 2 - 0.5, 6 - 0.5
    corners = np.array([(x, x), (y, x), (y, y), (x, y)])
    origin = np.array(slices[z].ImagePositionPatient, float)
    return origin + np.column_stack([corners * (0.7, 0.8), np.zeros(4)])


def draw(
    path: Path, slices: list[Dataset], change: Callable[[Dataset], None] = lambda ds: None
) -> Path:
    rois = {"GTV-1": [square(slices, 1)], "heart": [square(slices, 2)]}
    return make_rtstruct(path, slices, rois, change=change)


def make(kind: str, folder: Path, slices: list[Dataset]) -> Path:
    """One case's folder with a label object of a kind; returns that."""
    save_slices(folder / "series", slices)
    if kind == "RTSTRUCT":
        return draw(folder / "rs.dcm", slices)
    if kind == "SEG":
        return make_seg(folder / "seg.dcm", slices, (labels() > 0).astype(np.uint8), "BINARY",
                        {1: "liver"})  # fmt: skip
    if kind == "3D Slicer":
        keys = segment_keys([("liver", 1, 0), ("kidney", 3, 0)])
        return write_seg_nrrd(folder / "labels.seg.nrrd", [labels()], keys)
    return write_image(folder / "labels.nii.gz", labels())


@pytest.mark.parametrize(
    ("kind", "names", "on_series"),
    [
        ("plain", None, False),
        ("3D Slicer", {1: "liver", 3: "kidney"}, False),
        ("SEG", {1: "liver"}, True),
        ("RTSTRUCT", {1: "GTV-1", 2: "heart"}, True),
    ],
)
def test_each_kind_answers_the_same_questions(
    tmp_path: Path,
    slices: list[Dataset],
    kind: str,
    names: dict[int, str] | None,
    on_series: bool,
) -> None:
    path = make(kind, tmp_path, slices)
    found = open_label_object(path)
    options = ReadingOptions()
    series = series_for(found, [tmp_path / "series"] if on_series else [], options)
    assert (series is not None) == on_series == bool(found.series_uids)
    assert found.names(()) == names
    assert [label.name for label in found.describe().labels] == list((names or {}).values())
    label_map = found.label_map(series, options)
    probed = found.probe(series)
    assert probed.geometry.describe() == label_map.geometry.describe()
    assert probed.bytes_held >= label_map.values.nbytes
    assert label_map.metadata.get("names") == names


def test_a_plain_label_map_is_not_looked_into_when_it_is_opened(tmp_path: Path) -> None:
    found = open_label_object(tmp_path / "absent.nii.gz")
    assert found.names(["liver"]) is None
    assert found.fractions(None, ReadingOptions(), None) is None
    with pytest.raises(InputError, match="does not exist"):
        found.probe(None)


def test_what_holds_no_labels_is_refused_when_it_is_opened(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    with pytest.raises(InputError, match=r"is DICOM \(image\), not a label map"):
        open_label_object(save(slices[0], tmp_path / "slice.dcm"))
    (tmp_path / "notes.txt").write_text("nothing of use" * 20)
    with pytest.raises(InputError, match="no kind of file that can be read"):
        open_label_object(tmp_path / "notes.txt")


@pytest.mark.parametrize(("kind", "pattern"), [("SEG", "liv*"), ("RTSTRUCT", "GTV*")])
def test_segments_are_chosen_in_the_same_way(
    tmp_path: Path, slices: list[Dataset], kind: str, pattern: str
) -> None:
    path = make(kind, tmp_path, slices)
    assert list(open_label_object(path).names([pattern])) == [1]
    with pytest.raises(ClassError, match=r"matches 'spleen'.*There are: "):
        open_label_object(path).names(["spleen"])


def test_a_name_to_the_letter_goes_before_what_it_fits_as_a_pattern(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    names = {1: "node [12]", 2: "node 1"}
    pixels = np.stack([labels() == 1, labels() == 3], axis=-1).astype(np.uint8)
    path = make_seg(tmp_path / "seg.dcm", slices, pixels, "BINARY", names)
    assert open_label_object(path).names(["node [12]"]) == {1: "node [12]"}
    assert open_label_object(path).names(["node*"]) == names


def without_study(ds: Dataset) -> None:
    """As writers do that name images with the contours alone."""
    del ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence


def with_stale_series(ds: Dataset) -> None:
    study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
    study.RTReferencedSeriesSequence[0].SeriesInstanceUID = generate_uid()


def with_both_series(uid: str) -> Callable[[Dataset], None]:
    def change(ds: Dataset) -> None:
        study = ds.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence[0]
        other = Dataset()
        other.SeriesInstanceUID = uid
        study.RTReferencedSeriesSequence.append(other)

    return change


@pytest.mark.parametrize("how", ["no study", "stale", "both"])
@pytest.mark.parametrize("beside", [False, True])
def test_contours_find_their_series_by_the_images_that_they_name(
    tmp_path: Path, slices: list[Dataset], how: str, beside: bool
) -> None:
    """Another series with the same frame of reference lies there, too."""
    other = make_slices(np.ones(SHAPE, np.int16))
    changes = {
        "no study": without_study,
        "stale": with_stale_series,
        "both": with_both_series(str(other[0].SeriesInstanceUID)),
    }
    case = tmp_path / "case"
    images = save_slices(case / "a", slices).parent
    save_slices(case / "b", other)
    path = draw((case if beside else tmp_path) / "rs.dcm", slices, changes[how])
    options = ReadingOptions()
    where = [images]
    if beside:
        (found,) = discover_cases([case])
        where = list(found.images)
    label_map = read_labels(path, where, options)
    assert np.bincount(label_map.values.ravel()).tolist()[1:] == [16, 16]
    assert label_map.metadata["series_uid"] == slices[0].SeriesInstanceUID
    probed = probe_labels(path, where, options).geometry
    assert probed.describe() == label_map.geometry.describe()
    soft = open_fractions(path, where, 2, ClassTable.from_values([0, 1, 2]), options)
    assert float(soft.total().sum()) == 32


def test_a_series_that_is_not_there_names_both_ways_out(
    tmp_path: Path, slices: list[Dataset]
) -> None:
    path = draw(tmp_path / "rs.dcm", slices)
    other = save_slices(tmp_path / "other", make_slices(np.zeros(SHAPE, np.int16)))
    with pytest.raises(InputError, match=r"(?s)not among.*--images.*--series"):
        read_labels(path, [other], ReadingOptions())
