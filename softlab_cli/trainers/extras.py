"""What to say when a package that only training needs is not there."""

from __future__ import annotations

from softlab_cli.errors import EngineError

__all__ = ["missing_extra"]


def missing_extra(package: str, error: ImportError) -> EngineError:
    """The error for a package that cannot be imported.

    Parameters
    ----------
    package
        ``torch``, ``monai`` or ``torchio``; softlab has an extra of the same name.
    error
        What Python said.
    """
    return EngineError(
        f"this needs the package {package!r}, which cannot be imported ({error}).",
        remedy=f"pip install 'softlab[{package}]'",
    )
