"""What the system refuses: who is told, of which path, with which remedy; and who goes on."""

from __future__ import annotations

import ast
import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import softlab_cli
from softlab_cli.cases import discover_cases
from softlab_cli.core.classes import read_class_names
from softlab_cli.core.errors import InputError, StoreError
from softlab_cli.core.folders import files_below
from softlab_cli.core.provenance import sha256_of
from softlab_cli.core.system import explained, place_of, remedy_of, unreadable
from softlab_cli.methods import OneHot
from softlab_cli.readers.dicom import find_label_objects
from softlab_cli.store.files import system_errors
from tests.conftest import write_image

ASK = "Ask for the right to read it"
PARTS = ("liver", "spleen", "kidney_left")


@pytest.fixture
def forbid(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], None]:
    """Make a folder one of mode 000, also for tests that root runs: root may read all."""
    forbidden: list[str] = []

    def guarded(function: Callable[..., Any], inside_only: bool) -> Callable[..., Any]:
        def call(path: Any = ".", *arguments: Any, **options: Any) -> Any:
            if isinstance(path, str | bytes | os.PathLike):
                text = os.fsdecode(path)
                for folder in forbidden:
                    if text.startswith(f"{folder}{os.sep}") or (text == folder and not inside_only):
                        raise PermissionError(errno.EACCES, "Permission denied", text)
            return function(path, *arguments, **options)

        return call

    for name in ("scandir", "listdir", "open"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), inside_only=False))
    for name in ("stat", "lstat"):
        monkeypatch.setattr(os, name, guarded(getattr(os, name), inside_only=True))
    monkeypatch.setattr("io.open", guarded(open, inside_only=False))
    return lambda folder: forbidden.append(str(folder))


@pytest.fixture
def organs(tmp_path: Path) -> Path:
    """Three cases of one file a class."""
    for case_id in ("s1", "s2", "s3"):
        for i, part in enumerate(PARTS):
            mask = np.zeros((3, 4, 5), np.uint8)
            mask[:, i] = 1
            write_image(tmp_path / "in" / case_id / f"{part}.nii.gz", mask)
    return tmp_path / "in"


@pytest.mark.parametrize("doing", ["", "read", "written"])
@pytest.mark.parametrize(
    "name",
    ["EACCES", "EPERM", "ELOOP", "ENOSPC", "EMFILE", "ENFILE", "ENAMETOOLONG", "EROFS", "EIO",
     "ESTALE", "EDQUOT", "EFBIG", "ENOTDIR", "EISDIR", "ETIMEDOUT"],
)  # fmt: skip
def test_every_refusal_has_a_remedy(name: str, doing: str) -> None:
    error = OSError(getattr(errno, name), "no")
    assert remedy_of(error, doing).endswith(".")
    assert explained(error) is not None
    assert remedy_of(error, "read") in str(unreadable(error, "a"))
    with pytest.raises(StoreError) as told, system_errors("a", "written"):
        raise error
    assert told.value.remedy == remedy_of(error, "written")


def test_what_is_missing_is_named_and_what_may_not_be_looked_for_is_not(tmp_path: Path) -> None:
    gone = FileNotFoundError(errno.ENOENT, "no", str(tmp_path / "a" / "b"))
    assert place_of(gone, tmp_path) == tmp_path / "a" / "b"
    hidden = PermissionError(errno.EACCES, "no", str(tmp_path / "a" / "b"))
    assert place_of(hidden, tmp_path) == tmp_path


