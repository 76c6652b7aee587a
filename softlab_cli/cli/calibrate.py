"""``softlab calibrate``."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import calibration_options, references, together
from softlab_cli.cli.wording import closing_lines, planned_lines
from softlab_cli.core.text import printable, shown
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.core.events import RunFinished
    from softlab_cli.evaluation.calibrating import CalibrationPlan
    from softlab_cli.evaluation.calibrations import Calibration

_OWN = [
    click.option(
        "--pred",
        "predictions",
        type=A_PATH,
        multiple=True,
        required=True,
        help="Predicted probabilities of cases that the network was not trained on, as for softlab "
        "evaluate; several are averaged.",
    ),
    references,
    click.option(
        "--out",
        type=A_PATH,
        required=True,
        help="The file to write, such as calibration.json.",
    ),
    click.option(
        "--method",
        type=click.Choice(["temperature", "isotonic"]),
        default="temperature",
        show_default=True,
        help="One number for all classes, which keeps the most probable class; or a map for each "
        "class that never falls, which may make another class the most probable one.",
    ),
    click.option(
        "--region",
        metavar="REGION",
        default="all",
        show_default=True,
        help="Where voxels count: all, union[=10mm] around all raters' foreground, band[=3mm] "
        "around their borders. A distance may be in voxels: band=2vox.",
    ),
]


@click.command("calibrate")
@together(*_OWN)
@calibration_options
def command(
    predictions: tuple[Path, ...],
    references: tuple[Path, ...],
    method: str,
    region: str,
    groups: Path | None,
    **options: Any,
) -> None:
    """Fit what makes predicted probabilities hold, and write it as a small file.

    \b
    Fit it on validation cases, and judge it on others:
        softlab calibrate --pred val/ --ref labels_val/ --out calibration.json
        softlab evaluate --pred raw=test/ --pred calibrated=test/ --ref labels_test/ \\
            --calibration calibrated=calibration.json --baseline raw --out results/
    """
    from softlab_cli.evaluation.calibrating import (
        CalibrationRequest,
        execute_calibration,
        plan_calibration,
    )
    from softlab_cli.evaluation.request import read_groups
    from softlab_cli.labels.read import ReadingOptions
    from softlab_cli.running.request import Request

    progress, verbose = options.pop("progress"), options.pop("verbose")
    dry_run, log_json = options.pop("dry_run"), options.pop("log_json")
    chosen = [f.name for f in fields(ReadingOptions) if f.name in options]
    reading = ReadingOptions(**{name: options.pop(name) for name in chosen})
    request = CalibrationRequest(
        predictions,
        Request(references, reading=reading, **options),
        method,
        region,
        read_groups(groups) if groups else {},
    )
    visible = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=visible, verbose=verbose, log_json=log_json) as listen:
        plan = plan_calibration(request, listen)
        if dry_run:
            click.echo(printable("\n".join(describe_plan(plan))))
            raise SystemExit(1 if plan.failed else 0)
        report, found = execute_calibration(plan, listen)
    click.echo(printable("\n".join(describe(report, found, request.run.out))))
    raise SystemExit(1 if report.failed else 0)


def describe_plan(plan: CalibrationPlan) -> list[str]:
    """What --dry-run prints."""
    to_do = [task.case_id for task in plan.tasks]
    return planned_lines(plan.classes.names, to_do, (), plan.failed, plan.crew)


def describe(report: RunFinished, found: Calibration | None, out: Path) -> list[str]:
    """The closing table: what was fitted, on what, and what it is worth."""
    head = shown(out) if found else "nothing is written: no case could be used"
    lines = closing_lines(head, report, skipped=None)
    if found is not None and (fitted := found.fitted) is not None:
        of = "" if fitted.patients == fitted.cases else f" of {fitted.patients} patients"
        lines += [
            f"  {found.describe()}{of}, {fitted.votes:,} votes",
            f"  NLL {fitted.nll_before:.4g}, after it {fitted.nll_after:.4g} on the same cases, "
            f"{_crossed(fitted.nll_cross_fitted, fitted.nll_before)}",
        ]
    return [line.rstrip() for line in lines]


def _crossed(after: float | None, before: float) -> str:
    if after is None:
        return "on others not known (one patient)"
    return f"{after:.4g} on others" + ("" if after < before else ": it does not help")
