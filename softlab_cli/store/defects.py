"""What a check of a store finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Defect", "Severity"]

Severity = Literal["defect", "note"]


@dataclass(frozen=True)
class Defect:
    """Something that a check of a store found.

    Parameters
    ----------
    case_id
        The case; empty for the store itself.
    what
        What kind of thing, in a few words.
    detail
        Where, and what was found instead of what was expected.
    severity
        ``defect`` when the store is not sound; ``note`` for what a user may want
        to know, such as the rest of a run that was killed.
    """

    case_id: str
    what: str
    detail: str
    severity: Severity = "defect"
