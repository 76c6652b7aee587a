"""``softlab report``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import page_options, store_argument
from softlab_cli.cli.wording import closing_lines
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.text import printable, shown
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.core.events import RunFinished


@click.command("report")
@store_argument
@click.option(
    "--out",
    type=A_PATH,
    default=Path("report.html"),
    show_default=True,
    help="The page to write.",
)
@click.option("--overwrite", is_flag=True, help="Draw all cases anew.")
@page_options
def command(store: Path, out: Path, **options: Any) -> None:
    """Write one HTML page with all cases of STORE, to open in a browser.

    \b
    The page loads nothing from elsewhere, and can be sent as it is:
        softlab report soft.zarr --out report.html
    Cases are sorted by what stands out, worst first; each opens its pictures. The
    same command again draws only cases that are new or have changed. A case that
    cannot be read or drawn is named on the page, and exits 1.
    """
    from softlab_cli.report.page.write import write_report

    progress, verbose = options.pop("progress"), options.pop("verbose")
    log_json = options.pop("log_json")
    visible = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=visible, verbose=verbose, log_json=log_json) as listen:
        report = write_report(store, out, listen=listen, **options)
    click.echo(printable("\n".join(describe(report, out))))
    raise SystemExit(1 if report.failed else 0)


def describe(report: RunFinished, out: Path) -> list[str]:
    """The closing table."""
    head = f"{shown(out)}  {format_bytes(out.stat().st_size)}"
    kept = ("kept", "unchanged since the last page")
    return closing_lines(head, report, done=("drawn", ""), skipped=kept)
