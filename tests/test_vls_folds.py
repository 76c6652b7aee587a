"""What `softlab vls` knows of whole numbers: folds, groups, tiles, patches."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.methods.vls.batches import NOT_LABELLED, Sampler, crop
from softlab_cli.methods.vls.folds import (
    assign_folds,
    group_cases,
    inner_groups,
    join_copies,
    write_folds,
)
from softlab_cli.methods.vls.regridding import resample_linear, resample_nearest
from softlab_cli.methods.vls.tiles import Tiling, starts_of, tile_weights
from tests.vls_support import kept_cases


def nobody(*case_ids: str) -> dict[str, str]:
    return dict.fromkeys(case_ids, "")


def test_groups_are_patients_subjects_or_cases() -> None:
    found, how = group_cases({"a": "p1", "b": "p1", "x_sub-07_T1": "", "c": ""})
    assert found == {"a": "p1", "b": "p1", "x_sub-07_T1": "sub-07", "c": "c"}
    assert how == "BIDS subject and PatientID and case id"


def test_groups_may_be_said(tmp_path: Path) -> None:
    assert group_cases(nobody("p1_a", "p2_b"), r"^(p\d)_")[0] == {"p1_a": "p1", "p2_b": "p2"}
    assert group_cases(nobody("p1_a"), r"p\d")[0] == {"p1_a": "p1"}
    table = tmp_path / "groups.csv"
    table.write_text("case_id,group\na,one\nb,one\n")
    assert group_cases(nobody("a", "b"), str(table))[0] == {"a": "one", "b": "one"}
    with pytest.raises(UsageError, match="gives the case 'c' no group"):
        group_cases(nobody("a", "c"), str(table))
    with pytest.raises(UsageError, match="no regular expression"):
        group_cases(nobody("a"), "(")
    table.write_text("case,group\na,one\n")
    with pytest.raises(InputError, match="no columns case_id and group"):
        group_cases(nobody("a"), str(table))
    with pytest.raises(InputError, match="cannot be read"):
        group_cases(nobody("a"), str(tmp_path / "none.csv"))


def test_cases_with_one_image_stay_together() -> None:
    groups = {"a": "g1", "b": "g2", "c": "g3", "d": "g4"}
    joined = join_copies(groups, {"a": "x", "b": "y", "c": "x", "d": "y"})
    assert joined == {"a": "g1", "b": "g2", "c": "g1", "d": "g2"}
    chained = join_copies({"a": "g1", "b": "g2", "c": "g2", "d": "g3"},
                          {"a": "x", "b": "x", "c": "y", "d": "y"})  # fmt: skip
    assert set(chained.values()) == {"g1"}


@given(st.dictionaries(st.text("abc", min_size=1), st.sampled_from("ghijklm"), min_size=5),
       st.integers(0, 9))  # fmt: skip
def test_a_group_lies_in_one_fold_whatever_the_order(groups: dict[str, str], seed: int) -> None:
    count = min(3, len(set(groups.values())))
    folds = assign_folds(groups, count, seed)
    assert set(folds.values()) == set(range(count))
    for group in groups.values():
        assert len({folds[case_id] for case_id, own in groups.items() if own == group}) == 1
    assert assign_folds(dict(reversed(groups.items())), count, seed) == folds


def test_folds_are_even_and_depend_on_the_seed(tmp_path: Path) -> None:
    groups = {f"c{i}": f"g{i}" for i in range(20)}
    folds = assign_folds(groups, 4, 0)
    assert sorted(list(folds.values()).count(fold) for fold in range(4)) == [5, 5, 5, 5]
    assert folds != assign_folds(groups, 4, 1)
    write_folds(tmp_path / "folds.csv", groups, folds)
    lines = (tmp_path / "folds.csv").read_text().splitlines()
    assert lines[:2] == ["case_id,group,fold", f"c0,g0,{folds['c0']}"]
    with pytest.raises(InputError, match="2 groups are too few for 3 folds"):
        assign_folds({"a": "g", "b": "g", "c": "h"}, 3, 0)


def test_what_a_training_is_judged_by_takes_no_class_from_it() -> None:
    classes_of = {f"g{i}": {0, 1} for i in range(19)} | {"rare": {0, 1, 2}}
    for fold in range(12):
        inner = inner_groups(classes_of, 0, fold)
        assert len(inner) == 2
        assert "rare" not in inner
    assert inner_groups({"a": {0}, "b": {0}}, 0, 0) == set()


@given(st.tuples(*[st.integers(1, 70)] * 3), st.tuples(*[st.integers(1, 40)] * 3))
def test_tiles_cover_every_voxel_and_rows_end_in_order(shape, tile) -> None:
    tiling = Tiling(shape, tile)
    seen, done, numbers = np.zeros(shape, int), 0, []
    for first, end, row in tiling.rows():
        assert first == done
        for one in row:
            there, inside = tiling.inside(one)
            seen[there] += 1
            assert all(s.stop - s.start == k.stop - k.start and k.start >= 0
                       for s, k in zip(there, inside, strict=True))  # fmt: skip
            numbers.append(one.number)
        assert (seen[:end] > 0).all()
        done = end
    assert done == shape[0]
    assert numbers == list(range(len(tiling)))


def test_neighbouring_tiles_overlap_by_a_quarter() -> None:
    starts = starts_of(200, 64)
    assert starts == [0, 45, 90, 136]
    assert starts_of(30, 64) == [-17]
    assert tile_weights((1, 16, 16)).shape == (1, 16, 16)
    assert 0 < tile_weights((1, 16, 16)).min() < tile_weights((1, 16, 16)).max() <= 1


def test_a_crop_may_reach_beyond() -> None:
    array = np.arange(24).reshape(1, 4, 6)
    assert (crop(array, (1, 2), (2, 3), -1)[0] == array[0, 1:3, 2:5]).all()
    wide = crop(array, (-1, 4), (3, 4), -1)[0]
    assert (wide[1:, :2] == array[0, :2, 4:]).all()
    assert (wide[0] == -1).all()
    assert (wide[:, 2:] == -1).all()


def test_grids_of_one_extent() -> None:
    ramp = np.arange(8, dtype=np.float32)[None, None]
    assert (resample_linear(ramp, (1, 8)) == ramp).all()
    np.testing.assert_allclose(resample_linear(ramp, (1, 4))[0, 0], [0.5, 2.5, 4.5, 6.5])
    fine = resample_linear(ramp, (1, 16))[0, 0]
    np.testing.assert_allclose(fine[:4], [0, 0.25, 0.75, 1.25])
    assert (resample_nearest(np.array([0, 1]), (4,)) == [0, 0, 1, 1]).all()
    assert (resample_nearest(np.array([0, 1, 2, 3]), (2,)) == [1, 3]).all()


@pytest.fixture(scope="module")
def sampler(tmp_path_factory: pytest.TempPathFactory) -> Sampler:
    cases = kept_cases(tmp_path_factory.mktemp("cases"), 3, size=12, depth=3)
    return Sampler(cases, (1, 16, 16), 2, 4, seed=0, fold=1, ignore_index=255)


def test_batches_are_a_function_of_the_step(sampler: Sampler) -> None:
    first = [sampler.batch(step) for step in range(3)]
    for step in (2, 0, 1):
        again = sampler.batch(step)
        assert (again.images == first[step].images).all()
        assert (again.labels == first[step].labels).all()
    assert not (first[0].images == first[1].images).all()
    assert first[0].images.shape == (4, 1, 16, 16)


def test_what_lies_outside_is_not_labelled(sampler: Sampler) -> None:
    _, labels = sampler.batch(0)
    outside = labels == NOT_LABELLED
    assert (outside.sum(axis=(1, 2)) == 16 * 16 - 12 * 12).all()
    assert set(np.unique(labels)) <= {NOT_LABELLED, 0, 1}


def test_every_case_comes_as_often(sampler: Sampler) -> None:
    drawn = [sampler._case(number).case_id for number in range(9)]
    for turn in range(3):
        assert sorted(drawn[3 * turn : 3 * turn + 3]) == ["c0", "c1", "c2"]


def test_weights_of_a_tile_are_a_gaussian_about_its_middle() -> None:
    weights = tile_weights((1, 8, 16))
    for axis in range(3):
        np.testing.assert_array_equal(weights, np.flip(weights, axis))
    assert weights.max() == 1
    sigma, places = 8 / 8, np.array([-3.5, -0.5])
    first, middle = np.exp(-0.5 * (places / sigma) ** 2)
    assert weights[0, 0, 8] == pytest.approx(first / middle, rel=1e-5)
    assert tile_weights((16, 16, 16)).min() == np.float32(1e-3)


def test_labels_are_turned_over_with_their_image(sampler: Sampler) -> None:
    plain, turned = replace(sampler, changed=False), 0
    for step in range(4):
        for image, labels, before, drawn in zip(*sampler.batch(step), *plain.batch(step),
                                                strict=True):  # fmt: skip
            flips = [axes for axes in ((), (0,), (1,), (0, 1))
                     if (np.flip(drawn, axes) == labels).all()]  # fmt: skip
            alike = [np.corrcoef(np.flip(before[0], axes).ravel(), image[0].ravel())[0, 1]
                     for axes in flips]  # fmt: skip
            assert max(alike) > 0.9
            turned += () not in flips
    assert turned > 2
    assert (plain.batch(0).images != sampler.batch(0).images).any()


def test_patches_are_centred_on_foreground_as_often_as_is_said(
    tmp_path: Path,
) -> None:
    cases = kept_cases(tmp_path, 3, size=40)
    centred = Sampler(cases, (1, 8, 8), 2, 6, 0, 0, 255, changed=False, centred_share=1)
    middles = [labels[4, 4] for step in range(6) for labels in centred.batch(step).labels]
    assert middles == [1] * 36
    often = replace(centred, centred_share=3)
    middles = [labels[4, 4] for step in range(6) for labels in often.batch(step).labels]
    assert middles[::3] == [1] * 12
    assert 0 in middles


def test_the_largest_group_is_placed_first_in_the_emptiest_fold() -> None:
    groups = {f"{name}{i}": name for name, size in (("a", 6), ("b", 3), ("c", 2), ("d", 1))
              for i in range(size)}  # fmt: skip
    for seed in range(6):
        folds = assign_folds(groups, 2, seed)
        assert sorted(list(folds.values()).count(fold) for fold in range(2)) == [6, 6]


def test_a_class_stays_in_the_training_when_many_are_set_aside() -> None:
    pair = {f"g{i}": {0, 1, 2} if i < 2 else {0, 1} for i in range(20)}
    chosen = [inner_groups(pair, 0, fold) for fold in range(200)]
    assert any(inner & {"g0", "g1"} for inner in chosen)
    assert not any(inner == {"g0", "g1"} for inner in chosen)
    three = {"a": {0, 1}, "b": {0, 1}, "c": {0, 1}}
    assert len(inner_groups(three, 0, 0)) == 1
