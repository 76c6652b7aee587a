"""What a run tells its listeners; progress bars, logs and reports are listeners."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

__all__ = [
    "CaseFinished",
    "Event",
    "Listener",
    "Notice",
    "RunFinished",
    "StageStarted",
    "StageStepped",
    "ignore",
    "to_json",
]

Status = Literal["done", "skipped", "failed"]


@dataclass(frozen=True)
class StageStarted:
    """A stage with a known number of steps begins: ``scan`` or ``soften``."""

    stage: str
    total: int


@dataclass(frozen=True)
class StageStepped:
    """One step of the stage is over."""

    stage: str
    case_id: str


@dataclass(frozen=True)
class Notice:
    """Something that the user should know and that stops nothing."""

    message: str


@dataclass(frozen=True)
class CaseFinished:
    """How a case ended.

    Parameters
    ----------
    case_id
        The case.
    status
        ``done``, ``skipped`` (was complete already) or ``failed``.
    message
        Why it failed, or why it was computed again.
    warnings
        What the reader found odd; one about the label map of a rater begins with
        the rater's name.
    seconds
        Time spent on the case.
    facts
        What the stage found out about the case, ready for JSON: of a case that was
        softened, ``stored_bytes`` and ``voxels``.
    traceback
        For errors that nobody foresaw; shown with ``--debug`` only.
    raters
        Names of the raters, where the method takes several.
    """

    case_id: str
    status: Status
    message: str = ""
    warnings: tuple[str, ...] = ()
    seconds: float = 0.0
    facts: Mapping[str, Any] = field(default_factory=dict)
    traceback: str = ""
    raters: tuple[str, ...] = ()


@dataclass(frozen=True)
class RunFinished:
    """The whole run is over."""

    done: int
    skipped: int
    failed: int
    seconds: float
    outcomes: tuple[CaseFinished, ...] = field(default=(), repr=False)


Event = StageStarted | StageStepped | Notice | CaseFinished | RunFinished
Listener = Callable[[Event], None]


def ignore(event: Event) -> None:
    """The listener that listens to nothing."""


def to_json(event: Event) -> dict[str, Any]:
    """The event as one line of ``--log-json`` (a run's outcomes have lines of their own)."""
    line = asdict(event)
    line.pop("outcomes", None)
    facts = line.pop("facts", {})
    return {"event": type(event).__name__, **line, **facts}
