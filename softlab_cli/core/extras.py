"""Packages that come with an extra, and what to say when one is not there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager

from softlab_cli.core.errors import PackageError

__all__ = ["going_without", "not_drawn", "pip_install", "require"]

DISTRIBUTION = "softlab-cli"
"""What pip knows this package as; the name softlab belongs to another project."""


def pip_install(extra: str) -> str:
    """The command that installs an extra."""
    return f"pip install '{DISTRIBUTION}[{extra}]'"


@contextmanager
def require(package: str, *, extra: str, problem: str) -> Iterator[None]:
    """Surround the imports of a package that an extra brings.

    Parameters
    ----------
    package
        The package.
    extra
        Name of the extra.
    problem
        What needs the package, as a sentence.

    Raises
    ------
    PackageError
        When it is not installed, or something that it needs is not.

    Examples
    --------
    >>> with require("torch", extra="torch", problem="softlab's losses need torch."):
    ...     import torch
    """
    try:
        yield
    except PackageError:
        raise
    except ImportError as error:
        if (error.name or "").split(".")[0] != package:
            problem = f"{problem} It cannot be imported: {error}."
        raise PackageError(problem, remedy=pip_install(extra)) from error


@contextmanager
def going_without(lacking: MutableMapping[str, PackageError], name: str) -> Iterator[None]:
    """Surround the making of a file that a run is whole without.

    Parameters
    ----------
    lacking
        Gets the error under the name, where a package is not there; other errors pass.
    name
        The file.
    """
    try:
        yield
    except PackageError as error:
        lacking[name] = error


def not_drawn(lacking: Mapping[str, PackageError]) -> str:
    """One line about all files that are not there for want of a package, one at least."""
    return f"not drawn: {', '.join(lacking)}; {next(iter(lacking.values()))}"
