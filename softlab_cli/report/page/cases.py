"""What a page says of each case of a store, and which cases come first.

Nothing here reads a voxel: all of it is what the store keeps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from softlab_cli.core.caseid import natural_order
from softlab_cli.core.errors import SoftlabError
from softlab_cli.fusion.raters import RaterStatistics
from softlab_cli.report.page.boxes import LEAST, fences
from softlab_cli.report.page.tables import Column, Row, Table, as_text, without_empty
from softlab_cli.report.tables import counted
from softlab_cli.store.reader import Case, Store
from softlab_cli.store.statistics import CaseStatistics

__all__ = ["ORDER", "RULE", "CaseFacts", "Sign", "case_table", "gather_cases", "with_signs"]

NEARLY_ALL = 0.95
"""Share of the cases that have a class, from which on the others lack it."""

RULE = (
    f"A number stands out where it lies more than three times the distance of the quartiles "
    f"beyond the nearer one (Tukey's outer fences; of volumes the logarithms count), among at "
    f"least {LEAST} cases. A case lacks a class that {NEARLY_ALL:.0%} of all cases have."
)
ORDER = (
    "Worst first: cases that cannot be read or drawn, then by the number of signs, then by mean "
    "entropy. Each of these is a sign: a warning; no foreground at all; a volume that stands out, "
    "or a class that is lacking; more entropy, ties or changes of the largest class than in other "
    "cases; raters who agree less."
)


class Sign(NamedTuple):
    """Why a case is looked at: words of ours, then the name of a class where one is meant."""

    text: str
    name: str = ""


@dataclass(frozen=True)
class CaseFacts:
    """What is known of a case.

    Parameters
    ----------
    case_id
        The case.
    anchor
        Its id in the page.
    problem
        Why it cannot be read or drawn; empty where it can.
    shape, spacing_mm
        Of its grid, in the order of the array's axes.
    statistics, raters
        What the store keeps; None where it does not.
    rater_names
        Who drew it; empty with one label map.
    warnings
        What the reader of its files found odd.
    sources
        The files that it was made from.
    stored_bytes
        Bytes of its arrays, where their records tell.
    signs
        Why it is looked at first.
    """

    case_id: str
    anchor: str
    problem: str = ""
    shape: tuple[int, ...] = ()
    spacing_mm: tuple[float, ...] = ()
    statistics: CaseStatistics | None = None
    raters: RaterStatistics | None = None
    rater_names: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    stored_bytes: int = 0
    signs: tuple[Sign, ...] = ()

    @property
    def entropy_bits(self) -> float | None:
        """Mean entropy of the soft label."""
        return self.statistics.mean_entropy_bits if self.statistics else None

    @property
    def agreement(self) -> float | None:
        """Mean of the Dice of each two raters."""
        pairs = [p.mean_dice for p in self.raters.pairs] if self.raters else []
        return sum(pairs) / len(pairs) if pairs else None

    @property
    def is_marked(self) -> bool:
        """Whether there is anything to look at first."""
        return bool(self.problem or self.signs)

    @property
    def sign_count(self) -> int:
        """How many signs there are: each warning is one."""
        return len(self.signs) + max(0, len(self.warnings) - 1) + bool(self.problem)

    def share(self, count: int | None) -> float | None:
        """A count of voxels as a share of those that are labelled."""
        if count is None or self.statistics is None:
            return None
        return count / max(1, self.statistics.voxels - self.statistics.ignored_voxels)


def gather_cases(store: Store) -> list[CaseFacts]:
    """The facts of all cases; one that cannot be read says why."""
    found = []
    for number, case_id in enumerate(store):
        anchor = f"case-{number}"
        try:
            found.append(_facts(store[case_id], anchor))
        except SoftlabError as error:
            found.append(CaseFacts(case_id, anchor, str(error)))
        except Exception as error:  # what nobody foresaw is this case's matter, too
            found.append(CaseFacts(case_id, anchor, f"unforeseen {type(error).__name__}: {error}"))
    return found


def _facts(case: Case, anchor: str) -> CaseFacts:
    raters = case.info.details.get("raters")
    shards = [s for array in case.info.arrays.values() for s in array.shards.values()]
    return CaseFacts(
        case.case_id, anchor, "", case.shape, case.spacing_mm, case.statistics,
        RaterStatistics.from_json(raters) if isinstance(raters, dict) else None,
        case.raters, case.info.warnings, tuple(f"{s.role}: {s.path}" for s in case.sources),
        sum(shard.size for shard in shards),
    )  # fmt: skip


# ---- what stands out -------------------------------------------------------


def with_signs(
    cases: Sequence[CaseFacts], names: Sequence[str], background: int | None
) -> list[CaseFacts]:
    """The cases with what stands out about each, worst first.

    Parameters
    ----------
    cases
        All cases.
    names
        Name of each class.
    background
        The class that is no foreground, if there is one; its volume says nothing.
    """
    signs: dict[str, list[Sign]] = {case.case_id: [] for case in cases}
    for case in cases:
        if case.warnings:
            signs[case.case_id].append(Sign(counted(len(case.warnings), "warning")))
        if _is_empty(case, background):
            signs[case.case_id].append(Sign("no foreground"))
    for text, number, low in _FIGURES:
        _mark(cases, signs, number, text, low=low)
    for index, name in enumerate(names):
        if index != background:
            _mark_volumes(cases, signs, index, name)
    marked = [replace(case, signs=tuple(signs[case.case_id])) for case in cases]
    return sorted(marked, key=_rank)


def _is_empty(case: CaseFacts, background: int | None) -> bool:
    if case.statistics is None:
        return False
    volumes = enumerate(case.statistics.hard_mm3)
    return not any(volume for index, volume in volumes if index != background)


def _rank(case: CaseFacts) -> tuple[object, ...]:
    return (
        not case.problem,
        -case.sign_count,
        -(case.entropy_bits or 0.0),
        natural_order(case.case_id),
    )


def _ties(case: CaseFacts) -> float | None:
    return case.share(case.statistics.ties if case.statistics else None)


def _changes(case: CaseFacts) -> float | None:
    return case.share(case.statistics.argmax_changes if case.statistics else None)


_FIGURES: tuple[tuple[str, Callable[[CaseFacts], float | None], bool], ...] = (
    ("much entropy", lambda case: case.entropy_bits, False),
    ("many ties", _ties, False),
    ("many changes of the largest class", _changes, False),
    ("raters agree little", lambda case: case.agreement, True),
)
"""What stands out, the number that tells, and whether a low one does."""


def _mark(
    cases: Sequence[CaseFacts], signs: dict[str, list[Sign]],
    number: Callable[[CaseFacts], float | None], text: str, *, low: bool,
) -> None:  # fmt: skip
    known = {case.case_id: n for case in cases if (n := number(case)) is not None}
    least, most = fences([*known.values()])
    for case_id, value in known.items():
        if value < least if low else value > most:
            signs[case_id].append(Sign(text))


def _mark_volumes(
    cases: Sequence[CaseFacts], signs: dict[str, list[Sign]], index: int, name: str
) -> None:
    volumes = {c.case_id: c.statistics.hard_mm3[index] for c in cases if c.statistics is not None}
    there = {case_id: v for case_id, v in volumes.items() if v > 0}
    least, most = fences([*there.values()], log=True)
    for case_id, value in there.items():
        if not least <= value <= most:
            signs[case_id].append(Sign("little" if value < least else "much", name))
    if len(volumes) >= LEAST and NEARLY_ALL <= len(there) / len(volumes) < 1:
        for case_id in volumes.keys() - there.keys():
            signs[case_id].append(Sign("no", name))


# ---- the table -------------------------------------------------------------


def case_table(cases: Sequence[CaseFacts], names: Sequence[str], background: int | None) -> Table:
    """All cases in a table that sorts and filters.

    Parameters
    ----------
    cases
        From `with_signs`.
    names, background
        As there.
    """
    foreground = [i for i in range(len(names)) if i != background]
    volumes = [_volumes(case, foreground) for case in cases]
    choices = [
        "all but background" if background is not None else "all classes",
        *(names[i] for i in foreground),
    ]
    if len(choices) < 3 or not any(amounts and amounts[0] for amounts in volumes):
        choices = []
    chosen = ", of the class that is chosen above the table" if choices else ""
    columns = [
        Column("case", "name"),
        Column("signs", "number", explained="How many signs put the case where it is."),
        Column("what stands out", "signs"),
        *(column for column, _ in _COLUMNS),
        Column("volume, ml", "number", key="volume", explained=f"Of the hard label{chosen}."),
        Column("voxels", "short"),
        Column("spacing, mm", "short"),
    ]  # fmt: skip
    rows = [
        Row(
            [
                case.case_id, case.sign_count or None, _what(case) or None,
                *(number(case) for _, number in _COLUMNS), volumes[i][0] if volumes[i] else None,
                _by(case.shape), _by([as_text(float(mm), 3) for mm in case.spacing_mm]),
            ],
            case.anchor, case.is_marked, f"piece-{case.anchor}", volumes[i],
        )
        for i, case in enumerate(cases)
    ]  # fmt: skip
    return Table(
        "cases", "All cases, worst first. A case's name opens its pictures.",
        *without_empty(columns, rows), True, "only cases with warnings or other signs",
        choices, ("case", "cases"),
    )  # fmt: skip


def _what(case: CaseFacts) -> tuple[Sign, ...]:
    problem = (Sign(case.problem),) if case.problem else ()
    return problem + case.signs


def _by(sides: Sequence[object]) -> str:
    return " x ".join(map(str, sides))


def _volumes(case: CaseFacts, foreground: Sequence[int]) -> tuple[float | None, ...]:
    """Millilitres of all foreground, then of each class; None where there is nothing."""
    if case.statistics is None:
        return ()
    mm3 = [case.statistics.hard_mm3[i] for i in foreground]
    return tuple(v / 1000 if v else None for v in (sum(mm3), *mm3))


_COLUMNS: tuple[tuple[Column, Callable[[CaseFacts], float | None]], ...] = (
    (Column("warnings", "number"), lambda case: len(case.warnings) or None),
    (
        Column("entropy, bits", "number", 3, "Mean over the labelled voxels: 0 where the soft "
               "label is hard, 1 where two classes share a voxel."),
        lambda case: case.entropy_bits,
    ),
    (
        Column("ties", "share", 2, "Voxels whose largest soft label two classes share."),
        _ties,
    ),
    (
        Column("changes", "share", 2, "Voxels whose largest soft label is not that of the hard "
               "label."),
        _changes,
    ),
    (Column("raters", "number"), lambda case: len(case.rater_names) or None),
    (
        Column("raters' Dice", "number", 3, "Mean of the Dice of each two raters, without "
               "background."),
        lambda case: case.agreement,
    ),
    (
        Column("disputed", "share", 2, "Voxels that two raters call differently, of those that "
               "anyone calls foreground."),
        lambda case: case.raters.disputed_share_foreground if case.raters else None,
    ),
)  # fmt: skip
"""Columns with numbers; those for which no case has one are left out."""
