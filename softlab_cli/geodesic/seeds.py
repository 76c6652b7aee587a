"""Seeds: the voxels of each class that its geodesic distance is measured from.

Everything happens inside a class's bounding box, which gives the same voxels as the
whole volume would.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from math import prod
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region, Shape, clip, grow, region_shape, shift
from softlab_cli.core.errors import UsageError
from softlab_cli.geodesic.base import Seeds
from softlab_cli.geodesic.components import deepest_voxel, emptied_components
from softlab_cli.kernels.sizes import read_only

__all__ = [
    "SEED_STRATEGIES",
    "ClassBox",
    "ClassSeeds",
    "SeedOptions",
    "SeedStrategy",
    "class_boxes",
    "class_seeds",
    "every_class_seeds",
    "seeding_bytes",
    "seeds_bytes",
]

SeedStrategy = Literal["skeleton", "erosion", "random", "region"]

SEED_STRATEGIES: tuple[str, ...] = get_args(SeedStrategy)
"""How seeds are chosen, by the name on the command line."""

LARGE_AT_ONCE = 2
"""Classes with large boxes that are worked on at the same time."""

BYTES_PER_VOXEL = 10
"""What one class occupies for each voxel of its box: mask, skeleton, components."""

BYTES_PER_DEEP_VOXEL = 16
"""What the search for a component's deepest voxel occupies for each voxel of its box."""


@dataclass(frozen=True)
class SeedOptions:
    """How seeds are chosen.

    - ``skeleton``: the class's skeleton (Lee, Kashyap and Chu, Building skeleton
      models via 3-D medial surface/axis thinning algorithms, 1994), as in GeoLS.
    - ``erosion``: what is left after some erosions with the six face neighbours;
      what lies outside the volume counts as the class.
    - ``random``: some voxels of the class, each equally likely.
    - ``region``: all voxels of the class.

    A component of which skeleton or erosion leave nothing keeps its deepest voxel,
    unless `bare`.

    Parameters
    ----------
    strategy
        One of `SEED_STRATEGIES`.
    erosion_voxels
        Erosions of ``erosion``, from 1 on.
    random_voxels
        Voxels of each class for ``random``, from 1 on; smaller classes have all theirs.
    random_seed
        Starts the generator, from 0 on. A class's voxels depend on nothing but this,
        the case id, the label value and the class's shape.
    bare
        Nothing is added to what skeleton or erosion leave: a class may have no seeds.

    Raises
    ------
    UsageError
        For other values.
    """

    strategy: str = "skeleton"
    erosion_voxels: int = 1
    random_voxels: int = 10
    random_seed: int = 0
    bare: bool = False

    def __post_init__(self) -> None:
        if self.strategy not in SEED_STRATEGIES:
            raise UsageError(
                f"there are no seeds by {self.strategy!r}.",
                remedy=f"Choose one of {', '.join(SEED_STRATEGIES)}.",
            )
        _check_least("erosion_voxels", self.erosion_voxels, 1)
        _check_least("random_voxels", self.random_voxels, 1)
        _check_least("random_seed", self.random_seed, 0)

    def parameters(self) -> dict[str, Any]:
        """The strategy, and what it depends on, ready for JSON."""
        found: dict[str, Any] = {"seeds": self.strategy}
        if self.strategy == "erosion":
            found["erosion_voxels"] = int(self.erosion_voxels)
        if self.strategy == "random":
            found["random_voxels"] = int(self.random_voxels)
            found["random_seed"] = int(self.random_seed)
        return found


def _check_least(name: str, value: int, least: int) -> None:
    if value != int(value) or value < least:
        raise UsageError(
            f"{name} {value} has no meaning.", remedy=f"Choose a whole number from {least} on."
        )


@dataclass(frozen=True)
class ClassBox:
    """Where a class lies.

    Parameters
    ----------
    class_index
        The class.
    region
        The smallest region with all its voxels.
    voxels
        How many these are, one at least.
    """

    class_index: int
    region: Region
    voxels: int


