"""A share of the campaign of damages: none is missed, none is read wrong, none crashes."""

from __future__ import annotations

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest

import softlab_cli
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.methods import SVLS
from softlab_cli.output.cases import export_cases
from softlab_cli.store.remedies import ANEW
from tests.campaign.__main__ import CAMPAIGNS, main
from tests.campaign.damages import NOT_TOLD, Outcome, damage, table
from tests.conftest import blobs, write_image


def test_sixty_damages(tmp_path: Path) -> None:
    outcomes = list(damage(tmp_path, range(60), seed=7))
    failed = [outcome for outcome in outcomes if outcome.failed]
    assert not failed, "\n".join(table(outcomes))
    assert sum(outcome.found for outcome in outcomes) > 40, "damages should damage something"
    assert len({outcome.fault for outcome in outcomes}) > 15


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (Outcome(1, "flip shard", "x", found=True), False),
        (Outcome(1, "flip shard", "x"), True),
        (Outcome(1, "flip shard", "x", harmless=True), False),
        (Outcome(1, "flip shard", "x", found=True, wrong=True), True),
        (Outcome(1, *NOT_TOLD, "x", found=True, wrong=True), False),
        (Outcome(1, *NOT_TOLD, "x", wrong=True), True),
        (Outcome(1, "flip shard", "x", found=True, crash="Traceback"), True),
    ],
)
def test_what_fails(outcome: Outcome, failed: bool) -> None:
    assert outcome.failed is failed
    assert ("--only 1" in "\n".join(table([outcome]))) is failed


def test_the_list_of_campaigns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CAMPAIGNS)
    assert main(["nothing"]) == 2


