"""``softlab msvls``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import rater_weights, raters, run_options, svls_options, together
from softlab_cli.cli.soften import soften


@click.command("msvls")
@together(*svls_options, rater_weights, *raters)
@run_options
def command(
    kernel_size: int,
    sigma_voxels: Any,
    sigma_mm: Any,
    slicewise: bool,
    rater_weights: dict[str, float] | None,
    **run: Any,
) -> None:
    """Mean of several raters' spatially varying label smoothing.

    \b
    Each --in is a rater; cases are paired by name and keep the raters that they have:
        softlab msvls --in r1/ --in r2/ --in r3/ --out soft.zarr

    Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021, equation 4.
    """
    from softlab_cli.methods.raters.msvls import MSVLS

    soften(MSVLS(kernel_size, sigma_voxels, sigma_mm, slicewise, rater_weights), run)
