"""One case of a run, and its files as a method sees them."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from softlab_cli.cases import Case
from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import naming
from softlab_cli.core.fractions import SoftClasses
from softlab_cli.core.volume import Geometry, Image
from softlab_cli.labels.case import (
    HardLabels,
    RaterLabels,
    read_hard_labels,
    read_rater_labels,
)
from softlab_cli.labels.fractions import open_case_fractions
from softlab_cli.labels.images import read_images
from softlab_cli.labels.patients import patient_of
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.methods.base import Method
from softlab_cli.store.schema import StoreInfo
from softlab_cli.store.writer import StoreWriter

__all__ = ["CaseTask", "FileCase"]


@dataclass(frozen=True)
class CaseTask:
    """Everything that softening one case takes; travels to a worker process.

    Parameters
    ----------
    case
        The case and its files.
    method
        What makes the soft labels.
    info
        What the store says of all its cases; its classes among it.
    store
        Path of the store; it exists.
    threads
        Threads that soften blocks.
    reason
        Why the case is computed again, if it is.
    reading
        How its label maps are read.
    max_memory
        Bytes for the process that does it; None for no limit.
    sync
        Wait until the case is on the disk before it counts as done.
    """

    case: Case
    method: Method
    info: StoreInfo
    store: Path
    threads: int
    reason: str = ""
    reading: ReadingOptions = field(default_factory=ReadingOptions)
    max_memory: int | None = None
    sync: bool = True

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id

    def case_input(self) -> FileCase:
        """The case as its method sees it."""
        store = StoreWriter(self.store, self.info, sync=self.sync)
        return FileCase(
            self.case, self.info.classes, self.reading, store, self.threads, self.max_memory
        )


@dataclass(frozen=True)
class FileCase:
    """A case's files as a method sees them; see `softlab_cli.methods.base.CaseInput`.

    Parameters
    ----------
    case
        The case and its files.
    classes
        The class table.
    reading
        How its label maps are read.
    store
        Beside it lies what waits on disk.
    threads, max_memory
        As for `CaseInput`.
    """

    case: Case
    classes: ClassTable
    reading: ReadingOptions
    store: StoreWriter
    threads: int = 1
    max_memory: int | None = None

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id

    @property
    def patient(self) -> str:
        """What its DICOM files say of the patient, as a checksum."""
        return patient_of(self.case)

    @property
    def keep_raters(self) -> bool:
        """Whether the store keeps each rater's labels."""
        return self.store.info.keep_raters

    def label_map(self) -> HardLabels:
        """The one label map, on the grid of the image."""
        return read_hard_labels(self.case, self.classes, self.reading)

    def raters(self) -> RaterLabels:
        """The label maps of all raters, on one grid."""
        return read_rater_labels(self.case, self.classes, self.reading)

    def image(self, geometry: Geometry) -> Image:
        """All channels of the images, on the grid of the label map."""
        return read_images(self.case, geometry, self.reading)

    def fractions(self, supersample: int | None) -> SoftClasses:
        """The soft labels that the case's files have."""
        return open_case_fractions(self.case, supersample, self.classes, self.reading)

    def grid(self, geometry: Geometry) -> Grid:
        """The blocks of the store."""
        return Grid.for_volume(geometry.shape, geometry.ndim)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder beside the case in the store."""
        return self.store.scratch(self.case_id)

    def naming_image(self) -> AbstractContextManager[None]:
        """Name the first image in an error that names no file."""
        return naming(self.case.images[0])