def test_the_remedy_for_a_damaged_chunk_mends_it(softlab, labels: Path, tmp_path: Path) -> None:
    """To run again is not enough: what has its size counts as whole."""
    store = tmp_path / "soft.zarr"
    softlab_cli.run(SVLS(), labels, store, workers=1)
    shard = store / "case1" / "soft" / "c.0.0.0.0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 4] ^= 1
    shard.write_bytes(content)
    refused = softlab("export", store, "--out", tmp_path / "nifti")
    assert refused.exit_code == 1
    assert "Remove the folder of the case and run the command again" in refused.output
    shutil.rmtree(store / "case1")
    softlab_cli.run(SVLS(), labels, store, workers=1)
    assert softlab("verify", store).exit_code == 0


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of two small cases."""
    folder = tmp_path_factory.mktemp("small")
    for case_id in ("a", "b"):
        write_image(folder / "in" / f"{case_id}.nii.gz", blobs((6, 7, 8), 3))
    softlab_cli.run(SVLS(), folder / "in", folder / "soft.zarr", workers=1)
    return folder / "soft.zarr"


def spoilt(small: Path, tmp_path: Path, document: str, content: str | dict[str, Any]) -> Path:
    """A copy of the store with a text, or other entries, in one of its documents."""
    store = tmp_path / "spoilt.zarr"
    shutil.copytree(small, store)
    path = store / document
    if isinstance(content, dict):
        content = json.dumps(json.loads(path.read_text()) | content)
    path.write_text(content)
    return store


@pytest.mark.parametrize(
    "content",
    ['{"attributes": ', "", "[1]", '{"attributes": {"softlab": {"schema": 1.1}}}',
     '{"attributes": {"softlab": {"schema": 7}}}', '{"attributes": 3}', "\x00\x1b[31m"],
    ids=["cut", "empty", "a list", "damaged", "newer", "foreign", "binary"],
)  # fmt: skip
@pytest.mark.parametrize("command", ["verify", "info", "export", "svls"])
def test_a_broken_root_has_a_remedy(softlab, small, tmp_path, content, command) -> None:
    store = spoilt(small, tmp_path, "zarr.json", content)
    words = {
        "export": ("export", store, "--out", tmp_path / "files"),
        "svls": ("svls", "--in", small.parent / "in", "--out", store, "--labels", "0-2"),
    }.get(command, (command, store))
    done = softlab(*words)
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {store}")
    assert "\x1b" not in done.stderr
    remedies = ("Take its zarr.json from a copy of the store, or remove the store", "Read it with",
                "Give the folder that softlab wrote")  # fmt: skip
    assert any(remedy in done.stderr for remedy in remedies)


@pytest.mark.parametrize("array", ["soft", "labels/label/0"])
@pytest.mark.parametrize("names", [["x"], ["q"], ["z", "y", "q"], [], "zyx", None, [[], 1], 7])
def test_the_dimensions_of_an_array_are_said_in_full(
    small: Path, tmp_path: Path, array: str, names: object
) -> None:
    store = spoilt(small, tmp_path, f"a/{array}/zarr.json", {"dimension_names": names})
    with pytest.raises(StoreError) as told:
        softlab_cli.open_store(store)["a"]
    known = "['c', 'z', 'y', 'x'] or ['r', 'z', 'y', 'x']"
    if array != "soft":
        known = "['z', 'y', 'x'] or ['c', 'y', 'x'] or ['r', 'y', 'x']"
    assert told.value.problem.endswith(f"dimensions {names!r} where {known} are known.")
    assert told.value.remedy


def test_arrays_of_other_dimensions_have_no_names_that_are_known(
    small: Path, tmp_path: Path
) -> None:
    store = spoilt(small, tmp_path, "a/soft/zarr.json", {"shape": [1, 3, 6, 7, 8]})
    with pytest.raises(StoreError, match="where 2 to 4 of them are known"):
        softlab_cli.open_store(store)["a"]


def test_verify_says_each_remedy_once(softlab, small: Path, tmp_path: Path) -> None:
    store = spoilt(small, tmp_path, "a/zarr.json", '{"attributes": ')
    shutil.copytree(store / "a", store / "c")
    (store / "b" / "soft" / "c.0.0.0.0").unlink()
    (store / "odd\x1b").mkdir()
    done = softlab("verify", store, "--no-sources")
    lines = done.stdout.splitlines()
    assert done.exit_code == 1
    assert [line.split(": ", 1)[0] for line in lines] == [
        "defect", "defect", "defect", "defect", "remedy", "remedy", str(store)
    ]  # fmt: skip
    assert lines[4].startswith(f"remedy: {store}: folder that is no case: Move it elsewhere; or")
    assert lines[5] == "remedy: a, b, c: metadata: " + ANEW
    assert "\x1b" not in done.stdout
    found = json.loads(softlab("verify", store, "--no-sources", "--json").stdout)
    assert [d["remedy"] for d in found][1:] == [ANEW] * 3


def test_verify_says_how_ome_metadata_are_mended(softlab, small: Path, tmp_path: Path) -> None:
    store = spoilt(small, tmp_path, "a/labels/zarr.json", "{}")
    done = softlab("verify", store, "--no-sources")
    remedy = "softlab verify --mend-ome writes such metadata anew, and nothing else."
    assert f"\nremedy: a: OME-NGFF 0.5: {remedy}\n" in done.stdout
    assert softlab("verify", store, "--no-sources", "--mend-ome").exit_code == 0
    assert softlab("verify", store, "--no-sources").exit_code == 0


def test_a_case_that_cannot_be_mended_spoils_no_other(
    softlab, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = spoilt(small, tmp_path, "a/labels/zarr.json", "{}")
    (store / "b/labels/zarr.json").write_text("{}")
    replace = os.replace

    def fail(source: str, target: str) -> None:
        if "/a/" in str(target):
            raise OSError(errno.EROFS, "Read-only file system", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail)
    done = softlab("verify", store, "--no-sources", "--mend-ome")
    assert done.exit_code == 1
    assert "defect: a: OME-NGFF 0.5: " in done.stdout
    assert "remedy: a: OME-NGFF 0.5: Ask for the right to write there" in done.stdout
    assert "note: b: OME-NGFF 0.5: written anew" in done.stdout


KINDS = [("nifti",), ("nifti", "--per-class"), ("nifti", "--hard"), ("npz",), ("seg-nrrd",)]


@pytest.mark.parametrize("to", KINDS, ids=" ".join)
@pytest.mark.parametrize("damage", ["metadata", "chunks"])
def test_export_goes_on_after_a_damaged_case(softlab, small, tmp_path, to, damage) -> None:
    store = spoilt(small, tmp_path, "a/zarr.json", '{"attributes": ') if damage == "metadata" else (
        spoilt(small, tmp_path, "a/soft/zarr.json", {})
    )  # fmt: skip
    if damage == "chunks":
        for shard in (store / "a").rglob("c.*"):
            content = bytearray(shard.read_bytes())
            content[len(content) // 3] ^= 1  # in a chunk that is not the first
            shard.write_bytes(content)
    shutil.copytree(small / "b", store / "c")
    out = tmp_path / "out"
    done = softlab("export", store, "--out", out, "--to", *to)
    assert (done.exit_code, done.stdout) == (1, "")
    failed = [line for line in done.stderr.splitlines() if line.startswith("failed: ")]
    assert [line[:11] for line in failed] == ["failed: a: ", "failed: c: "]
    assert failed[0].endswith(ANEW)
    assert f"error: {out}: 2 of 3 cases could not be written: a, c. Do what is" in done.stderr
    assert {path.name[0] for path in out.iterdir()} == {"b"}


def test_export_names_what_is_there_already_and_writes_the_others(
    softlab, small: Path, tmp_path: Path
) -> None:
    assert softlab("export", small, "a", "--out", tmp_path).exit_code == 0
    again = softlab("export", small, "a", "--out", tmp_path)
    assert again.stderr == (
        f"error: {tmp_path / 'a.nii.gz'}: exists already. Add --overwrite, or write into another "
        "folder.\n"
    )
    both = softlab("export", small, "a", "b", "a", "--out", tmp_path)
    assert both.exit_code == 1
    assert both.stderr.startswith(f"failed: a: {tmp_path / 'a.nii.gz'}: exists already.")
    assert "1 of 2 cases could not be written: a." in both.stderr
    assert (tmp_path / "b.nii.gz").exists()
    assert softlab("export", small, "--out", tmp_path, "--overwrite").exit_code == 0


def test_export_of_an_unknown_case_writes_none(softlab, small: Path, tmp_path: Path) -> None:
    done = softlab("export", small, "a", "q", "--out", tmp_path / "out")
    assert (done.exit_code, "has no case 'q'. It has: a, b." in done.stderr) == (2, True)
    assert not (tmp_path / "out").exists()
    with pytest.raises(UsageError, match="cannot export to 'mha'"):
        export_cases(softlab_cli.open_store(small), tmp_path / "out", to="mha")


@pytest.mark.parametrize(
    "words",
    [("info", "q"), ("verify", "q"), ("preview", "q"),
     ("preview", "a", "q"), ("preview", "--class", "q"), ("export", "q", "--out", "out")],
    ids=" ".join,
)  # fmt: skip
def test_a_name_that_is_nowhere_is_a_bad_argument(softlab, small, words) -> None:
    done = softlab(words[0], small, *words[1:])
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'q'" in done.stderr
    assert "It has: a, b." in done.stderr or "There are: 0 background" in done.stderr


@pytest.mark.parametrize("option", ["--calibration", "--classes-from", "--groups"])
def test_a_file_that_cannot_be_used_is_no_bad_argument(softlab, small, tmp_path, option) -> None:
    labels = small.parent / "in"
    (tmp_path / "file").write_text("\x1b[31mno")
    command = ("evaluate", "--pred", labels, "--ref", labels, "--out", tmp_path / "out")
    done = softlab(*command, option, tmp_path / "file")
    assert (done.exit_code, done.stdout) == (1, "")
    assert done.stderr.startswith(f"error: {tmp_path / 'file'}: ")
    assert "\x1b" not in done.stderr


@pytest.mark.parametrize("command", [("info",), ("verify",), ("onehot", "--out", "out", "--in")])
def test_a_case_is_no_store(softlab, small: Path, command) -> None:
    """To remove the store, as for a damaged root, would be the wrong thing to do."""
    done = softlab(*command, small / "a")
    assert done.exit_code == 1
    assert done.stderr == (
        f"error: {small / 'a'}: is a case of a store, not a store. Give the folder of the store, "
        f"{small}.\n"
    )
