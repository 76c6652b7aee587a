"""Words that several commands print."""

from __future__ import annotations

from collections.abc import Iterable

import click

from softlab_cli.core.text import shown

__all__ = ["counted", "say"]


def counted(count: int, noun: str) -> str:
    """A number of things: ``1 case``, ``2 cases``."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def say(lines: Iterable[object]) -> None:
    """Print lines, in which names may be of any kind: see `softlab_cli.core.text`."""
    click.echo("\n".join(map(shown, lines)))
