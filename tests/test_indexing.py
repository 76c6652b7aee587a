"""From label values to class indices, held against numpy; and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError
from softlab_cli.labels.indices import distinct_values, foreground_box, index_label_map
from tests.strategies import Labels, label_maps

KINDS = ["u1", "i1", "u2", "i2", "u4", "i4", "u8", "i8", ">i2", ">u4"]


def volume(kind: str, values: list[int], seed: int = 0) -> np.ndarray:
    picks = np.random.default_rng(seed).integers(0, len(values), (5, 6, 40))
    return np.array(values)[picks].astype(kind)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("ignore", [(), (7,)])
def test_every_integer_type_is_indexed(kind: str, ignore: tuple[int, ...]) -> None:
    values = volume(kind, [0, 7, 50, 101])
    values.flags.writeable = False
    classes = ClassTable.from_values([0, 7, 50, 99, 101], ignore_values=ignore)
    found = index_label_map(values, classes)
    assert found.class_indices.dtype == np.uint8
    expected = classes.lookup[values.astype(int)]
    np.testing.assert_array_equal(found.class_indices, expected)
    assert found.hard_voxels.tolist() == [int((values == v).sum()) for v in classes.values]
    assert found.ignored == int(np.isin(values, ignore).sum())


def test_many_classes_are_indexed_in_16_bits() -> None:
    values = volume("i4", list(range(0, 60000, 200)))
    classes = ClassTable.from_values(range(0, 60000, 200), ignore_values=[400])
    found = index_label_map(values, classes)
    assert found.class_indices.dtype == np.uint16
    np.testing.assert_array_equal(found.class_indices, classes.lookup[values])


@pytest.mark.parametrize("kind", ["u1", "i1"])
def test_values_that_are_indices_already_are_not_copied(kind: str) -> None:
    values = volume(kind, [0, 1, 2])
    found = index_label_map(values, ClassTable.from_values([0, 1, 2]))
    assert np.shares_memory(found.class_indices, values)
    assert found.class_indices.dtype == np.uint8
    marked = volume("u1", [0, 1, 255])
    found = index_label_map(marked, ClassTable.from_values([0, 1], ignore_values=[255]))
    assert np.shares_memory(found.class_indices, marked)
    assert found.ignored == (marked == 255).sum()


def test_only_values_that_occur_decide_about_a_copy() -> None:
    values = volume("u1", [0, 1])
    found = index_label_map(values, ClassTable.from_values([0, 1, 9]))
    assert np.shares_memory(found.class_indices, values)
    found = index_label_map(values, ClassTable.from_values([0, 1], ignore_values=[3]))
    assert np.shares_memory(found.class_indices, values)
    shifted = index_label_map(volume("u1", [1, 2]), ClassTable.from_values([1, 2]))
    assert set(np.unique(shifted.class_indices)) == {0, 1}


def test_arrays_that_are_not_contiguous_are_indexed() -> None:
    values = volume("i2", [3, 5])[::2, :, ::-1]
    classes = ClassTable.from_values([3, 5])
    found = index_label_map(values, classes)
    np.testing.assert_array_equal(found.class_indices, values == 5)


def test_values_without_a_class_are_named() -> None:
    values = np.array([[[0, 3, 3, 9]]], np.int16)
    with pytest.raises(ClassError) as caught:
        index_label_map(values, ClassTable.from_values([0]))
    assert str(caught.value) == (
        "label values 3 (2 voxels) and 9 (1 voxel) are no class. Make them classes with "
        "--labels, or leave their voxels out with --ignore-label."
    )
    with pytest.raises(ClassError, match=r"label value 9 \(1 voxel\) is no class. Make it one"):
        index_label_map(values, ClassTable.from_values([0], ignore_values=[3]))
    many = np.arange(30).reshape(1, 5, 6)
    with pytest.raises(ClassError, match=r"10 \(1 voxel\) and 19 more are no class"):
        index_label_map(many, ClassTable.from_values([0]))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.array([0, -1, -1], np.int8), "run from -1 to 0; those of 2 voxels are outside"),
        (np.array([70000, 1]), "run from 1 to 70000; those of 1 voxels are outside 0..65535."),
        (
            np.array([2**63], np.uint64),
            f"outside 0..65535. Read them as others with --map, such as "
            f"--map {2**63}=1, or leave voxels out with --ignore-label {2**63}.",
        ),
    ],
)
def test_values_out_of_range_are_refused(values: Any, message: str) -> None:
    for refuse in (distinct_values, lambda v: index_label_map(v, ClassTable.from_values([0]))):
        with pytest.raises(ClassError) as caught:
            refuse(values)
        assert message in str(caught.value)


@pytest.mark.parametrize("kind", KINDS)
def test_distinct_values_are_counted(kind: str) -> None:
    values = volume(kind, [100, 0, 3])
    unique, voxels = np.unique(values, return_counts=True)
    assert list(distinct_values(values).items()) == list(
        zip(unique.tolist(), voxels.tolist(), strict=True)
    )


def test_the_largest_value_and_the_empty_array_are_fine() -> None:
    assert distinct_values(np.array([65535, 65535], np.int64)) == {65535: 2}
    assert distinct_values(np.zeros((0, 3), np.uint8)) == {}


@given(label_maps(classes=3), st.booleans())
def test_the_foreground_is_all_but_background_and_ignored(
    labels: Labels, has_background: bool
) -> None:
    values = [0, 1, 2] if has_background else [1, 2, 3]
    box = foreground_box(labels.indices, ClassTable.from_values(values))
    foreground = (labels.indices < 3) & (labels.indices > 0 if has_background else True)
    places = np.nonzero(foreground)
    if len(places[0]) == 0:
        assert box is None
    else:
        assert box == tuple(slice(p.min(), p.max() + 1) for p in places)
