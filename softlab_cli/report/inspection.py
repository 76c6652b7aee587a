"""What a file or folder is, before anything is made of it: ``softlab inspect``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from softlab_cli.cases import Case, discover_cases
from softlab_cli.cases.kinds import holds_dicom_files, image_files
from softlab_cli.core.caseid import image_suffix
from softlab_cli.core.errors import ClassError, InputError, SoftlabError
from softlab_cli.core.folders import files_below, files_in, holds_probabilities, is_probabilities
from softlab_cli.core.places import refuse_url
from softlab_cli.core.system import unreadable
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.labels.indices import check_range, distinct_values, wide_values
from softlab_cli.labels.likeness import looks_like_image
from softlab_cli.labels.read import series_for
from softlab_cli.labels.shares import ShareReader
from softlab_cli.labels.softfiles import open_soft_input
from softlab_cli.readers import (
    ClassFiles,
    LabelObject,
    dicom,
    is_dicom,
    open_label_object,
    probe,
    read_label_map,
)
from softlab_cli.readers.label_values import NAN_REMEDY
from softlab_cli.readers.options import ReadingOptions
from softlab_cli.readers.replacing import Replacing
from softlab_cli.readers.soft import open_soft_file
from softlab_cli.report.inspected import (
    FOLDER,
    LIST,
    STORE,
    UNREADABLE,
    Found,
    Label,
    words_of,
)
from softlab_cli.running.executors import call_apart
from softlab_cli.running.isolation import may_crash_on
from softlab_cli.running.names import merging_hint
from softlab_cli.store.documents import softlab_facts
from softlab_cli.store.files import METADATA
from softlab_cli.store.reader import Store

__all__ = ["MOST_FILES", "inspect_path"]


LIST_SUFFIXES = (".json", ".csv", ".tsv")

EMPTY_ITSELF = "holds no image, no label map and no DICOM file itself."
EMPTY = "holds no image, no label map and no DICOM file. Name a folder that holds some."

MOST_FILES = 200
"""Files of a folder that are looked into, unless all are asked for."""


def inspect_path(
    path: str | Path, images: str | Path | None = None, *, most_files: int | None = MOST_FILES
) -> Found:
    """What a file or folder is; raises nothing that a bad file could cause.

    Parameters
    ----------
    path
        An image, a label map, a SEG or RTSTRUCT, a folder of any of these, or a
        store.
    images
        The series of a SEG or RTSTRUCT, so that its voxels can be counted; without
        it the file's own folder is looked through.
    most_files
        Files of a folder that are looked into, in the order of their names; None for all.
    """
    path = Path(path)
    refuse_url(path, None if images is None else Path(images))
    try:
        inspect = _inspect if not _is_file_that_may_crash(path) else partial(call_apart, _inspect)
        return inspect(path, None if images is None else Path(images), most_files)
    except SoftlabError as error:
        return Found(path, UNREADABLE, problems=(words_of(error, path),))
    except OSError as error:
        return Found(path, UNREADABLE, problems=(words_of(unreadable(error, path), path),))
    except Exception as error:  # a bad file must not end the command that looks for bad files
        problem = f"unforeseen {type(error).__name__}: {error}"
        return Found(path, UNREADABLE, problems=(problem,))


def _is_file_that_may_crash(path: Path) -> bool:
    return path.is_file() and may_crash_on(path) and path.suffix.lower() not in LIST_SUFFIXES


def _inspect(path: Path, images: Path | None, most_files: int | None) -> Found:
    if (path / METADATA).is_file():
        return _store(path)
    if path.is_dir():
        return _folder(path, most_files)
    if path.suffix.lower() in LIST_SUFFIXES:
        cases = [case.case_id for case in discover_cases([path])]
        return Found(path, LIST, facts={"cases": cases})
    if is_probabilities(path):
        return _probabilities(path)
    if is_dicom(path):
        return _dicom_file(path, images)
    source = open_label_object(path)
    return _file(path) if source.names(()) is None else _object(path, source, images)


def _store(path: Path) -> Found:
    from softlab_cli.api import open_store

    softlab_facts(path / METADATA)
    store = open_store(path)
    info = store.info
    labels = tuple(Label(c.value, c.name) for c in info.classes.classes)
    parts = tuple(_case_of(store, case_id) for case_id in store)
    facts = {"method": info.method, "cases": len(parts)}
    problems = () if parts else ("is a store without a case. Fill it first.",)
    return Found(path, STORE, None, labels, facts, problems, parts)


def _case_of(store: Store, case_id: str) -> Found:
    path = store.path / case_id
    try:
        return Found(path, "case", store[case_id].geometry)
    except SoftlabError as error:
        return Found(path, UNREADABLE, problems=(words_of(error, path),))


def _file(path: Path) -> Found:
    """A file with one of the image endings: a label map where all its values are labels."""
    seen = probe(path)
    facts = {"voxel_type": seen.dtype.name, "channels": seen.channels}
    try:  # grey may be stored as colours; other files with channels are refused by their header
        label_map, missing = _label_values(path)
    except SoftlabError as error:
        if (use := _use_of_soft(path)) is not None:
            kind = "probability map" if seen.channels == 1 else "soft labels"
            return Found(path, kind, seen.geometry, (), {**facts, "use": use}, seen.warnings)
        if seen.channels == 1 and _is_damaged(path):
            return Found(path, UNREADABLE, seen.geometry, (), facts, (words_of(error),))
        return Found(path, "image", seen.geometry, (), facts, seen.warnings)
    counts = wide_values(label_map.values)
    if looks_like_image(label_map.values, counts):
        return Found(path, "image", seen.geometry, (), facts, seen.warnings)
    labels = tuple(Label(v, "", n) for v, n in counts.items())
    problems = (*label_map.warnings, *missing, *_outside(label_map.values))
    return Found(path, "label map", seen.geometry, labels, facts, problems)


def _label_values(path: Path) -> tuple[LabelMap, tuple[str, ...]]:
    """The label map of a file, NaN as background; and what is to be said of NaN."""
    try:
        return read_label_map(path), ()
    except InputError as error:
        if error.remedy != NAN_REMEDY:
            raise
        return read_label_map(path, Replacing(nan=0)), (words_of(error),)


def _outside(values: NDArray[Any]) -> Iterator[str]:
    """That label values are too large or negative, if they are."""
    try:
        check_range(values)
    except ClassError as error:
        yield words_of(error)


def _use_of_soft(path: Path) -> str | None:
    """What is said of a file whose numbers are all of 0 to 1; None for any other."""
    case = Case(path.name, (path,))
    try:
        source = open_soft_input(case, ReadingOptions())
        reader = ShareReader(source, None)
        for number in range(len(source.parts)):
            reader.read(number)
    except SoftlabError:
        return None
    if len(source.parts) == 1:
        return "soft labels of one class, or an image of 0 to 1: softlab import takes them"
    return f"soft labels of {len(source.parts)} volumes: softlab import takes them"


def _probabilities(path: Path) -> Found:
    """What nnU-Net saved with ``--save_probabilities``."""
    file = open_soft_file(path)
    facts = {
        "voxel_type": file.dtype.name,
        "channels": file.count,
        "use": "soft labels, the first of them background: softlab import takes them",
    }
    return Found(path, "nnU-Net's probabilities", file.geometry, (), facts, file.warnings)


def _is_damaged(path: Path) -> bool:
    from softlab_cli.readers import read_image

    try:
        read_image(path)
    except SoftlabError:
        return True
    return False


def _dicom_file(path: Path, images: Path | None) -> Found:
    source = dicom.find_object(path)
    return _series(path)[0] if source is None else _object(path, source, images)


def _object(path: Path, source: LabelObject, images: Path | None) -> Found:
    """With the series that it fits, and voxels counted where the label map is hard."""
    said = source.describe()
    labels = tuple(Label(s.value, s.name, None, s.contours) for s in said.labels)
    hints = tuple(merging_hint([[label.name for label in labels]]))
    found = Found(path, said.kind, None, labels, dict(said.facts), hints)
    options = ReadingOptions(on_overlap="highest", threshold=0.5)
    folder = images or path.parent
    try:
        fits = dicom.fits_in(source, folder)
        if fits:
            found.facts["fits"] = [fit.to_json() for fit in fits]
        # Where none fits, what a run would say tells more than the list.
        series = next((f.grid for f in fits if f.fits == "yes"), None) or series_for(
            source, (folder,), options
        )
        grid = source.probe(series).geometry
    except SoftlabError as error:
        return _replace(found, None, labels, (words_of(error),))
    try:
        label_map = source.label_map(series, options)
    except SoftlabError as error:
        return _replace(found, grid, labels, (words_of(error),))
    counts = distinct_values(label_map.values)
    names = {name: value for value, name in label_map.metadata.get("names", {}).items()}
    counted = tuple(
        Label(label.value, label.name, counts.get(names.get(label.name, -1), 0), label.contours)
        for label in labels
    )
    return _replace(found, grid, counted, label_map.warnings)


def _replace(
    found: Found, geometry: Geometry | None, labels: tuple[Label, ...], problems: tuple[str, ...]
) -> Found:
    return replace(found, geometry=geometry, labels=labels, problems=(*problems, *found.problems))


def _series(path: Path) -> list[Found]:
    """Every image series of a DICOM file or folder."""
    from softlab_cli.readers.dicom.series.read import list_series

    with dicom.damage_explained(path):
        found = list_series(path)
    return [
        Found(
            path,
            "DICOM series" if s.kind == "image" else f"DICOM {s.modality or 'object'}",
            s.geometry,
            (),
            {
                "uid": s.uid,
                "description": s.description,
                "modality": s.modality,
                "files": len(s.files),
                "slices": s.slices,
            },
            s.problems,
            tuple(Found(e.path or path, UNREADABLE, problems=(words_of(e),)) for e in s.broken),
        )
        for s in found
        if s.kind in ("image", "other")
    ]


def _folder(path: Path, most_files: int | None) -> Found:
    looked_at = [*image_files(path), *(f for f in files_in(path) if is_probabilities(f))]
    files = sorted(looked_at)
    seen = files[:most_files]
    parts = [inspect_path(p) for p in seen]
    if not files or holds_dicom_files(path):
        parts += _dicom_parts(path)
    cases, notes = _cases(path)
    drawn = [d for case in cases for d in case.drawings.values() if isinstance(d, ClassFiles)]
    looked_into = _class_files(drawn, most_files)
    parts += looked_into
    notes += merging_hint(_names_of(parts))
    problems: tuple[str, ...] = ()
    holds_below = False
    if not parts and not cases:
        holds_below = any(image_suffix(file.name) for file in files_below(path))
        problems = (EMPTY_ITSELF if holds_below else EMPTY,)
    facts = {"cases": [case.case_id for case in cases], "notes": notes}
    unseen = len(files) - len(seen)
    unseen += sum(len(files_of.files) for files_of in drawn[len(looked_into) :])
    return Found(path, FOLDER, None, (), facts, problems, tuple(parts), unseen, holds_below)


def _names_of(parts: Sequence[Found]) -> list[list[str]]:
    """The names of the segments of each file that has any."""
    return [
        names for part in parts if (names := [label.name for label in part.labels if label.name])
    ]


def _dicom_parts(path: Path) -> list[Found]:
    """The series and label objects of a folder, or the files that cannot be read."""
    found = dicom.find_label_objects(path)
    if found.broken:
        return [Found(e.path or path, UNREADABLE, problems=(words_of(e),)) for e in found.broken]
    parts = _series(path) if found.images else []
    parts += [inspect_path(label.path, path) for label in found.labels]
    return _said_once(parts)


def _said_once(parts: Sequence[Found]) -> list[Found]:
    """Parts of a folder, of which only the first says what was left out of the folder."""
    from softlab_cli.readers.dicom.files.scan import FOREIGN

    said: set[str] = set()
    found = []
    for part in parts:
        problems = tuple(p for p in dict.fromkeys(part.problems) if p not in said)
        said.update(p for p in problems if p.startswith(FOREIGN))
        found.append(replace(part, problems=problems))
    return found


def _class_files(drawn: Sequence[ClassFiles], most_files: int | None) -> list[Found]:
    """Label maps of one file a class, the first one and as many as the files allow."""
    parts: list[Found] = []
    seen = 0
    for source in drawn:
        seen += len(source.files)
        if parts and most_files is not None and seen > most_files:
            break
        crashes = any(map(may_crash_on, source.files))
        inspect = partial(call_apart, _object) if crashes else _object
        parts.append(inspect(source.path, open_label_object(source), None))
    return parts


def _cases(path: Path) -> tuple[list[Case], list[str]]:
    """Cases that ``--in`` would find here, and what it would leave out or refuse."""
    notes: list[str] = []
    try:
        cases = discover_cases([path], soft=holds_probabilities(path), tell=notes.append)
    except SoftlabError as error:
        return [], [*notes, f"no case: {words_of(error, path)}"]
    return cases, notes
