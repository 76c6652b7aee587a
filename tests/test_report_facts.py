"""What the command line says of a store, Python can say with the same functions."""

from __future__ import annotations

import csv
import json
import re
import tomllib
from pathlib import Path

import pytest

import softlab_cli
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.output.cases import export_cases
from softlab_cli.report.describe import describe_case, describe_marginals
from softlab_cli.report.facts import config_toml, marginal_facts, store_facts
from softlab_cli.report.overview import COLUMNS, csv_of_store, describe_store, gather_overview
from softlab_cli.report.tables import counted, first_names, table
from softlab_cli.store.reader import Store
from tests.conftest import blobs, write_image


@pytest.fixture
def store(softlab, labels, tmp_path) -> Store:
    done = softlab("svls", "--in", labels, "--out", tmp_path / "soft.zarr")
    assert done.exit_code == 0, done.output
    return softlab_cli.open_store(tmp_path / "soft.zarr")


def test_facts_are_what_is_printed(softlab, store) -> None:
    def printed(*arguments: str) -> str:
        output: str = softlab("info", store.path, *arguments).output
        return output

    assert json.loads(printed("--json")) == store_facts(store)
    assert json.loads(printed("case1", "--json")) == store_facts(store, "case1")
    assert store_facts(store, "case1")["schema"] == store.info.schema
    assert store_facts(store)["cases"]["case1"]["schema"] == store.info.schema
    assert json.loads(printed("--json", "--marginals")) == marginal_facts(store)
    assert printed() == "\n".join(describe_store(gather_overview(store))) + "\n"
    assert printed("--csv", "--sort", "volume") == csv_of_store(gather_overview(store, "volume"))
    assert printed("case1") == "\n".join(describe_case(store["case1"])) + "\n"
    assert printed("--marginals") == "\n".join(describe_marginals(store)) + "\n"
    assert tomllib.loads(printed("--config")) == dict(store.info.config)


def test_a_summary_comes_first(softlab, store) -> None:
    lines = softlab("info", store.path).output.splitlines()
    found = dict(line.strip().split(maxsplit=1) for line in lines[1 : lines.index("")])
    assert found["cases"] == "3"
    assert found["shape"] == "20x24x28..30"
    assert found["spacing"] == "2 x 1 x 1 mm"
    assert found["present"] == "4 classes a case"
    volumes = [sum(case.statistics.hard_mm3[1:]) / 1000 for case in store.values()]
    assert found["volume"] == (
        f"{min(volumes):.4g} to {max(volumes):.4g} ml a case, {sum(volumes):.6g} in all"
    )
    assert "bits a case" in found["entropy"]
    assert "size" not in found
    assert "size " in softlab("info", store.path, "--sizes").output


def test_cases_are_sorted_by_a_column_the_largest_first(store) -> None:
    for name, column in COLUMNS.items():
        found = gather_overview(store, name)
        facts = [column.fact(case) for case in found.cases]
        if name == "case":
            assert facts == sorted(facts)
        elif None not in facts:
            assert facts == sorted(facts, reverse=True)
        table = csv.DictReader(csv_of_store(found).split("\n"))
        assert [row["case_id"] for row in table] == [case.case_id for case in found.cases]


def test_what_does_not_go_together(softlab, store) -> None:
    for options in (["--sort", "weight"], ["--json", "--sort", "case"], ["case1", "--csv"],
                    ["--csv", "--sizes"]):  # fmt: skip
        done = softlab("info", store.path, *options)
        assert done.exit_code == 2, options
        assert len(done.stderr.splitlines()) == 1


def test_a_case_that_cannot_be_read_is_told_of_and_hides_no_other(softlab, store) -> None:
    (store.path / "case1" / "zarr.json").write_text("{}")
    done = softlab("info", store.path)
    assert done.exit_code == 1
    assert "case2" in done.stdout
    assert "  unread    case1: " in done.stdout
    assert done.stderr.startswith("error: case1: ")


def test_warnings_are_counted(softlab, tmp_path) -> None:
    for name in "ab":
        write_image(tmp_path / "in" / f"{name}.png", blobs((20, 24), 3))
    softlab("onehot", "--in", tmp_path / "in", "--out", tmp_path / "soft.zarr", "--workers", 1)
    shown = softlab("info", tmp_path / "soft.zarr").output
    assert re.search(r"warnings  2 in 2 cases\n +2 times: .* 1 mm is assumed\.", shown)
    assert " ml" not in shown


def test_a_configuration_survives_toml() -> None:
    config = {"command": "svls", "in": ['a "quoted" \u00e9'], "sigma-mm": 1.5, "slicewise": True}
    assert tomllib.loads(config_toml(config)) == config


def test_columns_are_as_wide_as_their_widest_entry() -> None:
    assert list(table(("a", "bb"), [("ccc", ""), ("", "d")])) == ["  a    bb", "  ccc", "       d"]
    assert list(table(("a",), [])) == ["  a"]


def test_counts_and_names() -> None:
    assert [counted(n, "case") for n in (0, 1, 2)] == ["0 cases", "1 case", "2 cases"]
    assert first_names("abc", most=3) == "a, b, c"
    assert first_names("abcd", most=3) == "a, b, c, ... (1 more)"


def test_cases_are_exported(store, tmp_path) -> None:
    told: list[object] = []
    written = export_cases(store, tmp_path / "out", to="npz", listen=told.append)
    assert written == {name: [tmp_path / "out" / f"{name}.npz"] for name in store}
    assert all(path.is_file() for paths in written.values() for path in paths)
    assert len(told) == 1 + len(store)
    assert list(export_cases(store, tmp_path / "one", ["case2"])) == ["case2"]
    with pytest.raises(StoreError, match="exists"):
        export_cases(store, tmp_path / "one", ["case2"])
    with pytest.raises(UsageError, match="lies in the store"):
        export_cases(store, store.path / "case2", ["case2"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "dicom-seg", "per_class": True}, "--per-class goes with --to nifti only"),
        ({"to": "npz", "hard": True}, "--hard goes with --to nifti"),
        ({"hard": True, "per_class": True}, "--per-class is about soft labels"),
        ({"to": "npz", "images": "series"}, "go with --to dicom-seg only"),
    ],
)
def test_options_of_other_kinds_of_files(store, tmp_path: Path, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        export_cases(store, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
