"""The tables of an evaluation: ``cases.csv``, ``summary.json`` and ``summary.md``."""

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
from softlab_cli.evaluation.metrics.regions import BIASED
from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.metrics.temperature import HIGHEST, LOWEST
from softlab_cli.evaluation.pooling import CROSS_FITTED
from softlab_cli.evaluation.results import Kept
from softlab_cli.evaluation.rows import MEAN
from softlab_cli.evaluation.summary import Summary

__all__ = ["COLUMNS", "notes", "one_sided_text", "write_tables"]

COLUMNS = ("run", "case", "rater", "class", "region", "metric", "value", "left_out")

FAULTS = {
    "svls": "ECE over reference > 0 is not 0 for a calibrated predictor; TACE is a tenth of TACE; "
    "surface DSC is one-sided",
    "monai": "its own code stops counting at 2^24 voxels in a bin (here it does not); absent "
    "classes count; surfaces count voxels, whatever their area",
    "curvas2024": "the mean over raters is not 0 for the raters' own mean; CRPS saturates 3 "
    "standard deviations from the raters' mean volume; consensus DSC is a mean over image rows",
    "curvas2025": "as curvas2024, calibration in a box whose margin decides",
    "qubiq": "with few raters most thresholds ask the same of the raters' mean",
}

OVERLAP = ("dice", "iou", "surface_dice_", "hausdorff_95_mm", "assd_mm")
RATERS = ("rater_dice_against_others", "consensus_dice", "dissensus_dice", "thresholded_dice",
          "ged", "crps_empirical_", "crps_gaussian_")  # fmt: skip
CALIBRATION = (("ece", ALL), ("mce", ALL), ("overconfidence", ALL), ("sce", MEAN), ("ace", MEAN),
               ("tace", MEAN), ("brier", ALL), ("nll", ALL), ("temperature", ALL),
               ("nll_at_temperature", ALL), (CROSS_FITTED, ALL))  # fmt: skip
FEW = 10

Entry = Mapping[str, Any]


def write_tables(out: Path, kept: Sequence[Kept], summary: Summary) -> None:
    """Write the tables, each renamed to its place when it is whole.

    Raises
    ------
    StoreError
        When the system cannot write.
    """
    write_text(out / "cases.csv", _csv(kept))
    write_text(out / "summary.json", json.dumps(summary.content, indent=1, allow_nan=False))
    write_text(out / "summary.md", "\n".join(_document(summary.content)) + "\n")


def _csv(kept: Sequence[Kept]) -> str:
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    for one in kept:
        for row in one.evaluation.rows:
            table.writerow([one.run, one.case_id, *row])
    return text.getvalue()


def _document(content: Entry) -> Iterator[str]:
    cases, patients = len(content["cases"]), content["patients"]
    yield "# Evaluation"
    yield ""
    of = "" if patients == cases else f" of {patients} patients"
    yield f"{cases} cases{of}; runs: {', '.join(map(_cell, content['runs']))}."
    if content["failed"]:
        names = [_cell(entry["case"]) for entry in content["failed"]]
        yield (
            f"**Not in these numbers, since they could not be evaluated: {len(names)} "
            f"({some_of(names)}); without a prediction or a reference: "
            f"{len(content['missing'])}.**"
        )
    yield from _calibrated(content)
    yield ""
    yield from _means(content, "Overlap and surfaces", OVERLAP)
    yield from _means(content, "Several raters", RATERS)
    yield from _calibration(content)
    yield from _published(content)
    yield from _differences(content)
    yield from _warnings(content)
    yield "## How to read it"
    yield ""
    yield from (f"- {shown(note)}" for note in notes(content))
    yield ""


def _calibrated(content: Entry) -> Iterator[str]:
    for run, entry in content["calibrations"].items():
        kept = "stay what they are" if entry["method"] == "temperature" else "are those after it"
        yield (
            f"{_cell(run)}: probabilities are calibrated ({entry['description']}) before anything "
            f"is measured; hard decisions, overlap and surfaces {kept}."
        )