@dataclass(frozen=True)
class ClassSeeds:
    """The seeds of a class.

    Parameters
    ----------
    class_index
        The class.
    places
        (n,) int64 places in the flattened volume (C order), ascending; one at least,
        unless the seeds are bare.
    emptied
        Components of which the strategy left nothing. They have their deepest voxel
        as a seed instead; where seeds are bare, they have none.
    """

    class_index: int
    places: Seeds
    emptied: int = 0


def class_boxes(class_indices: NDArray[np.unsignedinteger[Any]]) -> list[ClassBox]:
    """The boxes of all class indices that occur, ascending; the ignore mark is one of them.

    Parameters
    ----------
    class_indices
        (Z, Y, X) uint8 or uint16.
    """
    from softlab_cli.kernels.labels import find_class_boxes

    indices = int(np.iinfo(class_indices.dtype).max) + 1
    boxes = np.zeros((indices, 3, 2), np.int64)
    boxes[:] = [[n, -1] for n in class_indices.shape]
    voxels = np.zeros(indices, np.int64)
    find_class_boxes(read_only(class_indices), boxes, voxels)
    return [
        ClassBox(int(index), _region(boxes[index]), int(voxels[index]))
        for index in np.flatnonzero(voxels)
    ]


def _region(box: NDArray[np.int64]) -> Region:
    z, y, x = (slice(int(first), int(last) + 1) for first, last in box)
    return z, y, x


def every_class_seeds(
    class_indices: NDArray[np.unsignedinteger[Any]],
    boxes: Sequence[ClassBox],
    options: SeedOptions,
    *,
    label_values: Sequence[int],
    case_id: str,
    spacing_mm: tuple[float, float, float],
    threads: int = 1,
) -> list[ClassSeeds]:
    """The seeds of several classes, in the order of their boxes.

    Parameters
    ----------
    class_indices
        (Z, Y, X) uint8 or uint16, the whole volume.
    boxes
        From `class_boxes`; the classes that are wanted.
    options
        How seeds are chosen.
    label_values
        Label value of each class index.
    case_id, spacing_mm
        As for `class_seeds`.
    threads
        Classes that are worked on at the same time; the result does not depend on it.
    """
    deep = threading.Lock()

    def seeds(box: ClassBox) -> ClassSeeds:
        value = label_values[box.class_index]
        return class_seeds(
            class_indices, box, options,
            label_value=value, case_id=case_id, spacing_mm=spacing_mm, one_at_a_time=deep,
        )  # fmt: skip

    share = LARGE_AT_ONCE * class_indices.size / threads
    large = [box for box in boxes if prod(region_shape(box.region)) > share]
    small = [box for box in boxes if prod(region_shape(box.region)) <= share]
    found = [*_over_threads(seeds, large, min(threads, LARGE_AT_ONCE))]
    found += _over_threads(seeds, small, threads)
    by_class = {one.class_index: one for one in found}
    return [by_class[box.class_index] for box in boxes]


def _over_threads(
    seeds: Callable[[ClassBox], ClassSeeds], boxes: Sequence[ClassBox], threads: int
) -> list[ClassSeeds]:
    if threads == 1:
        return [seeds(box) for box in boxes]
    with ThreadPoolExecutor(threads) as pool:
        return list(pool.map(seeds, boxes))


def seeding_bytes(shape: Shape, class_count: int, options: SeedOptions, threads: int) -> int:
    """Upper bound of what `every_class_seeds` holds, its result among it.

    Parameters
    ----------
    shape
        Voxels of the volume.
    class_count
        Classes that may occur.
    options, threads
        As for `every_class_seeds`.
    """
    voxels = prod(shape)
    working = min(threads, LARGE_AT_ONCE) * BYTES_PER_VOXEL * voxels
    if options.strategy in ("skeleton", "erosion"):
        working += BYTES_PER_DEEP_VOXEL * voxels
    return working + seeds_bytes(shape, class_count, options)


