"""``softlab evaluate``."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.arguments import A_PATH
from softlab_cli.cli.options import evaluation_options, references, slurm_part, together
from softlab_cli.cli.wording import closing_lines, planned_lines
from softlab_cli.core.events import Notice
from softlab_cli.core.extras import going_without, not_drawn
from softlab_cli.core.text import printable, shown
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.core.errors import PackageError
    from softlab_cli.core.events import Listener, RunFinished
    from softlab_cli.evaluation.plan import EvaluationPlan
    from softlab_cli.evaluation.summary import Summary

PARITIES = ("svls", "monai", "curvas2024", "curvas2025", "qubiq")

SHOWN = 12
"""Classes of which a line is printed."""

_OWN = [
    click.option(
        "--pred",
        "predictions",
        metavar="[NAME=]PATH",
        multiple=True,
        required=True,
        help="Predictions: a store, nnU-Net's probabilities (.npz beside the segmentation), NIfTI "
        "with a volume for each class, one file a class (--class-pattern), or label maps. Those of "
        "one name, or without one, are averaged; other names are runs side by side.",
    ),
    references,
    click.option("--out", type=A_PATH, required=True, help="Folder for the results."),
    click.option(
        "--tolerance-mm",
        type=float,
        multiple=True,
        default=(2.0,),
        show_default=True,
        help="Distance within which surfaces count as one; may be repeated.",
    ),
    click.option(
        "--bins",
        type=int,
        default=15,
        show_default=True,
        help="Bins of the calibration errors.",
    ),
    click.option(
        "--regions",
        metavar="REGION,...",
        multiple=True,
        help="Where calibration is judged besides all voxels: union[=10mm] around all raters' "
        "foreground, band[=3mm] around their borders, foreground (as published: biased). A "
        "distance may be in voxels: band=2vox.",
    ),
    click.option(
        "--baseline", metavar="NAME", help="The run of --pred that others are compared with."
    ),
    click.option(
        "--calibration",
        "calibrations",
        metavar="[NAME=]FILE",
        multiple=True,
        help="What softlab calibrate has fitted on other cases, applied to the probabilities "
        "before all is measured; with the NAME of its run where there are several.",
    ),
    click.option(
        "--parity",
        type=click.Choice(PARITIES),
        multiple=True,
        help="Also what others would report, with their faults named; may be repeated.",
    ),
    click.option(
        "--temperature/--no-temperature",
        default=True,
        show_default=True,
        help="Look for the temperature that would be best; takes about half of the time.",
    ),
    click.option(
        "--thumbnails",
        type=click.IntRange(0),
        default=24,
        show_default=True,
        metavar="N",
        help="Of how many cases of each run, the worst, report.html has pictures.",
    ),
    click.option(
        "--ordered",
        is_flag=True,
        help="Classes have an order, such as grades: reckon the ranked probability score.",
    ),
]


@click.command("evaluate")
@together(*_OWN)
@evaluation_options
def command(
    predictions: tuple[str, ...],
    references: tuple[Path, ...],
    baseline: str | None,
    calibrations: tuple[str, ...],
    groups: Path | None,
    tolerance_mm: tuple[float, ...],
    bins: int,
    regions: tuple[str, ...],
    parity: tuple[str, ...],
    temperature: bool,
    ordered: bool,
    thumbnails: int,
    **options: Any,
) -> None:
    """Judge predictions by one rater or several: overlap, surfaces, calibration.

    \b
    Cases are paired by name; one that lacks a side is named, counted, and exits 1:
        softlab evaluate --pred soft.zarr --ref labels/ --out results/
        softlab evaluate --pred a=net_a/ --pred b=net_b/ --baseline a \\
            --ref r1/ --ref r2/ --out results/
    The results are cases.csv, summary.json, summary.md, reliability.png and
    report.html, a page to open in a browser with the worst cases first.
    """
    from softlab_cli.evaluation.plan import plan_evaluation
    from softlab_cli.evaluation.request import (
        EvaluationRequest,
        calibrations_of,
        read_groups,
        runs_of,
    )
    from softlab_cli.evaluation.run import execute_evaluation
    from softlab_cli.evaluation.settings import Settings, parse_regions
    from softlab_cli.labels.read import ReadingOptions
    from softlab_cli.running.request import Request

    progress, verbose = options.pop("progress"), options.pop("verbose")
    dry_run, log_json = options.pop("dry_run"), options.pop("log_json")
    options["part"] = options["part"] or slurm_part()
    chosen = [f.name for f in fields(ReadingOptions) if f.name in options]
    reading = ReadingOptions(**{name: options.pop(name) for name in chosen})
    settings = Settings(tolerance_mm, bins, parse_regions(regions), parity, temperature, ordered)
    runs = runs_of(predictions)
    request = EvaluationRequest(
        runs,
        Request(references, reading=reading, **options),
        settings,
        baseline,
        read_groups(groups) if groups else {},
        calibrations_of(calibrations, list(runs)),
    )
    visible = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=visible, verbose=verbose, log_json=log_json) as listen:
        plan = plan_evaluation(request, listen)
        if dry_run:
            click.echo(printable("\n".join(describe_plan(plan))))
            raise SystemExit(1 if plan.failed else 0)
        report, summary = execute_evaluation(plan, listen)
        drawn = None if summary is None else draw(plan, summary, thumbnails, listen)
    click.echo(printable("\n".join(describe(report, summary, request.out))))
    raise SystemExit(1 if report.failed or (drawn and drawn.failed) else 0)


def draw(
    plan: EvaluationPlan, summary: Summary, thumbnails: int, listen: Listener
) -> RunFinished | None:
    """Draw reliability.png and report.html; says so where packages for it are not there."""
    from softlab_cli.report.evaluated.page import PAGE, write_evaluation_page
    from softlab_cli.report.reliability import draw_reliability

    lacking: dict[str, PackageError] = {}
    report = None
    if summary.diagrams:
        with going_without(lacking, "reliability.png"):
            draw_reliability(summary.diagrams, plan.request.out / "reliability.png")
    with going_without(lacking, PAGE):
        report = write_evaluation_page(plan, summary, thumbnails=thumbnails, listen=listen)
    if lacking:
        listen(Notice(not_drawn(lacking)))
    return report


def describe_plan(plan: EvaluationPlan) -> list[str]:
    """What --dry-run prints."""
    return planned_lines(
        plan.classes.names,
        [task.case_id + (f"  ({task.reason})" if task.reason else "") for task in plan.tasks],
        [f"{kept.case_id} ({kept.run})" for kept in plan.kept],
        plan.failed,
        plan.crew,
    )


def describe(report: RunFinished, summary: Summary | None, out: Path) -> list[str]:
    """The closing table: how it ended, and the main figures."""
    lines = closing_lines(shown(out), report, warned_in="summary.md")
    if summary is not None:
        from softlab_cli.evaluation.tables import one_sided_text

        lines += [f"  {one_sided_text(entry)}" for entry in summary.content["one_sided"]]
        lines += figures(summary)
    return [line.rstrip() for line in lines]


def figures(summary: Summary) -> list[str]:
    """A line for each run and class, and one for each run's calibration."""
    means = {
        (e["run"], e["class"], e["metric"]): e
        for e in summary.content["means"]
        if e["region"] == "all"
    }
    lines = []
    for run in summary.content["runs"]:
        classes = [name for r, name, metric in means if (r, metric) == (run, "dice")]
        for name in [*classes[:SHOWN], *(["mean"] if len(classes) > SHOWN else [])]:
            found = means[run, name, "dice"]
            distance = means[run, name, "hausdorff_95_mm"]
            lines.append(
                f"  {shown(run)}  {shown(name)}: dice {_number(found)}, HD95 "
                f"{_number(distance)} mm ({found['cases']} cases)"
            )
        pooled = {
            e["metric"]: e
            for e in summary.content["pooled"]
            if (e["run"], e["class"], e["region"]) == (run, "all", "all")
        }
        if pooled:
            shares = [f"{m} {_number(pooled[m])}" for m in ("ece", "brier", "nll")]
            lines.append(f"  {shown(run)}  all voxels: {', '.join(shares)}")
    return lines


def _number(entry: dict[str, Any]) -> str:
    if entry["value"] is None:
        return "-"
    bounds = "" if entry["low"] is None else f" [{entry['low']:.4g}, {entry['high']:.4g}]"
    return f"{entry['value']:.4g}{bounds}"