@pytest.mark.parametrize(
    "command",
    [("svls", "--in", "{}", "--out", "{}.zarr"), ("inspect", "{}"), ("verify", "{}"),
     ("info", "{}"), ("preview", "{}"), ("export", "{}", "--out", "{}.out"),
     ("evaluate", "--pred", "{}", "--ref", "{}", "--out", "{}.out"), ("report", "{}"),
     ("tune", "--in", "{}", "--out", "{}.out")],
    ids=lambda command: command[0],
)  # fmt: skip
def test_a_folder_that_cannot_be_read(softlab, tmp_path, forbid, command) -> None:
    """Status 1 and words of ours: what is an argument for click is an input for us."""
    (tmp_path / "in").mkdir()
    forbid(tmp_path / "in")
    done = softlab(*(word.format(tmp_path / "in") for word in command))
    assert done.exit_code == 1, done.output
    assert f"{tmp_path / 'in'}: " in done.output
    assert "Permission denied" in done.output
    assert ASK in done.output
    assert "zarr.json" not in done.output
    assert "Usage:" not in done.output


def test_click_asks_for_no_right(softlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would say so in its own words, and end with the status of a bad argument."""
    (tmp_path / "in").mkdir()
    monkeypatch.setattr(os, "access", lambda *_, **__: False)
    done = softlab("svls", "--in", tmp_path / "in", "--out", tmp_path / "out.zarr")
    assert done.exit_code == 1
    assert "holds no label map" in done.output


@pytest.mark.parametrize("options", [(), ("--class-pattern", "{case}/{class}")], ids=["", "named"])
def test_a_case_folder_that_cannot_be_read_fails_alone(
    softlab, organs: Path, tmp_path: Path, forbid, options
) -> None:
    forbid(organs / "s2")
    done = softlab("onehot", "--in", organs, "--out", tmp_path / "o.zarr", "--workers", 1, *options)
    assert done.exit_code == 1
    assert f"failed: s2: {organs / 's2'}: cannot be read (Permission denied). {ASK}" in done.output
    assert list(softlab_cli.open_store(tmp_path / "o.zarr")) == ["s1", "s3"]


def test_a_rater_whose_folder_cannot_be_read_is_not_passed_over(organs: Path, forbid) -> None:
    """Nobody knows which cases would lack the rater."""
    forbid(organs / "s2")
    with pytest.raises(InputError, match="Permission denied") as told:
        discover_cases([organs], rater_pattern="{rater}/{case}")
    assert told.value.path == organs / "s2"
    cases = discover_cases([organs], rater_pattern="{case}/{rater}")
    assert [case.case_id for case in cases if case.problem] == ["s2"]
    deeper = discover_cases([organs / "s1"], class_pattern="{class}")
    assert [case.problem for case in deeper] == [None]


def test_a_series_does_not_lose_the_slices_of_a_folder(organs: Path, forbid) -> None:
    forbid(organs / "s2")
    (broken,) = find_label_objects(organs).broken
    assert broken.path == organs / "s2"


def test_images_that_cannot_be_read(softlab, organs: Path, tmp_path: Path, forbid) -> None:
    (tmp_path / "images").mkdir()
    forbid(tmp_path / "images")
    done = softlab(
        "onehot", "--in", organs, "--images", tmp_path / "images", "--out", tmp_path / "o"
    )
    assert f"error: {tmp_path / 'images'}: cannot be read (Permission denied). {ASK}" in done.output


def test_links_that_lead_nowhere_are_missed(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    (tmp_path / "b").symlink_to("gone")
    os.mkfifo(tmp_path / "c")
    assert [file.name for file in files_below(tmp_path)] == ["a", "b"]


def test_a_case_of_a_store_that_cannot_be_read_spoils_no_other(
    softlab, organs: Path, tmp_path: Path, forbid
) -> None:
    store = tmp_path / "o.zarr"
    softlab_cli.run(OneHot(), organs, store, workers=1)
    forbid(store / "s2")
    done = softlab("verify", store, "--no-sources")
    assert done.exit_code == 1
    assert (
        f"defect: s2: metadata: {store / 's2'}: cannot be read (Permission denied)" in done.output
    )
    assert "1 defect" in done.output


def test_an_error_that_nobody_foresaw_shows_no_traceback(
    softlab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise ValueError("two\nlines")

    monkeypatch.setattr("softlab_cli.report.soundness.check_store", fail)
    done = softlab("verify", tmp_path)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr == "error: unforeseen ValueError: two\\nlines (--debug shows where)\n"
    shown = softlab("verify", tmp_path, "--debug")
    assert isinstance(shown.exception, ValueError)


def test_inspect_of_a_folder_whose_subfolders_hold_some_points_to_them(
    softlab, tmp_path: Path
) -> None:
    for name in ("s1", "s2"):
        write_image(tmp_path / "in" / name / "a.nii.gz", np.ones((3, 4, 5), np.uint8))
    done = softlab("inspect", tmp_path / "in")
    assert done.exit_code == 0
    assert "Subfolders hold some: s1, s2. Give one of them" in done.output
    assert "no DICOM file itself.\n" in done.output


def test_inspect_says_that_there_is_nothing(softlab, organs: Path, tmp_path: Path) -> None:
    """As svls --in of the same folders, its status tells."""
    empty, links = tmp_path / "empty", tmp_path / "links"
    empty.mkdir()
    links.mkdir()
    (links / "a.nii.gz").symlink_to("gone\x1b.nii.gz")
    (links / "b.nii.gz").symlink_to("b.nii.gz")
    for folder in (empty, links):
        assert softlab("svls", "--in", folder, "--out", tmp_path / "o.zarr").exit_code == 1
    done = softlab("inspect", empty)
    assert done.exit_code == 1
    assert "holds no image, no label map and no DICOM file. Name a folder" in done.output
    done = softlab("inspect", links)
    assert done.exit_code == 1
    assert "is a link to gone\\x1b.nii.gz, which does not exist. Put the file there" in done.output
    assert "Too many levels of symbolic links). Remove the links" in done.output
    assert softlab("inspect", organs).exit_code == 0


def test_inspect_goes_on_after_what_it_may_not_look_at(softlab, organs: Path, forbid) -> None:
    hidden, seen = organs / "s1" / "liver.nii.gz", organs / "s2" / "liver.nii.gz"
    forbid(organs / "s1")
    done = softlab("inspect", hidden, seen)
    assert done.exit_code == 1
    assert f"{hidden}: unreadable\n  problem   {organs / 's1'}: cannot be read (" in done.output
    assert f"{ASK}, and to enter the folders on the way; or leave it out." in done.output
    assert f"{seen}: label map" in done.output


def test_inspect_calls_a_device_no_kind_of_file(softlab) -> None:
    """It was no folder: which it need not be."""
    done = softlab("inspect", os.devnull)
    assert done.exit_code == 1
    assert "is no kind of file that can be read. Give NIfTI, " in done.output


def test_class_names_in_a_folder_that_none_may_enter(tmp_path: Path, forbid) -> None:
    (tmp_path / "closed").mkdir()
    forbid(tmp_path / "closed")
    with pytest.raises(InputError, match=r"cannot be read \(Permission denied\)") as told:
        read_class_names(tmp_path / "closed" / "dataset.json")
    assert told.value.path == tmp_path / "closed"


def test_inspect_says_which_case_of_a_store_is_damaged(
    softlab, organs: Path, tmp_path: Path
) -> None:
    store = tmp_path / "o.zarr"
    softlab_cli.run(OneHot(), organs, store, workers=1)
    os.truncate(store / "s2" / "zarr.json", 100)
    done = softlab("inspect", store)
    assert done.exit_code == 1
    assert (
        f"{store / 's2'}: unreadable\n    problem   {store / 's2' / 'zarr.json'}: " in done.output
    )
    assert "Remove the folder of the case and run the command again" in done.output
    assert f"{store / 's3'}: case" in done.output
    for case_id in ("s1", "s2", "s3"):
        shutil.rmtree(store / case_id)
    done = softlab("inspect", store)
    assert (done.exit_code, "is a store without a case. Fill it first." in done.output) == (1, True)


WITHOUT = {
    ("measure.py", "GeometryError"): "the one who calls it has not put them on one grid",
    ("map_scratch.py", "StoreError"): "a file that has just been written",
    ("learning.py", "InputError"): "its problem has the remedy",
    ("executors.py", "InputError"): "the reason has it",
    ("codec.py", "StoreError"): "who reads the chunk adds the remedy",
    ("write_seg.py", "InputError"): "no case has no segment",
}
"""Errors about files that name no remedy, and why."""


def test_errors_about_files_name_a_remedy() -> None:
    found = set()
    for path in Path(softlab_cli.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.func.id if isinstance(node, ast.Call) and isinstance(
                node.func, ast.Name) else ""  # fmt: skip
            if name in ("InputError", "GeometryError", "StoreError"):
                keywords = {keyword.arg for keyword in node.keywords}
                if "remedy" not in keywords:
                    found.add((path.name, name))
    assert found == set(WITHOUT)


DEEP = "[" * 100_000


@pytest.mark.parametrize("name", ["a.json", "dataset.json", "classes.json", "plan.toml"])
def test_a_text_of_lists_in_lists_in_lists(softlab, organs: Path, tmp_path: Path, name) -> None:
    """The parser gives up; what it says is not what softlab says."""
    file = tmp_path / "data" / name
    (tmp_path / "data" / "labelsTr").mkdir(parents=True)
    file.write_text(f"a = {DEEP}" if name == "plan.toml" else DEEP)
    done = softlab(*{
        "classes.json": ("onehot", "--in", organs, "--classes-from", file),
        "plan.toml": ("run", file, "--", "--in", organs),
    }.get(name, ("onehot", "--in", file)), "--out", tmp_path / "o.zarr")  # fmt: skip
    assert done.exit_code == 1
    assert done.output.startswith(f"error: {file}: is not ")
    assert done.output.endswith(". Correct the file there.\n")


def test_pipes_and_devices_are_no_files(softlab, organs: Path, tmp_path: Path) -> None:
    """To open a pipe waits for a writer, for ever perhaps; /dev/zero never ends."""
    mixed = tmp_path / "mixed"
    write_image(mixed / "good.nii.gz", np.eye(4, dtype=np.uint8)[None])
    os.mkfifo(mixed / "pipe.nii.gz")
    (mixed / "zero.png").symlink_to("/dev/zero")
    done = softlab("onehot", "--in", mixed, "--out", tmp_path / "o.zarr", "--labels", "0-1")
    assert done.exit_code == 1
    assert done.output.count("cannot be read (No file, but a pipe or a device). Name a file") == 2
    assert list(softlab_cli.open_store(tmp_path / "o.zarr")) == ["good"]
    shown = softlab("inspect", mixed)
    assert shown.exit_code == 1
    assert shown.output.count("No file, but a pipe or a device") == 2
    with pytest.raises(OSError, match="pipe or a device"):
        sha256_of(mixed / "pipe.nii.gz")
    assert sha256_of(mixed)  # of a series, what lies beside it does not count


def test_a_table_with_a_column_twice(organs: Path, tmp_path: Path) -> None:
    table = tmp_path / "cases.csv"
    table.write_text("case_id,label,note,note,label\na,b.nii.gz,,,c.nii.gz\n")
    with pytest.raises(InputError, match="line 1 has the column label twice"):
        discover_cases([table])


def test_results_where_a_file_lies(softlab, organs: Path, tmp_path: Path) -> None:
    softlab_cli.run(OneHot(), organs, tmp_path / "o.zarr", workers=1)
    (tmp_path / "file").write_text("kept")
    done = softlab("export", tmp_path / "o.zarr", "--out", tmp_path / "file")
    assert done.output == f"error: {tmp_path / 'file'}: is a file. Give --out a folder.\n"
    done = softlab("preview", tmp_path / "o.zarr", "--all", "--out", tmp_path / "file")
    assert "Choose another place: something of that name is there already." in done.output
    assert (tmp_path / "file").read_text() == "kept"
