"""Cases and raters from file names, by a pattern such as ``{case}_{rater}.nii.gz``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.cases.case import Finding, natural_order
from softlab_cli.cases.kinds import Tell, whole_files
from softlab_cli.core.caseid import image_suffix, strip_suffix
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.folders import files_below, some_of

__all__ = ["NamePattern"]

FIELDS = ("case", "rater")
NAMED_AT_MOST = 3


@dataclass(frozen=True)
class NamePattern:
    """How file names tell the case and the rater.

    Parameters
    ----------
    text
        Has ``{case}`` and ``{rater}``, each once. With slashes it counts from the
        input's folder: ``{rater}/{case}`` or ``{case}/{rater}.nii.gz``. Without an
        ending it fits every ending of an image. The case takes as much of the name
        as it can, the rater as little.

    Raises
    ------
    UsageError
        When a field is missing, given twice, or unknown.
    """

    text: str

    def __post_init__(self) -> None:
        fields = re.findall(r"\{(\w*)\}", self.text)
        if sorted(fields) != sorted(FIELDS):
            raise UsageError(
                f"{self.text!r} is no pattern of rater files.",
                remedy="Write {case} and {rater} once each, as in {case}_{rater}.nii.gz.",
            )

    def find(self, folder: Path, tell: Tell) -> list[Finding]:
        """The label maps of a folder and its subfolders whose names fit; others are left out.

        Parameters
        ----------
        folder
            Where to look.
        tell
            Is told what is left out.

        Raises
        ------
        InputError
            When none fits; says what there is.
        """
        files = sorted(
            whole_files(list(files_below(folder))),
            key=lambda f: natural_order(f.relative_to(folder).as_posix()),
        )
        fitting = (self.match(f, folder) for f in files if image_suffix(f.name))
        found = [finding for finding in fitting if finding]
        taken = {finding.label_map for finding in found}
        others = [f.relative_to(folder).as_posix() for f in files if f not in taken]
        named = some_of(others, NAMED_AT_MOST)
        if not found:
            raise InputError(
                f"holds no label map named like {self.text!r}; there are {named or 'none'}.",
                remedy="Check --rater-pattern.",
                path=folder,
            )
        if others:
            count = "1 file" if len(others) == 1 else f"{len(others)} files"
            tell(f"{folder}: left out what is not named like {self.text!r}: {named} ({count})")
        return found

    def match(self, file: Path, folder: Path) -> Finding | None:
        """What a file's name says; None when it does not fit.

        Parameters
        ----------
        file
            The label map.
        folder
            Where the pattern starts.
        """
        name = file.relative_to(folder).as_posix()
        fits = self._expression.fullmatch(name if image_suffix(self.text) else strip_suffix(name))
        return Finding(fits["case"], file, fits["rater"]) if fits else None

    @property
    def _expression(self) -> re.Pattern[str]:
        escaped = re.escape(self.text)
        escaped = escaped.replace(re.escape("{case}"), "(?P<case>[^/]+)")
        return re.compile(escaped.replace(re.escape("{rater}"), "(?P<rater>[^/]+?)"))