def _means(content: Entry, title: str, wanted: Sequence[str]) -> Iterator[str]:
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    metrics: dict[str, None] = {}
    for entry in content["means"]:
        if entry["region"] == ALL and entry["metric"].startswith(wanted):
            found.setdefault((entry["run"], entry["class"]), {})[entry["metric"]] = entry
            metrics[entry["metric"]] = None
    if not found:
        return
    ordered = sorted(metrics, key=lambda m: [m.startswith(w) for w in wanted].index(True))
    yield f"## {title}"
    yield ""
    yield "Mean over cases [95 % interval], and cases that it is over."
    yield ""
    yield from _table(
        ["run", "class", *ordered],
        ([run, name, *(_mean(row.get(m)) for m in ordered)] for (run, name), row in found.items()),
    )


def _mean(entry: Entry | None) -> str:
    return "" if entry is None else f"{_interval(entry)} n={entry['cases']}"


def _interval(entry: Entry) -> str:
    bounds = ""
    if entry["low"] is not None:
        bounds = f" [{_number(entry['low'])}, {_number(entry['high'])}]"
    return _number(entry["value"]) + bounds


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _calibration(content: Entry) -> Iterator[str]:
    if not content["pooled"]:
        return
    found: dict[tuple[str, str], dict[tuple[str, str], Entry]] = {}
    for entry in content["pooled"]:
        rows = found.setdefault((entry["run"], entry["region"]), {})
        rows[entry["metric"], entry["class"]] = entry
    yield "## Calibration"
    yield ""
    yield (
        f"Pooled over voxels, raters and cases; {content['settings']['bins']} bins; 95 % intervals "
        "over cases where there are some; bins of equal count (ace, tace) are those of all cases "
        "in each draw. sce, ace and tace are means over classes. nll_cross_fitted, of "
        "all voxels of two patients or more, is after temperatures that were found on the other "
        "half of the patients, and stay as they are in each draw."
    )
    yield ""
    shown_ = [m for m in CALIBRATION if any(m in rows for rows in found.values())]
    body = []
    for (run, region), rows in found.items():
        cells = [_interval(rows[m]) if m in rows else "" for m in shown_]
        body.append([run, region, *cells])
    yield from _table(["run", "region", *(m for m, _ in shown_)], body)


def _published(content: Entry) -> Iterator[str]:
    found = [e for e in content["means"] if ":" in e["metric"] and e["class"] in (ALL, MEAN)]
    tools = content["settings"]["parity"]
    if not tools:
        return
    yield "## As others have it"
    yield ""
    yield "For comparison only; means over cases. By class they are in cases.csv."
    yield ""
    yield from _table(
        ["run", "figure", "value"], ([e["run"], e["metric"], _mean(e)] for e in found)
    )
    for tool in tools:
        yield f"- {tool}, known faults: {FAULTS[tool]}."
    yield ""


def _differences(content: Entry) -> Iterator[str]:
    if not content["differences"]:
        return
    yield f"## Differences to {_cell(content['baseline'])}"
    yield ""
    yield (
        "Run minus baseline, paired by case, [95 % interval]; p of Wilcoxon's signed-rank test, "
        "with Holm's correction over classes. Nothing is called better whose interval holds 0, or "
        "whose p is not below .05. Other metrics and regions are in summary.json."
    )
    yield ""
    rows = [
        [e["run"], e["class"], e["region"], e["metric"], _mean(e), _number(e["p_holm"]),
         e["verdict"]]
        for e in content["differences"]
        if e["cases"] and e["region"] == ALL and _is_main(e)
    ]  # fmt: skip
    header = ["run", "class", "region", "metric", "difference", "p (Holm)", "verdict"]
    yield from _table(header, rows)
    pooled = [e for e in content["pooled_differences"] if (e["metric"], e["class"]) in CALIBRATION]
    if pooled:
        yield (
            "The same of pooled calibration, each draw of cases the same for both; there is no "
            "test besides the interval."
        )
        yield ""
        yield from _table(
            ["run", "region", "metric", "difference", "verdict"],
            ([e["run"], e["region"], e["metric"], _mean(e), e["verdict"]] for e in pooled),
        )


