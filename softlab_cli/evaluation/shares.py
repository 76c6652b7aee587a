"""References that are soft labels: what share of a vote each class has, block by block."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.blocks import Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.volume import Geometry
from softlab_cli.evaluation.measure import Shares, hard_label
from softlab_cli.evaluation.predictions import Prediction, open_prediction
from softlab_cli.evaluation.references import References, elsewhere, hard_label_of_store
from softlab_cli.evaluation.spooled import Spooled
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers.lattice import Turn, find_turn

__all__ = ["OneHot", "SoftReference", "open_soft_reference"]


@dataclass(frozen=True, eq=False)
class OneHot:
    """A label map as a soft reference, among cases whose references are soft.

    Parameters
    ----------
    labels
        (Z, Y, X) class indices.
    class_count
        C; a larger index is no class.
    """

    labels: NDArray[Any]
    class_count: int

    def read(self, region: Region) -> NDArray[np.float16]:
        """1 for the class, and 0 for the others."""
        classes = np.arange(self.class_count, dtype=self.labels.dtype)
        said: NDArray[np.bool_] = self.labels[region] == classes[:, None, None, None]
        return said.astype(np.float16)


@dataclass(frozen=True, eq=False)
class SoftReference:
    """A soft reference on the grid of the prediction.

    Parameters
    ----------
    shares
        Its soft labels.
    hard
        Its hard label, which overlap and surfaces are reckoned against.
    """

    shares: Shares
    hard: References


@contextmanager
def open_soft_reference(
    case: Case, classes: ClassTable, reading: ReadingOptions, onto: Geometry, beside: Path
) -> Iterator[SoftReference]:
    """Open the soft reference of a case.

    Parameters
    ----------
    case
        The case, with one reference.
    classes
        The class table.
    reading
        How to read.
    onto
        The grid of the prediction.
    beside
        Folder for scratch files.

    Raises
    ------
    SoftlabError
        When a file cannot be used, or lies on another grid in more than orientation.
    """
    path, name = case.label_maps[0], next(iter(case.drawings))
    with (
        open_prediction([case], classes, reading, beside) as soft,
        TemporaryDirectory(prefix=".scratch-", dir=beside) as folder,
    ):
        turn = find_turn(soft.geometry, onto)
        if turn is None:
            raise elsewhere(soft.geometry, onto, path)
        shares = soft if turn.is_identity else _turned(soft, turn, onto, classes, Path(folder))
        if is_store_case(path):
            hard = hard_label_of_store(path, classes, onto)
        else:
            hard = hard_label(shares, onto.shape, classes.index_dtype, classes.ignore_index)
        warnings = tuple(f"{name}: {warning}" for warning in soft.warnings)
        yield SoftReference(shares, References(hard[np.newaxis], (name,), warnings))


def _turned(
    soft: Prediction, turn: Turn, onto: Geometry, classes: ClassTable, folder: Path
) -> Shares:
    """A copy on scratch, turned class by class."""
    spooled = Spooled.empty(onto, len(classes), soft.volume(0).dtype, folder)
    for c in range(len(classes)):
        spooled.add(c, turn.apply(soft.volume(c)))
    return spooled
