"""Memory of one case of an evaluation, worked out before it is read."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from softlab_cli.core.blocks import BLOCK_2D, BLOCK_3D
from softlab_cli.core.memory import PROCESS_BYTES
from softlab_cli.evaluation.metrics.cells import Cells
from softlab_cli.evaluation.metrics.gathering import TOGETHER
from softlab_cli.evaluation.metrics.surface import MOST_SURFELS
from softlab_cli.evaluation.scene import SLAB
from softlab_cli.evaluation.settings import Settings

__all__ = ["CaseSize", "needed_bytes"]

BYTES_TOGETHER = 12
"""For each of the probabilities that are worked on together: a copy, cells, sums of voxels."""

BYTES_OF_SHARES = 24
"""The same of votes for each class, in float64, beside the probabilities in float32."""

CALIBRATED_BYTES = 12
"""A probability of a block before it is calibrated: in float32, afterwards, and what is asked."""

MAPPED_BYTES = 32
"""For each of those that are mapped together, in float64: before and after the division."""

SURFEL_BYTES = 9
SURFACE_BYTES = 4
"""A voxel, for distances of the surfels of one class: 40 bytes a surfel, and up to one in ten
voxels has one, but of noise."""

SLAB_BYTES = 10
"""A voxel of a slab, while a region grows in it."""

CHUNK_BYTES = 1 << 26
"""Chunks of a store that are decoded on the way."""


@dataclass(frozen=True)
class CaseSize:
    """What the memory of a case depends on.

    Parameters
    ----------
    shape, ndim
        (Z, Y, X) of the grid; 2 for a picture.
    class_count, raters, members
        Classes, raters, and predictions that are averaged.
    is_soft
        Whether there are probabilities.
    is_single
        Whether these are counted as float32.
    has_shares
        Whether they are judged by soft labels.
    normalised
        Whether they are divided by their sum as they are read.
    calibrated
        Whether they are calibrated as they are read.
    """

    shape: tuple[int, int, int]
    ndim: int
    class_count: int
    raters: int
    members: int
    is_soft: bool
    is_single: bool
    has_shares: bool
    normalised: bool = False
    calibrated: bool = False

    @property
    def voxels(self) -> int:
        """Of the whole grid."""
        return prod(self.shape)

    @property
    def index_bytes(self) -> int:
        """Of a class index; the largest one is no class."""
        return 1 if self.class_count < 256 else 2


def needed_bytes(size: CaseSize, settings: Settings, reading: int, threads: int = 1) -> int:
    """Upper bound of the memory of a process that judges one case.

    Parameters
    ----------
    size
        Of the case.
    settings
        What is measured.
    reading
        Most that reading one of its files takes.
    threads
        That count and look for surfaces.
    """
    volumes = _volumes(size, settings)
    counting = _counting(size, settings, threads) if size.is_soft else 0
    surfaces = SURFEL_BYTES * MOST_SURFELS + SURFACE_BYTES * size.voxels * threads
    # A file is read before anything is counted, but beside raters that are there.
    most = max(reading, _slab(size, settings), counting, surfaces)
    kept = _kept(size, settings) if size.is_soft else 0
    return PROCESS_BYTES + volumes + kept + most


def _volumes(size: CaseSize, settings: Settings) -> int:
    """Class indices of raters, prediction and members, codes of regions, and one on its way."""
    samples = size.members if size.raters > 1 and size.members > 1 else 0
    indices = (size.raters + samples + 3) * size.index_bytes
    regions = len(settings.all_regions) + 1 if settings.all_regions else 0
    return (indices + regions) * size.voxels


def _slab(size: CaseSize, settings: Settings) -> int:
    """A region that grows in some slices and their halo."""
    if not settings.all_regions:
        return 0
    depth = min(3 * SLAB, size.shape[0])
    return (SLAB_BYTES + 3 * size.raters) * depth * size.shape[1] * size.shape[2]


def _kept(size: CaseSize, settings: Settings) -> int:
    """Counts of each combination of regions, their sum, and what figures make of it."""
    cells = len(Cells.ranges(settings.bin_counts) if size.is_single else Cells.half())
    arrays = 3 if size.is_single else 2
    combinations: int = 2 ** len(settings.all_regions)
    return 8 * size.class_count * cells * (arrays * (combinations + 2) + 2)


def _counting(size: CaseSize, settings: Settings, threads: int) -> int:
    """A block of probabilities as it is read and counted."""
    block: int = prod(BLOCK_2D if size.ndim == 2 else BLOCK_3D)
    probabilities = size.class_count * min(block, size.voxels)
    item = 4 if size.is_single else 2
    held = 2 * item + (2 * item if size.has_shares else 0)
    if size.members > 1:
        held += item * size.members + 12
    if size.normalised:
        held += 20
    if size.calibrated:
        held += CALIBRATED_BYTES
    together = min(TOGETHER, probabilities)
    by_class = size.has_shares or size.raters > 1 or settings.ordered
    step = BYTES_TOGETHER + (BYTES_OF_SHARES if by_class else 0)
    if size.calibrated:
        step = max(step, MAPPED_BYTES)
    return int(held * probabilities + step * together + CHUNK_BYTES)
