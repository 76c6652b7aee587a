"""``softlab export``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from softlab_cli.cli.options import debug, progress, store_argument
from softlab_cli.progress import listeners


@click.command("export")
@store_argument
@click.argument("case_ids", nargs=-1)
@click.option(
    "--to", type=click.Choice(["nifti", "npz"]), default="nifti", show_default=True,
    help="Kind of file.",
)  # fmt: skip
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Folder to write into.")
@click.option(
    "--per-class", is_flag=True, help="NIfTI: one 3D file a class instead of one 4D file."
)
@click.option("--overwrite", is_flag=True, help="Replace files that exist.")
@progress
@debug
def command(
    store: Path,
    case_ids: tuple[str, ...],
    to: str,
    out: Path,
    per_class: bool,
    overwrite: bool,
    progress: bool | None,
) -> None:
    """Write the soft labels of a store, or of the given cases, as NIfTI or npz files."""
    from softlab_cli.events import StageStarted, StageStepped
    from softlab_cli.export import export_case
    from softlab_cli.opening import open_store

    opened = open_store(store)
    cases = [opened[case_id] for case_id in case_ids] or list(opened.values())
    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown) as listen:
        listen(StageStarted("export", len(cases)))
        for case in cases:
            export_case(case, out, to=to, per_class=per_class, overwrite=overwrite)
            listen(StageStepped("export", case.case_id))
    click.echo(f"{out}: {len(cases)} cases")
