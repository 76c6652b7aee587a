"""What a person reads of a run of many cases: each thing once."""

from __future__ import annotations

import errno
import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from softlab_cli.cases.case import Case
from softlab_cli.cases.copies import copied_raters
from softlab_cli.core.events import CaseFinished, Notice
from softlab_cli.core.failures import failure
from softlab_cli.running.progress import listeners
from softlab_cli.running.warned import Warned
from tests.conftest import blobs, write_image

UNSAID = "the file does not say how large its pixels are; 1 mm is assumed."


def told(*events: CaseFinished) -> list[str]:
    warned = Warned()
    for event in events:
        warned.add(event)
    return warned.take()


def done(case_id: str, *warnings: str, raters: Sequence[str] = ()) -> CaseFinished:
    return CaseFinished(case_id, "done", warnings=tuple(warnings), raters=tuple(raters))


# ---- groups -------------------------------------------------------------------


def test_equal_warnings_are_told_once_with_their_cases() -> None:
    assert told(*(done(f"c{i}", UNSAID) for i in range(9))) == [
        f"9 cases (c0, c1, c2 and 6 more): {UNSAID}"
    ]
    assert told(done("c0", UNSAID)) == [f"c0: {UNSAID}"]


def test_raters_are_named_beside_the_warning() -> None:
    each = [f"{r}: {UNSAID}" for r in ("r1", "r2")]
    assert told(*(done(f"c{i}", *each, raters=("r1", "r2")) for i in range(2))) == [
        f"2 cases (c0, c1): r1, r2: {UNSAID}"
    ]
    assert told(done("c0", *each, raters=("r1", "r2"))) == [f"c0: r1, r2: {UNSAID}"]


def test_numbers_files_and_names_do_not_tell_warnings_apart() -> None:
    lines = told(
        done("a", "turned by 3.5 degrees", "left out: x.png", "class 'liver' is empty"),
        done("b", "turned by 12 degrees", "left out: y.png, z.png", "class 'GTV 1' is empty"),
        done("c1", "case c1 is odd"),
        done("c2", "case c2 is odd"),
    )
    assert lines == [
        "2 cases (a, b), the first: turned by 3.5 degrees",
        "2 cases (a, b), the first: left out: x.png",
        "2 cases (a, b), the first: class 'liver' is empty",
        "2 cases (c1, c2), the first: case c1 is odd",
    ]


def test_different_warnings_stay_apart() -> None:
    assert told(done("a", "too dark", "too bright"), done("b", "too dark")) == [
        "2 cases (a, b): too dark",
        "a: too bright",
    ]
    two = ["r1: turned by 3 degrees", "r2: turned by 4 degrees"]
    assert told(done("a", *two, raters=("r1", "r2"))) == [f"a: {line}" for line in two]


# ---- on the command line -----------------------------------------------------------


def test_pictures_of_several_raters_warn_once(softlab, tmp_path) -> None:
    for rater in ("r1", "r2"):
        for i in range(5):
            write_image(
                tmp_path / rater / f"c{i}.png", blobs((12, 14), 2, seed=10 * len(rater) + i)
            )
    log = tmp_path / "log.json"
    ended = softlab(
        "msvls", "--in", tmp_path / "r1", "--in", tmp_path / "r2", "--out", tmp_path / "o.zarr",
        "--log-json", log,
    )  # fmt: skip
    assert ended.exit_code == 0, ended.output
    assert ended.stderr.count("how large its pixels are") == 1
    assert f"warning: 5 cases (c0, c1, c2 and 2 more): r1, r2: {UNSAID}" in ended.stderr
    events = [json.loads(line) for line in log.read_text().splitlines()]
    warnings = [w for e in events if e["event"] == "CaseFinished" for w in e["warnings"]]
    assert len([w for w in warnings if UNSAID in w]) == 10
    assert "warned       5  see above" in ended.stdout


