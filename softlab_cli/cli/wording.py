"""How commands print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from softlab_cli.core.folders import some_of
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.text import shown

if TYPE_CHECKING:
    from softlab_cli.core.events import CaseFinished, RunFinished
    from softlab_cli.running.crew import Crew

__all__ = ["closing_lines", "planned_lines", "say"]

FIRST_CLASSES = 6
"""Names of classes that are printed before a run."""


def say(lines: Iterable[object]) -> None:
    """Print lines, in which names may be of any kind: see `softlab_cli.core.text`."""
    click.echo("\n".join(map(shown, lines)))


def planned_lines(
    names: Sequence[str], to_do: Sequence[str], complete: Sequence[str],
    failed: Sequence[CaseFinished], crew: Crew, tried: Sequence[str] = (),
) -> list[str]:  # fmt: skip
    """What --dry-run prints.

    Parameters
    ----------
    names
        Of the classes; of cases that all failed nothing is known, and they are not told.
    to_do, complete
        Cases, and what is to be said of each.
    failed
        Cases that cannot be done.
    crew
        Who does it.
    tried
        What is tried on each case.
    """
    lines = []
    if to_do or complete:
        noun = "class" if len(names) == 1 else "classes"
        lines.append(f"{len(names)} {noun}: {some_of([shown(n) for n in names], FIRST_CLASSES)}")
    lines += [f"  to try    {shown(text)}" for text in tried]
    lines += [f"  to do     {shown(text)}" for text in to_do]
    lines += [f"  complete  {shown(text)}" for text in complete]
    lines += [f"  failed    {shown(f.case_id)}  {f.message}" for f in failed]
    counts = f"{len(to_do)} to do, {len(complete)} complete, {len(failed)} failed"
    who = (
        f"; {crew.workers} workers x {crew.threads} threads, "
        f"at most {format_bytes(crew.bytes_per_worker)} each"
    )
    return [*lines, counts + (who if to_do else "")]


def closing_lines(
    head: str, report: RunFinished, *, done: tuple[str, str] = ("done", ""),
    skipped: tuple[str, str] | None = ("skipped", "complete and unchanged"), warned_in: str = "",
) -> list[str]:  # fmt: skip
    """The closing table: how it ended. Why cases failed has been said as it happened.

    Parameters
    ----------
    head
        What was made.
    report
        How each case went.
    done
        What is said for done, and what follows the seconds.
    skipped
        What is said for skipped, and why some were; None where nothing ever is.
    warned_in
        Where warnings can be read again; empty where there are none.
    """
    failed = [shown(o.case_id) for o in report.outcomes if o.status == "failed"]
    warned = sum(bool(o.warnings) for o in report.outcomes)
    rows = [(done[0], report.done, f"{report.seconds:.1f} s{done[1]}")]
    if skipped is not None:
        rows.append((skipped[0], report.skipped, skipped[1] if report.skipped else ""))
    rows.append(("failed", report.failed, f"see above: {some_of(failed)}" if failed else ""))
    if warned_in:
        rows.append(("warned", warned, f"see above, or {warned_in}" if warned else ""))
    return [head, *(f"  {name:<8}{count:>6}  {note}".rstrip() for name, count, note in rows)]
