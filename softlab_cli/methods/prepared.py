"""Cases that are prepared: what is left is to make soft labels and hand them on."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import SoftBlock, SoftSums
from softlab_cli.core.threads import ordered_map
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.softener import Softener
from softlab_cli.store.statistics import LabelCounts, sums_with_box

if TYPE_CHECKING:
    from softlab_cli.fusion.patterns import RaterPatterns
    from softlab_cli.labels.case import HardLabels

__all__ = ["Prepared", "PreparedBlocks", "Sink", "Written"]


class Written(NamedTuple):
    """What was handed on, counted exactly."""

    counts: LabelCounts
    sums: SoftSums


class Sink(Protocol):
    """Where labels go: a case of a store, or an array.

    Encoding is done in any thread, appending in one, each block once.
    """

    @property
    def grid(self) -> Grid:
        """The blocks that are expected."""
        ...

    def encode_label(
        self,
        region: Region,
        class_indices: NDArray[np.unsignedinteger[Any]],
        rater: int | None = None,
    ) -> Any:
        """A block of hard labels, of the case or of one rater, ready to be appended."""
        ...

    def encode(self, block: SoftBlock) -> Any:
        """A block of soft labels, ready to be appended."""
        ...

    def append(self, block: Any) -> None:
        """Take in what was encoded."""
        ...


class Prepared(Protocol):
    """A case before its soft labels are made.

    Attributes
    ----------
    geometry
        The voxel grid.
    warnings
        What was found odd.
    details
        Facts for the store, ready for JSON.
    raters
        Names of the raters, where the method takes several.
    """

    @property
    def geometry(self) -> Geometry: ...  # noqa: D102

    @property
    def warnings(self) -> tuple[str, ...]: ...  # noqa: D102

    @property
    def details(self) -> Mapping[str, Any]: ...  # noqa: D102

    @property
    def raters(self) -> tuple[str, ...]: ...  # noqa: D102

    def write(self, sink: Sink, *, soft: bool, threads: int) -> Written:
        """Make the labels and hand them on.

        Parameters
        ----------
        sink
            Where they go.
        soft
            Whether soft labels are wanted, and not the hard ones only.
        threads
            Threads that compute; the result does not depend on it.
        """
        ...


@dataclass(frozen=True)
class PreparedBlocks:
    """A case that is softened block by block.

    Parameters
    ----------
    geometry
        The voxel grid.
    class_indices
        (Z, Y, X) hard labels.
    counts
        What they hold.
    softener
        What makes the soft labels.
    indices
        (Z, Y, X) what the softener is given.
    classes
        The class table.
    warnings, details, raters
        As for `Prepared`.
    patterns
        The raters' labels, where they are kept.
    """

    geometry: Geometry
    class_indices: NDArray[np.unsignedinteger[Any]]
    counts: LabelCounts
    softener: Softener
    indices: NDArray[np.unsignedinteger[Any]]
    classes: ClassTable
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    raters: tuple[str, ...] = ()
    patterns: RaterPatterns | None = None

    @classmethod
    def of_hard_labels(
        cls, labels: HardLabels, softener: Softener, classes: ClassTable
    ) -> PreparedBlocks:
        """A case whose softener is given the hard labels themselves."""
        indices = labels.class_indices
        return cls(
            labels.geometry, indices, labels.counts, softener, indices, classes, labels.warnings
        )

    def write(self, sink: Sink, *, soft: bool, threads: int) -> Written:
        """Soften and hand on block by block; threads soften and encode, this one appends."""
        local = threading.local()
        encode_raters = self._rater_encoder(sink)

        def encode(region: Region) -> tuple[list[Any], list[SoftSums]]:
            encoded, sums = [sink.encode_label(region, self.class_indices[region])], []
            encoded += encode_raters(region)
            if soft:
                if not hasattr(local, "workspace"):
                    local.workspace = self.softener.workspace(
                        self.classes, self.geometry, sink.grid.block
                    )
                for block in self.softener.soften(self.indices, region, local.workspace):
                    encoded.append(sink.encode(block))
                    sums.append(sums_with_box(block, self.counts.box))
            return encoded, sums

        total = SoftSums.zero(len(self.classes))
        for encoded, sums in ordered_map(encode, sink.grid.regions(), threads):
            for block in encoded:
                sink.append(block)
            for part in sums:
                total.add(part)
        return Written(self.counts, total)

    def _rater_encoder(self, sink: Sink) -> Callable[[Region], list[Any]]:
        """What encodes the labels of each rater in a block, from the patterns."""
        patterns = self.patterns
        if patterns is None:
            return lambda region: []
        labels = patterns.class_indices(self.classes.ignore_index)
        tables = labels.astype(self.classes.index_dtype)

        def encode(region: Region) -> list[Any]:
            block = patterns.indices[region]
            every = enumerate(tables.T)
            return [sink.encode_label(region, table[block], rater) for rater, table in every]

        return encode
