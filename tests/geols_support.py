"""What tests of GeoLS share: a plainly right engine, cases, and a way through the method."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.softblock import SoftSums
from softlab_cli.core.volume import Geometry
from softlab_cli.geodesic.base import UNREACHABLE, Seeds, StepCost
from softlab_cli.methods.geols.geols import GeoLS
from softlab_cli.methods.geols.maps import GeodesicMaps
from tests.blockwise import soften
from tests.strategies import label_maps

BLOCK = (64, 64, 64)
STEPS = [step for step in product((-1, 0, 1), repeat=3) if any(step)]


@dataclass(frozen=True)
class SlowEngine:
    """Relaxes all voxels along all steps, again and again, until nothing changes."""

    name: ClassVar[str] = "slow"
    deterministic: ClassVar[bool] = True

    def check(self) -> None:
        """Always works."""

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """A bound that is far too high."""
        return 200 * shape[0] * shape[1] * shape[2]

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """See `Engine`."""
        for places in seeds:
            found = np.full(image.shape[1:], UNREACHABLE, np.float32)
            found.reshape(-1)[places] = 0
            changed = True
            while changed:
                before = found.copy()
                for step in STEPS:
                    _relax(image, found, step, spacing_mm, cost)
                changed = not np.array_equal(before, found, equal_nan=True)
            yield found


def _relax(
    image: NDArray[np.float32],
    found: NDArray[np.float32],
    step: tuple[int, ...],
    spacing_mm: tuple[float, float, float],
    cost: StepCost,
) -> None:
    here = tuple(slice(max(s, 0), n + min(s, 0)) for s, n in zip(step, found.shape, strict=True))
    there = tuple(slice(max(-s, 0), n - max(s, 0)) for s, n in zip(step, found.shape, strict=True))
    length = np.float32(np.linalg.norm(np.array(step) * spacing_mm))
    difference = image[(slice(None), *here)] - image[(slice(None), *there)]
    w = np.float32(cost.intensity_weight)
    if cost.metric == "fastgeodis":
        costs = w * np.abs(difference).sum(axis=0) + (1 - w) * length
    else:
        norm = np.sqrt((difference**2).sum(axis=0)) + np.float32(1e-5)
        costs = length * norm / ((1 - w) * norm + w)
    np.minimum(found[here], found[there] + costs, out=found[here])


@dataclass(frozen=True)
class Case:
    """A label map (ignored voxels are 255) and its image."""

    indices: NDArray[np.uint8]
    image: NDArray[np.float32]
    class_count: int
    spacing_mm: tuple[float, float, float] = (1.0, 1.0, 1.0)
    case_id: str = "case"

    @property
    def geometry(self) -> Geometry:
        z, y, x = self.spacing_mm
        return Geometry(self.indices.shape, np.diag([x, y, z, 1.0]))

    @property
    def classes(self) -> ClassTable:
        return ClassTable.from_values(range(self.class_count))


@st.composite
def cases(draw: st.DrawFn, largest: int = 6, classes: int = 4, channels: int = 2) -> Case:
    """Small cases with noisy images and uneven spacing."""
    labels = draw(label_maps(largest, classes))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = (draw(st.integers(1, channels)), *labels.indices.shape)
    image = rng.normal(size=shape) * draw(st.sampled_from([0.0, 1.0, 100.0]))
    spacing = draw(st.sampled_from([(1.0, 1.0, 1.0), (2.5, 0.8, 0.9)]))
    return Case(labels.indices, image.astype(np.float32), labels.class_count, spacing)


def prepare(method: GeoLS, case: Case, folder: Path, **options: Any) -> GeodesicMaps:
    block = options.pop("block", BLOCK)
    grid = Grid(case.indices.shape, block, block)
    options = {"engine": SlowEngine(), "grid": grid, **options}
    return method.make_maps(
        case.indices, case.image, case.classes, case.geometry,
        case_id=case.case_id, scratch_folder=folder, **options,
    )  # fmt: skip


def run(
    method: GeoLS, case: Case, block: Shape = BLOCK, **options: Any
) -> tuple[NDArray[np.float16], SoftSums]:
    """Soft labels of a case; the scratch is a file unless `max_memory` is None."""
    options = {"max_memory": 0, **options}
    with TemporaryDirectory() as name:
        with prepare(method, case, Path(name), block=block, **options) as maps:
            soft, sums, _ = soften(maps, case.indices, case.class_count, block)  # type: ignore[arg-type]
        assert not list(Path(name).iterdir()), "the scratch was not removed"
    return soft, sums
