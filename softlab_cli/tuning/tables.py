"""The tables of ``softlab tune``: ``tune.csv``, ``cases.csv``, ``summary.json``, ``summary.md``."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from softlab_cli.core.folders import some_of
from softlab_cli.core.text import shown
from softlab_cli.evaluation.folders import write_text
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.tuning.results import Kept
from softlab_cli.tuning.summary import Summary
from softlab_cli.tuning.votes import FIGURES

__all__ = ["COLUMNS", "OF", "described", "write_tables"]

COLUMNS = ("raters", "setting", "class", "metric", "value", "low", "high", "cases")
CASE_COLUMNS = ("case", "raters", "setting", "class", "metric", "value", "votes")
MOVED_COLUMNS = ("raters", "setting", "figure", "value", "low", "high", "cases")

OF = {"one": "one", "others": "n-1"}
"""Raters that a soft label is made of, as tables say it."""

TITLES = {"others": "Soft labels of all raters but one", "one": "Soft labels of one rater"}

FEW = 10

Entry = Mapping[str, Any]


def write_tables(out: Path, kept: Sequence[Kept], summary: Summary) -> None:
    """Write the tables, each renamed to its place when it is whole.

    Raises
    ------
    StoreError
        When the system cannot write.
    """
    content = summary.content
    if content["one_rater_only"]:
        write_text(out / "tune.csv", _csv(MOVED_COLUMNS, _moved_rows(content)))
    else:
        names = [ALL, *(entry["name"] for entry in content["classes"])]
        write_text(out / "tune.csv", _csv(COLUMNS, _rows(content["figures"])))
        write_text(out / "cases.csv", _csv(CASE_COLUMNS, _case_rows(kept, names)))
    write_text(out / "summary.json", json.dumps(content, indent=1, allow_nan=False))
    write_text(out / "summary.md", "\n".join(_document(content)) + "\n")


def _csv(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows(rows)
    return text.getvalue()


def _rows(figures: Iterable[Entry]) -> Iterator[list[Any]]:
    for e in figures:
        yield [OF[e["of"]], e["setting"], e["class"], e["metric"], *_numbers(e)]


def _moved_rows(content: Entry) -> Iterator[list[Any]]:
    for e in content["moved"]:
        for name, found in e.items():
            if isinstance(found, Mapping):
                yield [OF[e["of"]], e["setting"], name, *_numbers(found)]
            elif name not in ("of", "setting"):
                yield [OF[e["of"]], e["setting"], name, found, "", "", len(content["cases"])]


def _numbers(e: Entry) -> list[Any]:
    return [e["value"], e["low"], e["high"], e["cases"]]


def _case_rows(kept: Sequence[Kept], names: Sequence[str]) -> Iterator[list[Any]]:
    for one in kept:
        for setting, votes in one.votes.items():
            for name, row in zip(names, votes.weighed(), strict=True):
                for metric, figure in FIGURES.items():
                    value = float(figure(row[None])[0])
                    yield [one.case_id, OF[setting.of], setting.name, name, metric, value,
                           votes.votes]  # fmt: skip


def _document(content: Entry) -> Iterator[str]:
    cases, patients = len(content["cases"]), content["patients"]
    of = "" if patients == cases else f" of {patients} patients"
    raters = " to ".join(map(str, sorted({content["raters"][0], content["raters"][-1]})))
    yield "# Which soft label"
    yield ""
    yield f"{cases} cases{of}, {raters} rater{'s' if raters != '1' else ''} each."
    if content["failed"]:
        names = [_cell(entry["case"]) for entry in content["failed"]]
        yield f"**Not in these numbers, since they failed: {len(names)} ({some_of(names)}).**"
    yield ""
    if content["one_rater_only"]:
        yield from _alone(content)
        return
    yield (
        "The soft label of all raters but one (n-1), and of one rater, against each rater who has "
        f"no part in it. Voxels: {_cell(content['regions'])}, labelled by all raters, whoever is "
        f"left out. NLL in nats, probabilities of at least {content['clip']:g}; Brier summed over "
        f"classes; ECE of the most probable class in {content['bins']} bins. Pooled over voxels, "
        "raters (each weighs alike) and cases; [95 % bootstrap interval over patients]. Less is "
        "better."
    )
    yield ""
    for of, title in TITLES.items():
        yield from _kind(content, of, title)
    yield from _held_out(content)
    yield from _by_class(content)
    yield from _notes(content)


def _kind(content: Entry, of: str, title: str) -> Iterator[str]:
    figures = [e for e in content["figures"] if e["of"] == of and e["class"] == ALL]
    metric, best = content["metric"], content["best"].get(of)
    found: dict[str, dict[str, Entry]] = {}
    for entry in figures:
        found.setdefault(entry["setting"], {})[entry["metric"]] = entry
    yield f"## {title}"
    yield ""
    if content["models"] and of == "one":
        yield (
            f"Of {some_of([_cell(rater) for rater in content['models']], FEW)} only, from whose "
            "labels a model (--model) learned, so that all settings are judged by the same pairs."
        )
        yield ""
    for line in recommendation(content, of):
        yield from ["", line, ""] if line.startswith("    ") else [line]
    yield ""
    between = {
        (e["setting"], e["to"]): e
        for e in content["differences"]
        if e["of"] == of and e["metric"] == metric
    }
    ordered = sorted(found, key=lambda s: _or_last(found[s][metric]["value"]))
    plain = best["plain"] if best else "plain"
    header = ["setting", *FIGURES, f"{metric} minus {plain}", f"{metric} minus best"]
    yield from _table(
        header,
        (
            [f"**{s}**" if best and s == best["setting"] else s,
             *(_interval(found[s][m]) for m in FIGURES),
             *(_difference(between.get((s, to))) for to in ("plain", "best"))]
            for s in ordered
        ),
    )  # fmt: skip


def recommendation(content: Entry, of: str) -> Iterator[str]:
    """What may be said of soft labels of one rater, or of all but one; a sentence a line."""
    best, metric = content["best"].get(of), content["metric"]
    if best is None:
        yield "Nothing can be said: no voxel counts."
        return
    name = _cell(best["setting"])
    yield f"Best by {metric}: {name}, {_interval(best)}."
    if best["gain"] is not None:
        gain = best["gain"]
        word = "better" if gain["verdict"] == "better" else "no better"
        yield f"It is {word} than {best['plain']} ({_difference(gain)})."
    if rivals := best["no_better_than"]:
        names = some_of([_cell(rival) for rival in rivals], 8)
        yield f"It is no better than {names}: the intervals hold 0."
    command = next(
        e["command"]
        for e in content["tried"]
        if (e["of"], e["setting"]) == (of, content["recommended"][of])
    )
    yield "To make the store:"
    yield f"    {shown(command)}"


def described(summary: Summary) -> Iterator[str]:
    """What to take, in lines for a terminal."""
    content = summary.content
    if content["one_rater_only"]:
        yield "There is one rater in each case: which soft label is best cannot be known."
        yield "What each setting does to the labels (means over cases):"
        for e in content["moved"]:
            moved, touched = e["moved_of_foreground"]["value"], e["touched"]["value"]
            yield (
                f"  {e['setting']}: moves {_number(moved)} of the foreground's volume, touches "
                f"{_number(touched)} of all voxels, entropy {_number(e['entropy']['value'])} nats"
            )
        return
    for of, title in TITLES.items():
        yield f"{title}:"
        yield from (f"  {line}" for line in recommendation(content, of))
    for e in content["held_out"]:
        gain = e["gain"]
        if e["setting"] == gain["than"]:
            yield f"Half of the patients chooses {e['setting']}, as one would without a choice."
            continue
        yield (
            f"Half of the patients chooses {e['setting']}; on the other half it is "
            f"{gain['verdict']} than {gain['than']} ({_difference(gain)})."
        )


def _held_out(content: Entry) -> Iterator[str]:
    if not content["held_out"]:
        return
    yield "## Does it hold on other patients?"
    yield ""
    yield (
        "The best of many looks better than it is on the cases that chose it. Here one half of "
        "the patients chooses, and the other half judges."
    )
    yield ""
    yield from _table(
        ["raters", "chosen", f"{content['metric']} of the other half", "minus plain", "verdict"],
        (
            [OF[e["of"]], e["setting"], _interval(e), _difference(e["gain"]),
             "the plain one" if e["setting"] == e["gain"]["than"]
             else f"{e['gain']['verdict']} than {e['gain']['than']}"]
            for e in content["held_out"]
        ),
    )  # fmt: skip


def _by_class(content: Entry) -> Iterator[str]:
    names = [entry["name"] for entry in content["classes"]]
    if len(names) <= 2:
        return
    best = {(of, entry["setting"]) for of, entry in content["best"].items()}
    best |= {(of, entry["plain"]) for of, entry in content["best"].items()}
    yield "## By class"
    yield ""
    yield "Each class against all others; the best settings and the plain ones, all in tune.csv."
    yield ""
    found: dict[tuple[str, str, str], dict[str, Entry]] = {}
    for e in content["figures"]:
        if e["class"] != ALL and (e["of"], e["setting"]) in best:
            found.setdefault((e["of"], e["setting"], e["class"]), {})[e["metric"]] = e
    yield from _table(
        ["raters", "setting", "class", *FIGURES],
        (
            [OF[of], setting, name, *(_interval(row[m]) for m in FIGURES)]
            for (of, setting, name), row in found.items()
        ),
    )


def _alone(content: Entry) -> Iterator[str]:
    yield (
        "**There is one rater in each case. Which soft label is best, and how much smoothing, "
        "cannot be known from that: nobody is left out whom it could predict. One rater's borders "
        "say nothing of where another would draw them.** What can be said is what each setting "
        "does to the labels."
    )
    yield ""
    yield (
        "Moved: what is taken from voxels' own classes, as a share of the foreground's volume. "
        "Touched: voxels of which anything is taken, of the foreground's volume and of all. "
        "Entropy in nats a voxel. Means over cases [95 % interval]; the last two are sums."
    )
    yield ""
    shares = ("moved_of_foreground", "touched_of_foreground", "touched", "entropy")
    yield from _table(
        ["setting", "moved", "touched", "touched of all", "entropy", "argmax changes", "ties"],
        (
            [e["setting"], *(_interval(e[name]) for name in shares), e["argmax_changes"], e["ties"]]
            for e in content["moved"]
        ),
    )


def _notes(content: Entry) -> Iterator[str]:
    yield "## How to read it"
    yield ""
    if content["patients"] < FEW:
        yield f"- Intervals over {content['patients']} patients are rough: too narrow as a rule."
    most = content["raters"][-1]
    yield (
        f"- Soft labels of n-1 raters were judged; a store has those of all ({most}): a little "
        "less smoothing may do there."
    )
    if content["nothing_counts"]:
        names = [_cell(case) for case in content["nothing_counts"]]
        yield f"- No voxel counts in {len(names)} cases: {some_of(names)}."
    yield "- Local methods were computed on the region and its neighbours only, which is exact."
    yield ""


def _or_last(value: float | None) -> float:
    return float("inf") if value is None else value


def _interval(entry: Entry) -> str:
    bounds = ""
    if entry["low"] is not None:
        bounds = f" [{_number(entry['low'])}, {_number(entry['high'])}]"
    return _number(entry["value"]) + bounds


def _difference(entry: Entry | None) -> str:
    if entry is None or entry["value"] is None:
        return ""
    bounds = "" if entry["low"] is None else f" [{entry['low']:+.4f}, {entry['high']:+.4f}]"
    return f"{entry['value']:+.4f}{bounds}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _cell(text: object) -> str:
    return shown(str(text)).replace("|", "\\|")
