"""Pictures of cases as files: what is written, what is said, and what stops what."""

from __future__ import annotations

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.colours import line_colours, palette
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.report import preview
from softlab_cli.report.pictures.case import view_case
from softlab_cli.report.pictures.figures import draw_figure
from softlab_cli.report.preview import Looks, draw_cases, draw_sheet
from tests.conftest import blobs, write_image

PNG = b"\x89PNG"


def test_neighbouring_classes_have_different_colours() -> None:
    colours = palette(118)
    assert colours.shape == (118, 3)
    steps = np.abs(np.diff(colours, axis=0)).max(axis=1)
    assert steps.min() > 0.2


def test_classes_that_are_shown_together_have_different_colours() -> None:
    classes = ClassTable.from_values(range(118))
    for shown in ([5, 31, 86, 87], [36, 12, 77, 17], [4, 25, 46, 67]):
        colours = line_colours(classes, shown)
        assert list(colours) == shown
        np.testing.assert_array_equal(colours[shown[0]], palette(118)[shown[0]])
        apart = [np.linalg.norm(colours[a] - colours[b]) for a in shown for b in shown if a < b]
        assert min(apart) > 0.3
    red = {c.name: "ff0000" for c in classes.classes}
    assert {tuple(c) for c in line_colours(classes.coloured(red), [1, 2]).values()} == {(1, 0, 0)}


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The path of a store of three small cases with two raters each, and an image."""
    from click.testing import CliRunner

    from softlab_cli.cli.main import cli

    folder = tmp_path_factory.mktemp("preview")
    for name in "abc":
        array = blobs((8, 20, 24), 3, seed=ord(name))
        for rater in ("one", "two"):
            file = folder / "in" / f"{name}_{rater}.nii.gz"
            write_image(file, np.roll(array, rater == "two", axis=2), (2, 1, 1))
        write_image(folder / "images" / f"{name}.nii.gz", array * np.float32(100), (2, 1, 1))
    done = CliRunner().invoke(
        cli,
        ["msvls", "--in", str(folder / "in"), "--rater-pattern", "{case}_{rater}.nii.gz",
         "--images", str(folder / "images"), "--keep-raters", "--out", str(folder / "soft.zarr"),
         "--workers", "1"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    return folder / "soft.zarr"


def texts(figure) -> set[str]:
    return {text.get_text().strip() for text in figure.findobj(lambda o: hasattr(o, "get_text"))}


def test_a_picture_says_what_it_shows(store) -> None:
    case = softlab_cli.open_store(store)["a"]
    views = view_case(case, planes=["axial", "sagittal"])
    found = texts(draw_figure(views, case.classes, "msvls: a"))
    assert {
        "msvls: a", "hard label and raters over the image", "isolines of the soft label",
        "entropy of the soft label (bits)", "raters", "one", "two", "0.5", "A", "R",
        f"axial {views.views[0].index} of 8", f"sagittal {views.views[1].index} of 24",
    } <= found  # fmt: skip
    assert {case.classes.names[index] for index in views.classes} <= found
    assert "background" not in found


def test_a_picture_without_raters_image_and_soft_labels(store, softlab, tmp_path) -> None:
    case = softlab_cli.open_store(store)["a"]
    views = Looks(raters=False, image=False).views_of(case)
    assert {line.kind for line in views.views[0].lines} == {"hard", "soft"}
    assert views.views[0].image is None
    write_image(tmp_path / "b.nii.gz", blobs((6, 8, 8), 2))
    softlab("onehot", "--in", tmp_path / "b.nii.gz", "--out", tmp_path / "hard.zarr")
    case = softlab_cli.open_store(tmp_path / "hard.zarr")["b"]
    found = texts(draw_figure(view_case(case, planes=["axial"]), case.classes, ""))
    assert "outlines" in found
    assert not any("entropy" in text or "raters" in text for text in found)


def test_one_case_is_written_into_the_file_that_is_named(store, softlab, tmp_path) -> None:
    out = tmp_path / "new" / "a.png"
    done = softlab("preview", store, "--out", out, "--plane", "coronal", "--class", "1",
                   "--window", "100,300", "--zoom", "2", "--isolines", "0.3")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert done.output.strip() == str(out)
    assert out.read_bytes().startswith(PNG)
    assert [path.name for path in out.parent.iterdir()] == ["a.png"]


def test_several_cases_go_into_a_folder(store, softlab, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = softlab("preview", store, "c", "a", "--no-image", "--no-raters")
    assert done.exit_code == 0, done.output
    assert done.output.split() == ["soft-preview/c.png", "soft-preview/a.png"]
    done = softlab("preview", store, "--all", "--out", "all.png")
    assert done.exit_code == 2
    assert "'all.png' is one file, for 3 cases" in done.output
    assert softlab("preview", store, "a", "--all").exit_code == 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["soft-preview"]


def size_of(path) -> tuple[int, ...]:
    head = path.read_bytes()[16:24]
    return int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")


def test_many_cases_go_into_contact_sheets(store, softlab, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = softlab("preview", store, "--sheet")
    assert done.exit_code == 0, done.output
    assert done.output.strip() == "soft-preview.png"
    width, height = size_of(tmp_path / "soft-preview.png")
    monkeypatch.setattr(preview, "COLUMNS", 1)
    monkeypatch.setattr(preview, "ROWS", 2)
    drawn = list(draw_sheet(softlab_cli.open_store(store), "x.png"))
    assert [result.case_id for result in drawn if result.case_id] == ["a", "b", "c"]
    files = [result.path.name for result in drawn if result.path]
    assert files == ["x.png", "x-2.png"]
    assert size_of(tmp_path / "x.png")[1] > size_of(tmp_path / "x-2.png")[1]
    assert height < size_of(tmp_path / "x.png")[1]
    assert width == size_of(tmp_path / "x.png")[0]  # the key needs room


def test_a_case_that_cannot_be_read_is_named_and_stops_no_other(store, softlab, tmp_path) -> None:
    import shutil

    copy = tmp_path / "soft.zarr"
    shutil.copytree(store, copy)
    shard = next(path for path in (copy / "b" / "soft").rglob("c*") if path.is_file())
    shard.write_bytes(shard.read_bytes()[:-3])
    for options in (["--all", "--out", tmp_path / "all"], ["--sheet", "--out", tmp_path / "s.png"]):
        done = softlab("preview", copy, *options)
        assert done.exit_code == 1
        (line,) = done.stderr.splitlines()
        assert line.startswith("error: b: ")
    assert sorted(path.name for path in (tmp_path / "all").iterdir()) == ["a.png", "c.png"]
    assert (tmp_path / "s.png").exists()
    done = softlab("preview", copy, "b", "--out", tmp_path / "b.png")
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")
    assert not (tmp_path / "b.png").exists()


def test_an_image_on_another_grid_is_left_out_and_said(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", blobs((8, 9, 10), 3))
    write_image(tmp_path / "images" / "a.nii.gz", np.zeros((8, 9, 10), np.float32))
    store = tmp_path / "soft.zarr"
    softlab("onehot", "--in", tmp_path / "in", "--out", store, "--images", tmp_path / "images")
    write_image(tmp_path / "images" / "a.nii.gz", np.zeros((8, 9, 11), np.float32))
    done = softlab("preview", store, "--out", tmp_path / "a.png")
    assert done.exit_code == 0
    assert "note: a: the image is not shown" in done.stderr
    assert "different grids" in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--slice", 99], 2, "0 to 7"), (["--class", "spleen"], 2, "spleen"),
        (["--window", "wide"], 2, "'wide' is no window"), (["--zoom", "0"], 2, "is no zoom"),
        (["--isolines", "0.5,2"], 2, "no list of soft labels"), (["z"], 2, "no case 'z'"),
        (["--slice", 1, "--plane", "axial", "--plane", "coronal"], 2, "goes with one plane"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown(store, softlab, tmp_path, options, code, words) -> None:
    done = softlab("preview", store, *options, "--out", tmp_path / "a.png")
    assert done.exit_code == code, done.output
    assert words in done.output
    assert not (tmp_path / "a.png").exists()


def test_what_is_wrong_for_all_cases_is_said_once(store, tmp_path) -> None:
    opened = softlab_cli.open_store(store)
    with pytest.raises(UsageError, match="is no window"):
        list(draw_cases(opened, tmp_path, looks=Looks(window="wide")))


def test_nothing_half_written_is_left(store, tmp_path, monkeypatch) -> None:
    from matplotlib.figure import Figure

    def fail(self, path, **options) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Figure, "savefig", fail)
    with pytest.raises(StoreError, match=r"a\.png: cannot be written"):
        list(draw_cases(softlab_cli.open_store(store), tmp_path / "a.png", ["a"]))
    assert not list(tmp_path.iterdir())


def test_no_picture_replaces_another_file_or_lies_in_a_store(store, tmp_path) -> None:
    opened = softlab_cli.open_store(store)
    metadata = (store / "zarr.json").read_bytes()
    for place in ("zarr.json", "a.png", ""):
        with pytest.raises(UsageError, match="lies in the store"):
            list(draw_cases(opened, store / place, ["a"]))
    assert (store / "zarr.json").read_bytes() == metadata
    label_map = tmp_path / "a.nii.gz"
    label_map.write_bytes(b"voxels")
    with pytest.raises(StoreError, match="no PNG"):
        list(draw_cases(opened, label_map, ["a"]))
    assert label_map.read_bytes() == b"voxels"
    assert [path.name for path in tmp_path.iterdir()] == ["a.nii.gz"]
