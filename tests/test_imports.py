"""Imports point down, and each third-party package stays behind its fence.

Imports inside functions count as well: a lazy import is still an arrow.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from tests.conftest import blobs, write_image

PACKAGE = Path(__file__).parents[1] / "softlab_cli"

LAYERS = [
    {"core", "version"},
    {"kernels"},
    {"fusion", "geodesic", "readers", "store"},
    {"cases", "output"},
    {"labels"},
    {"methods"},
    {"api", "running"},
    {"evaluation"},
    {"tuning"},
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
    "tifffile": {"readers"},
    "imagecodecs": {"readers"},
    "pydicom": {"readers"},
    "highdicom": {"readers"},
    "nibabel": {"readers"},
    "numba": {"kernels"},
    "llvmlite": {"kernels"},
    "cupy": {"kernels"},
    "scipy": {"geodesic", "evaluation"},
    "skimage": {"geodesic"},
    "FastGeodis": {"geodesic"},
    "distributed": {"running"},
    "matplotlib": {"report"},
    "jinja2": {"report"},
    "markupsafe": {"report"},
    "PIL": {"report"},
    "contourpy": {"report"},
    "torch": {"trainers", "nnunet", "geodesic", "methods/vls"},
    "monai": {"trainers"},
    "torchio": {"trainers"},
    "zstandard": {"store"},
    "google_crc32c": {"store"},
    "nnunetv2": {"nnunet"},
    "batchgenerators": {"nnunet"},
    "batchgeneratorsv2": {"nnunet"},
    "blosc2": {"nnunet"},
}
"""Third-party package: the rooms of softlab that may import it, or rooms in rooms."""

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
        here = {top(path), "/".join(path.relative_to(PACKAGE).parts[:2])}
        assert allowed is None or here & allowed, f"{path} imports {name}"


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


def dotted(path: Path) -> str:
    """``softlab_cli.store`` for store/__init__.py, ``softlab_cli.store.writer`` for writer.py."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def reached(text: str, names: set[str]) -> Iterator[tuple[str, bool]]:
    """Modules among `names` that a module names, and whether Python ever imports them for it.

    They are named in imports, and in strings that are imported.
    """
    tree = ast.parse(text)
    blocks = [node for node in ast.walk(tree) if isinstance(node, ast.If)]
    only_types = [node for node in blocks if ast.unparse(node.test).endswith("TYPE_CHECKING")]
    idle = {inner for node in only_types for part in node.body for inner in ast.walk(part)}
    for node in ast.walk(tree):
        found: list[str] = []
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names if alias.name in names]
        elif isinstance(node, ast.ImportFrom) and node.module in names:
            inside = [f"{node.module}.{alias.name}" for alias in node.names]
            found = [name if name in names else node.module for name in inside]
        elif isinstance(node, ast.Constant) and node.value in names:
            found = [node.value]
        yield from ((name, node not in idle) for name in found)


def arrows(sources: dict[str, str]) -> dict[str, set[str]]:
    """Each module with those that it needs, and the packages that Python runs for these.

    The packages that a module lies in itself are left out: all modules need those.
    """
    needs: dict[str, set[str]] = {}
    for name, text in sources.items():
        needs[name] = set()
        for other, runs in reached(text, set(sources)):
            packages = [other[:i] for i, letter in enumerate(other) if letter == "." and runs]
            own = {package for package in packages if name.startswith(f"{package}.")}
            needs[name] |= ({other, *packages} - own - {name}) & set(sources)
    return needs


def circles(needs: dict[str, set[str]]) -> list[str]:
    """Circles that have no arrow in common, each as ``a -> b -> a``."""
    needs = {name: set(others) for name, others in needs.items()}
    found = []
    while True:
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            # It names each module after one that it needs.
            circle = error.args[1][::-1]
            found.append(" -> ".join(circle))
            needs[circle[0]].remove(circle[1])
        else:
            return found


