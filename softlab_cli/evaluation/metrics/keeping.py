"""Counts as one file, so that a case is passed over once, whoever pools it and when.

It is an ``.npz`` of plain arrays (nothing is pickled). Of counts only those are kept
that are not 0, with their places; numbers without a limit and fractions are text.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, fields
from fractions import Fraction
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.tallies import Counts, Faults, Single, Tallies

__all__ = ["load_counts", "save_counts"]

FORMAT = 1
WHOLE = ("count", "positive", "top_count", "top_correct", "predicted", "residual", "top_residual")
EMPTY = "empty"


def save_counts(file: Path | IO[bytes], counts: Counts) -> None:
    """Write counts.

    Parameters
    ----------
    file
        A path, which is not renamed to its place, or a file that is open for writing.
    """
    arrays: dict[str, NDArray[Any]] = {}
    head: dict[str, Any] = {
        "format": FORMAT,
        "regions": counts.regions,
        "voxels": counts.voxels,
        "ignored": counts.ignored,
        "faults": asdict(counts.faults),
        "cells": asdict(counts.empty.cells),
        "unit": counts.empty.unit,
        "codes": sorted(counts.by_code),
    }
    parts = {str(code): tallies for code, tallies in counts.by_code.items()}
    for name, tallies in (parts | {EMPTY: counts.empty}).items():
        head[name] = _plain(name, tallies, arrays)
        head[name]["single"] = None
        if tallies.single is not None:
            head[name]["single"] = _plain(name, tallies.single, arrays)
    arrays["head"] = np.frombuffer(json.dumps(head).encode(), np.uint8)
    np.savez_compressed(file, allow_pickle=False, **arrays)


def _plain(name: str, part: Tallies | Single, arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    """What is short, as text; the rest goes to the arrays."""
    found: dict[str, Any] = {}
    for entry in fields(part):
        value = getattr(part, entry.name)
        if entry.name in ("cells", "unit", "single"):
            continue
        if entry.name in WHOLE:
            places = np.flatnonzero(value)
            arrays[f"{name}/{entry.name}/places"] = places
            arrays[f"{name}/{entry.name}/values"] = value.ravel()[places]
            found[entry.name] = value.shape
        elif isinstance(value, np.ndarray):
            found[entry.name] = [str(number) for number in value.tolist()]
        else:
            found[entry.name] = value
    return found


def load_counts(file: Path | IO[bytes]) -> Counts:
    """Read what `save_counts` wrote.

    Raises
    ------
    InputError
        For a file that is none.
    """
    path = file if isinstance(file, Path) else None
    try:
        with np.load(file, allow_pickle=False) as arrays:
            head = json.loads(arrays["head"].tobytes())
            if head["format"] != FORMAT:
                raise InputError(
                    f"counts of format {head['format']}, and this softlab reads {FORMAT}.",
                    remedy="Count again.",
                    path=path,
                )
            return _counts(head, dict(arrays))
    except (OSError, KeyError, ValueError, TypeError, IndexError, zipfile.BadZipFile) as error:
        raise InputError(
            f"counts that cannot be read ({type(error).__name__}).",
            remedy="Remove the file, so that its case is counted again.",
            path=path,
        ) from error


def _counts(head: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> Counts:
    cells = Cells(**(head["cells"] | {"bin_counts": tuple(head["cells"]["bin_counts"])}))

    def tallies(name: str) -> Tallies:
        rest = dict(head[name])
        single = rest.pop("single")
        if single is not None:
            single = Single(**_numbers(name, single, arrays))
        return Tallies(cells, head["unit"], **_numbers(name, rest, arrays), single=single)

    return Counts(
        tuple(head["regions"]),
        {int(code): tallies(str(code)) for code in head["codes"]},
        tallies(EMPTY),
        head["voxels"],
        head["ignored"],
        Faults(**head["faults"]),
    )


def _numbers(name: str, plain: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in plain.items():
        if key in WHOLE:
            dense = np.zeros(tuple(value), np.int64)
            dense.ravel()[arrays[f"{name}/{key}/places"]] = arrays[f"{name}/{key}/values"]
            found[key] = dense
        elif isinstance(value, list):
            kind = Fraction if key == "spread" else int
            found[key] = np.array([kind(number) for number in value], object)
        else:
            found[key] = value
    return found
