"""Public names stay what they are, whatever else of the package is imported."""

from __future__ import annotations

import subprocess
import sys

import pytest

import softlab_cli

FUNCTIONS = sorted(set(softlab_cli.__all__) - {"__version__"})


def answer(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def test_every_public_name_is_there() -> None:
    assert all(callable(getattr(softlab_cli, name)) for name in FUNCTIONS)
    assert set(dir(softlab_cli)) == set(softlab_cli.__all__)


@pytest.mark.parametrize(
    "statement",
    [
        "import softlab_cli.running.runner; from softlab_cli import run",
        "import softlab_cli, softlab_cli.running.runner; run = softlab_cli.run",
        "import softlab_cli.cli.svls, softlab_cli.running.plan; from softlab_cli import run",
    ],
)
def test_no_room_hides_the_function_run(statement: str) -> None:
    assert answer(f"{statement}; print(callable(run))") == "True"


def test_no_room_is_named_as_a_public_function() -> None:
    """Python puts an imported room over the package's name, where it hides the function."""
    from importlib.util import find_spec

    hidden = [name for name in FUNCTIONS if find_spec(f"softlab_cli.{name}") is not None]
    assert hidden == []
