"""``softlab preview``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from softlab_cli.cli.arguments import A_PATH, levels_of
from softlab_cli.cli.options import debug, store_argument
from softlab_cli.cli.wording import say
from softlab_cli.core.errors import UsageError
from softlab_cli.core.text import shown, shown_message

if TYPE_CHECKING:
    from softlab_cli.report.pictures.planes import Plane


@click.command("preview")
@store_argument
@click.argument("case_ids", nargs=-1, metavar="[CASE_ID]...")
@click.option("--all", "every", is_flag=True, help="Draw all cases.")
@click.option(
    "--sheet", is_flag=True,
    help="Draw the cases, or all, side by side into one file: a contact sheet.",
)  # fmt: skip
@click.option(
    "--out", type=A_PATH,
    help="The PNG file, or the folder for several.  "
    "[default: CASE_ID.png, STORE-preview.png for a sheet, STORE-preview for several]",
)  # fmt: skip
@click.option(
    "--plane", "planes",
    type=click.Choice(["axial", "coronal", "sagittal"]), multiple=True, default=["axial"],
    show_default=True, help="Anatomical plane of the slice; may be given again.",
)  # fmt: skip
@click.option(
    "--slice", "index", type=int,
    help="Slice number.  [default: where soft labels are most in doubt, or raters differ]",
)  # fmt: skip
@click.option(
    "--class", "classes", multiple=True,
    help="Class, by name or label value, that is looked for and outlined; may be given again.  "
    "[default: the four with most doubt]",
)  # fmt: skip
@click.option(
    "--window", default="auto", show_default=True, metavar="auto|bone|lung|soft|LEVEL,WIDTH",
    help="Intensities that are shown: those of the outlined classes, or those for CT.",
)  # fmt: skip
@click.option(
    "--zoom", default="auto", show_default=True, metavar="auto|none|FACTOR",
    help="Cut to what is labelled, show the whole slice, or so many times larger.",
)  # fmt: skip
@click.option(
    "--isolines", callback=levels_of, default="0.1,0.25,0.5,0.75,0.9", show_default=True,
    help="Soft labels along which lines are drawn.",
)  # fmt: skip
@click.option("--image/--no-image", default=True, show_default=True, help="Draw the image.")
@click.option(
    "--raters/--no-raters", default=True, show_default=True,
    help="Draw the outlines of each rater, where --keep-raters kept them.",
)  # fmt: skip
@debug
def command(
    store: Path,
    case_ids: tuple[str, ...],
    every: bool,
    sheet: bool,
    out: Path | None,
    planes: tuple[Plane, ...],
    index: int | None,
    classes: tuple[str, ...],
    window: str,
    zoom: str,
    isolines: tuple[float, ...],
    image: bool,
    raters: bool,
) -> None:
    """Draw slices of cases (default: of the first case) into PNG files.

    Each picture has the hard label with the raters, isolines of the soft label over the
    image, and its entropy. Exits 1 when a case cannot be read; the others are drawn.
    """
    from softlab_cli.api import open_store
    from softlab_cli.report.preview import Looks, draw_cases, draw_sheet

    if every and case_ids:
        raise UsageError("--all and CASE_ID exclude each other.", remedy="Give one of them.")
    opened = open_store(store)
    if not (case_ids or every or sheet):
        opened.check_filled()
        case_ids = tuple(opened)[:1]
    looks = Looks(planes, index, classes, window, zoom, isolines, image, raters)
    name = Path(store).resolve().stem
    if sheet:
        drawn = draw_sheet(opened, out or Path(f"{name}-preview.png"), case_ids, looks)
    else:
        one = f"{case_ids[0]}.png" if len(case_ids) == 1 else f"{name}-preview"
        drawn = draw_cases(opened, out or Path(one), case_ids, looks)
    failed = 0
    for result in drawn:
        if result.error is not None and len(case_ids) == 1:
            raise result.error
        about = f"{shown(result.case_id)}: "
        for note in result.notes:
            click.echo(f"note: {about}{shown(note)}", err=True)
        if result.error is not None:
            failed += 1
            click.echo(f"error: {about}{shown_message(str(result.error))}", err=True)
        if result.path is not None:
            say([result.path])
    raise SystemExit(1 if failed else 0)
