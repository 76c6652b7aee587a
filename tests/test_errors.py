"""Every mistake that a user can make: one clear message, the right exit status, nothing lost."""

from __future__ import annotations

import errno
import gzip
import os
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import SimpleITK as sitk

import softlab_cli
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.store.files import written_whole
from tests.conftest import blobs, write_image


def nifti_header(shape: tuple[int, int, int]) -> bytes:
    """A NIfTI-1 header of uint8 voxels that promises a shape (X, Y, Z)."""
    header = bytearray(352)
    struct.pack_into("<i", header, 0, 348)
    struct.pack_into("<8h", header, 40, 3, *shape, 1, 1, 1, 1)
    struct.pack_into("<2h", header, 70, 2, 8)
    struct.pack_into("<8f", header, 76, 1, 1, 1, 1, 0, 0, 0, 0)
    struct.pack_into("<f", header, 108, 352)
    header[344:348] = b"n+1\0"
    return bytes(header)


def spoil(labels: Path, what: str) -> tuple[str, str]:
    """Put one bad case beside the three good ones; its id, and what must be said of it."""
    path = labels / "bad.nii.gz"
    good = blobs((20, 24, 28), 4)
    if what == "truncated":
        write_image(path, np.random.default_rng(0).integers(0, 4, good.shape).astype(np.uint8))
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        return "bad", "truncated"
    if what == "not an image":
        path.write_text("patient,label\n1,2\n")
        return "bad", "not"
    if what == "empty file":
        path.write_bytes(b"")
        return "bad", "empty file"
    if what == "10^12 voxels":
        path.write_bytes(gzip.compress(nifti_header((10000, 10000, 10000)) + bytes(1000)))
        return "bad", "header promises"
    if what == "negative":
        write_image(path, good.astype(np.int16) - 1)
        return "bad", "-1"
    if what == "fractional":
        write_image(path, good.astype(np.float64) * 0.7)
        return "bad", "1.4"
    if what == "4D":
        write_image(path, np.stack([good, good]))
        return "bad", "volumes"
    if what == "colour":
        pixels = np.zeros((20, 24, 3), np.uint8)
        pixels[5, 5] = 3, 0, 0  # the same number three times would be grey
        sitk.WriteImage(sitk.GetImageFromArray(pixels, isVector=True), str(labels / "bad.png"))
        return "bad", "3"
    raise AssertionError(what)


BAD_CASES = [
    "truncated", "not an image", "empty file", "10^12 voxels", "negative", "fractional", "4D",
    "colour",
]  # fmt: skip


@pytest.mark.parametrize("what", BAD_CASES)
@pytest.mark.parametrize("classes", [(), ("--labels", "0-3")], ids=["scanned", "given"])
def test_one_bad_case_spoils_no_other(softlab, labels, tmp_path, what, classes) -> None:
    case_id, reason = spoil(labels, what)
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--out", out, *classes)
    assert done.exit_code == 1, done.output
    assert reason in done.output
    assert case_id in done.output
    assert "Traceback" not in done.output
    assert list(softlab_cli.open_store(out)) == ["case0", "case1", "case2"]
    assert softlab("verify", out).exit_code == 0


def test_a_label_outside_the_class_list(softlab, labels, tmp_path) -> None:
    write_image(labels / "case3.nii.gz", np.full((5, 5, 5), 9, np.uint8))
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--out", out, "--labels", "0-3")
    assert done.exit_code == 1
    assert "9" in done.output
    assert "case3.nii.gz" in done.output
    assert "--labels" in done.output
    assert len(softlab_cli.open_store(out)) == 3


def test_several_raters_for_a_method_of_one(softlab, labels, tmp_path) -> None:
    second = tmp_path / "second"
    for file in labels.iterdir():
        write_image(second / file.name, blobs((20, 24, 28), 4))
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--in", second, "--out", out, "--labels", "0-3")
    assert done.exit_code == 1
    assert "2 label maps" in done.output
    assert "failed       3" in done.output


