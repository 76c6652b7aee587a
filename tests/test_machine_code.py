"""Compiled kernels are kept wherever it is possible, and needed nowhere."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numba
import pytest

from softlab_cli.kernels import machine_code
from softlab_cli.kernels.compiling import kernel


def keep_in(folder: Path, monkeypatch) -> None:
    """As NUMBA_CACHE_DIR does; numba reads it again at times."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(folder))


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch) -> Path:
    """No place that numba knows is writable; returns the folder for temporary files."""

    def refuse(*_: object) -> None:
        return None

    for locator in numba.core.caching.CacheImpl._locator_classes[1:]:
        monkeypatch.setattr(locator, "from_function", refuse)
    keep_in(Path("/proc/nothing"), monkeypatch)
    monkeypatch.setattr(machine_code, "_kept", True)
    monkeypatch.setattr(machine_code.tempfile, "tempdir", str(tmp_path))
    return tmp_path


def twice(x: float) -> float:
    return 2 * x


def test_a_temporary_folder_is_used_and_said(nowhere, caplog) -> None:
    folder = nowhere / f"softlab-{os.getuid()}"
    with caplog.at_level(logging.WARNING):
        assert kernel(twice)(3.0) == 6.0
        assert kernel(twice)(4.0) == 8.0
    (message,) = caplog.messages
    assert str(folder) in message
    assert os.environ["NUMBA_CACHE_DIR"] == str(folder)  # workers look there
    assert list(folder.rglob("*.nbc"))
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("of_another", ["link", "writable"])
def test_a_folder_that_others_may_have_filled_is_not_used(nowhere, of_another) -> None:
    folder = nowhere / f"softlab-{os.getuid()}"
    if of_another == "link":
        (nowhere / "elsewhere").mkdir()
        folder.symlink_to(nowhere / "elsewhere")
    else:
        folder.mkdir()
        folder.chmod(0o777)
    assert kernel(twice)(3.0) == 6.0
    assert not list(folder.iterdir())
    assert len(list(nowhere.glob("softlab-*"))) == 2


def test_it_works_without_any_folder(nowhere, caplog, monkeypatch) -> None:
    monkeypatch.setattr(machine_code.tempfile, "tempdir", "/proc/nothing")
    with caplog.at_level(logging.WARNING):
        assert kernel(twice)(3.0) == 6.0
        assert kernel(twice)(4.0) == 8.0
    assert len(caplog.messages) == 1
    assert "nowhere" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\x80\x05garbage"])
def test_a_damaged_index_is_compiled_again(tmp_path, monkeypatch, content) -> None:
    keep_in(tmp_path, monkeypatch)
    assert kernel(twice)(3.0) == 6.0
    (index,) = tmp_path.rglob("*.nbi")
    sound = index.read_bytes()
    index.write_bytes(content)
    assert kernel(twice)(3.0) == 6.0
    assert len(index.read_bytes()) >= len(sound) // 2


def test_a_full_disk_ends_nothing(tmp_path, monkeypatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    keep_in(tmp_path, monkeypatch)
    monkeypatch.setattr(numba.core.caching.IndexDataCacheFile, "save", full)
    assert kernel(twice)(3.0) == 6.0


def test_a_change_in_any_kernel_compiles_all_again(tmp_path, monkeypatch) -> None:
    keep_in(tmp_path, monkeypatch)
    for stamp, hits in (("one", 0), ("one", 1), ("other", 0)):
        monkeypatch.setattr(machine_code, "stamp_of", lambda folder, stamp=stamp: stamp)
        compiled = kernel(twice)
        assert compiled(3.0) == 6.0
        assert sum(compiled.stats.cache_hits.values()) == hits


def test_a_stamp_tells_of_every_source(tmp_path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / ".#editor.py").symlink_to("nowhere")
    stamps = set()
    for text in ("a = 1", "a = 22"):
        (tmp_path / "deep" / "one.py").write_text(text)
        stamps.add(machine_code.stamp_of.__wrapped__(str(tmp_path)))
    assert len(stamps) == 2
