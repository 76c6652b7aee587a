"""What the headers of predictions and references say, before a voxel is read."""

from __future__ import annotations

from dataclasses import dataclass, replace

from softlab_cli.cases import Case
from softlab_cli.evaluation.kinds import Kind, is_soft_reference, kind_of
from softlab_cli.labels.fractions import probe_fractions
from softlab_cli.labels.read import ReadingOptions, probe_labels
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers import FileProbe, path_of
from softlab_cli.running.names import FileNames
from softlab_cli.store.documents import read_store_info
from softlab_cli.store.reader import Store

__all__ = ["ReferenceHeader", "prediction_header", "rater_count", "reference_header"]


def prediction_header(case: Case, reading: ReadingOptions) -> tuple[Kind, FileProbe]:
    """What a prediction is, its grid, and what reading it takes."""
    kind = kind_of(case, reading)
    if kind == "hard":
        return kind, probe_labels(next(iter(case.drawings.values())), case.images, reading)
    if is_store_case(case.label_maps[0]) and read_store_info(case.label_maps[0].parent).labels_only:
        return kind, probe_labels(case.label_maps[0], case.images, reading)
    seen = probe_fractions(case, reading)
    by_region = is_store_case(case.label_maps[0]) and not case.images
    return kind, replace(seen, bytes_on_read=0) if by_region else seen


@dataclass(frozen=True)
class ReferenceHeader:
    """What the headers of a case's references say.

    Parameters
    ----------
    is_soft
        Whether they are soft labels.
    bytes_on_read
        Most memory that reading one of them takes.
    names
        The names of the segments of each file that has any.
    """

    is_soft: bool
    bytes_on_read: int = 0
    names: tuple[FileNames, ...] = ()


def reference_header(case: Case, reading: ReadingOptions) -> ReferenceHeader:
    """What the references of a case are."""
    if is_store_case(case.label_maps[0]):
        return ReferenceHeader(is_soft_reference(case, reading))
    if is_soft_reference(case, reading):
        return ReferenceHeader(True, probe_fractions(case, reading).bytes_on_read)
    files = {p: probe_labels(p, case.images, reading) for p in case.drawings.values()}
    names = [FileNames(case.case_id, path_of(p), seen.names) for p, seen in files.items()]
    return ReferenceHeader(
        False,
        max(seen.bytes_on_read for seen in files.values()),
        tuple(file for file in names if file.names),
    )


def rater_count(case: Case) -> int:
    """How many raters the references of a case are of."""
    path = case.label_maps[0]
    if is_store_case(path):
        return max(1, len(Store(path.parent)[path.name].raters))
    return len(case.drawings)
