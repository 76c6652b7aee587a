"""``softlab import`` of plain files: maps of one class, volumes, one file for each class."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import softlab_cli
from softlab_cli.cases import Case, discover_cases
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, GeometryError, InputError, UsageError
from softlab_cli.labels.fractions import open_case_fractions, probe_fractions
from softlab_cli.labels.softfiles import open_soft_input
from softlab_cli.labels.softlabels import SoftLabels, occurring_in_soft
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.soft import open_soft_file
from softlab_cli.report.inspection import inspect_path
from tests.conftest import blobs, write_image
from tests.soft_support import AFFINE, SHAPE, save, shares

TWO = ClassTable.from_values([0, 1])


def opened(
    path: Path, count: int, class_names: tuple[str, ...] = (), **options: object
) -> SoftLabels:
    """The soft label of one file, with a table of so many classes."""
    case = Case("c", (path,), class_names=class_names)
    table = ClassTable.from_values(range(count))
    return SoftLabels.open(case, table, ReadingOptions(**options))  # type: ignore[arg-type]


def every(soft: SoftLabels) -> np.ndarray:
    """(C, Z, Y, X) of all classes."""
    return np.stack([soft.read(c.index) for c in soft.table.classes])


def test_a_map_of_one_class_is_stored_with_its_rest(softlab, tmp_path) -> None:
    share = shares(2)[0]
    save(tmp_path / "gm" / "s1.nii.gz", share)
    out = tmp_path / "o.zarr"
    command = ["import", "--in", tmp_path / "gm", "--out", out]
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    assert "its class is called label_1; --labels 0,1=NAME" in done.output
    case = softlab_cli.open_store(out)["s1"]
    assert case.classes.names == ("background", "label_1")
    np.testing.assert_array_equal(case.read()[1], share.astype(np.float16))
    np.testing.assert_array_equal(case.read()[0], (1 - share).astype(np.float16))
    np.testing.assert_array_equal(case.read_label(), case.read().argmax(axis=0))
    np.testing.assert_allclose(case.affine, AFFINE)
    assert case.info.details["background"] == "rest"
    assert softlab("verify", out).exit_code == 0
    assert "skipped      1" in softlab(*command).output  # it goes on from there
    save(tmp_path / "gm" / "s1.nii.gz", share / 2)
    assert "1 to do" in softlab(*command, "--dry-run").output


def test_labels_name_the_class_of_a_map(softlab, tmp_path) -> None:
    path = save(tmp_path / "s1.nii.gz", shares(2)[0])
    out = tmp_path / "o.zarr"
    assert softlab("import", "--in", path, "--out", out, "--labels", "0,4=gm").exit_code == 0
    assert softlab_cli.open_store(out).classes.names == ("background", "gm")
    refused = softlab("import", "--in", path, "--out", out, "--overwrite", "--labels", "0-2")
    assert refused.exit_code == 1
    assert "holds 1 volume, which is 2 classes with background, and there are 3" in refused.output
    with pytest.raises(ClassError, match=r"label value 0 is no class.*Name 0"):
        SoftLabels.open(Case("c", (path,)), ClassTable.from_values([1]), ReadingOptions())


@pytest.mark.parametrize(("scale", "dtype"), [(100, np.float32), (255, np.uint8), (100, np.int16)])
def test_other_scales_are_named_and_taken_when_said(tmp_path, scale, dtype) -> None:
    stored = (shares(2)[0] * scale).astype(dtype)
    stored[0, 0, 0] = scale
    path = save(tmp_path / "a.nii.gz", stored)
    with pytest.raises(InputError, match=f"If {scale} stands for 1, say so with --scale {scale}"):
        opened(path, 2)
    soft = opened(path, 2, scale=float(scale))
    np.testing.assert_array_equal(soft.read(1), stored.astype(np.float32) / np.float32(scale))
    assert not soft.warnings
    with pytest.raises(UsageError, match="not above 0"):
        opened(path, 2, scale=0.0)
    with pytest.raises(InputError, match=r"once divided by 10 .*Check --scale"):
        opened(path, 2, scale=10.0)


def test_integers_are_scaled_by_the_header_as_well(tmp_path) -> None:
    """As SPM writes maps: uint8 with a slope of 1/255."""
    import nibabel

    stored = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    image = nibabel.Nifti1Image(stored.T, AFFINE)
    image.header.set_slope_inter(1 / 255, 0)
    nibabel.save(image, tmp_path / "c1.nii")
    raw = bytearray((tmp_path / "c1.nii").read_bytes())
    raw[112:120] = np.array([1 / 255, 0], "<f4").tobytes()
    (tmp_path / "c1.nii").write_bytes(raw)
    np.testing.assert_allclose(opened(tmp_path / "c1.nii", 2).read(1), stored / 255, atol=1e-6)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (np.nan, r"holds 2 voxels that are not a number \(NaN\)"),
        (np.inf, r"holds 2 voxels outside 0..1 \(from .* to inf\)"),
        (-0.5, r"holds 2 voxels outside 0..1 \(from -0.5 to"),
        (1.25, r"holds 2 voxels outside 0..1 .* to 1.25\). Soft labels are numbers of 0 to 1"),
    ],
)
def test_what_is_no_share_is_counted(tmp_path, value, said) -> None:
    share = shares(2)[0]
    share[1, 2, 3:5] = value
    path = save(tmp_path / "a.nii.gz", share)
    with pytest.raises(InputError, match=said) as error:
        opened(path, 2)
    assert error.value.path == path


def test_rounding_is_taken_as_0_or_1_and_counted(tmp_path) -> None:
    share = shares(2)[0]
    share[0, 0, :3] = [-0.0005, 1.0004, 1]
    soft = opened(save(tmp_path / "a.nii.gz", share), 2)
    np.testing.assert_array_equal(soft.read(1)[0, 0, :3], [0, 1, 1])
    assert soft.warnings == ("2 numbers lay outside 0..1, by 0.0005 at most; taken as 0 or 1.",)


def test_a_hard_label_map_stays_refused_and_a_map_of_0_and_1_is_said(tmp_path) -> None:
    labels = blobs(SHAPE, 3)
    case = Case("c", (save(tmp_path / "hard.nii.gz", labels),))
    for path in (case.label_maps[0], save(tmp_path / "float.nii.gz", labels.astype(np.float32))):
        with pytest.raises(InputError, match=r"hard label map: there is no soft.*softlab svls"):
            opened(path, 2)
    with pytest.raises(InputError, match="hard label map"):
        occurring_in_soft(case, ReadingOptions())
    soft = opened(save(tmp_path / "binary.nii.gz", (labels == 1).astype(np.uint8)), 2)
    assert soft.warnings == ("holds 0 and 1 alone: a hard label, stored as it is.",)
    np.testing.assert_array_equal(soft.read(1), labels == 1)


@pytest.mark.parametrize("vector", [False, True])
def test_the_first_volume_is_background_where_all_sum_to_1(softlab, tmp_path, vector) -> None:
    volumes = shares(3)
    stored = volumes[:, None] if vector else volumes  # (C, T, Z, Y, X): dim[5] are the classes
    save(tmp_path / "in" / "s1.nii.gz", stored)
    out = tmp_path / "o.zarr"
    done = softlab("import", "--in", tmp_path / "in", "--out", out)
    assert done.exit_code == 0, done.output
    assert "so the first one is background" in done.output
    case = softlab_cli.open_store(out)["s1"]
    assert case.classes.names == ("background", "label_1", "label_2")
    np.testing.assert_array_equal(case.read(), volumes.astype(np.float16))
    assert case.info.details["background"] == "first"
    assert softlab("verify", out).exit_code == 0


def test_background_is_the_rest_where_volumes_leave_one(softlab, tmp_path) -> None:
    volumes = shares(3)
    save(tmp_path / "in" / "s1.nii.gz", volumes[1:])
    out = tmp_path / "o.zarr"
    command = ["import", "--in", tmp_path / "in", "--out", out]
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    assert "so background is what they leave" in done.output
    case = softlab_cli.open_store(out)["s1"]
    np.testing.assert_allclose(case.read(), volumes, atol=1e-3)
    assert softlab("verify", out).exit_code == 0
    refused = softlab(*command, "--background", "first", "--overwrite")
    assert refused.exit_code == 1
    assert "at 210 voxels the classes sum to less than 1 (to 0." in refused.output
    assert "--background rest that the first volume is no background" in refused.output


def test_background_is_said_where_cases_differ(softlab, tmp_path) -> None:
    save(tmp_path / "in" / "a.nii.gz", shares(3))
    save(tmp_path / "in" / "b.nii.gz", shares(3, 1) * np.float32(0.5))
    command = ["import", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr"]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "Say which it is with --background first or rest" in refused.output
    done = softlab(*command, "--background", "rest")
    assert done.exit_code == 0, done.output
    assert len(softlab_cli.open_store(tmp_path / "o.zarr").classes) == 4


def test_sums_above_1_are_refused_or_divided_and_counted(softlab, tmp_path) -> None:
    volumes = shares(3)[1:].copy()
    volumes[:, 0, 0, :2] = [[0.8, 0.9], [0.8, 0.3]]
    path = save(tmp_path / "s1.nii.gz", volumes)
    said = r"at 2 voxels the classes sum to more than 1 \(to 1.6 at most\)"
    with pytest.raises(InputError, match=rf"{said}\. Divide by the sum with --sums normalise"):
        opened(path, 3)
    out = tmp_path / "o.zarr"
    done = softlab("import", "--in", path, "--out", out, "--sums", "normalise")
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["s1"]
    total = np.maximum(volumes.sum(axis=0, dtype=np.float64), 1)
    expected = np.stack([total - volumes.sum(axis=0), *volumes]) / total
    np.testing.assert_allclose(case.read(), expected, atol=1e-3)
    (warning,) = case.info.warnings
    assert warning == (
        "at 2 voxels the classes sum to more than 1 (to 1.6 at most); divided by the sum."
    )
    assert softlab("verify", out).exit_code == 0
    with pytest.raises(InputError, match=r"--on-overlap first takes none.*--sums normalise"):
        opened(path, 3, on_overlap="first")
    assert opened(path, 3, on_overlap="highest").warnings == (warning,)


def test_all_classes_are_divided_also_where_they_sum_to_less(tmp_path) -> None:
    volumes = shares(3)
    volumes[:, 0, 0, 0] = 0
    volumes[:, 0, 0, 1] = [0.1, 0.1, 0.2]
    path = save(tmp_path / "s1.nii.gz", volumes)
    with pytest.raises(InputError, match=r"at 2 voxels the classes sum to less than 1 \(to 0 at"):
        opened(path, 3, background="first")
    soft = opened(path, 3, sums="normalise", background="first")
    assert soft.warnings[0].endswith("divided by the sum, and where it is 0 background.")
    np.testing.assert_allclose(every(soft)[:, 0, 0, :2].T, [[1, 0, 0], [0.25, 0.25, 0.5]])
    np.testing.assert_allclose(every(soft).sum(axis=0), 1, atol=1e-6)


def test_sums_that_are_off_by_rounding_are_held_at_1(tmp_path) -> None:
    """float16 numbers stay as they are; steps of 1/255 are divided out."""
    steps = np.rint(shares(6) * 255).astype(np.uint8)
    path = save(tmp_path / "s1.nii.gz", steps)
    soft = opened(path, 6, scale=255.0)
    total = steps.sum(axis=0, dtype=np.int64)
    assert (total != 255).any()
    assert not soft.warnings
    np.testing.assert_allclose(every(soft), steps / total, atol=1e-6)


@pytest.mark.parametrize("name", ["a.nrrd", "a.mha", "v.nrrd", "v.mha"])
def test_volumes_and_vectors_of_other_files(tmp_path, name) -> None:
    volumes = shares(3)
    if name.startswith("v"):
        image = sitk.GetImageFromArray(np.moveaxis(volumes, 0, -1).copy(), isVector=True)
    else:
        image = sitk.GetImageFromArray(volumes, isVector=False)
    sitk.WriteImage(image, str(tmp_path / name))
    file = open_soft_file(tmp_path / name)
    assert (file.count, file.geometry.shape) == (3, SHAPE)
    assert file.bytes_held >= volumes.nbytes
    np.testing.assert_array_equal(every(opened(tmp_path / name, 3)), volumes)


def test_volumes_along_two_axes_and_colours_are_refused(tmp_path) -> None:
    volumes = np.stack([shares(3), shares(3)])
    with pytest.raises(InputError, match="holds 3 x 2 volumes; expected them along one axis"):
        open_soft_file(save(tmp_path / "a.nii.gz", volumes))
    image = sitk.GetImageFromArray(np.zeros((4, 5, 3), np.uint8), isVector=True)
    sitk.WriteImage(image, str(tmp_path / "a.png"))
    with pytest.raises(InputError, match="vectors or colours"):
        open_soft_file(tmp_path / "a.png")


def test_volumes_are_read_one_at_a_time_in_any_order(tmp_path) -> None:
    volumes = shares(4)
    file = open_soft_file(save(tmp_path / "a.nii.gz", volumes))
    assert file.bytes_held == 0
    for index in (2, 0, 1, 3, 3, 1):
        np.testing.assert_array_equal(file.read(index), volumes[index])
    whole = (tmp_path / "a.nii.gz").read_bytes()
    (tmp_path / "a.nii.gz").write_bytes(whole[:-9])
    with pytest.raises(InputError, match="truncated"):
        [open_soft_file(tmp_path / "a.nii.gz").read(i) for i in range(4)]


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{case}_{class}.nii.gz", "atlas_1_{}.nii.gz"),
        ("{case}/{class}.nii.gz", "atlas_1/{}.nii.gz"),
        ("{class}", "{}.nii.gz"),
    ],
)
def test_a_file_for_each_class(softlab, tmp_path, pattern, name) -> None:
    volumes, names = shares(4)[1:], ("00", "10", "9")
    for volume, class_name in zip(volumes, names, strict=True):
        save(tmp_path / "atlas_1" / name.format(class_name), volume)
    out = tmp_path / "o.zarr"
    command = ["import", "--in", tmp_path / "atlas_1", "--class-pattern", pattern, "--out", out]
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    store = softlab_cli.open_store(out)
    assert list(store) == ["atlas_1"]
    assert store.classes.names == ("background", "00", "9", "10")
    soft = store["atlas_1"].read()
    np.testing.assert_array_equal(soft[[1, 3, 2]], volumes.astype(np.float16))
    np.testing.assert_allclose(soft[0], 1 - volumes.sum(axis=0), atol=1e-3)
    assert len(store["atlas_1"].sources) == 3
    assert softlab("verify", out).exit_code == 0
    assert softlab("verify", out, "--in", tmp_path / "atlas_1").exit_code == 0
    assert "skipped      1" in softlab(*command).output
    some = softlab(*command, "--roi", "*0", "--overwrite")
    assert some.exit_code == 0, some.output
    assert softlab_cli.open_store(out).classes.names == ("background", "00", "10")


def test_files_of_classes_by_name(softlab, tmp_path) -> None:
    """Files may be named one by one; one called background is background; 0 and 1 will do."""
    hot = np.stack([blobs(SHAPE, 3) == c for c in range(3)]).astype(np.uint8)
    files = [
        save(tmp_path / f"s_{name}.nii.gz", volume)
        for name, volume in zip(("background", "gm", "wm"), hot, strict=True)
    ]
    inputs = [argument for file in files for argument in ("--in", file)]
    out = tmp_path / "o.zarr"
    command = ["import", *inputs, "--class-pattern", "{case}_{class}", "--out", out]
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["s"]
    assert case.classes.names == ("background", "gm", "wm")
    np.testing.assert_array_equal(case.read(), hot)
    refused = softlab(*command, "--background", "rest", "--overwrite")
    assert "is background, and there is one. Leave --background out" in refused.output


def test_files_of_classes_that_cannot_be_one_case(tmp_path) -> None:
    one = save(tmp_path / "x" / "s_gm.nii.gz", shares(2)[0])
    two = save(tmp_path / "x" / "s_gm.nii", shares(2)[1])
    (case,) = discover_cases([tmp_path / "x"], class_pattern="{case}_{class}")
    assert case.problem is not None
    assert "the class 'gm', like" in str(case.problem)
    moved = save(tmp_path / "y" / "s_wm.nii.gz", shares(2)[1], np.diag([1.0, 1, 1, 1]))
    case = Case("s", (one, moved), class_names=("gm", "wm"))
    with pytest.raises(GeometryError, match=r"soft label and s_gm.nii.gz lie on different grids"):
        open_soft_input(case, ReadingOptions())
    many = save(tmp_path / "y" / "s_all.nii.gz", shares(3))
    with pytest.raises(InputError, match=r"holds 3 volumes.*Leave --class-pattern out"):
        open_soft_input(Case("s", (many,), class_names=("all",)), ReadingOptions())
    assert two.exists()


@pytest.mark.parametrize("pattern", ["{case}", "{case}_{class}_{class}", "{class}_{rater}"])
def test_a_pattern_names_the_class_once(tmp_path, pattern) -> None:
    with pytest.raises(UsageError, match=r"no pattern of class files.*\{case\} and \{class\} once"):
        discover_cases([tmp_path], class_pattern=pattern)
    with pytest.raises(UsageError, match="given together"):
        discover_cases([tmp_path], class_pattern="{class}", rater_pattern="{case}_{rater}")


def test_a_folder_without_a_fitting_file_names_the_option(tmp_path) -> None:
    save(tmp_path / "s_gm.nii.gz", shares(2)[0])
    with pytest.raises(InputError, match=r"named like '\{class\}.mha'.*Check --class-pattern"):
        discover_cases([tmp_path], class_pattern="{class}.mha")


def test_soft_labels_are_turned_onto_their_image_and_never_resampled(softlab, tmp_path) -> None:
    volumes = shares(3)
    save(tmp_path / "soft" / "s1.nii.gz", volumes)
    turned = AFFINE @ np.array(
        [[-1.0, 0, 0, SHAPE[2] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )
    save(tmp_path / "ct" / "s1.nii.gz", np.zeros(SHAPE, np.float32), turned)
    out = tmp_path / "o.zarr"
    command = ["import", "--in", tmp_path / "soft", "--images", tmp_path / "ct", "--out", out]
    done = softlab(*command)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["s1"]
    np.testing.assert_array_equal(case.read(), volumes[..., ::-1].astype(np.float16))
    np.testing.assert_allclose(case.affine, turned)
    assert "turned from LAS to RAS" in case.info.warnings[0]
    save(tmp_path / "ct" / "s1.nii.gz", np.zeros(SHAPE, np.float32), np.eye(4))
    refused = softlab(*command, "--overwrite")
    assert refused.exit_code == 1
    assert "soft label and image lie on different grids" in refused.output


def test_what_cannot_be_chosen_is_refused(softlab, tmp_path) -> None:
    path = save(tmp_path / "s1.nii.gz", shares(3))
    refused = softlab("import", "--in", path, "--out", tmp_path / "o.zarr", "--roi", "gm")
    assert "without names, of which --roi can choose none" in refused.output
    small = softlab("import", "--in", path, "--out", tmp_path / "o.zarr", "--max-memory", "1M")
    assert "Raise --max-memory" in small.output
    only = softlab("import", "--in", path, "--out", tmp_path / "o.zarr", "--labels-only")
    assert only.exit_code == 2


def test_a_picture_of_0_to_1(tmp_path) -> None:
    share = shares(2, shape=(6, 7))[0]
    soft = opened(write_image(tmp_path / "a.tif", share), 2)
    np.testing.assert_array_equal(soft.read(1), share[None])


def test_inspect_says_what_takes_soft_labels(tmp_path) -> None:
    found = inspect_path(save(tmp_path / "a.nii.gz", shares(2)[0]))
    assert found.kind == "probability map"
    assert found.facts["use"].startswith("soft labels of one class")
    assert "softlab import takes them" in found.facts["use"]
    found = inspect_path(save(tmp_path / "b.nii.gz", shares(3)))
    assert (found.kind, found.facts["channels"]) == ("soft labels", 3)
    assert inspect_path(save(tmp_path / "c.nii.gz", shares(3) * 9)).kind == "image"


def test_svls_sends_maps_of_0_to_1_to_import(softlab, tmp_path) -> None:
    path = save(tmp_path / "a.nii.gz", shares(2)[0])
    refused = softlab("svls", "--in", path, "--out", tmp_path / "o.zarr")
    assert "probability map (softlab import takes those)" in refused.output


def test_overlapping_maps_of_0_and_1_are_no_rounding(tmp_path) -> None:
    labels = (blobs(SHAPE, 3) == 1).astype(np.uint8)
    files = tuple(save(tmp_path / f"{n}.nii.gz", labels) for n in range(2))
    case = Case("c", files, class_names=("a", "b"))
    table = ClassTable.from_values(range(3), {1: "a", 2: "b"})
    with pytest.raises(InputError, match=rf"at {labels.sum()} voxels .*\(to 2 at most"):
        SoftLabels.open(case, table, ReadingOptions())
    soft = SoftLabels.open(case, table, ReadingOptions(sums="normalise"))
    np.testing.assert_array_equal(soft.read(2), labels * np.float32(0.5))


def test_files_of_classes_go_by_name_alone(softlab, tmp_path) -> None:
    """What is the second file of one case may be the third of another."""
    for case, names in (("s1", "ab"), ("s2", "b")):
        for number, name in enumerate(names):
            save(tmp_path / "in" / case / f"{name}.nii.gz", shares(3)[number])
    out = tmp_path / "o.zarr"
    command = ["import", "--in", tmp_path / "in", "--class-pattern", "{case}/{class}"]
    command += ["--out", out]
    refused = softlab(*command, "--labels", "0-2")
    assert "'a', 'b': no such class" in refused.output
    done = softlab(*command, "--overwrite")
    assert done.exit_code == 0, done.output
    assert "1 of 2 cases lacks a file of a class that others have: s2 (no a)" in done.output
    store = softlab_cli.open_store(out)
    assert store.classes.names == ("background", "a", "b")
    np.testing.assert_array_equal(store["s2"].read()[2], shares(3)[0].astype(np.float16))
    assert not store["s2"].read()[1].any()


def test_there_is_no_minus_zero_in_a_store(softlab, tmp_path) -> None:
    share = shares(2)[0]
    share[0] = -0.0
    path = save(tmp_path / "s1.nii.gz", share)
    assert softlab("import", "--in", path, "--out", tmp_path / "o.zarr").exit_code == 0
    assert softlab("verify", tmp_path / "o.zarr").exit_code == 0
    assert not np.signbit(softlab_cli.open_store(tmp_path / "o.zarr")["s1"].read()).any()


def test_segments_are_no_soft_labels(tmp_path) -> None:
    path = write_image(tmp_path / "s1.seg.nrrd", (blobs(SHAPE, 2) == 1).astype(np.uint8))
    with pytest.raises(InputError, match="is a hard label map: there is no soft label to import"):
        open_case_fractions(Case("s1", (path,)), None, TWO, ReadingOptions())


def test_several_inputs_are_cases_of_one_store(softlab, tmp_path) -> None:
    paths = [save(tmp_path / name / "s.nii.gz", shares(2)[0]) for name in "ab"]
    other = save(tmp_path / "t.nii.gz", shares(2)[1])
    out = tmp_path / "o.zarr"
    done = softlab("import", "--in", paths[0], "--in", other, "--out", out)
    assert done.exit_code == 0, done.output
    assert list(softlab_cli.open_store(out)) == ["s", "t"]
    refused = softlab("import", "--in", paths[0], "--in", paths[1], "--out", tmp_path / "p.zarr")
    assert "has 2 label maps" in refused.output
    assert "Files that hold one class each are told by --class-pattern" in refused.output


def test_no_case_is_read_as_others_are(softlab, tmp_path) -> None:
    """Whether the first volume is background is a matter of its own sums, not of the table."""
    three = ClassTable.from_values(range(3), {1: "a", 2: "b"})
    path = save(tmp_path / "in" / "s2.nii.gz", shares(2))
    said = r"holds 2 volumes, which is 2 classes with background \(they sum to 1 everywhere\)"
    with pytest.raises(ClassError, match=said):
        SoftLabels.open(Case("s2", (path,)), three, ReadingOptions())
    rest = SoftLabels.open(Case("s2", (path,)), three, ReadingOptions(background="rest"))
    np.testing.assert_array_equal(rest.read(1), shares(2)[0])
    part = Case("s3", (save(tmp_path / "s3.nii.gz", shares(3)[:2]),))
    with pytest.raises(ClassError, match=r"which is 3 classes .*they do not sum to 1.*are 2 "):
        SoftLabels.open(part, ClassTable.from_values([0, 1]), ReadingOptions())
    save(tmp_path / "in" / "s1.nii.gz", shares(3))
    done = softlab("import", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 1
    assert list(softlab_cli.open_store(tmp_path / "o.zarr")) == ["s1"]


@pytest.mark.parametrize(
    ("files", "zero"),
    [(("bg", "liver"), "bg"), (("Background", "liver"), "Background"), (("BACKGROUND", "x"), "")],
)
def test_a_file_may_be_the_class_of_label_value_0(tmp_path, files, zero) -> None:
    volumes = shares(2)
    paths = tuple(save(tmp_path / f"{n}.nii.gz", v) for n, v in zip(files, volumes, strict=True))
    case = Case("c", paths, class_names=files)
    table = ClassTable.from_values([0, 1], {0: zero or "background", 1: files[1]})
    soft = SoftLabels.open(case, table, ReadingOptions())
    np.testing.assert_array_equal(every(soft), volumes)
    assert soft.metadata == {"background": "named"}


def test_a_class_of_label_value_0_is_no_rest_where_a_file_has_it(tmp_path) -> None:
    volumes = shares(3)[1:]
    names = ("liver", "spleen")
    paths = tuple(save(tmp_path / f"{n}.nii.gz", v) for n, v in zip(names, volumes, strict=True))
    table = ClassTable.from_values([0, 1], {0: "liver", 1: "spleen"})
    with pytest.raises(InputError, match=r"sum to less than 1.*'liver' has label value 0"):
        SoftLabels.open(Case("c", paths, class_names=names), table, ReadingOptions())


def test_a_voxel_without_a_label_shifts_no_class(softlab, tmp_path) -> None:
    volumes = shares(3)
    volumes[:, 1] = 0
    path = save(tmp_path / "s1.nii.gz", volumes)
    out = tmp_path / "o.zarr"
    command = ["import", "--in", path, "--out", out]
    refused = softlab(*command)
    assert refused.exit_code == 1
    assert "the volumes sum to 1 at 168 of 210 voxels, and to 0 at 42" in refused.output
    assert "Say which it is with --background first or rest" in refused.output
    with pytest.raises(InputError, match="the first may be background"):
        opened(save(tmp_path / "hard.nii.gz", np.rint(shares(4)[1:]) * (shares(2) > 0.9)[0]), 4)
    said = r"at 42 voxels .*\(to 0 at least, which is at 42\).*--ignore-label 255 says"
    with pytest.raises(InputError, match=said):
        opened(path, 3, background="first")
    done = softlab(*command, "--background", "first", "--ignore-label", "255", "--overwrite")
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(out)["s1"]
    np.testing.assert_array_equal(case.read(), volumes.astype(np.float16))
    assert (case.read_label()[1] == 255).all()
    assert case.info.warnings == ("at 42 voxels all classes are 0: they are not labelled.",)
    assert softlab("verify", out).exit_code == 0


def test_what_export_writes_class_by_class_is_imported_again(softlab, tmp_path) -> None:
    volumes = shares(3)
    path = save(tmp_path / "s1.nii.gz", volumes)
    out, again = tmp_path / "o.zarr", tmp_path / "again.zarr"
    labels = ["--labels", "0,1=gm,2=wm left"]
    assert softlab("import", "--in", path, "--out", out, *labels).exit_code == 0
    assert softlab("export", out, "--out", tmp_path / "e", "--per-class").exit_code == 0
    command = ["import", "--in", tmp_path / "e", "--class-pattern", "{case}_{class}.nii.gz"]
    done = softlab(*command, "--out", again)
    assert done.exit_code == 0, done.output
    case = softlab_cli.open_store(again)["s1"]
    assert case.classes.names == ("background", "gm", "wm_left")
    np.testing.assert_allclose(case.read(), volumes, atol=1e-3)


@pytest.mark.parametrize("names", [("1_gm", "2_wm"), ("0_gm", "wm"), ("0_gm", "0_wm")])
def test_numbers_that_are_no_label_values_stay_in_names(tmp_path, names) -> None:
    volumes = shares(3)[1:]
    paths = tuple(save(tmp_path / f"{n}.nii.gz", v) for n, v in zip(names, volumes, strict=True))
    source = open_soft_input(Case("c", paths, class_names=names), ReadingOptions())
    assert tuple(part.name for part in source.parts) == names


def test_a_scale_is_named_where_numbers_may_have_one(tmp_path) -> None:
    labels = save(tmp_path / "hard.nii.gz", blobs(SHAPE, 3).astype(np.uint8))
    with pytest.raises(InputError) as error:
        opened(labels, 2)
    assert "softlab svls" in str(error.value)
    assert "--scale" not in str(error.value)
    soft = opened(labels, 2, scale=100.0)
    assert soft.warnings == (
        "the largest number is 0.02 after --scale 100, the number that stands for 1.",
    )
    for dtype in (np.uint8, np.float32):
        cent = save(tmp_path / "cent.nii.gz", (blobs(SHAPE, 2) * 100).astype(dtype))
        assert opened(cent, 2, scale=255.0).warnings == (
            "the largest number is 0.39 after --scale 255, and 100 before it; if that stands for "
            "1, say --scale 100.",
        )
        assert opened(cent, 2, scale=100.0).warnings == ()
    with pytest.raises(InputError, match="--scale N says which number stands for 1"):
        opened(save(tmp_path / "a.nii.gz", shares(2)[0] * np.float32(5)), 2)


@pytest.mark.parametrize(
    ("options", "said"),
    [({"threshold": 0.5}, "--threshold 0.5"), ({"resample_labels": "nearest"}, "nearest")],
)
def test_options_that_would_change_nothing_are_refused(tmp_path, options, said) -> None:
    case = Case("c", (save(tmp_path / "a.nii.gz", shares(2)[0]),))
    with pytest.raises(InputError, match=f"{said} would change nothing.*Leave it out"):
        probe_fractions(case, ReadingOptions(**options))
