"""The table of learned soft labels in docs/STUDY.md, from what ``vls.py`` found."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from figures import by_key

BASELINE = "svls-k7"
REGION = "union"
FIGURES = ("nll", "brier")


@dataclass(frozen=True)
class Learned:
    """What was found with one seed.

    Parameters
    ----------
    seed
        Of folds, weights and draws.
    summary
        That of ``softlab evaluate``.
    doubt
        Arm to ``auroc`` and ``strat``.
    """

    seed: int
    summary: dict[str, Any]
    doubt: dict[str, dict[str, float]]

    @property
    def arms(self) -> list[str]:
        """Names of the soft labels."""
        return list(self.summary["runs"])

    def figure(self, arm: str, name: str) -> float:
        """A mean over slices, near what any radiologist drew; or what entropy tells."""
        if name in FIGURES:
            entry = by_key(self.summary["means"])[arm, "all", REGION, name]
            return float(entry["value"])
        return self.doubt[arm][name]

    def difference(self, arm: str, name: str) -> str:
        """Minus the wide SVLS, with an interval over patients."""
        entry = by_key(self.summary["differences"])[arm, "all", REGION, name]
        low, high = entry["low"], entry["high"]
        return f"{entry['value']:+.4f} [{low:+.4f}, {high:+.4f}]"


def found_in(out: Path) -> list[Learned]:
    """Of all seeds that are whole."""
    return [_learned(path.parent) for path in sorted(out.glob("seed*/disagreement.csv"))]


def _learned(folder: Path) -> Learned:
    with (folder / "disagreement.csv").open(newline="") as file:
        doubt = {
            row["arm"]: {name: float(row[name]) for name in ("auroc", "strat")}
            for row in csv.DictReader(file)
        }
    summary = json.loads((folder / "evaluation" / "summary.json").read_text())
    return Learned(int(folder.name.removeprefix("seed")), summary, doubt)


def learned_text(found: Sequence[Learned]) -> str:
    """Both tables."""
    names = (*FIGURES, "auroc", "strat")
    arms = list(dict.fromkeys(arm for one in found for arm in one.arms))
    cases, patients = (found[0].summary[key] for key in ("cases", "patients"))
    seeds = "one seed" if len(found) == 1 else f"{len(found)} seeds"
    means = [
        [arm, *(_over([one.figure(arm, name) for one in found if arm in one.arms])
                for name in names)]
        for arm in arms
    ]  # fmt: skip
    apart = [
        [arm, str(one.seed), *(one.difference(arm, name) for name in FIGURES)]
        for arm in arms
        for one in found
        if arm in one.arms and not arm.startswith("svls")
    ]
    return "\n\n".join(
        [
            f"{len(cases)} slices of {patients} patients; {seeds}; each soft label is "
            "of the first radiologist and judged by all four. Mean over seeds (least to most):",
            _table(["soft label", "NLL", "Brier", "AUROC", "strat"], means),
            f"Minus {BASELINE}, means over slices with 95 % bootstrap intervals over patients:",
            _table(["soft label", "seed", "NLL", "Brier"], apart),
        ]
    )


def _over(values: Sequence[float]) -> str:
    mean, low, high = sum(values) / len(values), min(values), max(values)
    return f"{mean:.4f}" if low == high else f"{mean:.4f} ({low:.4f} to {high:.4f})"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
