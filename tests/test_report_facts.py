"""What the command line says of a store, Python can say with the same functions."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import pytest

import softlab_cli
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.output.cases import export_cases
from softlab_cli.report.describe import describe_case, describe_marginals, describe_store
from softlab_cli.report.facts import config_toml, marginal_facts, store_facts
from softlab_cli.report.tables import counted, first_names, table
from softlab_cli.store.reader import Store


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
    assert json.loads(printed("--json", "--marginals")) == marginal_facts(store)
    assert printed() == "\n".join(describe_store(store)) + "\n"
    assert printed("case1") == "\n".join(describe_case(store["case1"])) + "\n"
    assert printed("--marginals") == "\n".join(describe_marginals(store)) + "\n"
    assert tomllib.loads(printed("--config")) == dict(store.info.config)


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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"to": "dicom-seg", "per_class": True}, "--per-class goes with --to nifti only"),
        ({"hard": True}, "go with --to dicom-seg only"),
        ({"to": "npz", "images": "series"}, "go with --to dicom-seg only"),
    ],
)
def test_options_of_other_kinds_of_files(store, tmp_path: Path, options, message) -> None:
    with pytest.raises(UsageError, match=message):
        export_cases(store, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