def test_a_failed_case_is_told_once(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "good.nii.gz", blobs((6, 7, 8), 2))
    (tmp_path / "in" / "bad.nii.gz").write_bytes(b"no image at all")
    ended = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert ended.exit_code == 1
    assert ended.output.count("is not a NIfTI file") == 1
    assert "failed: bad: " in ended.stderr
    assert "failed       1  see above: bad\n" in ended.stdout


def test_a_run_that_is_broken_off_tells_its_warnings(capsys) -> None:
    with listeners(progress=False) as listen:
        listen(done("b", UNSAID))
        listen(CaseFinished("a", "failed", "is damaged."))
    said = capsys.readouterr().err.splitlines()
    assert said == ["failed: a: is damaged.", f"warning: b: {UNSAID}"]


def test_a_note_is_told_once(capsys) -> None:
    with listeners(progress=False) as listen:
        for _ in range(3):
            listen(Notice("something odd"))
    assert capsys.readouterr().err == "note: something odd\n"


# ---- raters that are copies ----------------------------------------------------------


def two_raters(tmp_path: Path, count: int = 3) -> list[Path]:
    for i in range(count):
        write_image(tmp_path / "r1" / f"c{i}.nii", blobs((6, 7, 8), 3, seed=i))
        write_image(tmp_path / "r3" / f"c{i}.nii", blobs((6, 7, 8), 3, seed=i + 50))
    shutil.copytree(tmp_path / "r1", tmp_path / "r2")
    return [tmp_path / name for name in ("r1", "r2", "r3")]


def test_copies_of_a_rater_are_named(softlab, tmp_path) -> None:
    inputs = [text for folder in two_raters(tmp_path) for text in ("--in", folder)]
    for more in ((), ("--dry-run",)):
        ended = softlab("msvls", *inputs, "--out", tmp_path / "o.zarr", *more)
        assert ended.exit_code == 0, ended.output
        notes = [line for line in ended.stderr.splitlines() if "copies of one another" in line]
        assert len(notes) == 1
        assert "the raters 'r1' and 'r2' are copies of one another in all 3 cases" in notes[0]


def test_raters_that_agree_in_some_cases_are_no_copies(tmp_path) -> None:
    r1, r2, _ = two_raters(tmp_path)

    def cases() -> list[Case]:
        return [
            Case(f"c{i}", (r1 / f"c{i}.nii", r2 / f"c{i}.nii"), (), ("r1", "r2")) for i in range(3)
        ]

    assert copied_raters(cases()) == [("r1", "r2", 3)]
    write_image(r2 / "c2.nii", np.zeros((6, 7, 8), np.uint8))
    assert copied_raters(cases()) == []
    (r2 / "c2.nii").unlink()
    assert copied_raters(cases()) == []
    assert copied_raters([Case("c0", (r1 / "c0.nii",), (), ("r1",))]) == []


# ---- a disk that is full --------------------------------------------------------


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a file that is always full")
def test_a_log_on_a_full_disk_is_an_error_with_a_remedy(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a.nii.gz", np.eye(3, dtype=np.uint8)[None])
    full = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "s.zarr",
                   "--log-json", "/dev/full")  # fmt: skip
    assert full.exit_code == 1
    assert "error: /dev/full: cannot be written (No space left on device). Free some" in full.output


def test_what_the_system_refuses_has_a_remedy_wherever_it_is(
    softlab, tmp_path, monkeypatch
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    said = failure("a", full).message
    assert said.startswith("the system says: No space left on device. Free some space")
    assert failure("a", OSError(errno.ECHILD, "No child processes")).message.startswith(
        "unforeseen"
    )

    def refuse(*_: object, **__: object) -> None:
        raise full

    monkeypatch.setattr("softlab_cli.output.cases.export_cases", refuse)
    write_image(tmp_path / "in" / "a.nii.gz", np.eye(3, dtype=np.uint8)[None])
    softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "s.zarr")
    export = softlab("export", tmp_path / "s.zarr", "--out", tmp_path / "o")
    assert export.exit_code == 1
    assert "error: the system says: No space left on device. Free some space" in export.output
    assert isinstance(softlab("export", tmp_path / "s.zarr", "--out", tmp_path / "o",
                              "--debug").exception, OSError)  # fmt: skip
