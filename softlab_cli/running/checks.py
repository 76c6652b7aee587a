"""What is wrong or odd with a run, as far as it shows before any voxel is read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from softlab_cli.cases import Case
from softlab_cli.cases.copies import copied_raters
from softlab_cli.core.choices import NGFF_VERSIONS
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.folders import some_of
from softlab_cli.core.places import resolved
from softlab_cli.methods.base import Method, Takes
from softlab_cli.methods.registry import local_method
from softlab_cli.running.request import Request

__all__ = ["check_case", "check_request", "oddities", "refuse_own_output", "refuse_unknown_raters"]

NAMED_AT_MOST = 20

LEFT_OUT: dict[Takes, tuple[str, str]] = {
    "fractions": ("the very soft labels that are imported.", "Leave it out."),
    "label map and image": ("the image that the soft labels follow.", "Leave it out."),
    "raters": (
        "where the raters disagree, and the soft labels cannot be computed without that.",
        "Leave it out, or fuse with --method majority.",
    ),
    "label map": ("what the soft labels are computed from.", "Leave it out."),
}
"""What a store of hard labels only would lack, where soft labels cannot be computed on read."""


def check_request(method: Method, request: Request) -> None:
    """Raise `UsageError` for options that make no sense together, or with the method."""
    if request.overwrite and request.part:
        raise UsageError(
            "--overwrite with --part would remove what the other parts have done.",
            remedy="Remove the store first, or leave --overwrite out.",
        )
    if request.ome not in NGFF_VERSIONS:
        raise UsageError(
            f"there is no OME-NGFF {request.ome!r} here.",
            remedy=f"Give --ome {' or '.join(NGFF_VERSIONS)}.",
        )
    if request.part and not method.has_learned:
        raise UsageError(
            f"--part of {method.name} would learn in each part anew, and all parts at once.",
            remedy="Learn first, with all cases (--train-only), then give --model to each part.",
        )
    if request.train_only and method.has_learned:
        raise UsageError(
            "--train-only asks for a training, and there is none to be done.",
            remedy="Leave it out, or leave --model out.",
        )
    if request.labels_only:
        _check_labels_only(method)
    linear = request.reading.resample_labels == "linear"
    if method.takes == "fractions" and request.reading.value_map and not linear:
        raise UsageError(
            "--map has no effect on soft labels, which have no label values.",
            remedy="Leave it out; it is for label maps, also with --resample-labels linear.",
        )
    refuse_own_output([*request.inputs, *filter(None, [request.images])], request.out)


def refuse_own_output(sources: Iterable[Path], out: Path) -> None:
    """Raise `UsageError` when a run would read what it writes, and with --overwrite remove it.

    Parameters
    ----------
    sources
        What the run reads. A folder that holds the store among other things is allowed.
    out
        The store.
    """
    own, folders = os.path.realpath(out), dict[str, str]()
    for source in sources:
        place = resolved(Path(source), folders)
        if place == own or place.startswith(own.rstrip(os.sep) + os.sep):
            raise UsageError(
                f"is read by the run and lies in its output, --out {out}, where it would be "
                "overwritten or removed.",
                remedy="Name another store with --out.",
                path=source,
            )


def refuse_unknown_raters(value_map: Mapping[str, object], cases: Iterable[Case]) -> None:
    """Raise `UsageError` when --map names a rater that no case has.

    Parameters
    ----------
    value_map
        As `ReadingOptions.value_map`; only its raters count.
    cases
        All cases of the run.
    """
    raters = sorted({rater for case in cases for rater in case.raters})
    if strange := [rater for rater in value_map if rater and rater not in raters]:
        raise UsageError(
            f"--map is given for {strange[0]!r}, which is no rater of any case.",
            remedy=f"The raters are: {some_of(list(map(repr, raters)), NAMED_AT_MOST)}. Without "
            "RATER: it is for all.",
        )


def _check_labels_only(method: Method) -> None:
    if method.on_read() is None:
        lacking, remedy = LEFT_OUT[method.takes]
        raise UsageError(f"--labels-only would leave out {lacking}", remedy=remedy)
    if local_method(method.name, method.parameters()) is None:
        raise UsageError(
            f"the method {method.name!r} is not among those that softlab knows when a store is "
            "opened, so that no soft label could be computed on read.",
            remedy="Enter it into softlab_cli.methods.METHODS, or leave --labels-only out.",
        )


def check_case(case: Case, method: Method, min_raters: int) -> None:
    """Raise what is known to be wrong with a case before its files are opened.

    Parameters
    ----------
    case
        The case.
    method
        What is to make its soft labels.
    min_raters
        Raters that it must have, for methods that take several.
    """
    if case.problem is not None:
        raise case.problem
    count, names = len(case.drawings), ", ".join(case.drawings)
    if method.takes == "raters" and count < min_raters:
        raise InputError(
            f"has {count} of the {min_raters} raters that --min-raters asks for ({names}).",
            remedy="Lower --min-raters, or leave the case out.",
            path=case.label_maps[0],
        )
    method.check(case)


def oddities(method: Method, cases: Sequence[Case]) -> Iterator[str]:
    """What the user should know of all cases together, one sentence each."""
    if method.takes == "raters" and all(len(case.drawings) < 2 for case in cases):
        yield (
            "no case has more than one rater; repeat --in for others, or say with "
            "--rater-pattern how file names tell case and rater"
        )
    if method.takes == "raters":
        for one, other, count in copied_raters(cases):
            where = "the one case" if count == 1 else f"all {count} cases"
            yield (
                f"the label maps of the raters {one!r} and {other!r} are copies of one another in "
                f"{where} that both have; one rater may be counted twice"
            )
    counts = {len(case.images): case.case_id for case in reversed(cases) if case.images}
    if method.takes == "label map and image" and len(counts) > 1:
        named = ", ".join(f"{counts[n]} has {n}" for n in sorted(counts))
        yield f"cases have different numbers of image files: {named}"
