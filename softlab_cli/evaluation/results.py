"""What is kept of each case: ``cases/<case_id>.<run>.json``, and counts beside it.

The JSON file is renamed to its place after the counts are there: where it is, the case is done.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.provenance import Role, Source, same_content
from softlab_cli.evaluation.folders import CASES, ResultsFolder, write_text
from softlab_cli.evaluation.measure import Evaluation
from softlab_cli.evaluation.metrics.keeping import load_counts, save_counts
from softlab_cli.evaluation.metrics.tallies import Counts
from softlab_cli.evaluation.rows import Row
from softlab_cli.store.files import system_errors, written_whole

__all__ = ["FOLDER", "PICTURES", "Kept", "keep", "place_of", "read_kept"]

FORMAT = 2
"""Of these files: those of another one are as if they were not there."""

PICTURES = ".html"
"""What is drawn of a case lies beside its results, with this ending."""


def _is_name_of(name: str, content: Mapping[str, Any]) -> bool:
    return name == f"{content['case']}.{content['run']}.json" and "rows" in content


FOLDER = ResultsFolder(
    "softlab evaluate",
    "evaluation.json",
    {"softlab_evaluation": FORMAT},
    ("cases.csv", "summary.json", "summary.md", "reliability.png", "report.html"),
    _is_name_of,
    (".npz", PICTURES),
)
"""What is touched in a folder of results."""


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
            with written_whole(counts) as partial, open(partial, "wb") as file:
                save_counts(file, found.counts)
            size = counts.stat().st_size
        text = json.dumps(content, allow_nan=False)
        write_text(path, text)
    return size + len(text)


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
