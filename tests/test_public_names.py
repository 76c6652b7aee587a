"""Public names stay what they are, whatever else of the package is imported."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec

import softlab_cli

FUNCTIONS = sorted(set(softlab_cli.__all__) - {"__version__"})

HIDDEN = """
import importlib, pkgutil, softlab_cli
for room in pkgutil.iter_modules(softlab_cli.__path__, "softlab_cli."):
    if room.name != "softlab_cli.__main__":
        importlib.import_module(room.name)
names = set(softlab_cli.__all__) - {"__version__"}
print(*(n for n in names if not callable(getattr(softlab_cli, n))))
"""


def test_every_public_name_is_there() -> None:
    assert all(callable(getattr(softlab_cli, name)) for name in FUNCTIONS)
    assert set(dir(softlab_cli)) == set(softlab_cli.__all__)


def test_no_room_hides_a_public_function() -> None:
    """Python puts an imported room over the package's name, where it hides the function."""
    done = subprocess.run(
        [sys.executable, "-c", HIDDEN], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_no_room_is_named_as_a_public_function() -> None:
    hidden = [name for name in FUNCTIONS if find_spec(f"softlab_cli.{name}") is not None]
    assert hidden == []
