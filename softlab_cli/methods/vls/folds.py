"""Which cases are learned from together, and which one's soft labels come from which model."""

from __future__ import annotations

import csv
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.system import unreadable

__all__ = [
    "FEW_GROUPS",
    "assign_folds",
    "group_cases",
    "inner_groups",
    "join_copies",
    "seed_of",
    "write_folds",
]

FEW_GROUPS = 8
"""With fewer groups, a fold learns from next to nothing."""

INNER_SHARE = 10
"""One in so many groups of a training is set aside to judge it."""

SUBJECT = re.compile(r"(?:^|[^A-Za-z0-9])(sub-[A-Za-z0-9]+)")
"""What BIDS calls a subject."""


def seed_of(*parts: object) -> int:
    """A number below 2^63 that depends on each of the parts, and on nothing else."""
    text = "\0".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def group_cases(
    patients: Mapping[str, str], group_by: str | None = None
) -> tuple[dict[str, str], str]:
    """The group of each case, and how they were found.

    Parameters
    ----------
    patients
        Case id to what its files say of the patient; empty where they say nothing.
    group_by
        As for `softlab_cli.methods.vls.parameters.VLSParameters`.

    Raises
    ------
    UsageError, InputError
        For a rule that cannot be read, or that leaves a case without a group.
    """
    if group_by is None:
        return _found_groups(patients)
    if group_by.lower().endswith(".csv"):
        known = _read_groups(Path(group_by))
        groups = {case_id: known.get(case_id) for case_id in patients}
    else:
        rule = _compiled(group_by)
        groups = {case_id: _match(rule, case_id) for case_id in patients}
    for case_id, group in groups.items():
        if not group:
            raise UsageError(
                f"--group-by {group_by} gives the case {case_id!r} no group.",
                remedy="Give a rule that names a group for every case.",
            )
    return {case_id: group or "" for case_id, group in groups.items()}, f"--group-by {group_by}"


def _found_groups(patients: Mapping[str, str]) -> tuple[dict[str, str], str]:
    groups, how = {}, Counter[str]()
    for case_id, patient in patients.items():
        subject = SUBJECT.search(case_id)
        groups[case_id] = patient or (subject[1] if subject else case_id)
        rule = "PatientID" if patient else "BIDS subject" if subject else "case id"
        how[rule] += 1
    return groups, " and ".join(sorted(how))


def _match(rule: re.Pattern[str], case_id: str) -> str | None:
    found = rule.search(case_id)
    return None if found is None else found[1 if rule.groups else 0]


def _compiled(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(
            f"--group-by {text} is no regular expression: {error}.",
            remedy="Give one that finds the group in a case id, such as '^(P[0-9]+)'.",
        ) from error


def _read_groups(path: Path) -> dict[str, str]:
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except OSError as error:
        raise unreadable(error, path, "Check --group-by.") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(
            f"cannot be read as CSV ({error}).", remedy="Check --group-by.", path=path
        ) from error
    if not rows or not {"case_id", "group"} <= set(rows[0]):
        raise InputError("has no columns case_id and group.", remedy="Check --group-by.", path=path)
    return {row["case_id"] or "": row["group"] or "" for row in rows}


def join_copies(groups: Mapping[str, str], contents: Mapping[str, str]) -> dict[str, str]:
    """Groups of which two hold a case with the same image made one.

    Parameters
    ----------
    groups
        Case id to group.
    contents
        Case id to checksum of the image.
    """
    joined = {group: group for group in groups.values()}
    first: dict[str, str] = {}
    for case_id in sorted(groups):
        one, other = groups[case_id], first.setdefault(contents[case_id], groups[case_id])
        low, high = sorted((joined[one], joined[other]))
        joined = {group: low if name == high else name for group, name in joined.items()}
    return {case_id: joined[group] for case_id, group in groups.items()}


def assign_folds(groups: Mapping[str, str], folds: int, seed: int) -> dict[str, int]:
    """The fold of each case: its group's, the largest group first into the smallest fold.

    Parameters
    ----------
    groups
        Case id to group; its order does not matter.
    folds
        Number of folds.
    seed
        Decides among groups of one size.

    Raises
    ------
    InputError
        For fewer groups than folds.
    """
    sizes = Counter(groups.values())
    if len(sizes) < folds:
        raise InputError(
            f"{len(sizes)} {'group is' if len(sizes) == 1 else 'groups are'} too few for {folds} "
            "folds: each fold needs a group of cases of its own.",
            remedy="Give more cases or fewer --folds, or let svls make the soft labels.",
        )
    filled, fold_of = [0] * folds, {}
    for group in sorted(sizes, key=lambda name: (-sizes[name], seed_of(seed, name), name)):
        fold_of[group] = fold = filled.index(min(filled))
        filled[fold] += sizes[group]
    return {case_id: fold_of[group] for case_id, group in groups.items()}


def inner_groups(classes_of: Mapping[str, Iterable[int]], seed: int, fold: int) -> set[str]:
    """Groups of a training that it is judged by; none where they would be missed.

    Parameters
    ----------
    classes_of
        Each group of the training with the classes that occur in it; a class that
        occurs in one group alone keeps it in the training.
    seed, fold
        Decide which.
    """
    if len(classes_of) < 3:
        return set()
    counts = Counter(index for classes in classes_of.values() for index in set(classes))
    wanted = max(1, len(classes_of) // INNER_SHARE)
    inner: set[str] = set()
    for group in sorted(classes_of, key=lambda name: (seed_of(seed, fold, name), name)):
        own = set(classes_of[group])
        if len(inner) < wanted and all(counts[index] > 1 for index in own):
            inner.add(group)
            counts.subtract(own)
    return inner


def write_folds(path: Path, groups: Mapping[str, str], folds: Mapping[str, int]) -> None:
    """Write case, group and fold of each case as CSV."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["case_id", "group", "fold"])
        writer.writerows([case_id, groups[case_id], folds[case_id]] for case_id in sorted(folds))
