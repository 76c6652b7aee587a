"""The contract of methods: everything that a run needs to know of one, it says itself.

A method is an immutable, picklable set of parameters. Whoever runs it (the command
line, `softlab_cli.run`, the functions on arrays, nnU-Net's hook) asks nothing but
what `Method` promises, and hands it each case as a `CaseInput`. Four kinds:

- *local* (`LocalMethod`): a soft label depends on the voxel's neighbourhood only;
- *raters* (`softlab_cli.methods.raters.base.RaterMethod`): local once the raters are fused;
- *global*: sees the whole case first, and leaves something local behind (GeoLS);
- *imported*: has its soft labels already.

A *learned* method is any of these that says `fits`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Protocol, Self

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.core.memory import CaseMemory
from softlab_cli.core.volume import Geometry
from softlab_cli.methods.prepared import Prepared, PreparedBlocks
from softlab_cli.methods.softener import InWorkspace, Workspace, scratch_bytes

if TYPE_CHECKING:
    from softlab_cli.cases import Case
    from softlab_cli.core.fractions import SoftClasses
    from softlab_cli.core.volume import Image
    from softlab_cli.labels.case import HardLabels, RaterLabels
    from softlab_cli.readers import FileProbe

__all__ = [
    "CaseInput",
    "Fitting",
    "LocalMethod",
    "Method",
    "Needs",
    "OwnClassOnly",
    "Takes",
]

Takes = Literal["label map", "raters", "label map and image", "fractions"]
"""What a method makes soft labels of."""


@dataclass(frozen=True)
class Needs:
    """What one case takes.

    Parameters
    ----------
    memory
        Upper bound of the memory of the process that does it, in bytes.
    scratch
        Upper bound of what waits on disk beside the store where memory has no room.
    """

    memory: int
    scratch: int = 0


class CaseInput(Protocol):
    """A case as a method sees it; what it holds is read when it is asked for.

    Attributes
    ----------
    case_id
        Its name.
    patient
        What tells cases of one patient, though not who that is; empty where the files do not.
    classes
        The class table.
    keep_raters
        Whether each rater's labels are wanted beside what is made of them.
    threads
        Threads that may compute; no result depends on it.
    max_memory
        Bytes for the process; None for no limit.
    """

    @property
    def case_id(self) -> str: ...  # noqa: D102

    @property
    def patient(self) -> str: ...  # noqa: D102

    @property
    def classes(self) -> ClassTable: ...  # noqa: D102

    @property
    def keep_raters(self) -> bool: ...  # noqa: D102

    @property
    def threads(self) -> int: ...  # noqa: D102

    @property
    def max_memory(self) -> int | None: ...  # noqa: D102

    def label_map(self) -> HardLabels:
        """The one label map, in class indices."""
        ...

    def raters(self) -> RaterLabels:
        """The label maps of all raters, on one grid."""
        ...

    def image(self, geometry: Geometry) -> Image:
        """The image, (channels, Z, Y, X) float32, on the grid of the label map."""
        ...

    def fractions(self, supersample: int | None) -> SoftClasses:
        """The soft labels that the files have; contours with `supersample` points a side."""
        ...

    def grid(self, geometry: Geometry) -> Grid:
        """The blocks that will be softened."""
        ...

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder of this case alone, which is removed in the end."""
        ...

    def naming_image(self) -> AbstractContextManager[None]:
        """Name the image's file in an error that does not know which file it is about."""
        ...


@dataclass(frozen=True)
class Fitting:
    """What a method may learn from, once for a run.

    Parameters
    ----------
    cases
        All cases that can be used, those included that are complete.
    classes
        The class table.
    folder
        Where to keep what is learned; a run that goes on finds it there again. It exists
        unless the method `has_learned`.
    threads
        Threads that may compute.
    max_memory
        Bytes for all processes together.
    run
        ``run(stage, function, tasks)`` does tasks in the run's workers: `tasks` have
        names, for the listeners, and ``(name, result)`` comes as each ends. An error of
        a task, or a worker that dies of it, ends the run.
    tell
        Says what the user should know.
    """

    cases: Sequence[CaseInput]
    classes: ClassTable
    folder: Path
    threads: int
    max_memory: int
    run: Callable[[str, Callable[[Any], Any], Mapping[str, Any]], Iterable[tuple[str, Any]]]
    tell: Callable[[str], None]


