"""A folder of results: a mark that makes it one, a file for each case, tables made of all.

What a folder of evaluations and one of tunings have in common: going on in one, and touching
nothing of others in it.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.store.files import refuse_in_store, system_errors, written_whole

__all__ = ["CASES", "ResultsFolder", "write_text"]

CASES = "cases"
"""Folder of what is kept of each case."""

SCRATCH = re.compile(r"\.scratch-.*|\..*\.(json|npz|html)\.\d+")
"""What a process that was killed leaves beside the results of cases."""


@dataclass(frozen=True)
class ResultsFolder:
    """One kind of folder of results.

    Parameters
    ----------
    command
        The command that makes it, for messages.
    mark
        Name of the file that makes a folder one of these.
    content
        What is in that file.
    tables
        Names of what is made of all results.
    is_name_of
        Whether a file name is that of results with this content; `KeyError` means no.
    beside
        Endings of what else lies beside the results of a case.
    """

    command: str
    mark: str
    content: Mapping[str, Any]
    tables: tuple[str, ...]
    is_name_of: Callable[[str, Mapping[str, Any]], bool]
    beside: tuple[str, ...] = ()

    def create(self, out: Path, *, alone: bool) -> None:
        """Make a folder of results, or go on in it.

        Parameters
        ----------
        out
            The folder.
        alone
            Whether nobody else writes there, so that scratch of a process that was killed
            can go.

        Raises
        ------
        StoreError
            When the folder holds something else, or cannot be made.
        """
        self.refuse_foreign(out)
        with system_errors(out, "created"):
            (out / CASES).mkdir(parents=True, exist_ok=True)
            if not (out / self.mark).exists():
                write_text(out / self.mark, json.dumps(self.content))
            for left in (out / CASES).glob(".*") if alone else ():
                if SCRATCH.fullmatch(left.name):
                    shutil.rmtree(left) if left.is_dir() else left.unlink()

    def refuse_foreign(self, out: Path) -> None:
        """Raise `StoreError` where a folder is there, and not one of these results.

        Raises
        ------
        UsageError
            When it would lie in a store.
        """
        if not out.exists():
            return refuse_in_store(out)
        if (out / self.mark).exists():
            return
        if not out.is_dir() or any(out.iterdir()):
            raise StoreError(
                f"is there already, and no folder of results of {self.command}.",
                remedy="Choose another --out.",
                path=out,
            )

    def clear(self, out: Path) -> None:
        """Remove results, and nothing else, from a folder of results; it stays one."""
        self.refuse_foreign(out)
        if not (out / self.mark).exists():
            return
        with system_errors(out, "removed"):
            for file in (out / CASES).glob("*.json"):
                if self._is_ours(file):
                    for ending in self.beside:
                        file.with_suffix(ending).unlink(missing_ok=True)
                    file.unlink()
        self.forget_tables(out)

    def _is_ours(self, file: Path) -> bool:
        """Whether a file holds results; somebody else's may lie beside them."""
        try:
            return self.is_name_of(file.name, json.loads(file.read_text(encoding="utf-8")))
        except (OSError, ValueError, KeyError, TypeError):
            return False

    def forget_tables(self, out: Path) -> None:
        """Remove the tables and pictures of all results: these are about to change."""
        if not (out / self.mark).exists():
            return
        with system_errors(out, "removed"):
            for name in self.tables:
                (out / name).unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a file that is there whole, or as it was."""
    with written_whole(path) as partial:
        partial.write_text(text, encoding="utf-8")
