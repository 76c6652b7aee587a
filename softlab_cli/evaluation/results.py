"""What is kept of each case: ``cases/<case_id>.<run>.json``, and counts beside it.

The JSON file is renamed to its place after the counts are there: where it is, the case is done.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.core.provenance import Role, Source, same_content
from softlab_cli.evaluation.measure import Evaluation
from softlab_cli.evaluation.metrics.keeping import load_counts, save_counts
from softlab_cli.evaluation.metrics.tallies import Counts
from softlab_cli.evaluation.rows import Row
from softlab_cli.store.files import system_errors

__all__ = [
    "CASES",
    "MARK",
    "PICTURES",
    "Kept",
    "clear",
    "create",
    "forget_tables",
    "keep",
    "read_kept",
]

CASES = "cases"
MARK = "evaluation.json"
"""File that makes a folder one of results."""

FORMAT = 1
SCRATCH = re.compile(r"\.scratch-.*|\..*\.(json|npz|html)\.\d+")
"""What a process that was killed leaves beside the results of cases."""

WRITTEN = ("cases.csv", "summary.json", "summary.md", "reliability.png", "report.html")
PICTURES = ".html"
"""What is drawn of a case lies beside its results, with this ending."""


@dataclass(frozen=True)
class Kept:
    """The results of one case and run.

    Parameters
    ----------
    case_id, run
        What they are of.
    options
        What was asked for: the same options make the same results.
    sources
        The files that they were made from.
    evaluation
        The figures; without counts, which `counts` reads.
    path
        The JSON file.
    has_counts
        Whether there are counts.
    """

    case_id: str
    run: str
    options: Mapping[str, Any]
    sources: tuple[Source, ...]
    evaluation: Evaluation
    path: Path
    has_counts: bool

    def counts(self) -> Counts | None:
        """What calibration figures follow from; None of a label map."""
        return load_counts(self.path.with_suffix(".npz")) if self.has_counts else None

    def is_current(self, options: Mapping[str, Any], files: Sequence[tuple[Path, Role]]) -> bool:
        """Whether they are of these options and files."""
        return self.options == options and same_content(self.sources, files)


def place_of(out: Path, case_id: str, run: str) -> Path:
    """The JSON file of a case and run."""
    return out / CASES / f"{case_id}.{run}.json"


def keep(
    out: Path, case_id: str, run: str, options: Mapping[str, Any], sources: Sequence[Source],
    found: Evaluation,
) -> int:  # fmt: skip
    """Write the results of a case; returns the bytes that they take.

    Raises
    ------
    StoreError
        When the system cannot write.
    """
    path = place_of(out, case_id, run)
    content = {
        "format": FORMAT, "case": case_id, "run": run, "options": options,
        "sources": [source.to_json() for source in sources], "raters": found.raters,
        "warnings": found.warnings, "counts": found.counts is not None,
        "rows": [[*row[:4], _plain(row.value), row.left_out] for row in found.rows],
    }  # fmt: skip
    size = 0
    with system_errors(path, "written"):
        path.unlink(missing_ok=True)
        if found.counts is not None:
            counts = path.with_suffix(".npz")
            partial = _partial(counts)
            with open(partial, "wb") as file:
                save_counts(file, found.counts)
            os.replace(partial, counts)
            size = counts.stat().st_size
        text = json.dumps(content, allow_nan=False)
        write_text(path, text)
    return size + len(text)


def write_text(path: Path, text: str) -> None:
    """Write a file under another name, and rename it to its place."""
    partial = _partial(path)
    with system_errors(path, "written"):
        try:
            partial.write_text(text, encoding="utf-8")
            os.replace(partial, path)
        finally:
            partial.unlink(missing_ok=True)


def _partial(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}")


def _plain(value: float) -> float | str:
    """JSON has no infinite or undefined numbers."""
    return value if -float("inf") < value < float("inf") else str(value)


def _row(entry: Sequence[Any]) -> Row:
    rater, class_name, region, metric, value, left_out = entry
    return Row(rater, class_name, region, metric, float(value), left_out)


def read_kept(out: Path, case_id: str, run: str) -> Kept | None:
    """The results of a case and run; None where there are none, or none that can be read."""
    path = place_of(out, case_id, run)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT or (content["case"], content["run"]) != (case_id, run):
            return None
        rows = tuple(_row(row) for row in content["rows"])
        sources = tuple(Source.from_json(source) for source in content["sources"])
        found = Evaluation(rows, tuple(content["raters"]), None, tuple(content["warnings"]))
        options, has_counts = content["options"], bool(content["counts"])
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None
    if has_counts and not path.with_suffix(".npz").exists():
        return None
    return Kept(case_id, run, options, sources, found, path, has_counts)


def create(out: Path, *, alone: bool) -> None:
    """Make the folder of results, or go on in it.

    Parameters
    ----------
    out
        The folder.
    alone
        Whether nobody else writes there, so that scratch of a process that was killed can go.

    Raises
    ------
    StoreError
        When the folder holds something else, or cannot be made.
    """
    refuse_foreign(out)
    with system_errors(out, "created"):
        (out / CASES).mkdir(parents=True, exist_ok=True)
        if not (out / MARK).exists():
            write_text(out / MARK, json.dumps({"softlab_evaluation": FORMAT}))
        for left in (out / CASES).glob(".*") if alone else ():
            if SCRATCH.fullmatch(left.name):
                shutil.rmtree(left) if left.is_dir() else left.unlink()


def refuse_foreign(out: Path) -> None:
    """Raise `StoreError` where a folder is there, and not one of results."""
    if not out.exists() or (out / MARK).exists():
        return
    if not out.is_dir() or any(out.iterdir()):
        raise StoreError(
            "is there already, and no folder of results.",
            remedy="Choose another --out.",
            path=out,
        )


def clear(out: Path) -> None:
    """Remove results, and nothing else, from a folder of results; it stays one."""
    refuse_foreign(out)
    if not (out / MARK).exists():
        return
    with system_errors(out, "removed"):
        for file in (out / CASES).glob("*.json"):
            if _is_ours(file):
                for ending in (".npz", PICTURES):
                    file.with_suffix(ending).unlink(missing_ok=True)
                file.unlink()
    forget_tables(out)


def _is_ours(file: Path) -> bool:
    """Whether a file holds results; somebody else's may lie beside them."""
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        return file.name == f"{content['case']}.{content['run']}.json" and "rows" in content
    except (OSError, ValueError, KeyError, TypeError):
        return False


def forget_tables(out: Path) -> None:
    """Remove the tables and pictures that are made of all results: these are about to change."""
    if not (out / MARK).exists():
        return
    with system_errors(out, "removed"):
        for name in WRITTEN:
            (out / name).unlink(missing_ok=True)
