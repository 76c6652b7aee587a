"""What a check of a store finds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from softlab_cli.store.remedies import ANEW

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
    remedy
        What can be done about it. Of a defect of a case, where nothing else is said, to
        compute the case anew, which mends everything in its folder.
    """

    case_id: str
    what: str
    detail: str
    severity: Severity = "defect"
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.case_id and self.severity == "defect" and not self.remedy:
            object.__setattr__(self, "remedy", ANEW)
