"""``softlab tune``."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.arguments import by_name, listed, listed_numbers, listed_wholes
from softlab_cli.cli.options import slurm_part, together, tuning_options
from softlab_cli.cli.wording import closing_lines, planned_lines
from softlab_cli.core.events import Notice
from softlab_cli.core.extras import going_without, not_drawn
from softlab_cli.core.text import printable, shown
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.core.errors import PackageError
    from softlab_cli.core.events import Listener, RunFinished
    from softlab_cli.tuning.plan import TunePlan
    from softlab_cli.tuning.summary import Summary

_OWN = [
    click.option(
        "--methods",
        metavar="NAME,...",
        multiple=True,
        callback=listed,
        help="Methods to try, and rules of softlab fuse by their names, such as svls,msvls,staple; "
        "may be repeated.  [default: all that fit]",
    ),
    click.option(
        "--kernel-size",
        metavar="N,...",
        multiple=True,
        default=("3", "5"),
        show_default="3,5",
        callback=listed_wholes,
        help="Voxels along each side of the kernels of SVLS and mSVLS; odd.",
    ),
    click.option(
        "--sigma-voxels",
        metavar="S,...",
        multiple=True,
        callback=listed_numbers,
        help="Their standard deviations in voxels.  [default: 0.5,1,2 unless there are some in mm]",
    ),
    click.option(
        "--sigma-mm",
        metavar="S,...",
        multiple=True,
        callback=listed_numbers,
        help="Their standard deviations in millimetres.",
    ),
    click.option("--slicewise", is_flag=True, help="Try each kernel also within slices only (2D)."),
    click.option(
        "--smoothing",
        metavar="A,...",
        multiple=True,
        callback=listed_numbers,
        help="Amounts of LS, GeoLS and VLS (alpha).  [default: 0.05,0.1,0.2 for LS, 0.1 for GeoLS, "
        "0.2,0.3,0.4 for VLS]",
    ),
    click.option(
        "--model",
        metavar="[RATER=]DIR",
        multiple=True,
        callback=by_name,
        help="What softlab vls has learned from a rater's labels (OUT.fit): vls is tried, too, and "
        "of one rater the soft labels of raters with a model only are judged; may be repeated.",
    ),
    click.option(
        "--base",
        metavar="NAME,...",
        multiple=True,
        default=("onehot", "svls"),
        show_default="onehot,svls",
        callback=listed,
        help="What vls blends with what it has learned.",
    ),
    click.option(
        "--metric",
        type=click.Choice(["nll", "brier", "ece"]),
        default="nll",
        show_default=True,
        help="What the best is chosen by; all three are shown.",
    ),
    click.option(
        "--regions",
        metavar="REGION",
        default="union=3vox",
        show_default=True,
        help="Where voxels count: all, or so far around any rater's foreground (union=5mm).",
    ),
    click.option(
        "--bins", type=int, default=15, show_default=True, help="Bins of the calibration error."
    ),
    click.option(
        "--clip",
        type=float,
        default=1e-3,
        show_default=True,
        help="Least probability in the logarithm of the NLL.",
    ),
]


@click.command("tune")
@together(*_OWN)
@tuning_options
def command(
    methods: tuple[str, ...],
    kernel_size: tuple[int, ...],
    sigma_voxels: tuple[float, ...],
    sigma_mm: tuple[float, ...],
    slicewise: bool,
    smoothing: tuple[float, ...],
    model: dict[str, Path],
    base: tuple[str, ...],
    metric: str,
    regions: str,
    bins: int,
    clip: float,
    groups: Path | None,
    **options: Any,
) -> None:
    """Choose soft labels, and how soft, by how well they predict a rater left out.

    \b
    No network is needed. Each --in is a rater; all combinations of parameters are tried:
        softlab tune --in r1/ --in r2/ --in r3/ --out tuning/
        softlab tune --in r1/ --in r2/ --sigma-mm 0.5,1,2 --kernel-size 3,5,7 --out tuning/
    The results are tune.csv, cases.csv, summary.json, summary.md and tune.png, and the
    command that makes the store. With one rater it says what each setting does to the labels,
    and draws it: settings.png.
    """
    from softlab_cli.evaluation.request import read_groups
    from softlab_cli.labels.read import ReadingOptions
    from softlab_cli.running.request import Request
    from softlab_cli.tuning.grid import Grid
    from softlab_cli.tuning.plan import plan_tuning
    from softlab_cli.tuning.request import TuneRequest
    from softlab_cli.tuning.run import execute_tuning

    progress, verbose = options.pop("progress"), options.pop("verbose")
    dry_run, log_json = options.pop("dry_run"), options.pop("log_json")
    options["part"] = options["part"] or slurm_part()
    chosen = [f.name for f in fields(ReadingOptions) if f.name in options]
    reading = ReadingOptions(**{name: options.pop(name) for name in chosen})
    request = TuneRequest(
        Request(reading=reading, **options),
        Grid(methods, kernel_size, sigma_voxels, sigma_mm, smoothing, slicewise, base),
        metric, regions, bins, clip, read_groups(groups) if groups else {}, model,
    )  # fmt: skip
    visible = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=visible, verbose=verbose, log_json=log_json) as listen:
        plan = plan_tuning(request, listen)
        if dry_run:
            click.echo(printable("\n".join(describe_plan(plan))))
            raise SystemExit(1 if plan.failed else 0)
        report, summary = execute_tuning(plan, listen)
        if summary is not None:
            draw(plan, summary, listen)
    click.echo(printable("\n".join(describe(report, summary, request.run.out))))
    raise SystemExit(1 if report.failed else 0)


def draw(plan: TunePlan, summary: Summary, listen: Listener) -> None:
    """Draw tune.png, and with one rater settings.png; says so where matplotlib is not there."""
    from softlab_cli.report.tuning import draw_settings, draw_tuning
    from softlab_cli.tuning.views import side_by_side

    out = plan.request.run.out
    lacking: dict[str, PackageError] = {}
    with going_without(lacking, "tune.png"):
        draw_tuning(summary, out / "tune.png")
    if plan.alone and (views := side_by_side(plan)) is not None:
        with going_without(lacking, "settings.png"):
            draw_settings(views, out / "settings.png")
    if lacking:
        listen(Notice(not_drawn(lacking)))


def describe_plan(plan: TunePlan) -> list[str]:
    """What --dry-run prints."""
    return planned_lines(
        plan.classes.names,
        [task.case_id + (f"  ({task.reason})" if task.reason else "") for task in plan.tasks],
        [kept.case_id for kept in plan.kept],
        plan.failed,
        plan.crew,
        [setting.command for setting in plan.request.settings],
    )


def describe(report: RunFinished, summary: Summary | None, out: Path) -> list[str]:
    """The closing table: how it ended, and what to take."""
    from softlab_cli.tuning.tables import described

    lines = closing_lines(shown(out), report)
    if summary is not None:
        lines += ["", *described(summary)]
    return [line.rstrip() for line in lines]
