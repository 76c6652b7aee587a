"""A toy method of each kind, with its command: all that a new method takes, in one file."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import click
import numpy as np
from numpy.typing import NDArray

from softlab_cli.cli.options import raters, run_options, together
from softlab_cli.cli.soften import soften
from softlab_cli.core.blocks import Region, Shape, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import ENTROPY_UNIT, MASS_UNIT, SoftBlock, SoftSums
from softlab_cli.fusion.fused import fuse_patterns
from softlab_cli.fusion.majority import majority_votes
from softlab_cli.methods.base import CaseInput, Fitting, Method, Needs, OwnClassOnly, Takes
from softlab_cli.methods.imported import PreparedFractions
from softlab_cli.methods.prepared import PreparedBlocks
from softlab_cli.methods.raters.base import FusedLabels, RaterMethod, blender_bytes
from softlab_cli.methods.registry import Entry


class Mixer:
    """Leaves a share of each soft label to its own class, and gives the first class the rest."""

    def __init__(self, classes: ClassTable, block: Shape, share: float, where: Any = None) -> None:
        self.classes, self.block, self.share, self.where = classes, block, share, where

    def soften(self, class_indices: NDArray[Any], region: Region) -> Iterator[SoftBlock]:
        labels = class_indices[region]
        valid = labels != self.classes.ignore_index
        share = np.full(labels.shape, self.share)
        if self.where is not None:
            share[~self.where[region]] = 1.0
        z, y, x = region_shape(region)
        values = np.zeros((len(self.classes), *self.block), np.float16)
        for index in range(len(self.classes)):
            own = np.where(labels == index, share, 0.0)
            values[index, :z, :y, :x] = np.where(valid, own + (index == 0) * (1 - share), 0.0)
        used = [index for index in range(len(self.classes)) if values[index].any()]
        values = np.ascontiguousarray(values[used])
        yield SoftBlock(region, tuple(used), values, {}, self._sums(values, used, labels))

    def _sums(self, values: Any, used: list[int], labels: Any) -> SoftSums:
        sums = SoftSums.zero(len(self.classes))
        p = values.astype(np.float64)
        sums.mass[used] = np.rint(p.sum(axis=(1, 2, 3)) / MASS_UNIT)
        between = p[(p > 0) & (p < 1)]
        sums.entropy = int(np.rint(-(between * np.log(between)).sum() / ENTROPY_UNIT))
        return sums


@dataclass(frozen=True)
class ToyLocal(OwnClassOnly):
    """A local method."""

    share: float = 0.75
    name: ClassVar[str] = "toy-local"

    def parameters(self) -> dict[str, Any]:
        return {"share": self.share}

    def workspace(self, classes: ClassTable, geometry: Any, block: Shape) -> Mixer:
        return Mixer(classes, block, self.share)


@dataclass(frozen=True)
class ToyLearned(ToyLocal):
    """A method that learns its share: how much of all voxels is no background, plus 1/2."""

    name: ClassVar[str] = "toy-learned"
    fits: ClassVar[bool] = True

    def fit(self, fitting: Fitting) -> Self:
        model = fitting.folder / "model.json"
        if not model.exists():
            cases = {case.case_id: case for case in fitting.cases}
            counts = [voxels for _, voxels in fitting.run("learn", count_voxels, cases)]
            total = np.sum(counts, axis=0)
            share = 0.5 + round(8 * total[1:].sum() / total.sum()) / 16
            model.write_text(json.dumps({"share": share}))
        return replace(self, share=json.loads(model.read_text())["share"])


def count_voxels(case: CaseInput) -> list[int]:
    return [int(n) for n in case.label_map().counts.hard_voxels]


@dataclass(frozen=True)
class ToyImage(Method):
    """A global method: soft only where the image is bright, which the whole case tells."""

    name: ClassVar[str] = "toy-image"
    takes: ClassVar[Takes] = "label map and image"

    def parameters(self) -> dict[str, Any]:
        return {}

    def needs(self, case: Any, seen: Any, classes: ClassTable, threads: int) -> Needs:
        needs = ToyLocal().needs(case, seen, classes, threads)
        return replace(needs, memory=needs.memory + 9 * int(np.prod(seen.geometry.shape)))

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedBlocks]:
        labels = case.label_map()
        image = case.image(labels.geometry).intensities[0]
        bright = Bright(image > image.mean())
        yield PreparedBlocks.of_hard_labels(labels, bright, case.classes)


@dataclass(frozen=True)
class Bright:
    """What `ToyImage` leaves behind."""

    where: NDArray[np.bool_]

    def workspace(self, classes: ClassTable, geometry: Any, block: Shape) -> Mixer:
        return Mixer(classes, block, 0.75, self.where)

    def soften(self, class_indices: Any, region: Region, workspace: Mixer) -> Iterator[SoftBlock]:
        return workspace.soften(class_indices, region)


@dataclass(frozen=True)
class ToyRaters(RaterMethod):
    """A method of several raters: their vote."""

    name: ClassVar[str] = "toy-raters"

    def parameters(self) -> dict[str, Any]:
        return {}

    def halo(self, spacing_mm: Any) -> Shape:
        return 0, 0, 0

    def workspace_bytes(self, class_count: int, block: Shape) -> int:
        return blender_bytes(None, class_count, block)

    def fuse(self, patterns: Any, raters: Any, background_index: int | None) -> FusedLabels:
        votes, ties = majority_votes(patterns)
        return FusedLabels(fuse_patterns(patterns, votes), None, {"ties": ties})


@dataclass(frozen=True)
class ToyImported(Method):
    """A method whose soft labels are in the files."""

    name: ClassVar[str] = "toy-imported"
    takes: ClassVar[Takes] = "fractions"

    def parameters(self) -> dict[str, Any]:
        return {}

    def needs(self, case: Any, seen: Any, classes: ClassTable, threads: int) -> Needs:
        return Needs(2**30)

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedFractions]:
        yield PreparedFractions(case.fractions(None), case.classes)


@click.command("toy-local")
@click.option("--share", type=float, default=0.75)
@run_options
def local_command(share: float, **run: Any) -> None:
    """A toy."""
    soften(ToyLocal(share), run)


@click.command("toy-learned")
@run_options
def learned_command(**run: Any) -> None:
    """A toy."""
    soften(ToyLearned(), run)


@click.command("toy-image")
@run_options
def image_command(**run: Any) -> None:
    """A toy."""
    soften(ToyImage(), run)


@click.command("toy-raters")
@together(*raters)
@run_options
def raters_command(**run: Any) -> None:
    """A toy."""
    soften(ToyRaters(), run)


@click.command("toy-imported")
@run_options
def imported_command(**run: Any) -> None:
    """A toy."""
    soften(ToyImported(), run)


TOYS = {
    f"toy-{kind}": Entry(
        f"tests.toys:Toy{kind.title()}", "A toy.", command=f"tests.toys:{kind}_command",
        in_nnunet=kind != "imported",
    )
    for kind in ("local", "learned", "image", "raters", "imported")
}  # fmt: skip
"""The rows of the registry."""