def seeds_bytes(shape: Shape, class_count: int, options: SeedOptions) -> int:
    """Upper bound of what the seeds of all classes occupy; parameters as `seeding_bytes`."""
    most = prod(shape)
    if options.strategy == "random":
        most = min(most, class_count * options.random_voxels)
    return most * np.dtype(np.int64).itemsize


def class_seeds(
    class_indices: NDArray[np.unsignedinteger[Any]],
    box: ClassBox,
    options: SeedOptions,
    *,
    label_value: int,
    case_id: str,
    spacing_mm: tuple[float, float, float],
    one_at_a_time: threading.Lock | None = None,
) -> ClassSeeds:
    """The seeds of one class.

    Parameters
    ----------
    class_indices
        (Z, Y, X) uint8 or uint16, the whole volume.
    box
        Where the class lies.
    options
        How seeds are chosen.
    label_value, case_id
        What random voxels depend on.
    spacing_mm
        Distance of voxels along (Z, Y, X), which depth is measured in.
    one_at_a_time
        Held while a deepest voxel is looked for, which takes much memory.
    """
    shape = class_indices.shape
    mask = class_indices[box.region] == box.class_index
    if options.strategy == "region":
        return ClassSeeds(box.class_index, _places(mask, box.region, shape))
    if options.strategy == "random":
        places = _places(mask, box.region, shape)
        generator = _generator(options.random_seed, case_id, label_value)
        return ClassSeeds(box.class_index, _choose(places, options.random_voxels, generator))
    if options.strategy == "erosion":
        kept = _eroded(class_indices, box, options.erosion_voxels)
    else:
        kept = _skeleton(mask)
    emptied = 0
    for region, component in emptied_components(mask, kept):
        emptied += 1
        if options.bare:
            continue
        with one_at_a_time or threading.Lock():
            kept[region][deepest_voxel(component, spacing_mm, shape)] = True
    return ClassSeeds(box.class_index, _places(kept, box.region, shape), emptied)


def _places(mask: NDArray[np.bool_], region: Region, shape: Shape) -> Seeds:
    """Places of a mask's voxels in the volume, slice by slice to save memory."""
    places = np.empty(np.count_nonzero(mask), np.int64)
    z, y, x = (s.start for s in region)
    done = 0
    for i, plane in enumerate(mask):
        rows, columns = np.nonzero(plane)
        stop = done + len(rows)
        places[done:stop] = ((z + i) * shape[1] + y + rows) * shape[2] + x + columns
        done = stop
    return places


def _generator(random_seed: int, case_id: str, label_value: int) -> np.random.Generator:
    text = f"{random_seed} {label_value} {case_id}"
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text.encode()).digest(), "big"))


def _choose(places: Seeds, count: int, generator: np.random.Generator) -> Seeds:
    if len(places) <= count:
        return places
    return np.sort(generator.choice(places, count, replace=False, shuffle=False))


def _skeleton(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from skimage.morphology import skeletonize

    skeleton: NDArray[np.bool_] = skeletonize(mask, method="lee").astype(np.bool_, copy=False)
    return skeleton


def _eroded(
    class_indices: NDArray[np.unsignedinteger[Any]], box: ClassBox, erosions: int
) -> NDArray[np.bool_]:
    """The eroded mask, inside the box; where the volume ends the class goes on."""
    from scipy.ndimage import binary_erosion

    around = clip(grow(box.region, (1, 1, 1)), class_indices.shape)
    mask = class_indices[around] == box.class_index
    eroded = binary_erosion(mask, iterations=erosions, border_value=1)
    inside = shift(box.region, (around[0].start, around[1].start, around[2].start))
    kept: NDArray[np.bool_] = eroded[inside]
    return kept
