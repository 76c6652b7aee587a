"""The class table: values, names, ignore labels and the ways to give them."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.classes import ClassTable, read_class_names
from softlab_cli.core.errors import ClassError, InputError, UsageError


def test_sparse_values_become_contiguous_indices() -> None:
    table = ClassTable.from_values([65535, 0, 40, 7], {7: "liver"})
    assert table.values == (0, 7, 40, 65535)
    assert table.names == ("background", "liver", "label_40", "label_65535")
    assert [table.lookup[v] for v in (0, 7, 40, 65535, 1)] == [0, 1, 2, 3, -1]


@given(st.sets(st.integers(0, 65535), min_size=1, max_size=300), st.integers(0, 65535))
def test_lookup_inverts_values(values: set[int], ignored: int) -> None:
    if values == {ignored}:
        return
    table = ClassTable.from_values(values, ignore_values=[ignored])
    assert list(table.lookup[list(table.values)]) == list(range(len(table)))
    assert table.lookup[ignored] == table.ignore_index >= len(table)
    assert (table.lookup >= 0).sum() == len(table) + 1


@pytest.mark.parametrize(("count", "dtype"), [(2, "uint8"), (255, "uint8"), (256, "uint16")])
def test_index_type_leaves_room_for_the_ignore_mark(count: int, dtype: str) -> None:
    table = ClassTable.from_values(range(count))
    assert table.index_dtype == np.dtype(dtype)
    assert table.ignore_index == np.iinfo(dtype).max > count - 1


def test_json_round_trip() -> None:
    table = ClassTable.from_values([0, 3, 9], {3: "a"}, [255])
    assert ClassTable.from_json(table.to_json(), table.ignore_values) == table


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("0-4", (0, 1, 2, 3, 4)),
        ("4, 0,1", (0, 1, 4)),
        ("0=air,7=liver", (0, 7)),
        ("kidney,0", (0, 2)),
    ],
)
def test_labels_option(text: str, values: tuple[int, ...]) -> None:
    assert ClassTable.from_text(text, {2: "kidney"}).values == values


def test_labels_option_keeps_names() -> None:
    table = ClassTable.from_text("0=air,2", {2: "kidney"})
    assert table.names == ("air", "kidney")


@pytest.mark.parametrize("text", ["spleen", "5-2", "0-70000", "-1"])
def test_labels_option_refuses(text: str) -> None:
    with pytest.raises(UsageError, match="--labels"):
        ClassTable.from_text(text, {2: "kidney"})


@pytest.mark.parametrize("value", [-1, 65536])
def test_values_outside_the_range_are_refused(value: int) -> None:
    with pytest.raises(ClassError, match=f"label value {value} is outside"):
        ClassTable.from_values([0, value])


def test_a_name_stands_for_one_value() -> None:
    with pytest.raises(ClassError, match="'a' stands for label values 1 and 2"):
        ClassTable.from_values([0, 1, 2], {1: "a", 2: "a"})


def test_find_lists_what_there_is() -> None:
    table = ClassTable.from_values([0, 5], {5: "liver"})
    assert table.find("liver") == table.find("5") == table.classes[1]
    with pytest.raises(ClassError, match=r"no class 'spleen'.*0 background, 5 liver"):
        table.find("spleen")


def test_names_from_nnunet_dataset(tmp_path) -> None:
    path = tmp_path / "dataset.json"
    labels = {"background": 0, "whole": [1, 2], "core": 2, "ignore": 3}
    path.write_text(json.dumps({"labels": labels}))
    expected = {0: "background", 1: "label_1", 2: "core"}
    assert read_class_names(path) == read_class_names(tmp_path) == (expected, 3)


def test_names_from_value_to_name(tmp_path) -> None:
    path = tmp_path / "names.json"
    path.write_text('{"0": "background", "1": "liver"}')
    assert read_class_names(path) == ({0: "background", 1: "liver"}, None)


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"labels": {"liver": "kidney"}}'])
def test_unusable_names_files_are_named(tmp_path, text: str) -> None:
    path = tmp_path / "names.json"
    path.write_text(text)
    with pytest.raises(InputError, match=r"names\.json"):
        read_class_names(path)
