"""``softlab ls``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import run_options, smoothing
from softlab_cli.cli.soften import soften


@click.command("ls")
@smoothing
@run_options
def command(smoothing: float, **run: Any) -> None:
    """Uniform label smoothing: (1 - alpha) one-hot + alpha / C."""
    from softlab_cli.methods.uniform import UniformSmoothing

    soften(UniformSmoothing(smoothing=smoothing), run)
