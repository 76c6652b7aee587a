"""``softlab svls``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import run_options, svls_options, together
from softlab_cli.cli.soften import soften


@click.command("svls")
@together(*svls_options)
@run_options
def command(
    kernel_size: int, sigma_voxels: Any, sigma_mm: Any, slicewise: bool, **run: Any
) -> None:
    """Spatially varying label smoothing: soft where labels meet, hard elsewhere.

    Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021, equation 2.
    """
    from softlab_cli.methods.svls.svls import SVLS

    soften(SVLS(kernel_size, sigma_voxels, sigma_mm, slicewise), run)
