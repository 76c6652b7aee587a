"""3D Slicer's segmentations: names, layers, cropped extents; and exact counts of overlaps."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from click.testing import Result

import softlab_cli
from softlab_cli.cases import discover_cases
from softlab_cli.core.choices import OverlapRule
from softlab_cli.core.colours import class_colours
from softlab_cli.core.errors import ClassError, InputError
from softlab_cli.labels.numbering import common_classes, number_as
from softlab_cli.labels.read import probe_labels, read_labels
from softlab_cli.readers import open_label_object, read_image, read_label_map
from softlab_cli.readers.label_object import PlainLabelMap
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.overlaps import Combinations
from softlab_cli.readers.segments import Segment
from softlab_cli.report.inspection import inspect_path
from softlab_cli.running.scan import ScanTask, scan_case
from tests.conftest import write_image
from tests.seg_nrrd_support import segment_keys, write_seg_nrrd

SHAPE = (6, 8, 10)
Run = Callable[..., Result]


def box(*ranges: tuple[int, int]) -> np.ndarray:
    mask = np.zeros(SHAPE, np.uint8)
    mask[tuple(slice(*r) for r in ranges)] = 1
    return mask


LIVER = box((1, 5), (1, 6), (1, 6))
TUMOUR = box((2, 4), (2, 4), (2, 4))
HEART = box((0, 2), (0, 2), (5, 9))
"""The tumour lies in the liver (8 voxels); the heart shares 1 voxel of a slice with it."""


def one_layer(path: Path, liver: int = 1, heart: int = 2, dtype: str = "uint8") -> Path:
    values = np.where(LIVER > 0, liver, 0) * (HEART == 0) + HEART * heart
    keys = segment_keys([("liver", liver, 0), ("heart", heart, 0)])
    return write_seg_nrrd(path, [values.astype(dtype)], keys)


def two_layers(path: Path) -> Path:
    """As 3D Slicer does, each layer counts from 1."""
    first = LIVER * (HEART == 0) + 2 * HEART
    segments = [("liver", 1, 0), ("heart", 2, 0), ("tumour", 1, 1)]
    return write_seg_nrrd(path, [first, TUMOUR], segment_keys(segments))


def names_of(path: Path, *rois: str) -> dict[int, str]:
    return open_label_object(path).names(rois) or {}


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16"])
def test_values_have_the_names_of_the_header(tmp_path: Path, dtype: str) -> None:
    path = one_layer(tmp_path / "a.seg.nrrd", liver=7, heart=3, dtype=dtype)
    found = read_label_map(path)
    assert names_of(path) == found.metadata["names"] == {7: "liver", 3: "heart"}
    assert found.warnings == ()
    assert np.array_equal(found.values, np.where(HEART > 0, 3, LIVER * 7))


def test_a_name_is_the_same_class_whatever_its_number(tmp_path: Path) -> None:
    paths = [one_layer(tmp_path / "a.seg.nrrd", 1, 2), one_layer(tmp_path / "b.seg.nrrd", 2, 1)]
    found = []
    for case in discover_cases(paths[:1]) + discover_cases(paths[1:]):
        scanned = scan_case(ScanTask(case, ReadingOptions()))
        assert isinstance(scanned, tuple)
        found += scanned
    classes, note = common_classes(found, ())
    assert classes.names == ("background", "heart", "liver")
    assert "label values go by their names" in note
    for path in paths:
        label_map = number_as(read_labels(path, [], ReadingOptions()), classes, path)
        assert np.array_equal(label_map.values == 2, LIVER > HEART)


def test_equal_drawings_with_other_numbers_agree(tmp_path: Path, softlab: Run) -> None:
    one_layer(tmp_path / "r1" / "a.seg.nrrd", 1, 2)
    one_layer(tmp_path / "r2" / "a.seg.nrrd", 2, 1)
    done = softlab("fuse", "--in", tmp_path / "r1", "--in", tmp_path / "r2", "--out",
                   tmp_path / "o.zarr")  # fmt: skip
    assert done.exit_code == 0, done.output
    raters = softlab_cli.open_store(tmp_path / "o.zarr")["a"].info.details["raters"]
    assert raters["mean_dice"] == [1.0, 1.0]


@pytest.mark.parametrize(
    ("rule", "inside"), [("first", "liver"), ("last", "tumour"), ("highest", "tumour")]
)
def test_layers_are_joined_by_the_rule(tmp_path: Path, rule: OverlapRule, inside: str) -> None:
    path = two_layers(tmp_path / "a.seg.nrrd")
    found = open_label_object(path).label_map(None, ReadingOptions(on_overlap=rule))
    names = found.metadata["names"]
    assert names == {1: "liver", 2: "heart", 3: "tumour"}
    assert {names[v] for v in np.unique(found.values[TUMOUR > 0])} == {inside}
    assert found.warnings == (f"segments overlap, {rule} counts: liver and tumour: 8 voxels.",)
    rest = np.where(HEART > 0, 2, LIVER)
    assert np.array_equal(found.values[TUMOUR == 0], rest[TUMOUR == 0])


def test_overlapping_layers_are_refused_until_a_rule_is_given(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "a.seg.nrrd")
    with pytest.raises(InputError, match=r"liver and tumour: 8 voxels.*--on-overlap"):
        read_label_map(path)
    chosen = ReadingOptions(rois=("tum*", "heart"))
    found = open_label_object(path).label_map(None, chosen)
    assert found.metadata["names"] == {2: "heart", 3: "tumour"}
    assert np.array_equal(found.values, 2 * HEART + 3 * TUMOUR)
    assert found.warnings == ("segments without a label value were left out: liver.",)
    with pytest.raises(ClassError, match=r"no segment matches 'spleen'.*liver, heart, tumour"):
        names_of(path, "spleen")


def test_a_layer_for_each_segment_as_older_versions_wrote(tmp_path: Path) -> None:
    keys = {"Segment0_Name": "liver", "Segment1_Name": "tumour", "Segment1_ID": "t"}
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER, TUMOUR], keys)
    found = open_label_object(path).label_map(None, ReadingOptions(on_overlap="last"))
    assert np.array_equal(found.values, np.where(TUMOUR > 0, 2, LIVER))


def test_a_cropped_file_lies_where_its_grid_says(tmp_path: Path) -> None:
    image = write_image(tmp_path / "image.nii.gz", np.zeros(SHAPE, np.int16), (2, 1, 1.5))
    cut = (slice(1, 5), slice(1, 6), slice(2, 9))
    values = (LIVER * (HEART == 0) + 2 * HEART)[cut]
    keys = segment_keys([("liver", 1, 0), ("heart", 2, 0)])
    path = write_seg_nrrd(
        tmp_path / "a.seg.nrrd", [values], keys, origin=(3, 1, 2), spacing_mm=(1.5, 1, 2)
    )
    found = read_labels(path, [image], ReadingOptions())
    expected = np.zeros(SHAPE, np.uint8)
    expected[cut] = values
    assert np.array_equal(found.values, expected)
    assert found.metadata["names"] == {1: "liver", 2: "heart"}


def test_a_value_without_a_segment_is_background_and_counted(tmp_path: Path) -> None:
    values = (LIVER + 4 * TUMOUR).astype(np.int16)
    values[0, 0, :3] = -9
    keys = segment_keys([("liver", 1, 0), ("absent", 2, 0)])
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", [values], keys)
    found = read_label_map(path)
    assert np.array_equal(found.values, LIVER * (TUMOUR == 0))
    assert found.warnings == (
        "segments without a voxel (empty): absent.",
        "label values that no segment has count as background: -9 (3 voxels), 5 (8 voxels).",
    )


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Segment0_LabelValue": "one"}, "has 'one' as Segment0_LabelValue"),
        ({"Segment0_LabelValue": "0"}, "has '0' as Segment0_LabelValue"),
        ({"Segment1_LabelValue": "70000"}, "has '70000' as Segment1_LabelValue"),
        ({"Segment1_Layer": "-1"}, "has '-1' as Segment1_Layer"),
        ({"Segment1_Layer": "3"}, "'heart' is in layer 3, but has 1"),
        ({"Segment1_LabelValue": "1"}, "'liver' and 'heart' the same label value 1"),
    ],
)
def test_a_header_that_makes_no_sense_is_refused(
    tmp_path: Path, change: dict[str, str], reason: str
) -> None:
    keys = segment_keys([("liver", 1, 0), ("heart", 2, 0)]) | change
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER], keys)
    with pytest.raises(InputError, match=reason):
        read_label_map(path)
    (problem,) = inspect_path(path).problems
    assert re.search(reason, problem)


def test_fractions_are_no_segments(tmp_path: Path) -> None:
    path = write_seg_nrrd(
        tmp_path / "a.seg.nrrd", [LIVER.astype(np.float32)], segment_keys([("liver", 1, 0)])
    )
    with pytest.raises(InputError, match="stores float32 and no whole numbers"):
        read_label_map(path)


def test_a_file_without_such_keys_stays_a_label_map_of_numbers(tmp_path: Path) -> None:
    plain = write_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER], {"Segmentation_Name": "liver"})
    assert isinstance(open_label_object(plain), PlainLabelMap)
    assert "names" not in read_label_map(plain).metadata
    named = one_layer(tmp_path / "b.nrrd")
    assert names_of(named) == {1: "liver", 2: "heart"}
    assert read_image(two_layers(tmp_path / "c.seg.nrrd")).intensities.shape == (2, *SHAPE)


def test_names_may_hold_what_headers_escape(tmp_path: Path) -> None:
    keys = segment_keys(
        [("Milz \N{LATIN SMALL LETTER A WITH DIAERESIS}: b\\\\c", 1, 0), ("", 2, 0)]
    )
    path = write_seg_nrrd(tmp_path / "a.seg.nrrd", [LIVER], keys)
    assert names_of(path) == {1: "Milz \N{LATIN SMALL LETTER A WITH DIAERESIS}: b\\c",
                              2: "Segment_2"}  # fmt: skip


def test_inspect_lists_segments_and_colours(tmp_path: Path, softlab: Run) -> None:
    path = two_layers(tmp_path / "a.seg.nrrd")
    done = softlab("inspect", "--json", path)
    (found,) = json.loads(done.output)
    assert found["kind"] == "3D Slicer segmentation"
    assert [(e["name"], e["voxels"]) for e in found["labels"]] == [
        ("liver", int((LIVER > HEART).sum()) - 8), ("heart", 16), ("tumour", 8),
    ]  # fmt: skip
    assert found["layers"] == 2
    assert found["segments"][0]["color"] == "0.5 0.25 1"


def test_the_probe_counts_all_layers(tmp_path: Path) -> None:
    path = two_layers(tmp_path / "a.seg.nrrd")
    seen = probe_labels(path, [], ReadingOptions())
    voxels = int(np.prod(SHAPE))
    assert seen.bytes_held == voxels
    assert seen.bytes_on_read > 5 * voxels


@pytest.mark.parametrize("rule", ["first", "last", "highest"])
def test_combinations_count_every_pair(rule: OverlapRule) -> None:
    """Against a loop over voxels, with segments that several others cover."""
    rng = np.random.default_rng(3)
    shape, values = (3, 40, 41), (9, 300, 2, 5)
    segments = [Segment(v, f"s{v}", v) for v in values]
    masks = rng.random((len(values), *shape)) < 0.4
    joined = Combinations(shape, segments, Path("a"))
    for number, mask in enumerate(masks, 1):
        joined.add(mask.reshape(-1), lambda piece, number=number: piece * number)
    found, (warning,) = joined.label_map(rule)
    pairs: Counter[tuple[int, int]] = Counter()
    for index in np.ndindex(*shape):
        there = [v for v, mask in zip(values, masks, strict=True) if mask[index]]
        pairs.update(combinations(there, 2))
        winner = {"first": there[:1], "last": there[-1:], "highest": sorted(there)[-1:]}[rule]
        assert [found[index]] == (winner or [0])
    for (a, b), count in pairs.items():
        if f"s{a} and s{b}" in warning:
            assert f"s{a} and s{b}: {count:,} voxels" in warning
    assert warning.count(" voxels") == 5
    assert joined.voxels().tolist() == masks.sum(axis=(1, 2, 3)).tolist()


def test_colours_of_segments_are_kept_for_pictures(tmp_path: Path, softlab: Run) -> None:
    keys = segment_keys(
        [("liver", 1, 0), ("heart", 2, 0), ("odd", 3, 0)], {"heart": "1 0 0", "odd": "2 x 0"}
    )
    write_seg_nrrd(tmp_path / "in" / "a.seg.nrrd", [LIVER], keys)
    out = tmp_path / "o.zarr"
    command = ("onehot", "--in", tmp_path / "in", "--out", out)
    assert softlab(*command).exit_code == 0
    store = softlab_cli.open_store(out)
    assert [c.colour for c in store.classes.classes] == ["", "8040ff", "ff0000", ""]
    assert class_colours(store.classes)[1:3].tolist() == [[128 / 255, 64 / 255, 1], [1, 0, 0]]
    channels = json.loads((out / "a" / "zarr.json").read_text())["attributes"]["ome"]["omero"]
    assert [c["color"] for c in channels["channels"]][1:3] == ["8040FF", "FF0000"]
    labels = ("--labels", "0,1=liver,2=heart,3=odd")  # colours are no part of the recipe
    write_seg_nrrd(tmp_path / "in" / "b.seg.nrrd", [LIVER], keys)
    assert "skipped      1" in softlab(*command, *labels).output
    assert softlab("verify", out).exit_code == 0


def test_segments_of_one_class_are_one_and_do_not_overlap(tmp_path: Path, softlab: Run) -> None:
    keys = segment_keys([("Lung_L", 1, 0), ("lung left", 1, 1), ("heart", 2, 0)])
    write_seg_nrrd(tmp_path / "in" / "a.seg.nrrd", [LIVER, LIVER], keys)
    options = ("--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    done = softlab("onehot", *options, "--labels", "0,1=Lung_L|lung left,2=heart")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(tmp_path / "o.zarr")
    np.testing.assert_array_equal(store["a"].read_label(), LIVER)
