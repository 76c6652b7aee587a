"""Some of a case's raters, as a method sees a case."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.fractions import SoftClasses
from softlab_cli.core.volume import Geometry, Image
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.labels.case import HardLabels, RaterLabels, count_labels

__all__ = ["RaterSubset", "Surroundings"]


@dataclass(frozen=True)
class Surroundings:
    """What a method may ask for besides the raters.

    Parameters
    ----------
    case_id
        The case's id.
    image
        Gives the image, on the grid of the raters; None where there is none.
    naming_image
        Names the image's file in an error that does not know which file it is about.
    beside
        Where a method may have scratch; None for the system's place.
    threads, max_memory
        As for `softlab_cli.methods.base.CaseInput`.
    """

    case_id: str
    image: Callable[[], Image] | None
    naming_image: Callable[[], AbstractContextManager[None]]
    beside: Path | None = None
    threads: int = 1
    max_memory: int | None = None


@dataclass(frozen=True)
class RaterSubset:
    """Some raters of a case; see `softlab_cli.methods.base.CaseInput`.

    Parameters
    ----------
    drawn
        All raters.
    raters
        Which of them there are, by their numbers.
    classes
        The class table.
    blocks
        The blocks that are softened.
    around
        Whatever else a method may ask for.
    """

    drawn: RaterLabels
    raters_there: tuple[int, ...]
    classes: ClassTable
    blocks: Grid
    around: Surroundings

    keep_raters = False

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.around.case_id

    @property
    def patient(self) -> str:
        """Not known here; a method that learns, which is tried on no left-out rater, would ask."""
        return ""

    @property
    def threads(self) -> int:
        """Threads that may compute."""
        return self.around.threads

    @property
    def max_memory(self) -> int | None:
        """Bytes for the process."""
        return self.around.max_memory

    def label_map(self) -> HardLabels:
        """The labels of the first rater that is there."""
        mark = self.classes.ignore_index
        rater = self.raters_there[0]
        indices = self.drawn.patterns.rater(rater, self.classes.index_dtype, mark)
        return HardLabels(self.drawn.geometry, indices, count_labels(indices, self.classes))

    def raters(self) -> RaterLabels:
        """The labels of all raters that are there."""
        mark, patterns = self.classes.ignore_index, self.drawn.patterns
        volumes = (patterns.rater(r, self.classes.index_dtype, mark) for r in self.raters_there)
        names = tuple(self.drawn.names[r] for r in self.raters_there)
        found = find_patterns(volumes, len(self.classes), mark)
        return replace(self.drawn, patterns=found, names=names)

    def image(self, geometry: Geometry) -> Image:
        """The image; `UsageError` when there is none."""
        if self.around.image is None:
            raise UsageError("this method follows the image.", remedy="Give the image as well.")
        return self.around.image()

    def fractions(self, supersample: int | None) -> SoftClasses:
        """Refuse with a `UsageError`: raters have label maps."""
        raise UsageError("raters have no soft labels to import.", remedy="Choose a method.")

    def grid(self, geometry: Geometry) -> Grid:
        """The blocks that are softened."""
        return self.blocks

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder for what does not fit into memory."""
        with TemporaryDirectory(prefix=".scratch-", dir=self.around.beside) as folder:
            yield Path(folder)

    def naming_image(self) -> AbstractContextManager[None]:
        """Name the image's file in an error."""
        return self.around.naming_image()
