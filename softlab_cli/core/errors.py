"""Every error that softlab raises on purpose.

::

    SoftlabError
    ├── UsageError       arguments that contradict each other or have no meaning,
    │                    such as the name of a case, a class or a rater that is nowhere
    ├── InputError       a file or folder that cannot be used
    │   └── GeometryError    two grids that should be one
    ├── ClassError       a label value or a class name outside the class table
    ├── StoreError       an output that is not, or no longer, what it should be
    └── EngineError      something to compute with that is missing or does not work
        └── PackageError     a package that is missing; an ``ImportError`` as well

A message gives the value, the reason and the remedy; errors about a file name
it. The command line turns ``UsageError`` into exit status 2 and the others into
exit status 1: a file that an option names and that cannot be used, like any other
input. Nothing here knows of the command line.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from softlab_cli.core.text import shown, shown_message

__all__ = [
    "ClassError",
    "EngineError",
    "GeometryError",
    "InputError",
    "PackageError",
    "SoftlabError",
    "StoreError",
    "UsageError",
    "naming",
]


class SoftlabError(Exception):
    """Base of all errors that softlab raises on purpose.

    Parameters
    ----------
    problem
        What is wrong, with the value that is wrong.
    remedy
        What the user can do about it; one sentence, or empty.
    path
        The file or folder at fault, if one is.
    """

    def __init__(self, problem: str, *, remedy: str = "", path: str | Path | None = None) -> None:
        self.problem = problem
        self.remedy = remedy
        self.path = None if path is None else Path(path)
        super().__init__(problem, remedy, self.path)

    def __str__(self) -> str:
        where = "" if self.path is None else f"{shown(self.path)}: "
        gap = "" if self.problem.endswith("\n") or not self.remedy else " "
        return f"{where}{shown_message(self.problem)}{gap}{shown(self.remedy)}"

    def __reduce__(self) -> tuple[object, ...]:
        # Errors travel from worker processes; the default would lose keyword arguments.
        return (_rebuild, (type(self), self.problem, self.remedy, self.path))


def _rebuild(
    kind: type[SoftlabError], problem: str, remedy: str, path: Path | None
) -> SoftlabError:
    return kind(problem, remedy=remedy, path=path)


class UsageError(SoftlabError):
    """Arguments that contradict each other, or whose value has no meaning."""


class InputError(SoftlabError):
    """A file or folder that cannot be used as it is."""


class GeometryError(InputError):
    """Two grids that should be one; the message shows both, side by side."""


class ClassError(SoftlabError):
    """A label value or a class name that the class table does not have."""


class StoreError(SoftlabError):
    """An output that is not a store, is another store, or is damaged."""


class EngineError(SoftlabError):
    """Something to compute with that is not installed or does not work here."""


class PackageError(EngineError, ImportError):  # type: ignore[misc]  # both have a path
    """A package that is not installed or cannot be imported."""


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Name the file in an error that does not know which file it is about."""
    try:
        yield
    except SoftlabError as error:
        if error.path is None:
            error.path = path
        raise
