"""``softlab inspect``."""

from __future__ import annotations

import json
from pathlib import Path

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import debug
from softlab_cli.cli.wording import say


@click.command("inspect")
@click.argument("paths", nargs=-1, required=True, type=A_PATH, metavar="PATH...")
@click.option(
    "--images",
    type=A_PATH,
    help="The DICOM series of a SEG or RTSTRUCT.  [default: its own folder]",
)
@click.option(
    "--all", "every", is_flag=True, help="Look into all files of a folder, not the first 200 only."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@debug
def command(paths: tuple[Path, ...], images: Path | None, every: bool, as_json: bool) -> None:
    """Say what files and folders are: kind, grid, labels, series, problems.

    Exits 1 when one of them, or of the files in a folder, cannot be read.
    """
    from softlab_cli.report.describe import describe_found
    from softlab_cli.report.inspection import MOST_FILES, inspect_path

    most = None if every else MOST_FILES
    found = [inspect_path(path, images, most_files=most) for path in paths]
    if as_json:
        click.echo(json.dumps([f.to_json() for f in found], indent=1))
    else:
        for entry in found:
            say(describe_found(entry))
    raise SystemExit(0 if all(f.is_readable for f in found) else 1)
