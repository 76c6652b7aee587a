"""What is kept of each case, ``cases/<case_id>.json``: where it is, the case is done."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from softlab_cli.core.provenance import Role, Source, same_content
from softlab_cli.evaluation.folders import CASES, ResultsFolder, write_text
from softlab_cli.tuning.grid import Setting
from softlab_cli.tuning.measure import Moved
from softlab_cli.tuning.votes import Votes

__all__ = ["FOLDER", "FORMAT", "Kept", "keep", "read_kept"]

FORMAT = 1
"""Of what figures mean: another one makes all results anew."""


def _is_name_of(name: str, content: Mapping[str, Any]) -> bool:
    return name == f"{content['case']}.json" and "tried" in content


FOLDER = ResultsFolder(
    "softlab tune",
    "tuning.json",
    {"softlab_tuning": FORMAT},
    ("tune.csv", "cases.csv", "summary.json", "summary.md", "tune.png", "settings.png"),
    _is_name_of,
)
"""What is touched in a folder of results."""


@dataclass(frozen=True)
class Kept:
    """The results of one case.

    Parameters
    ----------
    case_id
        The case.
    options
        What was asked for: the same options make the same results.
    sources
        The files that they were made from.
    raters
        Names of its raters.
    voxels
        Voxels that count.
    votes
        Of each setting; empty where there is one rater.
    moved
        Of each setting, where there is one rater.
    """

    case_id: str
    options: Mapping[str, Any]
    sources: tuple[Source, ...]
    raters: tuple[str, ...]
    voxels: int
    votes: Mapping[Setting, Votes]
    moved: Mapping[Setting, Moved]

    def is_current(self, options: Mapping[str, Any], files: Sequence[tuple[Path, Role]]) -> bool:
        """Whether they are of these options and files."""
        return self.options == options and same_content(self.sources, files)


def keep(out: Path, found: Kept) -> int:
    """Write the results of a case; returns the bytes that they take.

    Raises
    ------
    StoreError
        When the system cannot write.
    """
    content = {
        "format": FORMAT, "case": found.case_id, "options": found.options,
        "sources": [source.to_json() for source in found.sources],
        "raters": found.raters, "voxels": found.voxels,
        "votes": [one.to_json() for one in found.votes.values()],
        "moved": [asdict(one) for one in found.moved.values()],
        "tried": [one.to_json() for one in found.votes or found.moved],
    }  # fmt: skip
    text = json.dumps(content, allow_nan=False)
    write_text(out / CASES / f"{found.case_id}.json", text)
    return len(text)


def read_kept(out: Path, case_id: str) -> Kept | None:
    """The results of a case; None where there are none, or none that can be read."""
    try:
        content = json.loads((out / CASES / f"{case_id}.json").read_text(encoding="utf-8"))
        if content["format"] != FORMAT or content["case"] != case_id:
            return None
        tried = [Setting(t["method"], tuple(t["parameters"].items())) for t in content["tried"]]
        votes = [Votes.from_json(one) for one in content["votes"]]
        moved = [Moved(**one) for one in content["moved"]]
        return Kept(
            case_id, content["options"], tuple(map(Source.from_json, content["sources"])),
            tuple(content["raters"]), int(content["voxels"]),
            dict(zip(tried, votes, strict=True)) if votes else {},
            dict(zip(tried, moved, strict=True)) if moved else {},
        )  # fmt: skip
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None
