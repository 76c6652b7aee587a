"""``softlab export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from softlab_cli.cli.options import debug, progress, series, store_argument
from softlab_cli.cli.wording import counted, say
from softlab_cli.core.errors import UsageError
from softlab_cli.core.places import refuse_url
from softlab_cli.run.progress import listeners


@click.command("export")
@store_argument
@click.argument("case_ids", nargs=-1)
@click.option(
    "--to", type=click.Choice(["nifti", "npz", "dicom-seg"]), default="nifti", show_default=True,
    help="Kind of file.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write into.")
@click.option(
    "--per-class", is_flag=True, help="NIfTI: one 3D file a class instead of one 4D file."
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@click.option(
    "--images",
    type=click.Path(path_type=Path),
    help="dicom-seg: the series, or a folder of case folders.  [default: the case's own image]",
)
@series
@click.option(
    "--hard", is_flag=True, help="dicom-seg: the hard label (LABELMAP) instead of FRACTIONAL."
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
    """Write the soft labels of a store, or of the given cases, as NIfTI, npz or DICOM SEG."""
    from softlab_cli.core.events import StageStarted, StageStepped
    from softlab_cli.opening import open_store
    from softlab_cli.output.dicom_seg import export_dicom_seg, series_of
    from softlab_cli.output.export import export_case, remove_leftovers

    if to == "dicom-seg" and per_class:
        raise UsageError("--per-class goes with --to nifti only.", remedy="Leave it out.")
    if to != "dicom-seg" and (images or series or hard):
        raise UsageError(
            "--images, --series and --hard go with --to dicom-seg only.", remedy="Leave them out."
        )
    refuse_url(store, out, images)
    opened = open_store(store)
    cases = [opened[case_id] for case_id in case_ids] or list(opened.values())
    remove_leftovers(out)
    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown) as listen:
        listen(StageStarted("export", len(cases)))
        for case in cases:
            if to == "dicom-seg":
                occupancy = case.info.details.get("fractional_type") == "OCCUPANCY"
                export_dicom_seg(
                    case, out, series_of(case.case_id, case.sources, images), series=series,
                    hard=hard, method=opened.info.method,
                    fractional_type="OCCUPANCY" if occupancy else "PROBABILITY",
                    overwrite=overwrite,
                )  # fmt: skip
            else:
                export_case(case, out, to=to, per_class=per_class, overwrite=overwrite)
            listen(StageStepped("export", case.case_id))
    say([f"{out}: {counted(len(cases), 'case')}"])
