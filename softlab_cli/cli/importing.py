"""``softlab import``."""

from __future__ import annotations

from typing import Any

import click

from softlab_cli.cli.options import run_options, soft_options, together
from softlab_cli.cli.soften import soften


@click.command("import")
@click.option(
    "--supersample",
    type=click.IntRange(1, 32),
    metavar="N",
    help="RTSTRUCT: test N x N points in each voxel for the share that a contour takes; 8 is fine.",
)
@together(*soft_options)
@run_options
def command(supersample: int | None, **run: Any) -> None:
    """Store soft labels that the files already have, as they are.

    These are maps of 0 to 1: of one class (NIfTI and other images; background is the
    rest), with a volume for each class, or one file for each class (--class-pattern);
    nnU-Net's probabilities (.npz beside the segmentation); another store; the fractions
    of a FRACTIONAL DICOM SEG; the partial volume of RTSTRUCT contours; and label maps that
    --resample-labels linear puts on another grid. The hard label is the class with the
    largest soft label.
    """
    from softlab_cli.methods.imported import Import

    soften(Import(supersample), run)
