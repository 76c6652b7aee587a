"""``softlab onehot``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import run_options
from softlab_cli.cli.soften import soften


@click.command("onehot")
@run_options
def command(**run: Any) -> None:
    """One-hot labels: 1 for the voxel's class, 0 for the others."""
    from softlab_cli.methods.onehot import OneHot

    soften(OneHot(), run)
