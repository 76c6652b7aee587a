"""``softlab fuse``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import (
    rater_weights,
    raters,
    refuse_idle,
    run_options,
    svls_options,
    together,
)
from softlab_cli.cli.soften import soften


@click.command("fuse")
@together(
    click.option(
        "--method",
        "rule",
        type=click.Choice(["mean", "majority", "staple", "dice-weighted"]),
        default="mean",
        show_default=True,
        help="Share of the raters; vote; posterior of STAPLE; share weighted by Dice with the "
        "majority (a rater with a Dice of 0 has no share).",
    ),
    click.option("--smooth", is_flag=True, help="Apply SVLS to the result."),
    *svls_options,
    rater_weights,
    click.option(
        "--staple-region",
        type=click.Choice(["all", "disagreement"]),
        default="all",
        show_default=True,
        help="Voxels that STAPLE learns from: all, or those where raters disagree.",
    ),
    click.option(
        "--staple-tolerance",
        type=float,
        default=1e-7,
        show_default=True,
        help="STAPLE stops when no parameter changes by more.",
    ),
    click.option(
        "--staple-iterations",
        type=int,
        default=1000,
        show_default=True,
        help="STAPLE stops after this many steps.",
    ),
    *raters,
)
@run_options
def command(
    rule: str,
    smooth: bool,
    kernel_size: int,
    sigma_voxels: Any,
    sigma_mm: Any,
    slicewise: bool,
    rater_weights: dict[str, float] | None,
    staple_region: str,
    staple_tolerance: float,
    staple_iterations: int,
    **run: Any,
) -> None:
    """Fuse several raters into one soft label.

    \b
    Each --in is a rater; cases are paired by name and keep the raters that they have:
        softlab fuse --method staple --in r1/ --in r2/ --in r3/ --out soft.zarr

    Warfield et al., STAPLE, IEEE TMI 2004; Wang et al., Dice Semimetric Losses, MICCAI 2023
    (weights by Dice).
    """
    from softlab_cli.fusion.options import StapleOptions
    from softlab_cli.methods.raters.fuse import Fuse
    from softlab_cli.methods.svls.svls import SVLS

    if not smooth:
        refuse_idle("kernel_size", "sigma_voxels", "sigma_mm", "slicewise", needs="--smooth")
    if rule != "staple":
        staple_options = ("staple_region", "staple_tolerance", "staple_iterations")
        refuse_idle(*staple_options, needs="--method staple")
    restrict = "" if staple_region == "all" else staple_region
    staple = StapleOptions(restrict, staple_tolerance, staple_iterations)
    svls = SVLS(kernel_size, sigma_voxels, sigma_mm, slicewise)
    soften(Fuse(rule, smooth, svls, rater_weights, staple), run)
