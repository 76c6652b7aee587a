"""``softlab svls``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import kernel, run_options, together
from softlab_cli.cli.soften import soften


@click.command("svls")
@together(*kernel)
@run_options
def command(
    kernel_size: int, sigma_voxels: Any, sigma_mm: Any, slicewise: bool, **run: Any
) -> None:
    """Spatially varying label smoothing: soft where labels meet, hard elsewhere.

    Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021, equation 2.
    """
    from softlab_cli.methods.svls import SVLS

    method = SVLS(
        kernel_size=kernel_size,
        sigma_voxels=sigma_voxels,
        sigma_mm=sigma_mm,
        slicewise=slicewise,
    )
    soften(method, run)
