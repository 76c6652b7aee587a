"""``softlab verify``."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import debug, progress, store_argument
from softlab_cli.cli.wording import say
from softlab_cli.core.folders import some_of
from softlab_cli.report.tables import counted
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.store.defects import Defect


@click.command("verify")
@store_argument
@click.argument("case_ids", nargs=-1)
@click.option(
    "--in",
    "inputs",
    type=A_PATH,
    multiple=True,
    help="The label maps of the run: their cases must be in the store, and made from these "
    "files. May be repeated.  [default: what the store says, as a note]",
)
@click.option(
    "--quick",
    is_flag=True,
    help="Read metadata, indexes and digests, and no voxel; no sources either.",
)
@click.option(
    "--sources/--no-sources",
    "check_sources",
    default=True,
    show_default=True,
    help="Compare the checksums of the files that the cases were made from.",
)
@click.option(
    "--mend-ome",
    is_flag=True,
    help="Write the OME metadata anew where they differ from the affine, as for images that are "
    "not RAS in stores of earlier versions; nothing else is written.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@progress
@debug
def command(
    store: Path,
    case_ids: tuple[str, ...],
    inputs: tuple[Path, ...],
    quick: bool,
    check_sources: bool,
    mend_ome: bool,
    as_json: bool,
    progress: bool | None,
) -> None:
    """Check every file, chunk, voxel and sum of a store, or of the given cases.

    Says in the end what can be done. Exits 1 when there is a defect. Notes (an
    unfinished case, a source file that is not at hand) are no defects.
    """
    from softlab_cli.report.soundness import check_store

    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown) as listen:
        found = check_store(
            store,
            cases=case_ids or None,
            inputs=inputs,
            check_sources=check_sources,
            quick=quick,
            mend_ome=mend_ome,
            listen=listen,
        )
    defects = [d for d in found if d.severity == "defect"]
    if as_json:
        click.echo(json.dumps([asdict(d) for d in found], indent=1))
    else:
        lines = [f"{d.severity}: {d.case_id or store}: {d.what}: {d.detail}" for d in found]
        notes = len(found) - len(defects)
        verdict = "sound" if not defects else counted(len(defects), "defect")
        lines += remedies(found, store)
        say([*lines, f"{store}: {verdict}" + (f", {counted(notes, 'note')}" if notes else "")])
    raise SystemExit(1 if defects else 0)


def remedies(found: Sequence[Defect], store: Path) -> list[str]:
    """What can be done, each remedy once, with the cases and the defects that it is for."""
    alike: dict[str, list[Defect]] = {}
    for defect in found:
        if defect.remedy:
            alike.setdefault(defect.remedy, []).append(defect)
    return [
        f"remedy: {_each(d.case_id or store for d in defects)}: "
        f"{_each(d.what for d in defects)}: {remedy}"
        for remedy, defects in alike.items()
    ]


def _each(names: Iterable[object]) -> str:
    return some_of(list(dict.fromkeys(names)))