def _is_main(entry: Entry) -> bool:
    """Whether a difference is one of the few that the document shows."""
    by_class = entry["metric"].startswith(("surface_dice_", "hausdorff_95_", "assd_"))
    if by_class or entry["metric"] in ("dice", "thresholded_dice", "ged"):
        return True
    places = {"sce": MEAN, "tace": MEAN, "ece": ALL, "brier": ALL, "nll": ALL}
    return bool(places.get(entry["metric"]) == entry["class"])


def _warnings(content: Entry) -> Iterator[str]:
    lines = [*(one_sided_text(entry) for entry in content["one_sided"])]
    lines += [_warning(entry) for entry in content["warnings"]]
    if not lines:
        return
    yield "## Warnings"
    yield ""
    yield from (f"- {_cell(line)}" for line in lines)
    yield ""


def one_sided_text(entry: Entry) -> str:
    """In words, a class that only one side has; see `softlab_cli.evaluation.oddities.one_sided`."""
    other = "reference" if entry["side"] == "prediction" else "prediction"
    cases = "1 case" if entry["cases"] == 1 else f"{entry['cases']} cases"
    return (
        f"{entry['run']}: {entry['class']!r} is in the {entry['side']} of {cases}, and in no "
        f"{other}."
    )


def _warning(entry: Entry) -> str:
    count = len(entry["cases"])
    such = ", the first" if entry["texts"] > 1 else ""
    cases = "1 case" if count == 1 else f"{count} cases"
    return f"{cases} ({some_of(entry['cases'], 3)}){such}: {entry['text']}"


def notes(content: Entry) -> Iterator[str]:
    """What is to be known to read the figures, a sentence or two each.

    Parameters
    ----------
    content
        What ``summary.json`` holds.
    """
    patients = content["patients"]
    if not content["grouped"]:
        yield (
            "No --groups was given: each case is taken as a patient of its own. Where several "
            "are of one, intervals are too narrow."
        )
    if 1 < patients < FEW:
        counted = "patients" if content["grouped"] else "cases, taken as patients,"
        yield f"Intervals over {patients} {counted} are rough: too narrow as a rule."
    if any(entry["metric"] == "ged" for entry in content["means"]):
        yield (
            "ged is the squared generalised energy distance of hard labels: of the members of a "
            "run where several --pred were averaged, otherwise of its one label, whose distance "
            "to itself is 0."
        )
    if content["soft_references"]:
        yield (
            "References are soft labels: Brier, NLL, calibration, soft Dice and the Dice "
            "semimetric are by their shares; overlap, volumes, surfaces and regions are by their "
            "hard label."
        )
    yield (
        "Classes that neither reference nor prediction has, and distances where one surface is "
        "missing, are left out of means; cases.csv names them (left_out), summary.json counts them."
    )
    for region, reason in BIASED.items():
        if region in content["settings"]["regions"]:
            yield f"Region {region}: {reason}."
    ends = {e["run"] for e in content["pooled"] if e["metric"] == "temperature" and _at_end(e)}
    for run in sorted(ends):
        yield (
            f"A temperature of {run} is {LOWEST:g} or {HIGHEST:g}, the ends of what is "
            "searched: the best one may lie outside."
        )
    yield from _left_out(content["means"])


def _at_end(entry: Entry) -> bool:
    return entry["value"] in (LOWEST, HIGHEST)


def _left_out(means: Iterable[Entry]) -> Iterator[str]:
    for entry in means:
        if entry["metric"] in ("dice", "hausdorff_95_mm") and entry["left_out"]:
            counts = ", ".join(f"{n} {reason}" for reason, n in entry["left_out"].items())
            name = f"{entry['run']}, {entry['class']}"
            yield f"{entry['metric']} of {name}: {counts}."


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    yield "| " + " | ".join(header) + " |"
    yield "|" + " --- |" * len(header)
    for row in rows:
        yield "| " + " | ".join(_cell(cell) for cell in row) + " |"
    yield ""


def _cell(text: object) -> str:
    return shown(str(text)).replace("|", "\\|")
