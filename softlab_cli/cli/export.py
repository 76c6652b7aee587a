"""``softlab export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import debug, progress, series, store_argument
from softlab_cli.cli.wording import say
from softlab_cli.core.places import refuse_url
from softlab_cli.report.tables import counted
from softlab_cli.running.progress import listeners


@click.command("export")
@store_argument
@click.argument("case_ids", nargs=-1)
@click.option(
    "--to", type=click.Choice(["nifti", "npz", "dicom-seg", "seg-nrrd"]), default="nifti",
    show_default=True, help="Kind of file; seg-nrrd has the hard label, for 3D Slicer.",
)  # fmt: skip
@click.option("--out", type=A_PATH, required=True, help="Folder to write into.")
@click.option(
    "--per-class", is_flag=True, help="NIfTI: one 3D file a class instead of one 4D file."
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--images",
    type=A_PATH,
    help="dicom-seg: the series, or a folder of case folders.  [default: the case's own image]",
)
@series
@click.option(
    "--hard",
    is_flag=True,
    help="The hard label instead: in NIfTI a label map with the label values, and its classes in a "
    "JSON file for --classes-from; in dicom-seg a LABELMAP.",
)
@progress
@debug
def command(
    store: Path,
    case_ids: tuple[str, ...],
    to: str,
    out: Path,
    per_class: bool,
    overwrite: bool,
    images: Path | None,
    series: str | None,
    hard: bool,
    progress: bool | None,
) -> None:
    """Write the soft labels of a store, or of the given cases, as NIfTI, npz or DICOM SEG.

    Or the hard labels, as NIfTI (--hard), LABELMAP or segmentations of 3D Slicer.
    """
    from softlab_cli.api import open_store
    from softlab_cli.output.cases import export_cases

    refuse_url(store, out, images)
    opened = open_store(store)
    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown) as listen:
        exported = export_cases(
            opened, out, case_ids, to=to, per_class=per_class, overwrite=overwrite,
            images=images, series=series, hard=hard, listen=listen,
        )  # fmt: skip
    say([f"{out}: {counted(len(exported), 'case')}"])
