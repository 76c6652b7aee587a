"""``softlab geols``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import refuse_idle, run_options, together
from softlab_cli.cli.soften import soften

ENGINES = ["auto", "numba", "cuda", "fastgeodis"]

geols_options = [
    click.option(
        "--seeds",
        type=click.Choice(["skeleton", "erosion", "random", "region"]),
        default="skeleton",
        show_default=True,
        help="What distances to a class start from.",
    ),
    click.option(
        "--erosion-voxels",
        type=int,
        default=1,
        show_default=True,
        help="Layers that --seeds erosion takes off.",
    ),
    click.option(
        "--random-voxels",
        type=int,
        default=10,
        show_default=True,
        help="Voxels of each class that --seeds random draws.",
    ),
    click.option(
        "--random-seed", type=int, default=0, show_default=True, help="What the draw begins with."
    ),
    click.option(
        "--metric",
        type=click.Choice(["geodistk", "fastgeodis"]),
        default="geodistk",
        show_default=True,
        help="Whose cost of a step: length times difference of intensity, or their sum.",
    ),
    click.option(
        "--intensity-weight",
        type=float,
        default=1.0,
        show_default=True,
        help="The paper's lambda, 0 (Euclidean) to 1 (geodesic).",
    ),
    click.option(
        "--channel-mode",
        type=click.Choice(["mean", "vector"]),
        default="mean",
        show_default=True,
        help="Several image channels: the mean of their maps, or one distance over all.",
    ),
    click.option(
        "--min-mass",
        type=float,
        default=0.0,
        show_default=True,
        metavar="EPS",
        help="Drop soft labels below, and make the others add up to 1 again.",
    ),
]
"""Parameters of GeoLS, but for the amount of smoothing, the engine and whose numbers it gives."""


@click.command("geols")
@together(
    click.option(
        "--smoothing",
        type=float,
        default=0.1,
        show_default=True,
        help="The paper's alpha: share of the soft label that follows the image.",
    ),
    *geols_options,
    click.option(
        "--engine",
        type=click.Choice(ENGINES),
        default="auto",
        show_default=True,
        help="What computes distances; numba and cuda give the same bits.",
    ),
    click.option(
        "--iterations",
        type=int,
        default=4,
        show_default=True,
        help="Sweeps of --engine fastgeodis; the others converge.",
    ),
    click.option(
        "--parity",
        type=click.Choice(["repository"]),
        help="The numbers of the authors' repository: four raster iterations, no seed where a "
        "skeleton is empty, and soft labels that do not add up to 1.",
    ),
)
@run_options
def command(
    smoothing: float,
    seeds: str,
    erosion_voxels: int,
    random_voxels: int,
    random_seed: int,
    metric: Any,
    intensity_weight: float,
    channel_mode: Any,
    min_mass: float,
    engine: str,
    iterations: int,
    parity: Any,
    **run: Any,
) -> None:
    """Geodesic label smoothing: soft labels that follow the image.

    Distances run through the image in millimetres, from the skeleton of each class; --images is
    needed, with one file a case or one a channel (_0000, _0001, ...).

    Adiga Vasudeva, Dolz and Lombaert, GeoLS: Geodesic Label Smoothing, MIDL 2023.
    """
    from softlab_cli.methods.geols.geols import GeoLS

    if seeds != "erosion":
        refuse_idle("erosion_voxels", needs="--seeds erosion")
    if seeds != "random":
        refuse_idle("random_voxels", "random_seed", needs="--seeds random")
    method = GeoLS(
        smoothing=smoothing,
        seeds=seeds,
        metric=metric,
        intensity_weight=intensity_weight,
        engine=engine,
        iterations=iterations,
        parity=parity,
        channel_mode=channel_mode,
        min_mass=min_mass,
        erosion_voxels=erosion_voxels,
        random_voxels=random_voxels,
        random_seed=random_seed,
    )
    soften(method, run)
