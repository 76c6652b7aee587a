"""A checkout of somebody's repository, and modules imported from it as they are."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any
from unittest.mock import MagicMock

__all__ = ["CannotRun", "Checkout"]


class CannotRun(Exception):
    """What a comparison needs is not there."""


class Stub(ModuleType):
    """A module that has any attribute; for what an import names and no comparison calls."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return MagicMock()


class Package(ModuleType):
    """A package of the checkout, without what its ``__init__`` would import."""


@dataclass(frozen=True)
class Checkout:
    """Where a repository was checked out.

    Parameters
    ----------
    path
        Its root folder.
    """

    path: Path

    @property
    def commit(self) -> str:
        """The commit, shortened; a plus sign where files differ from it."""
        commit = self._git("rev-parse", "--short=7", "HEAD")
        return commit + "+" * bool(self._git("status", "--porcelain", "--untracked-files=no"))

    def _git(self, *arguments: str) -> str:
        command = ["git", "-C", str(self.path), *arguments]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise CannotRun(f"{self.path}: {done.stderr.strip()}")
        return done.stdout.strip()

    def load(
        self, name: str, *, stubs: Sequence[str] = (), packages: Sequence[str] = ()
    ) -> ModuleType:
        """Import a module; nothing is written into the checkout, or left in `sys.modules`.

        Parameters
        ----------
        name
            Its dotted name from the root. The ``__init__`` of its packages is not run.
        stubs
            Modules that it imports and the comparison has no use for.
        packages
            Other packages of the checkout whose ``__init__`` is not to be run.
        """
        with self._own_modules():
            for stub in stubs:
                parts = stub.split(".")
                for i in range(1, len(parts) + 1):
                    sys.modules.setdefault(".".join(parts[:i]), Stub(".".join(parts[:i])))
            for package in (*packages, name.rpartition(".")[0]):
                self._add_bare(package)
            return importlib.import_module(name)

    def _add_bare(self, package: str) -> None:
        parts = package.split(".") if package else []
        for i in range(1, len(parts) + 1):
            module = Package(".".join(parts[:i]))
            module.__path__ = [str(self.path.joinpath(*parts[:i]))]
            sys.modules[module.__name__] = module

    @contextmanager
    def _own_modules(self) -> Iterator[None]:
        before, writes_none = dict(sys.modules), sys.dont_write_bytecode
        sys.path.insert(0, str(self.path))
        sys.dont_write_bytecode = True
        importlib.invalidate_caches()
        try:
            yield
        finally:
            sys.path.remove(str(self.path))
            sys.dont_write_bytecode = writes_none
            for name in [n for n, module in sys.modules.items() if self._is_own(module)]:
                del sys.modules[name]
            sys.modules.update(before)

    def _is_own(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        is_below = isinstance(file, str) and self.path in Path(file).parents
        return is_below or isinstance(module, Stub | Package)
