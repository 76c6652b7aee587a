"""One file a class: found in folders, by a pattern of names, with raters; and what is none."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk
from click.testing import Result

import softlab_cli
from softlab_cli.cases import Case, discover_cases
from softlab_cli.cases.class_folders import look_like_classes
from softlab_cli.cases.cuts import choose_cuts
from softlab_cli.core.errors import ClassError, GeometryError, InputError, UsageError
from softlab_cli.labels.numbering import Occurring
from softlab_cli.labels.read import probe_labels, read_labels
from softlab_cli.readers.class_files import ClassFiles
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.running.scan import ScanTask, scan_case
from tests.conftest import write_image

SHAPE = (5, 8, 9)
PARTS = ("kidney_left", "kidney_right", "liver")
Run = Callable[..., Result]


def mask(part: str, shift: int = 0) -> np.ndarray:
    found = np.zeros(SHAPE, np.uint8)
    first = 2 * PARTS.index(part) + shift
    found[1:4, first : first + 2, 2:6] = 1
    return found


def write_case(folder: Path, parts: tuple[str, ...] = PARTS, value: int = 1, **shift: int) -> Path:
    for part in parts:
        write_image(folder / f"{part}.nii.gz", mask(part, shift.get(part, 0)) * value)
    return folder


def cases_of(folder: Path, **options: str) -> tuple[list[Case], list[str]]:
    notes: list[str] = []
    return discover_cases([folder], tell=notes.append, **options), notes


@pytest.fixture
def organs(tmp_path: Path) -> Path:
    """Two cases; the second lacks a class."""
    write_case(tmp_path / "in" / "s1")
    write_case(tmp_path / "in" / "s2", PARTS[:2], value=255)
    return tmp_path / "in"


def test_a_folder_for_each_case_is_found_and_said(organs: Path) -> None:
    cases, (note, lacks) = cases_of(organs)
    assert lacks == "1 of 2 cases lacks a file of a class that others have: s2 (no liver)"
    assert {c.case_id: c.class_names for c in cases} == {"s1": PARTS, "s2": PARTS[:2]}
    assert [f.name for f in cases[1].label_maps] == ["kidney_left.nii.gz", "kidney_right.nii.gz"]
    assert "its 2 subfolders are cases" in note
    assert "--rater-pattern '{rater}/{case}'" in note
    assert cases_of(organs, class_pattern="{case}/{class}")[0] == cases


def test_what_is_no_class_is_counted_beside_them(organs: Path) -> None:
    (organs / "statistics.json").write_text("{}")
    (organs / "s1" / "log.txt").write_text("")
    _, (_, left, _) = cases_of(organs)
    assert "left out 2 files that are no class of a case" in left


def test_classes_lie_in_a_folder_beside_the_image(tmp_path: Path) -> None:
    write_image(tmp_path / "s1" / "ct.nii.gz", np.zeros(SHAPE, np.int16))
    write_case(tmp_path / "s1" / "segmentations")
    (case,), (_, left) = cases_of(tmp_path)
    assert (case.case_id, case.class_names) == ("s1", PARTS)
    assert "s1/ct.nii.gz" in left


@pytest.mark.parametrize(
    "names",
    [
        ("case1", "case2", "case3"),
        ("liver_1", "liver_2"),
        ("liver_001", "spleen_002"),
        ("liver_anna", "liver_ben"),
        ("anna", "ben"),
        ("t1", "t2", "liver"),
        ("liver",),
    ],
)
def test_names_of_cases_and_raters_are_no_classes(names: tuple[str, ...]) -> None:
    assert not look_like_classes(names)


def test_names_of_totalsegmentator_are_classes() -> None:
    names = "aorta lung_upper_lobe_left iliac_vena_left kidney_left gluteus_maximus_left"
    more = "autochthon_left vertebrae_L1 vertebrae_L2 rib_left_1 costal_cartilages"
    assert look_like_classes([*names.split(), *more.split()])
    assert look_like_classes(["lung_left", "lung_right"])


@pytest.mark.parametrize("tree", ["anna/case1 anna/case2 ben/case1 ben/case2",
                                  "rater1/liver rater1/spleen rater2/liver rater2/spleen",
                                  "r1/liver r1/spleen r2/liver r2/spleen",
                                  "case1/anna case1/ben", "s1/liver s1/spleen anna/case1",
                                  "s1/liver s2/liver"])  # fmt: skip
def test_trees_of_raters_are_never_taken_for_classes(tmp_path: Path, tree: str) -> None:
    for name in tree.split():
        write_image(tmp_path / f"{name}.nii.gz", mask("liver"))
    with pytest.raises(InputError, match=r"--class-pattern '\{case\}/\{class\}'.*--rater-pattern"):
        cases_of(tmp_path)


@pytest.mark.parametrize("how", ["grids", "values", "fractions"])
def test_files_that_are_no_masks_on_one_grid_are_not_taken(tmp_path: Path, how: str) -> None:
    folder = write_case(tmp_path / "s1")
    if how == "grids":
        write_image(folder / "spleen.nii.gz", mask("liver"), (2, 1, 1))
    else:
        odd = mask("liver") * (0.5 if how == "fractions" else 1)
        odd[0, 0, 0] = 3
        write_image(folder / "spleen.nii.gz", odd)
        for part in PARTS:
            os.truncate(folder / f"{part}.nii.gz", 4096)  # padded: the odd one is the smallest
    with pytest.raises(InputError, match="holds no label map"):
        cases_of(tmp_path)


def test_label_maps_of_the_folder_itself_go_before_subfolders(organs: Path) -> None:
    write_image(organs / "a.nii.gz", mask("liver"))
    cases, _ = cases_of(organs)
    assert [case.case_id for case in cases] == ["a"]


def test_a_folder_of_one_case_says_what_it_may_be(organs: Path) -> None:
    cases, (note,) = cases_of(organs / "s1")
    assert [case.case_id for case in cases] == list(PARTS)
    assert "--class-pattern '{class}'" in note
    (case,), _ = cases_of(organs / "s1", class_pattern="{class}")
    assert (case.case_id, case.class_names) == ("s1", PARTS)


def test_names_in_one_folder_are_cut_as_all_of_them_tell(tmp_path: Path) -> None:
    for case in ("s_1", "s_2"):
        for part in PARTS:
            write_image(tmp_path / f"{case}_{part}.nii.gz", mask(part))
    cases, (note,) = cases_of(tmp_path, class_pattern="{case}_{class}.nii.gz")
    assert {c.case_id: c.class_names for c in cases} == {"s_1": PARTS, "s_2": PARTS}
    assert "taken as the cases s_1, s_2 with the classes kidney_left" in note


@pytest.mark.parametrize(
    ("cases", "classes"),
    [
        (["s1", "s2"], ["kidney_left", "kidney_right", "liver"]),
        (["s_1", "s_2", "s_3"], ["a_b", "a_c", "lung_upper_left", "lung_upper_right"]),
        (["s1"], ["kidney_left", "kidney_right", "liver"]),
        (["a_b_1", "a_c_1"], ["left", "right"]),
    ],
)
def test_cuts_are_those_that_the_names_were_made_of(cases: list[str], classes: list[str]) -> None:
    made = [(case, name) for case in cases for name in classes]
    possible = []
    for case, name in made:
        text = f"{case}_{name}"
        possible.append([(text[:i], text[i + 1 :]) for i, c in enumerate(text) if c == "_"])
    assert choose_cuts(possible) == made


def test_patterns_are_one_or_the_other(organs: Path) -> None:
    with pytest.raises(UsageError, match="together"):
        cases_of(organs, class_pattern="{case}/{class}", rater_pattern="{case}/{rater}")
    with pytest.raises(UsageError, match="once each"):
        cases_of(organs, class_pattern="{case}")
    cases, _ = cases_of(organs, rater_pattern="{case}/{rater}")
    assert cases[0].class_names == ()
    assert cases[0].raters == PARTS


def source_of(folder: Path) -> ClassFiles:
    files = sorted(folder.glob("*.nii.gz"))
    return ClassFiles(tuple(files), tuple(f.name.split(".")[0] for f in files))


def test_files_become_one_label_map(organs: Path) -> None:
    found = read_labels(source_of(organs / "s2"), [], ReadingOptions())
    assert found.metadata["names"] == {1: "kidney_left", 2: "kidney_right"}
    assert np.array_equal(found.values, mask("kidney_left") + 2 * mask("kidney_right"))
    assert found.warnings == ()


def test_overlaps_follow_the_rule(tmp_path: Path) -> None:
    source = source_of(write_case(tmp_path / "s1", liver=-1))
    with pytest.raises(InputError, match=r"kidney_right and liver: 12 voxels.*--on-overlap"):
        read_labels(source, [], ReadingOptions())
    right, liver = mask("kidney_right"), mask("liver", -1)
    for rule, value in (("first", 2), ("last", 3), ("highest", 3)):
        found = read_labels(source, [], ReadingOptions(on_overlap=rule))
        assert set(np.unique(found.values[(right & liver) > 0])) == {value}
        assert found.warnings == (
            f"segments overlap, {rule} counts: kidney_right and liver: 12 voxels.",
        )


def test_classes_are_chosen_by_name_and_only_those_are_read(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "s1")
    (folder / "liver.nii.gz").write_bytes(b"damaged")
    found = read_labels(source_of(folder), [], ReadingOptions(rois=("kidney*",)))
    assert list(found.metadata["names"].values()) == ["kidney_left", "kidney_right"]
    with pytest.raises(ClassError, match="no class matches 'spleen'"):
        read_labels(source_of(folder), [], ReadingOptions(rois=("spleen",)))


@pytest.mark.parametrize(
    ("odd", "spacing", "reason"),
    [
        (np.arange(360).reshape(SHAPE) % 5, 1, "label values from 1 to 4"),
        (np.full(SHAPE, 0.5), 1, r"not within 0.001 of an integer"),
        (np.ones(SHAPE, int), 1.3, "different grids"),
    ],
)
def test_a_file_that_does_not_fit_is_named(
    tmp_path: Path, odd: np.ndarray, spacing: float, reason: str
) -> None:
    folder = write_case(tmp_path / "s1", PARTS[:1])
    odd = odd.astype(np.float32 if odd.dtype.kind == "f" else np.uint8)
    write_image(folder / "liver.nii.gz", odd, (spacing, 1, 1))
    with pytest.raises((InputError, GeometryError), match=reason) as caught:
        read_labels(source_of(folder), [], ReadingOptions())
    assert "liver.nii.gz" in str(caught.value)


def test_a_crop_of_the_grid_is_padded(tmp_path: Path) -> None:
    write_image(tmp_path / "heart.nii.gz", np.zeros(SHAPE, np.uint8), (2, 1, 1))
    write_image(tmp_path / "liver.nii.gz", np.ones((5, 8, 4), np.uint8), (2, 1, 1))
    found = read_labels(source_of(tmp_path), [], ReadingOptions())
    assert np.array_equal(found.values, 2 * (np.indices(SHAPE)[2] < 4))
    assert "liver.nii.gz: brought onto the grid" in found.warnings[0]


def test_memory_is_known_from_headers(organs: Path) -> None:
    source = source_of(organs / "s1")
    seen = probe_labels(source, [], ReadingOptions())
    voxels = int(np.prod(SHAPE))
    assert seen.bytes_held == voxels == read_labels(source, [], ReadingOptions()).values.nbytes
    assert seen.bytes_on_read >= 4 * voxels


def test_a_run_stores_every_file_and_sees_a_change(organs: Path, softlab: Run) -> None:
    out = organs.parent / "o.zarr"
    command = ("onehot", "--in", organs, "--out", out)
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert store.classes.names == ("background", *PARTS)
    assert [Path(s.path).name for s in store["s1"].sources] == [f"{p}.nii.gz" for p in PARTS]
    assert store["s2"].statistics.hard_voxels[1:] == [24, 24, 0]
    assert "skipped      2" in softlab(*command).output
    write_image(organs / "s1" / "liver.nii.gz", mask("liver") * 0)
    assert "done         1" in softlab(*command).output
    assert softlab_cli.open_store(out)["s1"].statistics.hard_voxels[3] == 0
    assert softlab("verify", out, "--in", organs).exit_code == 0


def test_dry_run_and_an_overlap_that_fails_one_case(organs: Path, softlab: Run) -> None:
    write_case(organs / "s3", liver=-1)
    command = ("onehot", "--in", organs, "--out", organs.parent / "o.zarr")
    dry = softlab(*command, "--dry-run")
    assert "its 3 subfolders are cases" in dry.output
    assert "4 classes: background, kidney_left, kidney_right, liver" in dry.output
    done = softlab(*command)
    assert done.exit_code == 1
    assert "done         2" in done.output
    assert "kidney_right and liver: 12 voxels" in done.output


def test_the_scan_takes_classes_from_file_names(tmp_path: Path) -> None:
    """Reading all files twice would take as long as the run."""
    folder = write_case(tmp_path / "s1")
    (folder / "liver.nii.gz").write_bytes(b"damaged")
    (case,), _ = cases_of(tmp_path, class_pattern="{case}/{class}")
    (found,) = scan_case(ScanTask(case, ReadingOptions()))
    assert found == Occurring(frozenset(), dict(enumerate(PARTS, 1)))


def test_two_inputs_are_raters(tmp_path: Path, softlab: Run) -> None:
    for rater, shift in (("anna", 0), ("ben", 1)):
        write_case(tmp_path / rater / "s1", liver=shift)
    raters = ("--in", tmp_path / "anna", "--in", tmp_path / "ben")
    for name, more in (("a", ()), ("b", ("--class-pattern", "{case}/{class}"))):
        done = softlab("fuse", *raters, *more, "--keep-raters", "--out", tmp_path / name)
        assert done.exit_code == 0, done.output
        case = softlab_cli.open_store(tmp_path / name)["s1"]
        assert case.raters == ("anna", "ben")
        liver = case.classes.find("liver").index
        assert np.array_equal(case.read_rater("ben") == liver, mask("liver", 1) > 0)
    refused = softlab("onehot", *raters, "--out", tmp_path / "c")
    assert "has 2 label maps (anna, ben)" in refused.output


def test_raters_that_are_copies_are_told(tmp_path: Path, softlab: Run) -> None:
    for rater in ("anna", "ben"):
        write_case(tmp_path / rater / "s1")
    done = softlab("fuse", "--in", tmp_path / "anna", "--in", tmp_path / "ben", "--out",
                   tmp_path / "o.zarr", "--dry-run")  # fmt: skip
    assert "'anna' and 'ben' are copies" in done.output


def test_inspect_shows_each_case(organs: Path, softlab: Run) -> None:
    (found,) = json.loads(softlab("inspect", "--json", organs).output)
    assert found["cases"] == ["s1", "s2"]
    assert found["problems"] == []
    first = found["parts"][0]
    assert first["kind"] == "label map, one file a class"
    assert [(e["name"], e["voxels"]) for e in first["labels"]] == [(p, 24) for p in PARTS]


def test_files_of_one_class_are_one_and_do_not_overlap(tmp_path: Path, softlab: Run) -> None:
    for case, shift in (("s1", 0), ("s2", 1)):  # in s2 the left kidney reaches into the right one
        write_case(tmp_path / "in" / case, kidney_left=shift)
    options = ("--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    done = softlab("onehot", *options, "--labels", "0,1=kidney*,2=liver")
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(tmp_path / "o.zarr")
    assert [c.name for c in store.classes.classes] == ["background", "kidney", "liver"]
    kidneys = mask("kidney_left", 1) | mask("kidney_right")
    np.testing.assert_array_equal(store["s2"].read_label(), kidneys + 2 * mask("liver"))


def test_a_crop_is_padded_whichever_name_comes_first(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "s1", ("liver", "kidney_left"))
    whole = sitk.ReadImage(str(folder / "kidney_left.nii.gz"))
    sitk.WriteImage(whole[:7, :3, 1:4], str(folder / "kidney_left.nii.gz"))
    found = read_labels(source_of(folder), [], ReadingOptions())
    values = {name: value for value, name in found.metadata["names"].items()}
    assert found.geometry.shape == SHAPE
    for part in ("liver", "kidney_left"):
        np.testing.assert_array_equal(found.values == values[part], mask(part) > 0)


def test_files_none_of_which_holds_the_others_are_refused(tmp_path: Path) -> None:
    folder = write_case(tmp_path / "s1", ("liver", "kidney_left"))
    for part, cut in (("liver", np.s_[:, 4:, :]), ("kidney_left", np.s_[:, :5, :])):
        image = sitk.ReadImage(str(folder / f"{part}.nii.gz"))
        image.SetSpacing((2, 1, 1))  # a file of identity is not known to lie anywhere
        sitk.WriteImage(image[cut], str(folder / f"{part}.nii.gz"))
    with pytest.raises(GeometryError, match="labelled voxels"):
        read_labels(source_of(folder), [], ReadingOptions())


def test_a_file_of_background_is_no_class(tmp_path: Path, softlab: Run) -> None:
    folder = write_case(tmp_path / "in" / "s1")
    taken = mask("liver") | mask("kidney_left") | mask("kidney_right")
    write_image(folder / "Background.nii.gz", 1 - taken)
    out = tmp_path / "o.zarr"
    done = softlab(
        "onehot", "--in", tmp_path / "in", "--class-pattern", "{case}/{class}", "--out", out
    )
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert [c.name for c in store.classes.classes] == ["background", *PARTS]
    assert int((store["s1"].read_label() == 0).sum()) == int((taken == 0).sum())
