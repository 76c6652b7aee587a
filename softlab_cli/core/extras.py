"""Packages that come with an extra, and what to say when one is not there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from softlab_cli.core.errors import PackageError

__all__ = ["pip_install", "require"]

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