def test_a_run_that_can_do_nothing_leaves_no_store(softlab, labels, tmp_path) -> None:
    for file in labels.iterdir():
        file.write_bytes(b"")
    done = softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr")
    assert done.exit_code == 1
    assert not (tmp_path / "soft.zarr").exists()


def test_a_missing_path(softlab, tmp_path) -> None:
    done = softlab("svls", "--in", tmp_path / "nope", "--out", tmp_path / "soft.zarr")
    assert done.exit_code == 1
    assert "nope" in done.stderr
    assert not (tmp_path / "soft.zarr").exists()


def test_an_empty_folder(softlab, tmp_path) -> None:
    (tmp_path / "in").mkdir()
    done = softlab("svls", "--in", tmp_path / "in", "--out", tmp_path / "soft.zarr")
    assert done.exit_code == 1
    assert str(tmp_path / "in") in done.stderr


def test_two_files_with_one_id(softlab, labels, tmp_path) -> None:
    write_image(labels / "case0.mha", blobs((5, 5, 5), 2))
    done = softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr")
    assert done.exit_code == 1
    assert "case0.mha" in done.stderr
    assert "case0.nii.gz" in done.stderr


@pytest.mark.parametrize("case_id", ["../up", "a/b", "..", ""])
def test_case_ids_that_would_leave_the_store(softlab, labels, tmp_path, case_id) -> None:
    table = tmp_path / "cases.csv"
    table.write_text(f"case_id,label\n{case_id},labels/case0.nii.gz\n")
    done = softlab("svls", "--in", table, "--out", tmp_path / "deep" / "soft.zarr")
    assert done.exit_code == 1
    assert "case" in done.stderr
    assert not (tmp_path / "deep" / "up").exists()


@pytest.mark.parametrize("content", ["file", "folder"])
def test_an_output_that_is_something_else(softlab, labels, tmp_path, content) -> None:
    out = tmp_path / "thesis"
    if content == "file":
        out.write_text("years of work")
    else:
        out.mkdir()
        (out / "chapter1").write_text("years of work")
    for options in [(), ("--overwrite",)]:
        done = softlab("svls", "--in", labels, "--out", out, *options)
        assert done.exit_code == 1
        assert "thesis" in done.stderr
    kept = out if content == "file" else out / "chapter1"
    assert kept.read_text() == "years of work"


def test_a_full_disk(labels, tmp_path) -> None:
    """Writing fails as on a full disk: by a limit on the size of files."""
    noise = np.random.default_rng(0).integers(0, 4, (40, 40, 40)).astype(np.uint8)
    write_image(labels / "large.nii.gz", noise)
    code = (
        "import resource, signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN);"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (9000, 9000));"
        "from softlab_cli.__main__ import main; main()"
    )
    out = tmp_path / "soft.zarr"
    arguments = ["svls", "--in", str(labels), "--out", str(out), "--workers", "1"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True)
    assert done.returncode == 1, done.stderr
    assert "failed: large: " in done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert "failed       1  see above: large" in done.stdout
    assert not list(out.glob("*.partial-*"))
    assert list(softlab_cli.open_store(out)) == ["case0", "case1", "case2"]


def test_an_output_that_cannot_be_made(softlab, labels, tmp_path) -> None:
    (tmp_path / "file").write_text("")
    done = softlab("svls", "--in", labels, "--out", tmp_path / "file" / "soft.zarr")
    assert done.exit_code == 1
    assert "file" in done.stderr


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--kernel-size", "4"), "odd"),
        (("--kernel-size", "1"), "1"),
        (("--sigma-voxels", "0"), "0"),
        (("--sigma-voxels", "1", "--sigma-mm", "1"), "sigma"),
        (("--sigma-voxels", "1,2"), "z,y,x"),
        (("--part", "3/2"), "3/2"),
        (("--part", "1/2", "--overwrite"), "--overwrite"),
        (("--max-memory", "lots"), "lots"),
        (("--workers", "0"), "0"),
        (("--labels", "liver"), "liver"),
    ],
)
def test_bad_arguments_exit_2(softlab, labels, tmp_path, options, reason) -> None:
    done = softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr", *options)
    assert done.exit_code == 2, done.output
    assert reason in done.stderr
    assert not (tmp_path / "soft.zarr").exists()


