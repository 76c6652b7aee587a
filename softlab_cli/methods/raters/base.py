"""What methods of several raters have in common: they fuse first, and are local then."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.memory import CaseMemory
from softlab_cli.core.volume import Geometry
from softlab_cli.fusion.fused import FusedMap
from softlab_cli.fusion.patterns import RaterPatterns, pattern_bytes
from softlab_cli.kernels.sizes import SEGMENT
from softlab_cli.labels.case import RaterLabels, count_indexed
from softlab_cli.labels.indices import IndexedLabelMap
from softlab_cli.methods.base import CaseInput, Method, Needs, Takes
from softlab_cli.methods.prepared import PreparedBlocks
from softlab_cli.methods.softener import InWorkspace, scratch_bytes
from softlab_cli.methods.svls.svls import SVLS

if TYPE_CHECKING:
    from softlab_cli.cases import Case
    from softlab_cli.readers import FileProbe

__all__ = ["FusedLabels", "RaterMethod", "blender_bytes"]

BLENDS_FORESEEN = 2**16
"""Blends that the bound of a workspace's memory allows for."""

BYTES_PER_BLEND = 160
"""What a workspace holds for each blend: its shares, its box, its place."""


@dataclass(frozen=True)
class FusedLabels(InWorkspace):
    """The fused raters of one case, to be softened block by block as by a local method.

    Parameters
    ----------
    fused
        The fused label map; `soften` is given its `indices`.
    svls
        How the shares are smoothed; None leaves them as they are.
    facts
        What the fusion found out about the case, ready for JSON.
    warnings
        What the user should know of it.
    """

    fused: FusedMap
    svls: SVLS | None
    facts: dict[str, Any] = field(default_factory=dict)
    warnings: tuple[str, ...] = ()

    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Any:
        """Scratch memory of one thread, as for a local method."""
        from softlab_cli.methods.raters.blending import BlendPainter, NarrowBlender, WideBlender

        if self.svls is None:
            return BlendPainter(self.fused, block)
        blender = NarrowBlender if self.svls.kernel_size == 3 else WideBlender
        return blender(self.fused, block, self.svls.weights(geometry))


class RaterMethod(Method):
    """A method that makes one soft label of several raters.

    What it does with a voxel depends on the whole case only through tables that are
    made once; with those, it is local.
    """

    takes: ClassVar[Takes] = "raters"

    @abstractmethod
    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """As for `softlab_cli.methods.base.LocalMethod`."""

    @abstractmethod
    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""

    @abstractmethod
    def fuse(
        self, patterns: RaterPatterns, raters: Sequence[str], background_index: int | None
    ) -> FusedLabels:
        """Fuse the raters of one case.

        Parameters
        ----------
        patterns
            The raters' labels.
        raters
            Names of the raters that the case has.
        background_index
            The class that is no foreground, if there is one.
        """

    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """Memory for the raters' patterns, the fused labels and the blocks."""
        block = Grid.for_volume(seen.geometry.shape, seen.geometry.ndim).block
        memory = CaseMemory(
            math.prod(seen.geometry.shape),
            seen.bytes_on_read,
            seen.bytes_held,
            classes.index_dtype.itemsize,
            self.workspace_bytes(len(classes), block),
            threads,
            pattern_bytes(len(classes), len(case.drawings)),
        )
        return Needs(memory.total)

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedBlocks]:
        """Read the raters and fuse them."""
        # Not held here as well: only what is made of the raters waits in memory.
        yield self.prepare_raters(case.raters(), case.classes, keep_raters=case.keep_raters)

    def prepare_raters(
        self, drawn: RaterLabels, classes: ClassTable, *, keep_raters: bool
    ) -> PreparedBlocks:
        """What the method makes of the raters of a case; the patterns stay where asked for."""
        from softlab_cli.fusion.raters import rater_statistics

        patterns, background = drawn.patterns, classes.background_index
        labels = self.fuse(patterns, drawn.names, background)
        statistics = rater_statistics(patterns, drawn.names, background)
        fused = labels.fused
        hard = fused.hard_label(classes.index_dtype, classes.ignore_index)
        *hard_voxels, unlabelled = fused.hard_voxels
        indexed = IndexedLabelMap(hard, np.array(hard_voxels), int(unlabelled))
        return PreparedBlocks(
            drawn.geometry,
            hard,
            count_indexed(indexed, classes),
            labels,
            fused.indices,
            classes,
            (*drawn.warnings, *labels.warnings, *statistics.warnings),
            {"raters": statistics.to_json(), "fusion": labels.facts},
            drawn.names,
            patterns if keep_raters else None,
        )


def blender_bytes(svls: SVLS | None, class_count: int, block: Shape) -> int:
    """Upper bound of what a workspace for fused labels occupies.

    Parameters
    ----------
    svls
        How the shares are smoothed, or None.
    class_count
        Classes of the table.
    block
        Voxels of the largest block.
    """
    blends = BLENDS_FORESEEN * BYTES_PER_BLEND
    if svls is None:
        return scratch_bytes(class_count, block, (0, 0, 0)) + 4 * math.prod(block) + blends
    z, y = block[0] + svls.kernel_size, block[1] + svls.kernel_size
    width = block[2] + SEGMENT + svls.kernel_size
    # Numbers of up to 4 bytes; wholes (8), largest (5) and disputed voxels; rows of parts.
    per_voxel = 4 * z * y * width + 14 * math.prod(block) + 12 * y * 2 * width
    return svls.workspace_bytes(class_count, block) + per_voxel + blends
