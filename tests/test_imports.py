"""Imports point down, and each third-party package stays behind its fence.

Imports inside functions count as well: a lazy import is still an arrow.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "softlab_cli"

LAYERS = [
    {"core", "version"},
    {"kernels"},
    {"fusion", "geodesic", "readers", "store"},
    {"cases", "output"},
    {"labels"},
    {"methods"},
    {"api", "running"},
    {"report", "trainers"},
    {"nnunet"},
    {"__init__"},
    {"cli"},
    {"__main__"},
]
"""From the bottom up: a room may import from lower layers and from itself."""

FENCES = {
    "click": {"cli"},
    "tqdm": {"running"},
    "zarr": {"store"},
    "SimpleITK": {"readers"},
    "pydicom": {"readers"},
    "highdicom": {"readers"},
    "nibabel": {"readers"},
    "numba": {"kernels"},
    "scipy": {"geodesic"},
    "skimage": {"geodesic"},
    "FastGeodis": {"geodesic"},
    "distributed": {"running"},
    "matplotlib": {"report"},
    "torch": {"trainers", "nnunet", "geodesic"},
    "monai": {"trainers"},
    "torchio": {"trainers"},
    "zstandard": {"store"},
    "google_crc32c": {"store"},
    "nnunetv2": {"nnunet"},
    "batchgenerators": {"nnunet"},
    "batchgeneratorsv2": {"nnunet"},
    "blosc2": {"nnunet"},
}
"""Third-party package: the modules of softlab that may import it."""

LEVEL = {name: level for level, names in enumerate(LAYERS) for name in names}


def modules() -> list[Path]:
    return sorted(PACKAGE.rglob("*.py"))


def top(path: Path) -> str:
    """First name below the package: ``store`` for store/writer.py, ``runner`` for runner.py."""
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module or ""
            if node.module == "softlab_cli":
                yield from (f"softlab_cli.{alias.name}" for alias in node.names)


def test_every_module_has_a_layer() -> None:
    assert {top(path) for path in modules()} <= set(LEVEL)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path: Path) -> None:
    here = top(path)
    for name in imported(path):
        parts = name.split(".")
        if parts[0] != "softlab_cli" or len(parts) == 1 or parts[1] == here:
            continue
        assert parts[1] in LEVEL, f"{path} imports {name}, which is no module"
        assert LEVEL[parts[1]] < LEVEL[here], f"{path} imports {name}, which is not below it"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_third_party_packages_stay_behind_their_fences(path: Path) -> None:
    for name in imported(path):
        allowed = FENCES.get(name.split(".")[0])
        assert allowed is None or top(path) in allowed, f"{path} imports {name}"


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_no_module_imports_what_is_private_to_another(path: Path) -> None:
    """Neither a name, nor a module, nor an attribute of an imported module of softlab."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    own: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("softlab_cli"):
            names = [*(node.module or "").split("."), *(alias.name for alias in node.names)]
            assert not [n for n in names if is_private(n)], f"{path}: {names}"
            own |= {alias.asname or alias.name for alias in node.names}
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            name = node.value.id
            private = name in own and name.islower() and is_private(node.attr)
            assert not private, f"{path}: {name}.{node.attr}"


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__")


@pytest.mark.parametrize(
    "statement",
    [
        "import softlab_cli",
        "import softlab_cli.cli.main",
        "import softlab_cli.methods",
        "import softlab_cli.trainers",
    ],
)
def test_heavy_packages_are_imported_late(statement: str) -> None:
    heavy = ["numba", "SimpleITK", "zarr", "matplotlib", "scipy", "skimage", "torch", "pydicom",
             "nibabel"]  # fmt: skip
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
