"""Reading a changed input twice, with little memory, in whatever process this is called."""

from __future__ import annotations

import hashlib
import resource
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from softlab_cli import readers
from softlab_cli.cases import discover_cases
from softlab_cli.core.errors import SoftlabError
from softlab_cli.labels.read import read_labels
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.report import inspection
from tests.campaign.specimens import Specimen

__all__ = ["Reading", "read_twice"]

ROOM = 1 << 30
"""Bytes that a reader may believe to be free; as much again may be taken."""

OPTIONS = ReadingOptions(on_overlap="highest", threshold=0.5)


@dataclass(frozen=True)
class Reading:
    """A changed copy of a specimen, and the seed that changed it."""

    specimen: Specimen
    seed: int
    folder: Path


def read_twice(task: Reading) -> tuple[str, Any]:
    """``read`` and what was found, ``refused`` and why, or ``fault`` and what is wrong."""
    if task.seed:
        _little_memory()
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            first, second = _read(task), _read(task)
    except Exception:  # whatever else is raised is what the campaign looks for
        return "fault", traceback.format_exc()
    if first != second:
        return "fault", f"two reads differ: {first} and {second}"
    outcome, found = first
    if outcome == "refused" and not found.replace("\n", " ").isprintable():
        return "fault", f"text of a file that is no text: {found!r}"
    return first


@cache
def _little_memory() -> None:
    """Let what wants too much fail, and not this machine."""
    readers.available_bytes = lambda: ROOM
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    limit = in_use + 3 * ROOM
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _read(task: Reading) -> tuple[str, Any]:
    readers._probe_file.cache_clear()
    entry = task.folder / task.specimen.entry
    try:
        return "read", WAYS[task.specimen.how](entry, task)
    except SoftlabError as error:
        return "refused", str(error)


def _plain(entry: Path, task: Reading) -> Any:
    seen = inspection._inspect(entry, None, None)
    label_map = readers.read_label_map(entry)
    probe = readers.probe(entry)
    assert probe.geometry.shape == label_map.geometry.shape
    assert label_map.values.nbytes <= max(probe.bytes_held, 8 * label_map.values.size)
    assert seen.is_readable
    return _digest(label_map.values), _intensities(entry), label_map.values.shape


def _intensities(entry: Path) -> Any:
    """Of the file as an image, which may ask more of it: colours of a palette, say."""
    try:
        return _digest(readers.read_image(entry).intensities)
    except SoftlabError as error:
        return str(error)


def _object(entry: Path, task: Reading) -> Any:
    images = task.folder / task.specimen.images
    inspection._inspect(entry, images, None)
    label_map = read_labels(entry, (images,), OPTIONS)
    return _digest(label_map.values), sorted(label_map.metadata.get("names", {}).items())


def _series(entry: Path, task: Reading) -> Any:
    inspection._inspect(entry, None, None)
    return _digest(readers.read_image(entry).intensities)


def _list(entry: Path, task: Reading) -> Any:
    cases = discover_cases([entry], tell=lambda message: None)
    return [
        (c.case_id, [p.name for p in c.label_maps], [p.name for p in c.images], c.raters)
        for c in cases
    ]


WAYS: dict[str, Callable[[Path, Reading], Any]] = {
    "plain": _plain, "object": _object, "series": _series, "list": _list,
}  # fmt: skip


def _digest(array: Any) -> tuple[str, str]:
    content = np.ascontiguousarray(array).tobytes()
    return str(array.dtype), hashlib.sha256(content).hexdigest()
