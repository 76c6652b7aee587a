"""What every command that makes soft labels does: run a method, print how it ended."""

from __future__ import annotations

import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.options import slurm_part
from softlab_cli.cli.wording import closing_lines, planned_lines
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.text import printable, shown
from softlab_cli.running.progress import listeners

if TYPE_CHECKING:
    from softlab_cli.core.events import RunFinished
    from softlab_cli.methods.base import Method
    from softlab_cli.running.plan import Plan

__all__ = ["soften"]


def soften(method: Method, options: dict[str, Any]) -> None:
    """Run a method over all cases and exit with the run's status.

    Parameters
    ----------
    method
        What makes the soft labels.
    options
        The values of `softlab_cli.cli.options.run_options`.
    """
    from softlab_cli.labels.read import ReadingOptions
    from softlab_cli.running.fit import folder_for
    from softlab_cli.running.plan import Request, make_plan
    from softlab_cli.running.runner import execute

    progress, verbose = options.pop("progress"), options.pop("verbose")
    dry_run, log_json = options.pop("dry_run"), options.pop("log_json")
    options["part"] = options["part"] or slurm_part()
    # Not every command has every way of reading.
    chosen = [f.name for f in fields(ReadingOptions) if f.name in options]
    reading = ReadingOptions(**{name: options.pop(name) for name in chosen})
    config = config_of(click.get_current_context())
    shown = sys.stderr.isatty() if progress is None else progress
    with listeners(progress=shown, verbose=verbose, log_json=log_json) as listen:
        plan = make_plan(method, Request(config=config, reading=reading, **options), listen)
        if dry_run:
            click.echo(printable("\n".join(describe_plan(plan))))
            raise SystemExit(1 if plan.failed else 0)
        report = execute(plan, listen)
    made = folder_for(plan.request.out) if plan.request.train_only else plan.request.out
    click.echo(printable("\n".join(describe_run(report, made))))
    raise SystemExit(1 if report.failed else 0)


def config_of(ctx: click.Context) -> dict[str, Any]:
    """The options that were given, by their names on the command line.

    This is what `softlab run` takes; it is kept in the store.
    """
    config: dict[str, Any] = {"command": ctx.command.name}
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if not isinstance(parameter, click.Option) or parameter.name in NOT_KEPT:
            continue
        if value is not None and value != parameter.default and value not in ((), {}, False):
            config[parameter.opts[-1].lstrip("-")] = _plain(value)
    return config


NOT_KEPT = {"case_timeout", "dry_run", "log_json", "overwrite", "part", "progress",
            "train_only", "verbose"}  # fmt: skip
"""Options that say how to run, not what to make."""


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return [_pair(name, entry) for name, entry in value.items()]
    if isinstance(value, tuple | list):
        return [_plain(v) for v in value]
    # JSON and TOML have no NaN of their own.
    return str(value) if isinstance(value, Path) or value != value else value


def _pair(name: str, entry: Any) -> str:
    """A rater's weight, or its label values, as they are given on the command line."""
    if not isinstance(entry, dict):
        return f"{name}={entry}"
    pairs = ",".join(f"{a}={b}" for a, b in entry.items())
    return f"{name}:{pairs}" if name else pairs


def describe_plan(plan: Plan) -> list[str]:
    """What --dry-run prints."""
    to_do = []
    for task in plan.tasks:
        case_id = task.case.case_id
        shape = "x".join(map(str, plan.probes[case_id].geometry.shape))
        to_do.append(f"{case_id}  {shape}" + (f"  ({task.reason})" if task.reason else ""))
    return planned_lines(plan.info.classes.names, to_do, plan.skipped, plan.failed, plan.crew)


def describe_run(report: RunFinished, out: Path) -> list[str]:
    """The closing table."""
    size = sum(o.facts.get("stored_bytes", 0) for o in report.outcomes)
    again = sum(o.status == "done" and bool(o.message) for o in report.outcomes)
    how = f", {format_bytes(size)} written"
    if again:
        how += f"; {again} done again, since files have changed"
    return closing_lines(shown(out), report, done=("done", how), warned_in="softlab info")
