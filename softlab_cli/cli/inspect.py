"""``softlab inspect``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from softlab_cli.cli.info import table
from softlab_cli.cli.options import debug

if TYPE_CHECKING:
    from softlab_cli.report.inspection import Found, Label

MOST_LABELS = 200


@click.command("inspect")
@click.argument(
    "paths", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="PATH..."
)
@click.option(
    "--images",
    type=click.Path(path_type=Path),
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
    from softlab_cli.report.inspection import MOST_FILES, inspect_path

    most = None if every else MOST_FILES
    found = [inspect_path(path, images, most_files=most) for path in paths]
    if as_json:
        click.echo(json.dumps([f.to_json() for f in found], indent=1))
    else:
        for entry in found:
            click.echo("\n".join(describe(entry)))
    raise SystemExit(0 if all(f.is_readable for f in found) else 1)


def describe(found: Found, indent: str = "") -> Iterator[str]:
    """Lines about one thing that was found, and about its parts."""
    yield f"{indent}{found.path}: {found.kind}"
    inner = indent + "  "
    if found.geometry is not None:
        yield f"{inner}grid      {found.geometry.describe()}"
    for name, value in found.facts.items():
        if value and name != "segments":
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            yield f"{inner}{name.replace('_', ' '):<9} {shown}"
    yield from (f"{indent}{line}" for line in _label_table(found.labels[:MOST_LABELS]))
    if len(found.labels) > MOST_LABELS:
        yield f"{inner}and {len(found.labels) - MOST_LABELS} more"
    for problem in found.problems:
        yield f"{inner}problem   {problem}"
    for part in found.parts:
        yield from describe(part, inner)
    if found.unseen:
        yield f"{inner}{found.unseen} more files were not looked into; --all looks into them"


def _label_table(labels: Sequence[Label]) -> Iterator[str]:
    """The labels, with the columns that say anything."""
    titles = ("value", "name", "voxels", "contours")
    rows = [
        ["" if fact is None else str(fact) for fact in (e.value, e.name, e.voxels, e.contours)]
        for e in labels
    ]
    shown = [i for i in range(len(titles)) if any(row[i] for row in rows)]
    if shown:
        yield from table([titles[i] for i in shown], [[row[i] for i in shown] for row in rows])
