"""``softlab preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from softlab_cli.cli.options import debug, store_argument
from softlab_cli.cli.wording import say
from softlab_cli.core.errors import StoreError
from softlab_cli.core.text import shown

if TYPE_CHECKING:
    from softlab_cli.report.pictures.planes import Plane


@click.command("preview")
@store_argument
@click.argument("case_id", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), help="The PNG file.  [default: CASE_ID.png]"
)
@click.option(
    "--plane",
    type=click.Choice(["axial", "coronal", "sagittal"]),
    default="axial",
    show_default=True,
    help="Anatomical plane of the slice.",
)
@click.option(
    "--slice", "index", type=int, help="Slice number.  [default: the one with most borders]"
)
@click.option(
    "--class",
    "classes",
    multiple=True,
    help="Class, by name or label value, whose soft label is shown; up to two.",
)
@debug
def command(
    store: Path,
    case_id: str | None,
    out: Path | None,
    plane: Plane,
    index: int | None,
    classes: tuple[str, ...],
) -> None:
    """Draw one slice of CASE_ID (default: the first case) into a PNG file."""
    from softlab_cli.api import open_store
    from softlab_cli.report.preview import draw_case

    opened = open_store(store)
    first = next(iter(opened), None)
    if first is None:
        raise StoreError("holds no case yet.", path=store)
    case = opened[case_id or first]
    path = out or Path(f"{case.case_id}.png")
    notes = draw_case(
        case, path, plane=plane, index=index, classes=classes[:2],
        title=f"{opened.info.method}: ",
    )  # fmt: skip
    for note in notes:
        click.echo(f"note: {shown(note)}", err=True)
    say([path])