def test_a_log_that_cannot_be_written(softlab, labels, tmp_path) -> None:
    log = tmp_path / "no" / "log"
    done = softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr", "--log-json", log)
    assert done.exit_code == 1
    assert f"error: {log}: cannot be written (No such file or directory). Check" in done.stderr
    assert not (tmp_path / "soft.zarr").exists()


def test_no_memory_fails_the_cases_that_need_more(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    done = softlab("svls", "--in", labels, "--out", out, "--max-memory", "64M", "--labels", "0-3")
    assert done.exit_code == 1
    assert "--max-memory" in done.output
    assert "failed       3" in done.output


def test_a_traceback_only_on_demand(softlab, tmp_path) -> None:
    arguments = ("info", tmp_path / "nothing.zarr")
    assert softlab(*arguments).exception.__class__ is SystemExit
    shown = softlab(*arguments, "--debug")
    assert isinstance(shown.exception, softlab_cli.core.errors.StoreError)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "config.toml: names no command; there are svls, ls,"),
        ('command = "rm"', "config.toml: names the command 'rm'; there are svls, ls,"),
        ("command =", "config.toml: is not TOML"),
        ('command = "svls"\nsigma = 1', "config.toml: svls has no option 'sigma'."),
        ('command = "svls"\nworkers = 0', "Usage: cli svls ["),
    ],
)
def test_bad_configurations(softlab, tmp_path, text, reason) -> None:
    config = tmp_path / "config.toml"
    config.write_text(text)
    done = softlab("run", config)
    assert done.exit_code in (1, 2)
    assert reason in done.stderr


@pytest.mark.parametrize("command", ["info", "verify", "preview"])
def test_a_store_that_is_none(softlab, labels, command) -> None:
    done = softlab(command, labels)
    assert done.exit_code == 1
    assert "labels" in done.stderr


def test_a_case_that_is_not_there(softlab, labels, tmp_path) -> None:
    out = tmp_path / "soft.zarr"
    softlab("onehot", "--in", labels, "--out", out)
    for command in ("info", "preview"):
        done = softlab(command, out, "case7")
        assert done.exit_code == 2
        assert "case7" in done.stderr


@pytest.mark.parametrize("url", ["s3://bucket/soft.zarr", "gs://a/b", "https://host/x.zarr"])
def test_urls_are_refused(softlab, labels, tmp_path, monkeypatch, url) -> None:
    monkeypatch.chdir(tmp_path)
    for options in (("--in", labels, "--out", url), ("--in", url, "--out", "soft.zarr")):
        done = softlab("onehot", *options)
        assert done.exit_code == 2
        assert f"{url!r} is a URL" in done.stderr
        assert len(done.stderr.splitlines()) == 1
    softlab("onehot", "--in", labels, "--out", "soft.zarr")
    for command in (
        ["export", "soft.zarr", "--out", url], ["info", url], ["verify", url], ["inspect", url],
        ["verify", "soft.zarr", "--in", url], ["preview", url],
        ["inspect", "labels", "--images", url], ["preview", "soft.zarr", "--out", url],
        ["export", url, "--out", "out"],
    ):  # fmt: skip
        done = softlab(*command)
        assert done.exit_code == 2, command
        assert f"{url!r} is a URL" in done.stderr
    with pytest.raises(UsageError, match="is a URL"):
        softlab_cli.open_store(url)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["labels", "soft.zarr"]


def _write_half(path: Path) -> None:
    with written_whole(path) as partial:
        partial.write_text("half")
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(partial))


def test_a_file_is_there_whole_or_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "kept.txt"
    path.write_text("before")
    said = r"kept\.txt: cannot be written \(File too large\)\. .*ulimit -f"
    with pytest.raises(StoreError, match=said):
        _write_half(path)
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("before", [path])
    with written_whole(path) as partial:
        partial.write_text("after")
    assert (path.read_text(), [*tmp_path.iterdir()]) == ("after", [path])
