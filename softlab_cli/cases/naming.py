"""Cases, and raters or classes, from file names: ``{case}_{rater}.nii.gz``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from softlab_cli.cases.case import Finding
from softlab_cli.cases.cuts import Cut, choose_cuts
from softlab_cli.cases.kinds import Tell, whole_files
from softlab_cli.core.caseid import image_suffix, natural_order, strip_suffix
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.folders import files_below, some_of
from softlab_cli.core.system import unreadable

__all__ = ["ClassPattern", "NamePattern"]

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

    told: ClassVar[str] = "rater"
    """What names tell beside the case; the option is called like it."""

    def __post_init__(self) -> None:
        if not self._is_sound(sorted(re.findall(r"\{(\w*)\}", self.text))):
            raise UsageError(
                f"{self.text!r} is no pattern of {self.told} files.",
                remedy=f"Write {{case}} and {{{self.told}}} once each, as in "
                f"{{case}}_{{{self.told}}}.nii.gz.",
            )

    @property
    def option(self) -> str:
        """The option of the command line that gives it."""
        return f"--{self.told}-pattern"

    def _is_sound(self, fields: list[str]) -> bool:
        return fields == sorted(("case", self.told))

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
            When none fits; says what there is. When a folder cannot be read, and its name
            does not tell which case would lack a file.
        """
        refused: list[InputError] = []
        files = sorted(
            whole_files(list(files_below(folder, lambda e: refused.append(unreadable(e, folder))))),
            key=lambda f: natural_order(f.relative_to(folder).as_posix()),
        )
        fitting = [self.match(f, folder) for f in files if image_suffix(f.name)]
        fitting += [self._unread(error, folder) for error in refused]
        found = [finding for finding in fitting if finding]
        taken = {finding.label_map for finding in found}
        others = [f.relative_to(folder).as_posix() for f in files if f not in taken]
        named = some_of(others, NAMED_AT_MOST)
        if not found:
            raise InputError(
                f"holds no label map named like {self.text!r}; there are {named or 'none'}.",
                remedy=f"Check {self.option}.",
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
        fits = self._expression.fullmatch(self._name(file, folder))
        return self._finding(fits.groupdict(), file, folder) if fits else None

    def _unread(self, error: InputError, folder: Path) -> Finding | None:
        """A case that fails, since its folder cannot be read; None where no file there would fit.

        Raises
        ------
        InputError
            When nobody can say which case it is of.
        """
        place = error.path or folder
        told, parts = self.text.split("/"), place.relative_to(folder).parts
        if len(parts) >= len(told):
            return None
        begin = self._text_of_expression("[^/]+", "/".join(told[: len(parts)]))
        fits = re.fullmatch(begin, "/".join(parts))
        if parts and fits is None:
            return None
        if not fits or "case" not in fits.groupdict():
            raise error
        return Finding(fits["case"], place, fits.groupdict().get("rater", ""), problem=error)

    def _name(self, file: Path, folder: Path) -> str:
        name = file.relative_to(folder).as_posix()
        return name if image_suffix(self.text) else strip_suffix(name)

    def _finding(self, told: dict[str, str], file: Path, folder: Path) -> Finding:
        return Finding(told["case"], file, told["rater"])

    @property
    def _expression(self) -> re.Pattern[str]:
        return re.compile(self._text_of_expression("[^/]+"))

    def _text_of_expression(self, case: str, text: str | None = None) -> str:
        escaped = re.escape(self.text if text is None else text).replace(
            re.escape("{case}"), f"(?P<case>{case})"
        )
        return escaped.replace(re.escape(f"{{{self.told}}}"), f"(?P<{self.told}>[^/]+?)")


@dataclass(frozen=True)
class ClassPattern(NamePattern):
    """How file names tell the case and the class, where each file holds one class of a case.

    Parameters
    ----------
    text
        As for `NamePattern`, with ``{class}`` in the place of ``{rater}``. Without
        ``{case}`` all files are one case, which is called like the folder. A name that
        can be cut in several places is cut as all names together tell.
    """

    told: ClassVar[str] = "class"

    def _is_sound(self, fields: list[str]) -> bool:
        return super()._is_sound(fields) or fields == ["class"]

    def find(self, folder: Path, tell: Tell) -> list[Finding]:
        """As `NamePattern.find`; says what the cases are, where names can be cut otherwise."""
        every = super().find(folder, tell)
        found = [finding for finding in every if finding.problem is None]
        if "{case}" not in self.text or not found:
            return every
        possible = [self._cuts(finding.label_map, folder) for finding in found]
        chosen = choose_cuts(possible)
        if any(len(cuts) > 1 for cuts in possible):
            cases, classes = (list(dict.fromkeys(part)) for part in zip(*chosen, strict=True))
            tell(
                f"{folder}: {self.text!r} fits in several ways; taken as the cases "
                f"{some_of(cases)} with the classes {some_of(classes)}"
            )
        return [
            replace(finding, case_id=case, class_name=name)
            for finding, (case, name) in zip(found, chosen, strict=True)
        ] + [finding for finding in every if finding.problem is not None]

    def _cuts(self, file: Path, folder: Path) -> list[Cut]:
        """Every case and class that a file's name can be cut into."""
        name = self._name(file, folder)
        longest = self._expression.fullmatch(name)
        assert longest is not None  # it was found by that
        fits = (
            re.fullmatch(self._text_of_expression(f"[^/]{{{n}}}"), name)
            for n in range(1, len(longest["case"]) + 1)
        )
        return [(fit["case"], fit["class"]) for fit in fits if fit]

    def _finding(self, told: dict[str, str], file: Path, folder: Path) -> Finding:
        case_id = told.get("case", folder.resolve().name)
        return Finding(case_id, file, "", class_name=told["class"])
