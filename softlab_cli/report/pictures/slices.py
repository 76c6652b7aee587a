"""What is read of one slice before lines are drawn: labels, raters, doubt."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, region_shape, shift
from softlab_cli.report.pictures.doubt import Place, softness
from softlab_cli.report.pictures.planes import PICTURE, Plane, View
from softlab_cli.report.pictures.subject import Read, Subject
from softlab_cli.report.pictures.zoom import zoomed

__all__ = ["Slice", "most_doubtful", "open_slice"]

MOST_CLASSES = 4
"""Classes of which lines are drawn when none are named; more cannot be told apart."""

LEAST_SHARE = 0.03
"""Share of the doubt of the most doubtful class that a class must have to be drawn."""


@dataclass(frozen=True)
class Slice:
    """A slice of a case, cut and turned as it will be shown.

    Parameters
    ----------
    subject
        The case.
    plane
        Its plane, or ``picture``.
    view
        How the volume is turned.
    index
        Slice number along the array's axis.
    rows, columns
        What is cut of it, as it is shown.
    place
        The voxel (z, y, x) that it is shown for.
    """

    subject: Subject
    plane: str
    view: View
    index: int
    rows: slice
    columns: slice
    place: Place

    @cached_property
    def region(self) -> Region:
        """Where it lies in the volume."""
        return self.view.cut(self.subject.geometry.shape, self.index, self.rows, self.columns)

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns."""
        return self.rows.stop - self.rows.start, self.columns.stop - self.columns.start

    @cached_property
    def hard(self) -> NDArray[Any]:
        """(rows, columns) class indices of the hard label."""
        return self.read(self.subject.hard)

    @cached_property
    def raters(self) -> Mapping[str, NDArray[Any]]:
        """(rows, columns) class indices of each rater."""
        return {name: self.read(read) for name, read in self.subject.raters.items()}

    @cached_property
    def references(self) -> Mapping[str, NDArray[Any]]:
        """(rows, columns) class indices of each reference."""
        return {name: self.read(read) for name, read in self.subject.references.items()}

    def read(self, read: Read) -> NDArray[Any]:
        """What a reader has here, as it is shown."""
        return self.view.slice_of(read(self.region))

    def soft(self, classes: Collection[int]) -> dict[int, NDArray[np.float32]]:
        """(rows, columns) soft label of each of these classes."""
        size = region_shape(self.region)
        found = {index: np.zeros(size, np.float32) for index in classes}
        if self.subject.soft is not None:
            for part in self.subject.soft(self.region, classes):
                found[part.class_index][self._inside(part.region)] = part.values
        return {index: self.view.slice_of(values) for index, values in found.items()}

    def _inside(self, region: Region) -> Region:
        z, y, x = self.region
        return shift(region, (z.start, y.start, x.start))

    @cached_property
    def _sums(self) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Doubt of each class, summed over the slice, and entropy of each pixel in bits."""
        doubt = np.zeros(len(self.subject.classes))
        entropy = np.zeros(region_shape(self.region), np.float32)
        for part in self.subject.soft(self.region, None) if self.subject.soft else ():
            where, p = softness(part)
            if len(where):
                doubt[part.class_index] += float((p * (1 - p)).sum())
                inside = entropy[self._inside(part.region)]
                inside[np.unravel_index(where, inside.shape)] -= p * np.log2(p)
        return doubt, self.view.slice_of(entropy)

    @property
    def entropy(self) -> NDArray[np.float32]:
        """(rows, columns) entropy of the soft label, in bits."""
        return self._sums[1]

    @cached_property
    def doubt(self) -> NDArray[np.float64]:
        """(C,) doubt of each class: of the soft label, and where raters differ from the hard."""
        doubt = self._sums[0].copy()
        others = [*self.raters.values(), *self.references.values()]
        for labels in others:
            differ = labels != self.hard
            for side in (labels[differ], self.hard[differ]):
                counts = np.bincount(side, minlength=len(doubt))[: len(doubt)]
                doubt += counts / len(others)
        return doubt

    @cached_property
    def borders(self) -> NDArray[np.float64]:
        """(C,) pixels of each class that lie beside another one, twice at corners."""
        borders = np.zeros(len(self.subject.classes))
        for labels in (self.hard, self.hard.T):
            differ = labels[1:] != labels[:-1]
            for side in (labels[1:][differ], labels[:-1][differ]):
                borders += np.bincount(side, minlength=len(borders))[: len(borders)]
        return borders


def open_slice(
    subject: Subject, plane: Plane, place: Place, classes: Sequence[int], factor: float | None
) -> Slice:
    """A slice of a case through a place, cut to what matters.

    Parameters
    ----------
    subject
        The case.
    plane
        Its plane; without meaning for a picture.
    place
        The voxel (z, y, x).
    classes
        What matters; all but background when empty.
    factor
        See `softlab_cli.report.pictures.zoom.zoomed`.
    """
    view, shape = View.of(subject.geometry, plane), subject.geometry.shape
    index = place[view.axis]
    name = PICTURE if subject.geometry.ndim == 2 else plane
    rows, columns = (slice(0, shape[axis]) for axis in view.axes)
    whole = Slice(subject, name, view, index, rows, columns, place)
    at = view.seen_at(shape, place)
    foreground = _foreground(whole, classes) if factor is None else np.zeros(whole.shape, bool)
    rows, columns = zoomed(foreground, at, view.pixel_mm, factor)
    return Slice(subject, name, view, index, rows, columns, place)


def _foreground(whole: Slice, classes: Sequence[int]) -> NDArray[np.bool_]:
    """Where anybody has labelled what matters."""
    table = whole.subject.classes
    wanted = np.zeros(table.ignore_index + 1, bool)
    wanted[list(classes) or range(len(table))] = True
    if table.background_index is not None and not classes:
        wanted[table.background_index] = False
    found: NDArray[np.bool_] = wanted[whole.hard]
    for labels in (*whole.raters.values(), *whole.references.values()):
        found = found | wanted[labels]
    return found


def most_doubtful(slices: Sequence[Slice]) -> tuple[int, ...]:
    """The few classes with most doubt in slices of a case, the most doubtful first.

    Without doubt, those with most borders. Background is none of them, nor the first of two
    classes: what is not the second is the first.
    """
    table = slices[0].subject.classes
    left_out = table.background_index
    if left_out is None and len(table) == 2:
        left_out = 0
    for of_class in (sum(s.doubt for s in slices), sum(s.borders for s in slices)):
        ranked = np.array(of_class, np.float64)
        if left_out is not None:
            ranked[left_out] = 0
        order = np.argsort(-ranked, kind="stable")[:MOST_CLASSES]
        chosen = tuple(int(i) for i in order if ranked[i] > LEAST_SHARE * ranked.max())
        if chosen:
            return chosen
    present = np.unique([i for s in slices for i in np.unique(s.hard)])
    return tuple(int(i) for i in present if i < len(table) and i != left_out)[:MOST_CLASSES]
