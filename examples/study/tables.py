"""Write the study's tables into docs/STUDY.md, between the marks that say where.

    python examples/study/tables.py --out examples/out/study

What stands around them is prose, written by people who looked at the tables. Stages without
results stay as they are in the document. Every figure is one of ``softlab evaluate`` or
``softlab tune``, or a mean or difference of such.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

from arms import SEEDS, SETTINGS
from figures import COLUMNS, Judged, arms_of, judged
from learned import found_in, learned_text
from pictures import draw

STUDY = Path(__file__).resolve().parent
DOCUMENT = STUDY.parents[1] / "docs" / "STUDY.md"
DIGITS = 4

PAIRED = (
    ("Brier", ("all", "all", "brier")),
    ("NLL", ("all", "all", "nll")),
    ("ECE band, mean of cases", ("all", "band", "ece")),
    ("Dice", ("mean", "all", "dice")),
    ("surface Dice 1 mm", ("mean", "all", "surface_dice_1mm")),
)
"""Figures that each case has, and means of their differences."""

POOLED = (
    ("NLL after T", ("all", "all", "nll_cross_fitted")),
    ("ECE all", ("all", "all", "ece")),
    ("ECE union", ("all", "union", "ece")),
    ("ECE band", ("all", "band", "ece")),
)
"""Figures of all cases together, and their differences."""


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def number(value: float | None, *, signed: bool = False) -> str:
    if value is None:
        return "-"
    return f"{value:+.{DIGITS}f}" if signed else f"{value:.{DIGITS}f}"


# ---- stages with networks -------------------------------------------------------------


def stage_text(stage: str, found: Sequence[Judged], runs: Path) -> str:
    """Tables of a stage, and what ran."""
    arms = arms_of(found)
    return "\n\n".join(
        [
            what_ran(stage, found, arms, runs),
            "Mean over seeds, and from the least to the most of them:",
            means_table(found, arms),
            f"![A dot for each arm and seed; the line is the mean of {arms[0]}]"
            f"({picture_of(stage)})",
            f"Minus {arms[0]}, seed by seed, with 95 % bootstrap intervals over patients; the "
            f"first {len(PAIRED)} are means over cases, the others pooled:",
            differences_table(found, arms),
            *warnings(found),
        ]
    )


def what_ran(stage: str, found: Sequence[Judged], arms: Sequence[str], runs: Path) -> str:
    """Cases, runs, steps, versions and time."""
    facts = [json.loads(path.read_text()) for path in sorted((runs / stage).glob("*/run.json"))]
    one, first = found[0].summary, facts[0]
    seconds = mean(fact["seconds"] for fact in facts)
    planned = [(arm, seed) for arm in SETTINGS[stage].arms for seed in SEEDS]
    done = [(arm, one.seed) for one in found for arm in arms if arm in one.runs]
    missing = [f"{arm} seed {seed}" for arm, seed in planned if (arm, seed) not in done]
    lacking = f" Did not run: {', '.join(missing)}." if missing else ""
    return (
        f"{len(planned) - len(missing)} of {len(planned)} runs, of {first['steps']} steps and "
        f"{seconds:.0f} s each on average; {len(one['cases'])} test cases of "
        f"{one['patients']} patients; softlab {first['softlab']}, torch {first['torch']}, "
        f"{first['device']} ({first['machine']}).{lacking}\n\n"
        f"    python examples/study/run.py --data DATA --stages {stage}"
    )


def means_table(found: Sequence[Judged], arms: Sequence[str]) -> str:
    rows = []
    for arm in arms:
        there = [one for one in found if arm in one.runs]
        rows.append(
            [
                arm,
                str(len(there)),
                *(over_seeds([of(one, arm) for one in there]) for _, of in COLUMNS),
            ]
        )
    return table(["arm", "seeds", *(name for name, _ in COLUMNS)], rows)


def over_seeds(values: Sequence[float | None]) -> str:
    there = [value for value in values if value is not None]
    if not there:
        return "-"
    if len(there) == 1:
        return number(there[0])
    return f"{number(mean(there))} ({number(min(there))} to {number(max(there))})"


def differences_table(found: Sequence[Judged], arms: Sequence[str]) -> str:
    baseline, *others = arms
    rows = [
        [arm, str(one.seed), *differences(one, arm)]
        for arm in others
        for one in found
        if arm in one.runs and baseline in one.runs
    ]
    return table(["arm", "seed", *(name for name, _ in (*PAIRED, *POOLED))], rows)


def differences(one: Judged, arm: str) -> list[str]:
    return [
        *(with_interval(one.differences[arm, *key]) for _, key in PAIRED),
        *(with_interval(one.pooled_differences[arm, *key]) for _, key in POOLED),
    ]


def with_interval(entry: dict[str, Any]) -> str:
    low, high = (number(entry[name], signed=True) for name in ("low", "high"))
    return f"{number(entry['value'], signed=True)} [{low}, {high}]"


def warnings(found: Sequence[Judged]) -> list[str]:
    """Runs that have not learned a class."""
    return [
        f"**{run}, seed {one.seed}, has hardly found {', '.join(classes)}: its figures say "
        "nothing about calibration.**"
        for one in found
        for run in one.runs
        if (classes := one.collapsed(run))
    ]


# ---- labels alone ---------------------------------------------------------------------


def labels_text(summary: Path) -> str:
    """What ``softlab tune`` wrote, from its first table to the last."""
    text = summary.read_text().split("## How to read it")[0]
    text = "\n".join(line for line in text.splitlines() if not line.startswith("# "))
    without_paths = re.sub(r"(--in )\S*/(r[0-9])", r"\1\2/", text)
    return re.sub(r"^## ", "### ", without_paths, flags=re.MULTILINE).strip()


def picture_of(stage: str) -> str:
    return f"study-{stage}.png"


# ---- the document ---------------------------------------------------------------------


def filled(document: str, name: str, text: str) -> str:
    """The document with a text between the marks of a name."""
    begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
    if begin not in document or end not in document:
        raise SystemExit(f"{DOCUMENT} has no marks {begin.strip()} and {end}.")
    before, rest = document.split(begin, 1)
    return f"{before}{begin}\n{text}\n\n{end}{rest.split(end, 1)[1]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=STUDY.parent / "out" / "study")
    parser.add_argument("--learned", type=Path, default=STUDY.parent / "out" / "study-vls")
    parser.add_argument("--document", type=Path, default=DOCUMENT)
    args = parser.parse_args()
    results = args.out / "results"
    document = args.document.read_text()
    if (summary := results / "labels" / "summary.md").exists():
        document = filled(document, "labels", labels_text(summary))
    if learned := found_in(args.learned):
        document = filled(document, "learned", learned_text(learned))
    for stage in SETTINGS:
        if seeds := judged(results, stage):
            draw(seeds, args.document.with_name(picture_of(stage)))
            document = filled(document, stage, stage_text(stage, seeds, args.out / "runs"))
    args.document.write_text(document)


if __name__ == "__main__":
    main()