class Method(ABC):
    """What makes soft labels.

    Attributes
    ----------
    name
        Name on the command line, and key of `softlab_cli.methods.METHODS`.
    takes
        What it makes soft labels of.
    fits
        Whether it learns from all cases before the first one is done.
    """

    name: ClassVar[str]
    takes: ClassVar[Takes]
    fits: ClassVar[bool] = False

    @property
    def sums_to_one(self) -> bool:
        """Whether the soft labels of a valid voxel add up to 1."""
        return True

    @property
    def has_learned(self) -> bool:
        """Whether it learns nothing any more, so that parts of a run need not wait for it."""
        return not self.fits

    @abstractmethod
    def parameters(self) -> dict[str, Any]:
        """Every parameter that the result depends on, ready for JSON."""

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> Self:
        """The method that has these `parameters`, as a store keeps them."""
        return cls(**parameters)

    def check(self, case: Case) -> None:
        """Raise what is known to be wrong with a case before its files are opened.

        Raises
        ------
        InputError
            For several label maps where one is taken, and for a missing image.
        """
        if self.takes != "raters":
            _check_one_label_map(case, SEVERAL_CLASSES if self.takes == "fractions" else "")
        if self.takes == "label map and image":
            from softlab_cli.labels.images import check_images

            check_images(case)

    def fit(self, fitting: Fitting) -> Self:
        """The method with what it has learned; itself, where it learns nothing.

        What was learned must show in `parameters`: it is part of a store's recipe. When
        the folder has it already, nothing is learned again.
        """
        return self

    @abstractmethod
    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """What a case takes, worked out from its headers.

        Parameters
        ----------
        case
            The case and its files.
        seen
            What the headers of its label maps say.
        classes
            The class table.
        threads
            Threads that will soften blocks.
        """

    @abstractmethod
    def prepare(self, case: CaseInput) -> AbstractContextManager[Prepared]:
        """Do what has to be done with the whole of a case.

        What waits on disk for it is removed when the context is left.

        Raises
        ------
        SoftlabError
            When the case cannot be used.
        """

    def on_read(self) -> LocalMethod | None:
        """What makes the same bits from the stored hard labels; None where nothing can.

        It alone decides whether a store may hold hard labels only.
        """
        return None


SEVERAL_CLASSES = " Files that hold one class each are told by --class-pattern."


def _check_one_label_map(case: Case, hint: str) -> None:
    count, names = len(case.drawings), ", ".join(case.drawings)
    if count > 1:
        raise InputError(
            f"has {count} label maps ({names}), and this method takes one.",
            remedy="Several --in are raters of the same cases: softlab msvls and softlab fuse "
            f"take them.{hint}",
            path=case.label_maps[0],
        )


class LocalMethod(InWorkspace, Method):
    """A method whose soft label at a voxel depends on that voxel's neighbourhood only.

    It is a `softlab_cli.methods.softener.Softener` itself, and makes the same bits from
    the stored hard labels.
    """

    takes: ClassVar[Takes] = "label map"

    @abstractmethod
    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """Neighbours that the method needs on each side of a block, along (Z, Y, X)."""

    @abstractmethod
    def workspace(self, classes: ClassTable, geometry: Geometry, block: Shape) -> Workspace:
        """Scratch memory of one thread; see `softlab_cli.methods.softener.Softener`."""

    @abstractmethod
    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""

    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """Memory for the label map, its indices and the blocks."""
        block = Grid.for_volume(seen.geometry.shape, seen.geometry.ndim).block
        memory = CaseMemory(
            prod(seen.geometry.shape),
            seen.bytes_on_read,
            seen.bytes_held,
            classes.index_dtype.itemsize,
            self.workspace_bytes(len(classes), block),
            threads,
        )
        return Needs(memory.total)

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[Prepared]:
        """Read the label map; the rest is done block by block."""
        yield PreparedBlocks.of_hard_labels(case.label_map(), self, case.classes)

    def on_read(self) -> LocalMethod | None:
        """The method itself."""
        return self


class OwnClassOnly(LocalMethod):
    """A method whose soft label depends on nothing but a voxel's own class."""

    def halo(self, spacing_mm: tuple[float, float, float]) -> Shape:
        """None: a voxel's own class is all that matters."""
        return 0, 0, 0

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        """Upper bound of what a workspace occupies."""
        return scratch_bytes(class_count, block, (0, 0, 0))
