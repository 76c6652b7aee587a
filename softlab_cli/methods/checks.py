"""Parameters of methods that have no meaning, in words for the user."""

from __future__ import annotations

from collections.abc import Sequence

from softlab_cli.core.errors import UsageError

__all__ = ["check_choice", "check_share"]


def check_share(name: str, value: float, most: float) -> None:
    """Raise `UsageError` unless a value lies from 0 to `most`; the name has its article."""
    if not 0 <= value <= most:
        raise UsageError(
            f"{name} of {value:g} has no meaning.",
            remedy=f"Choose a number from 0 to {most:g}.",
        )


def check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    """Raise `UsageError`, with the choices, unless a value is one of them."""
    if value not in choices:
        raise UsageError(
            f"there is no {name} {value!r}.", remedy=f"Choose one of {', '.join(choices)}."
        )
