"""Soft labels that a source already has, stored as they are, class by class.

Fractions of a DICOM SEG, contours with partial volume, and label maps that are
resampled linearly. Of the classes, one volume is held at a time; what is found on
the way (the largest fraction so far, its class, ties, entropy) takes nine bytes a
voxel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.fractions import SoftSegments
from softlab_cli.core.memory import PROCESS_BYTES, SHARD_BUFFER_BYTES
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.core.threads import ordered_map
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.readers import FileProbe
from softlab_cli.store.writer import CaseWriter, EncodedBlock

__all__ = ["Import", "Imported", "write_fractions"]

HELD_PER_VOXEL = 26
"""Bytes: two float32 volumes and a temporary one, rounded values, and `_Seen`."""


@dataclass(frozen=True)
class Import:
    """Soft labels as their source has them: what ``softlab import`` does.

    Parameters
    ----------
    supersample
        Points along X and Y of a voxel at which contours are tested; needed for
        RTSTRUCT.
    """

    supersample: int | None = None

    name: ClassVar[str] = "import"

    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on."""
        return {"supersample": self.supersample}

    def case_bytes(self, seen: FileProbe) -> int:
        """Upper bound of the memory of a process that imports a case."""
        volumes = HELD_PER_VOXEL * prod(seen.geometry.shape)
        return PROCESS_BYTES + SHARD_BUFFER_BYTES + volumes + seen.bytes_on_read


@dataclass(frozen=True)
class Imported:
    """What came of writing the fractions of a case.

    Parameters
    ----------
    class_indices
        (Z, Y, X) the class with the largest soft label, the first one among
        equals; the ignore index where all are 0.
    sums
        Sums of what was stored.
    """

    class_indices: NDArray[np.unsignedinteger[Any]]
    sums: SoftSums


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


def write_fractions(
    soft: SoftSegments,
    classes: ClassTable,
    options: ReadingOptions,
    writer: CaseWriter,
    threads: int,
) -> Imported:
    """Write a soft label class by class, then the hard label that follows from it.

    Parameters
    ----------
    soft
        The soft label, with label values of the class table.
    classes
        The class table.
    options
        Of them, what counts where segments overlap.
    writer
        Where to write.
    threads
        Threads that round and compress blocks.

    Raises
    ------
    InputError
        For segments that overlap, unless a rule was chosen.
    """
    seen, total = _Seen(soft.geometry.shape, classes), SoftSums.zero(len(classes))
    index_of = {c.value: c.index for c in classes.classes}
    for value, fractions in soft.classes(options.on_overlap):
        for block, mass in _blocks(fractions, index_of[value], seen, writer, threads):
            writer.append(block)
            total.mass[index_of[value]] += mass
    for region in writer.grid.regions():
        writer.append(writer.encode_label(region, seen.index[region]))
        exact = np.rint(seen.entropy[region].astype(np.float64) / ENTROPY_UNIT)
        total.entropy += int(exact.sum())
    total.ties = int(np.count_nonzero(seen.tied))
    return Imported(seen.index, total)


def _blocks(
    fractions: NDArray[np.float32], class_index: int, seen: _Seen, writer: CaseWriter, threads: int
) -> Iterator[tuple[EncodedBlock, int]]:
    """Each block of one class, encoded, with its mass in units of `MASS_UNIT`."""

    def encode(region: Region) -> tuple[EncodedBlock, int]:
        values = np.zeros((1, *writer.grid.block), np.float16)
        z, y, x = region_shape(region)
        rounded = values[0, :z, :y, :x]
        rounded[...] = fractions[region]
        seen.add(region, rounded, class_index)
        # Exact: float16 values are whole numbers of the unit, and a block has few of them.
        mass = int(rounded.sum(dtype=np.float64) / MASS_UNIT)
        return writer.encode(SoftBlock(region, (class_index,), values)), mass

    return ordered_map(encode, writer.grid.regions(), threads)