def test_modules_import_in_no_circle() -> None:
    """Not inside a package either, nor by imports in functions or for type checkers only.

    An import under ``if TYPE_CHECKING`` counts: Python does not follow it, but whoever
    reads the module does, and two modules that need each other's types are one. (It does
    not count for the packages around the module, which only Python runs.) So does a string
    that is a module's name, as in the tables of what is imported late.
    """
    found = circles(arrows({dotted(path): path.read_text(encoding="utf-8") for path in modules()}))
    assert not found, "\n".join(found)


@pytest.mark.parametrize("where", ["softlab_cli.b", "softlab_cli.b.inner", "softlab_cli.b.part"])
@pytest.mark.parametrize(
    "back",
    [
        "from softlab_cli.a import one",
        "from softlab_cli import a",
        "import softlab_cli.a as c",
        "def late():\n    from softlab_cli.a import one",
        "if TYPE_CHECKING:\n    from softlab_cli.a import One",
        "HOMES = {'one': ('softlab_cli.a', 'One')}",
    ],
)
def test_a_circle_is_found_wherever_the_arrow_back_starts(where: str, back: str) -> None:
    sources = {
        "softlab_cli": "from softlab_cli.a import one",
        "softlab_cli.a": "from softlab_cli.b.part import one",
        "softlab_cli.b": "import numpy",
        "softlab_cli.b.inner": "import numpy",
        "softlab_cli.b.part": "from softlab_cli.b.inner import two",
    }
    assert circles(arrows(sources)) == []
    (circle,) = circles(arrows(sources | {where: f"{sources[where]}\n{back}"}))
    assert "softlab_cli.a" in circle
    assert where in circle


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
    heavy = ["numba", "SimpleITK", "zarr", "matplotlib", "scipy", "skimage", "torch", "pydicom"]
    heavy += ["tifffile", "imagecodecs", "highdicom", "cupy", "nibabel", "jinja2", "PIL"]
    code = f"import sys; {statement}; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_run_imports_nothing_that_its_files_do_not_need(tmp_path: Path) -> None:
    write_image(tmp_path / "labels" / "a.nii.gz", blobs((4, 6, 8), 2))
    heavy = ["SimpleITK", "zarr", "matplotlib", "scipy.ndimage", "skimage", "torch", "pydicom"]
    heavy += ["tifffile", "imagecodecs", "nibabel", "jinja2", "PIL", "dask"]
    code = f"""
import atexit, sys
from softlab_cli.cli.main import cli
atexit.register(lambda: print([m for m in {heavy} if m in sys.modules]))
cli.main(["svls", "--in", {str(tmp_path / "labels")!r}, "--out", {str(tmp_path / "o.zarr")!r},
          "--workers", "1", "--threads", "1", "--no-progress"])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_type_needs_its_module_and_not_the_package_around() -> None:
    sources = {
        "softlab_cli.a": "if TYPE_CHECKING:\n    from softlab_cli.b.part import Part",
        "softlab_cli.b": "from softlab_cli.a import one",
        "softlab_cli.b.part": "import numpy",
    }
    assert circles(arrows(sources)) == []
    assert len(circles(arrows(sources | {"softlab_cli.a": "from softlab_cli.b import part"}))) == 1


HELP = """
import sys
from click.testing import CliRunner
from softlab_cli.cli.main import cli

runner, said = CliRunner(), {}
commands = [[name] for name in cli.list_commands(None)]
for words in [[], *commands]:
    assert runner.invoke(cli, [*words, "--help"]).exit_code == 0, words
    if "numpy" in sys.modules:
        sys.exit(f"softlab {' '.join(words)} --help imports numpy")
"""


def test_help_imports_nothing_that_reckons() -> None:
    """It is asked for again and again, and takes four times as long with numpy and the readers."""
    done = subprocess.run([sys.executable, "-c", HELP], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
