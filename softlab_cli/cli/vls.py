"""``softlab vls``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from softlab_cli.cli.arguments import A_PATH, sides_of
from softlab_cli.cli.options import refuse_idle, run_options, together
from softlab_cli.cli.soften import soften

__all__ = ["command", "engine", "vls_options"]

engine = click.option(
    "--engine",
    type=click.Choice(["vls", "crossfit"]),
    default="vls",
    show_default=True,
    help="The variational network, or a plain one without draws, which did as well.",
)

vls_options = [
    click.option(
        "--base",
        type=click.Choice(["onehot", "svls"]),
        default="onehot",
        show_default=True,
        help="What the learned share is blended with; svls with --smoothing 0.4 is recommended.",
    ),
    click.option(
        "--samples", type=int, default=20, show_default=True, help="Draws of z to take the mean of."
    ),
    click.option(
        "--temperature",
        type=float,
        default=1.0,
        show_default=True,
        help="The mean is taken to the power 1/T, and made to add up to 1 again.",
    ),
    click.option(
        "--folds",
        type=int,
        default=5,
        show_default=True,
        help="Networks; each case gets its soft label from one that has not seen it.",
    ),
    click.option(
        "--group-by",
        metavar="REGEX or CSV",
        help="What stays together in a fold: what a pattern finds in the case id, or a file with "
        "the columns case_id and group.  [default: PatientID, BIDS subject, or the case]",
    ),
    click.option(
        "--seed", type=int, default=0, show_default=True, help="What all draws begin with."
    ),
    click.option(
        "--steps",
        type=int,
        help="Steps of each fold.  [default: 1500 on a CPU, 5000 with CUDA]",
    ),
    click.option(
        "--patch",
        callback=sides_of,
        metavar="N or Z,Y,X",
        help="Voxels along each side of a patch.  [default: 64 in 2D and 48 in 3D, with CUDA 128 "
        "and 96]",
    ),
    click.option(
        "--batch",
        type=int,
        help="Patches of a step.  [default: 16 in 2D and 2 in 3D, with CUDA 32 and 2]",
    ),
    click.option(
        "--width",
        type=int,
        help="Channels of the networks' first level.  [default: 16 in 2D and 8 in 3D, with CUDA "
        "32]",
    ),
    click.option(
        "--dims",
        type=click.Choice(["auto", "2", "3"]),
        default="auto",
        show_default=True,
        help="Whether patches are slices or cubes; slices for pictures and thick slices.",
    ),
    click.option("--latent", type=int, default=8, show_default=True, help="Dimensions of z."),
    click.option(
        "--image-weight",
        type=float,
        default=0.0,
        show_default=True,
        help="What giving the image back counts in the loss; the poster's is 1.",
    ),
    click.option(
        "--kl-weight",
        type=float,
        default=1.0,
        show_default=True,
        help="What the divergence of z counts in the loss when it has risen.",
    ),
    click.option(
        "--min-skill",
        type=float,
        default=0.2,
        show_default=True,
        help="A training that tells less of the labels from images is an error.",
    ),
    click.option(
        "--model",
        type=A_PATH,
        metavar="DIR",
        help="A model that is there already (OUT.fit of another run); nothing is learned. A case "
        "that it was trained with gets the network that has not seen it, others the mean of all.",
    ),
    click.option(
        "--device",
        type=click.Choice(["auto", "cpu", "cuda"]),
        default="auto",
        show_default=True,
        help="Where networks run; bits differ between the two.",
    ),
]
"""Parameters of VLS, but for the amount of smoothing, the engine and whose network it is."""


@click.command("vls")
@together(
    engine,
    click.option(
        "--smoothing",
        type=float,
        default=0.3,
        show_default=True,
        help="alpha: share of the soft label that is learned.",
    ),
    *vls_options,
    click.option(
        "--parity",
        type=click.Choice(["poster"]),
        help="The network of the poster: z alone gives labels and image.",
    ),
    click.option(
        "--train-only",
        is_flag=True,
        help="Stop when the model is trained; it lies in OUT.fit.",
    ),
)
@run_options
def command(
    engine: Any,
    smoothing: float,
    base: Any,
    samples: int,
    temperature: float,
    folds: int,
    group_by: str | None,
    seed: int,
    steps: int | None,
    patch: tuple[int, ...] | None,
    batch: int | None,
    width: int | None,
    dims: Any,
    latent: int,
    image_weight: float,
    kl_weight: float,
    min_skill: float,
    model: Path | None,
    device: Any,
    parity: Any,
    **run: Any,
) -> None:
    """Variational label smoothing: soft labels that networks learn.

    Networks learn from images and the labels of one rater what is open about a label; each case
    gets its soft label from networks that have not seen it. --images is needed, and hours on a
    CPU. An interrupted training goes on where it was.

    Guo et al., CALSeg: Calibration via Variational Label Smoothing (poster).
    """
    from softlab_cli.methods.vls.vls import VLS

    if model is not None:
        refuse_idle("group_by", "min_skill", needs="a training, and --model is trained")
    method = VLS(
        engine=engine,
        smoothing=smoothing,
        base=base,
        parity=parity,
        samples=samples,
        temperature=temperature,
        folds=folds,
        group_by=group_by,
        seed=seed,
        steps=steps,
        patch=patch,
        dims=dims,
        latent=latent,
        image_weight=image_weight,
        kl_weight=kl_weight,
        width=width,
        batch=batch,
        min_skill=min_skill,
        model=model,
        device=device,
    )
    soften(method, run)
