"""Which cases are read in a process of their own, since their decoders may crash.

NIfTI files, nnU-Net's probabilities and stores are read in Python. The others go through
decoders in C and C++, which a damaged file may take down, and the process with them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from softlab_cli.cases import Case
from softlab_cli.core.caseid import NIFTI_SUFFIXES
from softlab_cli.core.folders import is_probabilities, segmentation_beside
from softlab_cli.running.executors import call_apart
from softlab_cli.store.files import METADATA

__all__ = ["call_for", "may_crash", "may_crash_on"]

Result = TypeVar("Result")


def may_crash_on(path: Path) -> bool:
    """Whether a file, or what a folder holds, is read by a decoder that may crash."""
    if path.name.lower().endswith(NIFTI_SUFFIXES):
        return False
    if is_probabilities(path):
        beside = segmentation_beside(path)
        return beside is not None and may_crash_on(beside)
    return not os.path.isfile(path / METADATA)


def may_crash(case: Case) -> bool:
    """Whether any file of a case is read, and by a decoder that may crash."""
    files = (*case.label_maps, *case.images)
    return case.problem is None and any(may_crash_on(path) for path in files)


def call_for(case: Case, function: Callable[..., Result], *arguments: Any) -> Result:
    """Call a function that reads files of a case, apart where that may crash.

    Raises
    ------
    InputError
        When it crashed; and what the function raises.
    """
    return call_apart(function, *arguments) if may_crash(case) else function(*arguments)
