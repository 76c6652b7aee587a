"""The comparison with the authors' code, without that code: what it says, and what it counts."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.parity.__main__ import BEGIN, END, REPOSITORIES, put
from tests.parity.checkout import CannotRun, Checkout
from tests.parity.figures import Ulps, close, same_halves, table

ROOT = Path(__file__).parents[1]
FIDELITY = (ROOT / "docs" / "FIDELITY.md").read_text(encoding="utf-8")


def run(**repositories: object) -> subprocess.CompletedProcess[str]:
    environment = {k: v for k, v in os.environ.items() if k not in REPOSITORIES}
    environment |= {name: str(value) for name, value in repositories.items()}
    command = [sys.executable, "-m", "tests.parity"]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A repository with a package that needs what is not there."""
    root = tmp_path / "theirs"
    (root / "package").mkdir(parents=True)
    (root / "package" / "__init__.py").write_text("raise RuntimeError('it was run')\n")
    (root / "package" / "code.py").write_text(
        "from missing.part import Base\nfrom package.other import three\nsix = 2 * three\n"
    )
    (root / "package" / "other.py").write_text("three = 3\n")
    for words in (
        ("init", "-q"), ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b", "commit", "-q", "-m", "First"),
    ):  # fmt: skip
        subprocess.run(["git", "-C", root, *words], check=True)
    return Checkout(root)


def test_without_checkouts_each_is_skipped_with_a_line() -> None:
    done = run()
    assert done.returncode == 0, done.stderr
    for variable, repository in REPOSITORIES.items():
        assert f"### {repository.name} {repository.commit}" in done.stdout
        assert f"Not run: {variable}= was not given." in done.stdout


def test_a_path_that_is_no_checkout_fails(tmp_path: Path) -> None:
    done = run(SVLS_REPO=tmp_path)
    assert done.returncode == 1
    assert f"Not run: {tmp_path}" in done.stdout
    assert "Traceback" not in done.stderr


def test_the_document_names_each_repository_and_its_commit() -> None:
    _, begin, rest = FIDELITY.partition(BEGIN)
    tables, end, _ = rest.partition(END)
    assert begin
    assert end
    for repository in REPOSITORIES.values():
        assert f"### {repository.name} {repository.commit}" in tables
    assert "**" not in tables, "something lies too far apart"


def test_a_module_is_imported_without_its_surroundings(checkout: Checkout) -> None:
    before = dict(sys.modules)
    module = checkout.load("package.code", stubs=["missing.part"])
    assert module.six == 6
    assert sys.modules == before
    assert not list(checkout.path.rglob("*.pyc"))


def test_the_commit_tells_of_changes(checkout: Checkout, tmp_path: Path) -> None:
    clean = checkout.commit
    assert len(clean) == 7
    (checkout.path / "package" / "other.py").write_text("three = 4\n")
    assert checkout.commit == f"{clean}+"
    with pytest.raises(CannotRun, match="not a git repository"):
        _ = Checkout(tmp_path).commit


def test_differences_are_counted_in_units_of_the_last_place() -> None:
    ones = np.ones(8)
    near = ones.copy()
    near[3:5] = 1 - 2.0**-11, 1 + 2.0**-9  # one step below, two above
    assert str(Ulps().add(ones, ones)) == "0 of 8 float16 values differ"
    found = Ulps().add(ones, near).add(ones, ones)
    assert (found.values, found.different, found.by_one, found.largest) == (16, 2, 1, 2)
    assert same_halves("", "", [(ones, ones)]).is_good
    assert not same_halves("", "", [(ones, ones), (ones, near)]).is_good


def test_what_is_too_far_apart_stands_out() -> None:
    rows = [close(name, "all", [(1.0, 1.0 + 1e-6)], limit) for name, limit in (("a", 1), ("b", 0))]
    assert table(rows).splitlines()[2:] == ["| a | all | 1.0e-06 |", "| b | all | **1.0e-06** |"]


def test_tables_are_put_between_the_marks(tmp_path: Path) -> None:
    path = tmp_path / "a.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    put(path, "new")
    assert path.read_text() == f"before\n{BEGIN}\n\nnew\n\n{END}\nafter\n"
    path.write_text("nothing")
    with pytest.raises(SystemExit, match="no place"):
        put(path, "new")
