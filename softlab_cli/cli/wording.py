"""How commands print."""

from __future__ import annotations

from collections.abc import Iterable

import click

from softlab_cli.core.text import shown

__all__ = ["say"]


def say(lines: Iterable[object]) -> None:
    """Print lines, in which names may be of any kind: see `softlab_cli.core.text`."""
    click.echo("\n".join(map(shown, lines)))
