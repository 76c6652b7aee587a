"""``softlab info``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from softlab_cli.cli.options import debug, store_argument
from softlab_cli.cli.wording import counted, say
from softlab_cli.core.memory import format_bytes
from softlab_cli.core.text import shown

if TYPE_CHECKING:
    from softlab_cli.store.reader import Case, Store


@click.command("info")
@store_argument
@click.argument("case_id", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for other programs.")
@click.option(
    "--config", "as_config", is_flag=True, help="Print the configuration that made the store."
)
@click.option("--marginals", is_flag=True, help="How much of each class there is, hard and soft.")
@debug
def command(
    store: Path, case_id: str | None, as_json: bool, as_config: bool, marginals: bool
) -> None:
    """Say what is in a store, or what is known of CASE_ID."""
    from softlab_cli.opening import open_store

    opened = open_store(store)
    if as_config:
        click.echo(toml_of(opened.info.config))
    elif marginals:
        from softlab_cli.cli.marginals import describe_marginals, marginal_facts

        if as_json:
            click.echo(json.dumps(marginal_facts(opened, case_id), indent=1))
        else:
            say(describe_marginals(opened, case_id))
    elif as_json:
        click.echo(json.dumps(facts_of(opened, case_id), indent=1))
    elif case_id:
        say(describe_case(opened[case_id]))
    else:
        say(describe_store(opened))


def facts_of(store: Store, case_id: str | None) -> dict[str, Any]:
    """The store, or one case, as JSON has it."""
    if case_id:
        return {"case_id": case_id, **store[case_id].info.to_json()}
    cases = {name: case.info.to_json() for name, case in store.items()}
    return {"path": str(store.path), **store.info.to_json(), "cases": cases}


def toml_of(config: Mapping[str, Any]) -> str:
    """A configuration as `softlab run` reads it (JSON's plain values are TOML's)."""
    return "\n".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in config.items()
    )


def describe_store(store: Store) -> Iterator[str]:
    """A table of the store's cases under a few lines about the store."""
    from softlab_cli.store.files import find_partials, folder_bytes

    info = store.info
    parameters = ", ".join(f"{k}={v}" for k, v in info.parameters.items() if v is not None)
    yield f"{store.path}"
    yield f"  method    {info.method}" + (f" ({parameters})" if parameters else "")
    if info.reading:
        yield "  reading   " + ", ".join(f"{k}={v}" for k, v in info.reading.items())
    yield f"  classes   {len(info.classes)}: {_some(info.classes.names)}"
    if info.classes.ignore_values:
        yield f"  ignored   label value {', '.join(map(str, info.classes.ignore_values))}"
    if info.labels_only:
        yield "  stored    hard labels; soft labels are computed on read"
    yield f"  made by   softlab {info.version}"
    yield f"  size      {format_bytes(folder_bytes(store.path))}"
    yield ""
    rows = [_row(case) for case in store.values()]
    titles = ("case", "shape", "spacing mm", "classes", "raters", "entropy", "ties", "warnings")
    yield from table(titles, rows)
    partials = find_partials(store.path)
    if partials:
        yield f"{counted(len(partials), 'unfinished case')} (run the same command again): " + _some(
            tuple(p.name for p in partials)
        )


def _row(case: Case) -> tuple[str, ...]:
    statistics = case.statistics
    present = sum(n > 0 for n in statistics.hard_voxels) if statistics else 0
    ties = "" if statistics is None or statistics.ties is None else str(statistics.ties)
    return (
        case.case_id,
        "x".join(map(str, case.shape)),
        " ".join(f"{s:g}" for s in case.spacing_mm),
        str(present),
        str(len(case.raters) or ""),
        _entropy(case),
        ties,
        str(len(case.info.warnings) or ""),
    )


def _entropy(case: Case) -> str:
    """Mean entropy for the table; empty where only hard labels are stored."""
    entropy = case.statistics.mean_entropy if case.statistics else None
    return "" if entropy is None else f"{entropy:.4f}"


def describe_case(case: Case) -> Iterator[str]:
    """What the store keeps about a case, and its classes."""
    yield f"{case.case_id}: {case.geometry.describe()}"
    for source in case.sources:
        yield f"  {source.role:<6}{source.path}  sha256 {source.sha256[:12]}..."
    for warning in case.info.warnings:
        yield f"  warning: {warning}"
    statistics = case.statistics
    if statistics is None:
        return
    if statistics.mean_entropy is not None:
        yield (
            f"  mean entropy {statistics.mean_entropy:.5f} nats, {statistics.ties} ties, "
            f"{statistics.argmax_changes} voxels change their largest class"
        )
    yield ""
    soft: Sequence[float | None] = statistics.soft_mass or [None] * len(case.classes)
    rows = [
        (
            str(c.value),
            c.name,
            f"{hard}",
            "" if mass is None else f"{mass:.1f}",
            f"{mm3 / 1000:.2f}",
        )
        for c, hard, mass, mm3 in zip(
            case.classes.classes, statistics.hard_voxels, soft, statistics.hard_mm3, strict=True
        )
        if hard or mass
    ]
    yield from table(("value", "class", "hard voxels", "soft voxels", "hard ml"), rows)
    if "raters" in case.info.details:
        yield ""
        yield from _describe_raters(case.info.details["raters"], case.classes.background_index)


def _describe_raters(facts: Mapping[str, Any], background: int | None) -> Iterator[str]:
    """How far the raters agree, and each of them with the others."""
    kappa = facts["fleiss_kappa_overall"]
    agreement = "" if kappa is None else f", Fleiss' kappa {kappa:.3f}"
    yield f"  raters disagree on {facts['disputed_share']:.2%} of the voxels{agreement}"
    mean_dice = ["" if dice is None else f"{dice:.3f}" for dice in facts["mean_dice"]]
    yield from table(
        ("rater", "mean Dice", "sensitivity", "specificity"),
        [
            (name, dice, _mean(sensitivity, background), _mean(specificity, background))
            for name, dice, sensitivity, specificity in zip(
                facts["raters"],
                mean_dice,
                facts["sensitivity"],
                facts["specificity"],
                strict=True,
            )
        ],
    )


def _mean(figures: Sequence[float | None], background: int | None) -> str:
    """Mean over the classes for which there is a figure, without background."""
    known = [f for index, f in enumerate(figures) if f is not None and index != background]
    return f"{sum(known) / len(known):.3f}" if known else ""


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Columns as wide as their widest entry."""
    rows = [list(map(shown, row)) for row in rows]
    widths = [max(map(len, column)) for column in zip(titles, *rows, strict=True)]
    for row in (titles, *rows):
        yield "  " + "  ".join(f"{t:<{w}}" for t, w in zip(row, widths, strict=True)).rstrip()


def _some(names: tuple[str, ...], most: int = 8) -> str:
    more = f", ... ({len(names) - most} more)" if len(names) > most else ""
    return ", ".join(names[:most]) + more
