"""Text from files is data: it is shown escaped, and stored as it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import softlab_cli
from softlab_cli.cases import discover_cases
from softlab_cli.core.caseid import hard_to_carry
from softlab_cli.core.errors import InputError
from softlab_cli.core.text import cut_bytes, printable, shown, shown_message
from tests.conftest import blobs, write_image

EVIL = "liver\n  ok\x1b[2J\u202egnp\u2028"
EVIL_SHOWN = r"liver\n  ok\x1b[2J\u202egnp\u2028"


@given(st.text())
def test_what_is_shown_is_printable(text: str) -> None:
    assert shown(text).isprintable()
    assert all(line.isprintable() for line in printable(text).split("\n"))
    if text.isprintable():
        assert shown(text) == printable(text) == text


def test_how_it_is_shown() -> None:
    assert shown(EVIL) == EVIL_SHOWN
    assert shown("Leber, größe, 肝臓") == "Leber, größe, 肝臓"
    assert shown(Path("a\udcff.nii")) == r"a\udcff.nii"


def test_messages_keep_their_own_lines() -> None:
    assert shown_message("two:\n  a\n  b\n") == "two:\n  a\n  b\n"
    assert shown_message("no\nname") == r"no\nname"


def test_errors_show_paths_and_names_in_one_line() -> None:
    error = InputError("has x\ny.", remedy="Rename\x07 it.", path=Path("a\nb\x1b.nii"))
    assert str(error) == r"a\nb\x1b.nii: has x\ny. Rename\x07 it."


@given(st.text(max_size=40), st.integers(0, 60))
def test_a_cut_takes_whole_characters(text: str, most: int) -> None:
    cut = cut_bytes(text, most)
    assert text.startswith(cut)
    assert len(cut.encode()) <= most


@pytest.fixture
def store(softlab, tmp_path: Path) -> Path:
    """A store whose classes, file and rater have names that steer terminals."""
    files = [tmp_path / EVIL / f"c_r{i}{EVIL.replace('/', '')}.nii.gz" for i in range(2)]
    for seed, file in enumerate(files):
        write_image(file, blobs((9, 20, 20), 3, seed=seed))
    names = {"background": 0, EVIL: 1, "_$x^{$": 2}
    (tmp_path / "names.json").write_text(json.dumps({"labels": names}))
    out = tmp_path / "soft.zarr"
    options = ["--classes-from", tmp_path / "names.json", "--rater-pattern", "{case}_{rater}"]
    done = softlab("msvls", "--in", tmp_path / EVIL, *options, "--out", out, "-v")
    assert done.exit_code == 0, done.output
    check_lines(done.output)
    return out


def check_lines(output: str) -> None:
    assert all(line.isprintable() for line in output.split("\n"))
    assert "\n  ok" not in output


@pytest.mark.parametrize(
    "command", [["info"], ["info", "c"], ["info", "--marginals"], ["verify"], ["inspect"]]
)
def test_tables_show_names_escaped(softlab, store, command) -> None:
    done = softlab(command[0], store, *command[1:])
    assert done.exit_code == 0, done.output
    check_lines(done.output)
    if command[0] != "verify":
        assert EVIL_SHOWN[:5] in done.output


def test_json_has_names_as_they_are(softlab, store) -> None:
    facts = json.loads(softlab("info", store, "--json").output)
    assert EVIL in facts["cases"]["c"]["raters"][0]
    assert softlab_cli.open_store(store).classes.names[1] == EVIL


def test_pictures_and_files_of_such_names(softlab, store, tmp_path) -> None:
    done = softlab("preview", store, "--out", tmp_path / "a.png", "--class", EVIL)
    assert done.exit_code == 0, done.output
    done = softlab("export", store, "--per-class", "--out", tmp_path / "out")
    assert done.exit_code == 0, done.output
    assert all(file.name.isprintable() for file in (tmp_path / "out").iterdir())


def test_what_a_wrong_path_shows(softlab, tmp_path) -> None:
    done = softlab("svls", "--in", tmp_path / EVIL, "--out", tmp_path / "o.zarr")
    assert done.exit_code == 1
    check_lines(done.output)
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("case_ids", "words"),
    [
        (["a", "b:1"], "holds one of"),
        (["aux.1"], "device"),
        (["a."], "dot or a space"),
        (["a "], "dot or a space"),
        (["Case", "other", "case"], "'Case' and 'case' differ in upper and lower case"),
        (["e\u0301", "\u00e9"], "differ in"),
    ],
)
def test_ids_that_other_systems_cannot_hold(case_ids, words) -> None:
    (reason,) = hard_to_carry(case_ids)
    assert words in reason


def test_ids_that_all_systems_hold() -> None:
    assert hard_to_carry(["case", "case2", "contra", "a.b", "größe"]) == []


def test_such_ids_are_said(softlab, tmp_path) -> None:
    write_image(tmp_path / "in" / "a:1.nii.gz", np.eye(9, dtype=np.uint8)[None])
    done = softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr")
    assert done.exit_code == 0
    assert "note: the case id 'a:1' holds one of" in done.stderr


def manifest(tmp_path: Path, *rows: str) -> Path:
    path = tmp_path / "cases.csv"
    path.write_text("case_id,label,rater\n" + "".join(rows), newline="")
    return path


def test_different_numbers_of_raters_are_said(tmp_path) -> None:
    rows = ["a,a1.nii,r1\n", "a,a2.nii,r2\n", "b,b1.nii,r1\n", "B,b2.nii,r2\n", "c,c.nii,r1\n"]
    told: list[str] = []
    discover_cases([manifest(tmp_path, *rows)], tell=told.append)
    assert "cases have different numbers of raters: 'b' has 1, 'a' has 2" in told


@pytest.mark.parametrize("odd", ["x\ny", "x\r\ny", "x\ry", "x\u2028y", "x\x0by", "x\n", "x\u2028"])
def test_odd_ids_in_a_manifest_do_not_change(tmp_path, odd) -> None:
    path = manifest(tmp_path, f'"{odd}",a.nii,r1\r\n', "fine,b.nii,r1\r\n")
    fine, other = sorted(discover_cases([path]), key=lambda case: case.case_id)
    assert fine.case_id == "fine"
    assert other.case_id == odd
    assert "unprintable" in str(other.problem)
    assert shown(odd) in str(other.problem)


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_line_ends_of_all_systems(tmp_path, end) -> None:
    (tmp_path / "m.csv").write_text(f"case_id,label{end}a,a.nii{end}b,b.nii{end}", newline="")
    cases = discover_cases([tmp_path / "m.csv"])
    assert [case.case_id for case in cases] == ["a", "b"]


def test_a_number_that_is_too_long_to_count(tmp_path) -> None:
    (case,) = discover_cases([manifest(tmp_path, f"{'9' * 5000},a.nii,r\n")])
    assert "longer than" in str(case.problem)
