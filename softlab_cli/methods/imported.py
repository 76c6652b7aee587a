"""Soft labels that a source already has, stored as they are, class by class.

Fractions of a DICOM SEG, contours with partial volume, label maps that are resampled
linearly, and what `softlab_cli.labels.softlabels` reads: maps of classes in plain files,
nnU-Net's probabilities, and stores. Of the classes, one volume is held at a time; what is found on
the way (the largest fraction so far, its class, ties, entropy) takes nine bytes a
voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.fractions import SoftClasses
from softlab_cli.core.memory import PROCESS_BYTES, SHARD_BUFFER_BYTES
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.core.threads import ordered_map
from softlab_cli.core.volume import Geometry
from softlab_cli.labels.case import count_labels
from softlab_cli.methods.base import CaseInput, Method, Needs, Takes
from softlab_cli.methods.prepared import Sink, Written
from softlab_cli.readers import FileProbe

if TYPE_CHECKING:
    from softlab_cli.cases import Case

__all__ = ["Import", "PreparedFractions"]

HELD_PER_VOXEL = 26
"""Bytes: two float32 volumes and a temporary one, rounded values, and `_Seen`."""


@dataclass(frozen=True)
class Import(Method):
    """Soft labels as their source has them: what ``softlab import`` does.

    Parameters
    ----------
    supersample
        Points along X and Y of a voxel at which contours are tested; needed for
        RTSTRUCT.
    """

    supersample: int | None = None

    name: ClassVar[str] = "import"
    takes: ClassVar[Takes] = "fractions"

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on."""
        return {"supersample": self.supersample}

    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """Memory for two classes and what is found on the way."""
        volumes = HELD_PER_VOXEL * prod(seen.geometry.shape)
        return Needs(PROCESS_BYTES + SHARD_BUFFER_BYTES + volumes + seen.bytes_on_read)

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedFractions]:
        """Open the fractions; they are read class by class."""
        yield PreparedFractions(case.fractions(self.supersample), case.classes)


class _Seen:
    """What the classes so far make of each voxel."""

    def __init__(self, shape: tuple[int, int, int], classes: ClassTable) -> None:
        self.largest = np.zeros(shape, np.float16)
        self.index = np.full(shape, classes.ignore_index, classes.index_dtype)
        self.tied = np.zeros(shape, np.bool_)
        self.entropy = np.zeros(shape, np.float32)

    def add(self, region: Region, values: NDArray[np.float16], class_index: int) -> None:
        """Take in one class of one block."""
        largest = self.largest[region]
        self.tied[region] |= (values == largest) & (values > 0)
        larger = values > largest
        self.tied[region][larger] = False
        self.index[region][larger] = class_index
        largest[larger] = values[larger]
        between = (values > 0) & (values < 1)
        p = values[between].astype(np.float64)
        self.entropy[region][between] -= p * np.log(p)


@dataclass(frozen=True)
class PreparedFractions:
    """Soft labels that are written class by class, then the hard label that follows from them.

    Of a voxel it is the class with the largest soft label, the first one among equals;
    none where all are 0.

    Parameters
    ----------
    soft
        The soft labels, with label values of the class table.
    classes
        The class table.
    raters
        None: where soft labels come from is not told.
    """

    soft: SoftClasses
    classes: ClassTable
    raters: tuple[str, ...] = ()

    @property
    def geometry(self) -> Geometry:
        """The voxel grid."""
        return self.soft.geometry

    @property
    def warnings(self) -> tuple[str, ...]:
        """What was found odd."""
        return self.soft.warnings

    @property
    def details(self) -> dict[str, Any]:
        """What kind of segmentation or soft label it was."""
        kept = ("type", "fractional_type", "background")
        return {k: v for k, v in self.soft.metadata.items() if k in kept}

    def write(self, sink: Sink, *, soft: bool, threads: int) -> Written:
        """Hand on each class, then the hard label; see `Prepared.write`.

        Soft labels are always written: nothing can make them of the hard ones.

        Raises
        ------
        InputError
            For segments that overlap, unless a rule was chosen.
        """
        seen, total = _Seen(self.geometry.shape, self.classes), SoftSums.zero(len(self.classes))
        index_of = {c.value: c.index for c in self.classes.classes}
        for value, fractions in self.soft.classes():
            for block, mass in _blocks(fractions, index_of[value], seen, sink, threads):
                sink.append(block)
                total.mass[index_of[value]] += mass
        for region in sink.grid.regions():
            sink.append(sink.encode_label(region, seen.index[region]))
            exact = np.rint(seen.entropy[region].astype(np.float64) / ENTROPY_UNIT)
            total.entropy += int(exact.sum())
        total.ties = int(np.count_nonzero(seen.tied))
        return Written(count_labels(seen.index, self.classes), total)


def _blocks(
    fractions: NDArray[np.float32], class_index: int, seen: _Seen, sink: Sink, threads: int
) -> Iterator[tuple[Any, int]]:
    """Each block of one class, encoded, with its mass in units of `MASS_UNIT`."""

    def encode(region: Region) -> tuple[Any, int]:
        values = np.zeros((1, *sink.grid.block), np.float16)
        z, y, x = region_shape(region)
        rounded = values[0, :z, :y, :x]
        rounded[...] = fractions[region]
        seen.add(region, rounded, class_index)
        # Exact: float16 values are whole numbers of the unit, and a block has few of them.
        mass = int(rounded.sum(dtype=np.float64) / MASS_UNIT)
        return sink.encode(SoftBlock(region, (class_index,), values)), mass

    return ordered_map(encode, sink.grid.regions(), threads)
