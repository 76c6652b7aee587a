"""What to say when a package of an extra is not installed."""

from __future__ import annotations

from softlab_cli.core.errors import EngineError

__all__ = ["missing_extra"]


def missing_extra(error: ModuleNotFoundError, package: str, extra: str, what: str) -> Exception:
    """The error for the user when an import failed for want of an extra.

    Parameters
    ----------
    error
        What the import raised.
    package
        The package that the extra brings.
    extra
        Name of the extra.
    what
        What needs it, as the subject of a sentence.

    Returns
    -------
    Exception
        An `EngineError` with the pip command, or `error` itself when it is about
        another package.
    """
    if (error.name or "").split(".")[0] != package:
        return error
    return EngineError(f"{what} need {package}.", remedy=f"pip install 'softlab[{extra}]'")
