"""A calibration: probabilities as a network gives them, to ones that hold.

It is fitted by `softlab_cli.evaluation.fitting` on cases that the network has not been
trained on, and applied to others. There are two, with probabilities p of a voxel:

``temperature``
    q_c = p_c^(1/T) / Z, Z the sum over classes; p below 1e-7 counts as 1e-7 (Guo et al.,
    On calibration of modern neural networks, ICML 2017). One number; the order of the
    classes stays, so that hard decisions and overlap do too.
``isotonic``
    q_c = m_c(p_c) / Z, Z the sum over classes of m_k(p_k), with a map m_c for each class that
    never falls (see `softlab_cli.evaluation.metrics.isotonic`). Each class has its own, since
    a network may be too sure of one and not of another, and one map for all would be what
    background says of it. Of two classes the maps mirror one another, and Z is 1. As classes
    differ, **another class may become the most probable one**, and overlap and surfaces change.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, InputError, StoreError, UsageError
from softlab_cli.core.folders import some_of
from softlab_cli.evaluation.calibration_file import FORMAT, Fitted, read_calibration
from softlab_cli.evaluation.folders import write_text
from softlab_cli.evaluation.metrics.cells import CLIP, Cells
from softlab_cli.evaluation.metrics.isotonic import Knots
from softlab_cli.evaluation.metrics.soundness import find_faults
from softlab_cli.store.files import refuse_in_store
from softlab_cli.version import __version__

__all__ = ["Calibration", "fingerprint", "refuse_existing"]

TOGETHER = 1 << 22
"""Probabilities that are worked on together."""

MAGNITUDE = 0x7FFF
"""The bits of a float16 without its sign, which -0 has."""


def fingerprint(case_id: str, checksum: str) -> str:
    """What tells a file of a case again, and does not tell which it is: 16 hex digits."""
    return hashlib.sha256(f"{case_id}\n{checksum}".encode(errors="surrogateescape")).hexdigest()[
        :16
    ]


@dataclass(frozen=True)
class Calibration:
    """A fitted calibration; `softlab_cli.calibrate` makes one.

    Parameters
    ----------
    method
        ``temperature`` or ``isotonic``.
    classes
        The C classes that probabilities are of.
    temperature
        Of that method; else None.
    maps
        Of the other: one for each class; else empty.
    fitted
        What it was fitted on.
    path
        The file that it was read from, for messages.
    """

    method: str
    classes: ClassTable
    temperature: float | None = None
    maps: tuple[Knots, ...] = field(default=(), repr=False)
    fitted: Fitted | None = None
    path: Path | None = field(default=None, compare=False, repr=False)

    def apply(self, probabilities: NDArray[Any]) -> NDArray[np.float32]:
        """Calibrated probabilities.

        Parameters
        ----------
        probabilities
            (C, ...) of any floating type, 0 to 1, along the first axis the classes.

        Returns
        -------
        calibrated
            (C, ...) float32, which sum to 1 over the classes.

        Raises
        ------
        UsageError
            For another number of classes, or a type that is not floating.
        InputError
            For what is no probability.
        """
        values = np.asarray(probabilities)
        self._check(values)
        flat = values.reshape(len(self.classes), -1)
        found = np.empty(flat.shape, np.float32)
        step = max(1, TOGETHER // len(self.classes))
        for start in range(0, flat.shape[1], step):
            part = np.ascontiguousarray(flat[:, start : start + step])
            found[:, start : start + step] = _divided(self._mapped(part))
        return found.reshape(values.shape)

    def _check(self, values: NDArray[Any]) -> None:
        if values.dtype.kind != "f" or not values.ndim or len(values) != len(self.classes):
            raise UsageError(
                f"{values.dtype} of shape {values.shape} are no probabilities of "
                f"{len(self.classes)} classes.",
                remedy="Give (C, ...) of a floating type.",
            )
        if not np.all((values >= 0) & (values <= 1)):
            raise InputError(
                f"the prediction has {find_faults(values)}.",
                remedy="Write probabilities from 0 to 1 that sum to 1.",
            )

    def _mapped(self, part: NDArray[Any]) -> NDArray[np.float64]:
        """(C, n) before they are divided by their sum."""
        found = np.empty(part.shape, np.float64)
        for c, row in enumerate(part):
            if part.dtype == np.float16:
                table = self._tables[c % len(self._tables)]
                found[c] = table[row.view(np.uint16) & MAGNITUDE]
            else:
                found[c] = self._one(c, row.astype(np.float64))
        return found

    def _one(self, class_index: int, row: NDArray[np.float64]) -> NDArray[np.float64]:
        if self.temperature is not None:
            return np.asarray(np.maximum(row, CLIP) ** (1.0 / self.temperature))
        knots = self.maps[class_index]
        return np.asarray(np.interp(row, knots.probability, knots.becomes))

    @cached_property
    def _tables(self) -> list[NDArray[np.float64]]:
        """What each number of float16 becomes: of all classes, or of each."""
        numbers = Cells.half().numbers
        return [self._one(c, numbers) for c in range(len(self.maps) or 1)]

    def __reduce__(self) -> tuple[Any, ...]:
        # The tables are made anew where they are needed.
        parts = (self.method, self.classes, self.temperature, self.maps, self.fitted, self.path)
        return Calibration, parts

    def describe(self) -> str:
        """What it is, in a few words."""
        what = "isotonic" if self.temperature is None else f"temperature {self.temperature:.4g}"
        return what if self.fitted is None else f"{what}, fitted on {self.fitted.cases} cases"

    def check_classes(self, classes: ClassTable) -> None:
        """Raise `ClassError` where predictions have other classes."""
        own, others = _named(self.classes), _named(classes)
        if own == others:
            return
        odd = [one for one in [*own, *others] if (one in own) != (one in others)] or others
        raise ClassError(
            f"was fitted on other classes than the predictions have (in one of them only: "
            f"{some_of(odd)}).",
            remedy="Name the classes alike with --labels or --classes-from, or calibrate anew.",
            path=self.path,
        )

    def knows(self, fingerprints: frozenset[str]) -> bool:
        """Whether it was fitted on a file with one of these fingerprints."""
        return self.fitted is not None and not self.fitted.fingerprints.isdisjoint(fingerprints)

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        found: dict[str, Any] = {
            "softlab_calibration": FORMAT,
            "softlab": __version__,
            "method": self.method,
            "classes": self.classes.to_json(),
        }
        if self.temperature is not None:
            found["temperature"] = self.temperature
        else:
            found["maps"] = [
                {"probability": list(one.probability), "becomes": list(one.becomes)}
                for one in self.maps
            ]
        return found | {"fitted": None if self.fitted is None else _plain(self.fitted)}

    @property
    def digest(self) -> str:
        """A short text that is another one for another calibration."""
        content = {key: value for key, value in self.to_json().items() if key != "softlab"}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    def save(self, path: str | os.PathLike[str], *, overwrite: bool = False) -> None:
        """Write it as a JSON file, renamed to its place when it is whole.

        Raises
        ------
        StoreError
            When there is such a file already, or it cannot be written.
        """
        path = Path(path)
        refuse_existing(path, overwrite=overwrite)
        write_text(path, json.dumps(self.to_json(), allow_nan=False) + "\n")

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Calibration:
        """Read what `save` wrote.

        Raises
        ------
        InputError
            For a file that is no calibration, or not a sound one.
        """
        p = read_calibration(Path(path))
        return cls(p.method, p.classes, p.temperature, p.maps, p.fitted, Path(path))


def refuse_existing(path: Path, *, overwrite: bool) -> None:
    """Raise `SoftlabError` when a file cannot be put there."""
    refuse_in_store(path)
    if path.is_dir():
        raise StoreError("is a folder.", remedy="Give the name of a file.", path=path)
    if path.exists() and not overwrite:
        raise StoreError("exists already.", remedy="Add --overwrite, or rename it.", path=path)


def _named(classes: ClassTable) -> list[str]:
    return [f"{c.value} {c.name}" for c in classes.classes]


def _divided(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Divided by their sum over classes, in the order of the classes whatever the shape."""
    total = values[0].copy()
    for row in values[1:]:
        total += row
    nothing = total == 0
    return np.asarray((values + nothing) / np.where(nothing, float(len(values)), total))


def _plain(fitted: Fitted) -> Mapping[str, Any]:
    return {
        "cases": fitted.cases, "patients": fitted.patients, "votes": fitted.votes,
        "region": fitted.region, "nll_before": fitted.nll_before, "nll_after": fitted.nll_after,
        "nll_cross_fitted": fitted.nll_cross_fitted,
        "fingerprints": sorted(fitted.fingerprints),
    }  # fmt: skip
