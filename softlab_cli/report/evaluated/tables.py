"""Tables of the page of an evaluation."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from softlab_cli.evaluation.metrics.tallies import ALL
from softlab_cli.evaluation.pooling import CROSS_FITTED
from softlab_cli.evaluation.rows import MEAN
from softlab_cli.report.evaluated.lines import BY_CLASS, CaseLine
from softlab_cli.report.page.tables import Column, Row, Table, as_text, without_empty

__all__ = [
    "calibration_table",
    "case_table",
    "class_table",
    "difference_table",
    "overlap_table",
    "rater_table",
    "reason_table",
    "warning_table",
]

Entry = Mapping[str, Any]

OVERLAP = ("dice", "iou", "surface_dice_", "hausdorff_95_mm", "assd_mm")
RATERS = ("rater_dice_against_others", "consensus_dice", "dissensus_dice", "thresholded_dice",
          "ged", "crps_empirical_")  # fmt: skip
CALIBRATION = (("ece", ALL), ("mce", ALL), ("overconfidence", ALL), ("sce", MEAN), ("ace", MEAN),
               ("tace", MEAN), ("brier", ALL), ("nll", ALL), ("sharpness", ALL),
               ("temperature", ALL), ("nll_at_temperature", ALL), (CROSS_FITTED, ALL),
               ("soft_dice", MEAN), ("semimetric_dice", MEAN))  # fmt: skip

TITLES = {
    "dice": "DSC", "iou": "IoU", "hausdorff_95_mm": "HD95, mm", "hausdorff_mm": "HD, mm",
    "assd_mm": "ASSD, mm", "ece": "ECE", "mce": "MCE", "sce": "class-wise CE", "ace": "ACE",
    "tace": "TACE", "brier": "Brier", "nll": "NLL, nats", "ged": "GED²",
    "nll_at_temperature": "NLL at it", "soft_dice": "soft Dice",
    "semimetric_dice": "Dice semimetric", "overconfidence": "confidence - accuracy",
    "relative_volume_difference": "relative volume difference",
    "rater_dice_against_others": "raters' own DSC", "consensus_dice": "consensus DSC",
    "dissensus_dice": "dissensus DSC", "thresholded_dice": "thresholded DSC",
}  # fmt: skip

OF_CASES = ("dice", "surface_dice_", "hausdorff_95_mm", "ece", "overconfidence", "brier", "nll",
            "semimetric_dice", "ged", "consensus_dice")  # fmt: skip
"""Columns of the table of cases, where they have figures."""

MOST_NAMED = 50


def title_of(metric: str) -> str:
    """What a figure is called in headings."""
    if metric.startswith("surface_dice_"):
        return f"surface DSC, {metric.removeprefix('surface_dice_').removesuffix('mm')} mm"
    if metric.startswith("crps_empirical_"):
        return f"CRPS, {metric.removeprefix('crps_empirical_')}"
    return TITLES.get(metric, metric.replace("_", " "))


def overlap_table(content: Entry) -> Table:
    """Means over cases of overlap and surfaces, by run and class, with intervals."""
    return _of_means(content, "overlap", "Overlap and surfaces: means over cases", OVERLAP)


def rater_table(content: Entry) -> Table | None:
    """The same of what only several raters have; None where there are none."""
    found = _of_means(content, "several-raters", "Several raters: means over cases", RATERS)
    return found if found.rows else None


def _of_means(content: Entry, key: str, caption: str, wanted: Sequence[str]) -> Table:
    found: dict[tuple[str, ...], dict[str, Entry]] = {}
    for entry in content["means"]:
        if entry["region"] == ALL and _is_of(entry["metric"], wanted):
            found.setdefault((entry["run"], entry["class"]), {})[entry["metric"]] = entry
    metrics = _ordered((m for of in found.values() for m in of), wanted)
    rows = [
        Row([*names, max(e["cases"] for e in of.values()), *_with_intervals(of, metrics)])
        for names, of in found.items()
    ]
    columns = [Column("run", "name"), Column("class", "name"), Column("cases", "number")]
    return Table(
        key, f"{caption}, with 95 % intervals.", [*columns, *_columns(metrics)], rows,
        len(rows) > FEW, things=("row", "rows"),
    )  # fmt: skip


FEW = 10
"""Rows that need no filter."""


def _ordered(metrics: Iterable[str], wanted: Sequence[str]) -> list[str]:
    there = dict.fromkeys(metrics)
    return [m for name in wanted for m in there if _is_of(m, [name])]


def _is_of(metric: str, wanted: Iterable[str]) -> bool:
    """Whether a metric is among some; one that ends with ``_`` has a distance or a unit yet."""
    return any(metric.startswith(name) if name.endswith("_") else metric == name for name in wanted)


def _columns(metrics: Sequence[str]) -> list[Column]:
    return [c for m in metrics for c in (Column(title_of(m), "number"), Column("95 %", "short"))]


def _with_intervals(found: Mapping[str, Entry], metrics: Sequence[str]) -> list[Any]:
    cells: list[Any] = []
    for metric in metrics:
        entry = found.get(metric)
        cells += [None, None] if entry is None else [entry["value"], interval_text(entry)]
    return cells


def interval_text(entry: Entry) -> str | None:
    """An interval in brackets; None where there is none."""
    if entry["low"] is None:
        return None
    return f"[{as_text(float(entry['low']))}, {as_text(float(entry['high']))}]"


def calibration_table(content: Entry) -> Table | None:
    """Pooled calibration by run and region; None where all predictions are label maps."""
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in content["pooled"]:
        if (entry["metric"], entry["class"]) in CALIBRATION:
            found.setdefault((entry["run"], entry["region"]), {})[entry["metric"]] = entry
    if not found:
        return None
    metrics = [m for m, _ in CALIBRATION if any(m in of for of in found.values())]
    rows = [Row([*names, *_with_intervals(of, metrics)]) for names, of in found.items()]
    columns = [Column("run", "name"), Column("region", "short"), *_columns(metrics)]
    return Table(
        "calibration", "Calibration pooled over voxels, raters and cases, with 95 % intervals "
        "over cases.", columns, rows,
    )  # fmt: skip


def class_table(content: Entry) -> Table | None:
    """Pooled class-wise errors, by run and class; None without probabilities."""
    wanted = ("sce", "tace", "brier", "soft_dice", "semimetric_dice")
    found: dict[tuple[str, str], dict[str, Entry]] = {}
    for entry in content["pooled"]:
        whole = entry["class"] in (ALL, MEAN) or entry["region"] != ALL
        if entry["metric"] in wanted and not whole and entry["value"] is not None:
            found.setdefault((entry["run"], entry["class"]), {})[entry["metric"]] = entry
    if not found:
        return None
    rows = [Row([*names, *_with_intervals(of, wanted)]) for names, of in found.items()]
    columns = [Column("run", "name"), Column("class", "name"), *_columns(wanted)]
    return Table(
        "by-class", "Pooled figures of each class's own probability, with 95 % intervals.",
        columns, rows, len(rows) > FEW,
    )  # fmt: skip


def difference_table(content: Entry) -> Table | None:
    """Runs against the baseline, in words that claim nothing more; None without one."""
    if not content["differences"]:
        return None
    entries = [e for e in content["differences"] if e["region"] == ALL and e["cases"]]
    entries = [e for e in entries if _is_of(e["metric"], (*OVERLAP, "sce", "tace", "ged"))
               or (e["metric"], e["class"]) in CALIBRATION]  # fmt: skip
    pooled = [e for e in content["pooled_differences"] if (e["metric"], e["class"]) in CALIBRATION]
    rows = [
        Row(
            [
                e["run"], e["class"], title_of(e["metric"]), where, e["value"], interval_text(e),
                e.get("p_holm"), _verdict(e["verdict"], content["baseline"]),
            ],
            marked=e["verdict"] in ("better", "worse"),
        )
        for where, part in (("mean over cases", entries), ("pooled", pooled))
        for e in part
        if where == "mean over cases" or e["region"] == ALL
    ]  # fmt: skip
    columns = [
        Column("run", "name"), Column("class", "name"), Column("figure", "short"),
        Column("of", "short"), Column("difference", "number"), Column("95 %", "short"),
        Column("p", "number", 3, "Of Wilcoxon's signed-rank test over patients, with Holm's "
               "correction over classes; pooled figures have no test besides the interval."),
        Column("verdict", "text"),
    ]  # fmt: skip
    return Table(
        "differences", "Run minus baseline, paired by case.", columns, rows, True,
        "only differences that are shown",
    )  # fmt: skip


def _verdict(verdict: str, baseline: str) -> str:
    if verdict in ("better", "worse", "higher", "lower"):
        return f"{verdict} than {baseline}"
    return f"no better than {baseline}, and no worse, as far as these cases show"


def case_table(lines: Sequence[CaseLine], drawn: set[str], several: bool) -> Table:
    """Every case of every run, worst first.

    Parameters
    ----------
    lines
        The cases, in this order.
    drawn
        Anchors of the cases with pictures.
    several
        Whether there are several runs.
    """
    metrics = _ordered((m for line in lines for m in line.values), OF_CASES)
    columns = [
        Column("case", "name"), Column("run", "name"), Column("worst class", "name"),
        Column("its DSC", "number", 3), Column("pictures", "short"),
        *(Column(title_of(m), "number") for m in metrics), Column("warnings", "number"),
    ]  # fmt: skip
    rows = [
        Row(
            [
                line.case_id, line.run if several else None,
                line.worst[0][0] if line.worst else None,
                line.worst[0][1][0] if line.worst else None,
                "yes" if line.anchor in drawn else None,
                *(_finite(line.values.get(m)) for m in metrics),
                len(line.kept.evaluation.warnings) or None,
            ],
            line.anchor, bool(line.kept.evaluation.warnings), f"piece-{line.anchor}",
        )
        for line in lines
    ]  # fmt: skip
    return Table(
        "cases", "All cases, worst first. A case's name opens its worst classes and its pictures.",
        *without_empty(columns, rows), True, "only cases with warnings", (), ("case", "cases"),
    )  # fmt: skip


def _finite(value: float | None) -> float | None:
    return None if value is None or math.isnan(value) else value


def worst_table(line: CaseLine) -> Table:
    """The worst classes of a case, for its details."""
    columns = [Column("class", "name"), *(Column(title_of(m), "number") for m in BY_CLASS)]
    rows = [Row([name, *values]) for name, values in line.worst]
    key = f"{line.anchor}-classes"
    return Table(key, "Its classes, the lowest DSC first.", *without_empty(columns, rows))


def reason_table(content: Entry) -> Table | None:
    """Cases that are in no figure, and why; None where there are none."""
    rows = [Row([entry["case"], entry["reason"]]) for entry in content["failed"]]
    if not rows:
        return None
    columns = [Column("case", "name"), Column("why", "text")]
    return Table("failed", "Cases that are not in these figures.", columns, rows, len(rows) > FEW)


def warning_table(content: Entry, anchors: Callable[[str], str]) -> Table | None:
    """Warnings, grouped, the most frequent first; None where there are none.

    Parameters
    ----------
    content
        What ``summary.json`` holds.
    anchors
        The place in the page of a case, as warnings call it.
    """
    groups = sorted(content["warnings"], key=lambda entry: -len(entry["cases"]))
    rows = [
        Row(
            [
                len(entry["cases"]), entry["text"], entry["texts"],
                tuple((anchors(name), name) for name in entry["cases"][:MOST_NAMED]),
            ]
        )
        for entry in groups
    ]  # fmt: skip
    columns = [
        Column("cases", "number"), Column("warning", explained="The first, where several differ "
               "in numbers or names only."), Column("texts", "number"), Column("in", "link"),
    ]  # fmt: skip
    return Table("warnings", "Warnings, the most frequent first.", columns, rows) if rows else None
