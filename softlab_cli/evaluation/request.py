"""What a user asks of ``softlab evaluate``."""

from __future__ import annotations

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.places import refuse_url
from softlab_cli.core.system import unreadable
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.settings import Settings
from softlab_cli.running.request import Request

__all__ = ["UNNAMED", "EvaluationRequest", "calibrations_of", "read_groups", "runs_of"]

UNNAMED = "prediction"
"""The run of predictions without a name."""


def runs_of(texts: Sequence[str]) -> dict[str, tuple[Path, ...]]:
    """Runs from ``PATH`` and ``NAME=PATH``; paths of one name are averaged.

    A text with ``=`` that is a path as it stands is one.

    Raises
    ------
    UsageError
        For a name that cannot be part of a file's name, or a path that is given twice.
    """
    found: dict[str, tuple[Path, ...]] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = UNNAMED, text
        if not re.fullmatch(r"[\w+-]{1,64}", name):
            raise UsageError(
                f"--pred {text!r}: {name!r} is no name of a run.",
                remedy="Use letters, digits, + and - and _, at most 64.",
            )
        paths = found.get(name, ())
        if Path(path) in paths:
            raise UsageError(f"--pred {path} is given twice.", remedy="Leave one of them out.")
        found[name] = (*paths, Path(path))
    if not found:
        raise UsageError("no prediction is given.", remedy="Name predictions with --pred.")
    return found


def calibrations_of(texts: Sequence[str], runs: Sequence[str]) -> dict[str, Calibration]:
    """Calibrations from ``FILE``, where there is one run, and ``NAME=FILE``.

    Parameters
    ----------
    texts
        What was given; a text with ``=`` that is a path as it stands is one.
    runs
        Names of the runs.

    Raises
    ------
    UsageError
        For a run that there is none of, or that has one already.
    InputError
        For a file that is no calibration.
    """
    found: dict[str, Calibration] = {}
    for text in texts:
        name, equals, path = text.partition("=")
        if not equals or Path(text).exists():
            name, path = (runs[0] if len(runs) == 1 else ""), text
        if name not in runs:
            raise UsageError(
                f"--calibration {text}: " + (f"{name!r} is no run." if name else "which run?"),
                remedy=f"Write NAME=FILE; there are {', '.join(runs)}.",
            )
        if name in found:
            raise UsageError(
                f"--calibration {text}: the run {name!r} has one already.",
                remedy="Leave one of them out.",
            )
        refuse_url(Path(path))
        found[name] = Calibration.load(path)
    return found


@dataclass(frozen=True)
class EvaluationRequest:
    """What a user asks for.

    Parameters
    ----------
    runs
        Name of each run to its predictions; several are averaged.
    run
        The references as inputs, images, classes, reading, workers and memory, as for a run
        that makes soft labels. Its `class_pattern` is about predictions.
    settings
        What is measured.
    baseline
        The run that others are compared with.
    groups
        Case id to patient.
    calibrations
        Run to what is applied to its probabilities before anything is measured.
    """

    runs: Mapping[str, tuple[Path, ...]]
    run: Request
    settings: Settings = field(default_factory=Settings)
    baseline: str | None = None
    groups: Mapping[str, str] = field(default_factory=dict)
    calibrations: Mapping[str, Calibration] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse what makes no sense together."""
        refuse_url(*(path for paths in self.runs.values() for path in paths))
        if self.baseline is not None and self.baseline not in self.runs:
            raise UsageError(
                f"--baseline {self.baseline!r} is no run.",
                remedy=f"There are {', '.join(self.runs)}.",
            )
        if self.baseline is not None and len(self.runs) == 1:
            raise UsageError(
                "--baseline needs another run to compare with it.",
                remedy="Name two with --pred NAME=PATH.",
            )
        if self.run.overwrite and self.run.part:
            raise UsageError(
                "--overwrite with --part would remove what the other parts have done.",
                remedy="Remove the folder first, or leave --overwrite out.",
            )

    def check_calibrations(self, classes: ClassTable) -> None:
        """Raise `ClassError` where a calibration is of other classes than the run."""
        for calibration in self.calibrations.values():
            calibration.check_classes(classes)

    @property
    def out(self) -> Path:
        """The folder of the results."""
        return self.run.out


def read_groups(path: Path) -> dict[str, str]:
    """Case id to patient, from a CSV file with the columns ``case_id`` and ``patient``.

    Raises
    ------
    InputError
        When it cannot be read, lacks a column, or gives a case two patients.
    """
    try:
        with open(path, newline="", encoding="utf-8-sig") as file:
            rows: list[dict[str, Any]] = list(csv.DictReader(file))
    except OSError as error:
        raise unreadable(error, path, "Check --groups.") from error
    except (ValueError, csv.Error) as error:
        raise InputError(
            f"cannot be read ({error}).", remedy="Check --groups.", path=path
        ) from error
    found: dict[str, str] = {}
    for row in rows:
        case_id, patient = row.get("case_id"), row.get("patient")
        if not case_id or not patient:
            raise InputError(
                "has a row without case_id or patient.",
                remedy="Give a CSV file with the columns case_id and patient.",
                path=path,
            )
        if found.setdefault(case_id, patient) != patient:
            raise InputError(
                f"gives the case {case_id!r} two patients.",
                remedy="Keep the row that is right.",
                path=path,
            )
    if not found:
        raise InputError("has no row.", remedy="Check --groups.", path=path)
    return found
