"""Geodesic distance on a CUDA device: blocks of the volume, relaxed until none changes.

A cube of voxels, a block, lies with a halo of one voxel in the shared memory of one
group of threads. They relax it along its six directions until nothing in it changes,
write what fell, and mark the neighbouring blocks whose halo holds a voxel that fell.
The marked blocks of all classes are relaxed together, launch after launch, until none
is marked.

Why the bits are always the same: a distance is only ever replaced by a lower one that
some path has, rounded addition is monotone and no cost is negative, so all that the
distances can come to rest at is the one state that no step improves. The order of the
blocks, and whether a halo was read before or after its owner lowered it (the owner then
marks this block again), change the way there and not the end. Sums and products are the
device's round-to-nearest intrinsics, which no compiler fuses.

Blocks are not ordered by distance: counted on a T1 volume, that saves 3 % of the work and
costs launches.

Classes come first in memory and X last: classes are active in different places, so a
group of threads works for one class, and its threads read voxels that lie side by side.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
from numba import config, cuda, float32
from numba.cuda import libdevice
from numpy.typing import NDArray

from softlab_cli.kernels.compiling import Int, Unsigned

__all__ = ["Rule", "clear", "list_marked", "place_seeds", "relax_blocks", "shared_bytes"]

# The simulator computes with NumPy's scalars, which round after every operation.
SIMULATED = config.ENABLE_CUDASIM
add: Any = operator.add if SIMULATED else libdevice.fadd_rn
subtract: Any = operator.sub if SIMULATED else libdevice.fsub_rn
multiply: Any = operator.mul if SIMULATED else libdevice.fmul_rn
divide: Any = operator.truediv if SIMULATED else libdevice.fdiv_rn
root: Any = np.sqrt if SIMULATED else libdevice.fsqrt_rn

EPSILON = np.float32(1e-5)
ZERO = np.float32(0)
UNREACHED = np.float32(np.inf)

HERE = 13
"""Place of the step (0, 0, 0) in a flattened table of 3 x 3 x 3 steps."""

Function = TypeVar("Function", bound=Callable[..., Any])
Reals = NDArray[np.float32]
Triple = tuple[Int, Int, Int]


class Rule(NamedTuple):
    """How a difference of intensity becomes a cost; see `StepCost`.

    Parameters
    ----------
    euclidean
        Several channels differ by their L2 norm, else by L1.
    linear
        The cost is linear in the difference.
    spatial_share, intensity_share
        1 - w and w of the cost that is not linear.
    """

    euclidean: bool
    linear: bool
    spatial_share: np.float32
    intensity_share: np.float32


class Cube(NamedTuple):
    """A block with its halo in shared memory, both arrays flat.

    Parameters
    ----------
    distance
        Of every cell; there are (side + 2) ** 3.
    image
        Channel after channel.
    channels
        How many.
    """

    distance: Reals
    image: Reals
    channels: int


def shared_bytes(channels: int, side: int) -> int:
    """Shared memory of a block of `side` ** 3 voxels in `relax_blocks`."""
    return 4 * (channels + 1) * (side + 2) ** 3


def _step(function: Function) -> Function:
    """Compile a function that kernels call; the simulator is far faster without."""
    return function if SIMULATED else cast(Function, cuda.jit(device=True)(function))


def _kernel(function: Callable[..., None]) -> Any:
    """Compile a function to be launched, on first use; keep the machine code on disk."""
    return cuda.jit(cache=True)(function)


@_step
def _difference(cube: Cube, here: Int, there: Int, rule: Rule) -> Any:
    """Difference of intensity between two cells."""
    if cube.channels == 1:
        return abs(subtract(cube.image[here], cube.image[there]))
    total = ZERO
    for channel in range(cube.channels):
        skipped = Unsigned(channel * cube.distance.size)
        gap = subtract(cube.image[skipped + here], cube.image[skipped + there])
        total = add(total, multiply(gap, gap) if rule.euclidean else abs(gap))
    return root(total) if rule.euclidean else total


@_step
def _through(cube: Cube, lowest: Any, cell: Int, neighbour: Int, a: Any, b: Any, rule: Rule) -> Any:
    """The lower of a distance and that of the way through a neighbour."""
    here, there = Unsigned(cell), Unsigned(neighbour)
    difference = _difference(cube, here, there, rule)
    if rule.linear:
        cost = add(multiply(a, difference), b)
    else:
        shifted = add(difference, EPSILON)
        shared = add(multiply(rule.spatial_share, shifted), rule.intensity_share)
        cost = divide(multiply(a, shifted), shared)
    return min(lowest, add(cube.distance[there], cost))


@_step
def _sweep(
    cube: Cube,
    steps: Reals,
    rule: Rule,
    first: Int,
    strides: Triple,
    kinds: Triple,
    planes: Int,
    inside: bool,
) -> bool:
    """Relax plane after plane through the nine neighbours in the plane before.

    `first` is this thread's cell in the first of the planes, if it is `inside` them;
    all threads must come along. `strides` lead to the next plane and along the two axes
    of a plane: in cells, and as `kinds` in the table of `steps`. Returns whether this
    thread lowered a distance.
    """
    onward, across, along = strides
    straight = HERE + kinds[0]
    aside, ahead, corner = straight + kinds[1], straight + kinds[2], HERE + sum(kinds)
    a0, a1, a2, a3 = steps[0, straight], steps[0, ahead], steps[0, aside], steps[0, corner]
    b0, b1, b2, b3 = steps[1, straight], steps[1, ahead], steps[1, aside], steps[1, corner]
    changed = False
    here = first
    for _ in range(planes):
        if inside:
            there = here - onward
            above, below = there - across, there + across
            before = cube.distance[Unsigned(here)]
            lowest = _through(cube, before, here, there, a0, b0, rule)
            lowest = _through(cube, lowest, here, there - along, a1, b1, rule)
            lowest = _through(cube, lowest, here, there + along, a1, b1, rule)
            lowest = _through(cube, lowest, here, above, a2, b2, rule)
            lowest = _through(cube, lowest, here, below, a2, b2, rule)
            lowest = _through(cube, lowest, here, above - along, a3, b3, rule)
            lowest = _through(cube, lowest, here, above + along, a3, b3, rule)
            lowest = _through(cube, lowest, here, below - along, a3, b3, rule)
            lowest = _through(cube, lowest, here, below + along, a3, b3, rule)
            if lowest < before:
                cube.distance[Unsigned(here)] = lowest
                changed = True
        here += onward
        cuda.syncthreads()
    return changed


@_step
def _from(axis: Int, z: Any, y: Any, x: Any) -> Any:
    """What belongs to Z, Y and X, that of one axis first."""
    return (z, y, x) if axis == 0 else (y, z, x) if axis == 1 else (x, z, y)


@_step
def _settle(cube: Cube, steps: Reals, rule: Rule, edge: Int, extents: Triple) -> None:
    """Sweep there and back along all axes until no distance of the block falls any more."""
    falling = True
    while falling:
        changed = False
        for axis in range(3):
            onward, across, along = _from(axis, edge * edge, edge, 1)
            kinds = _from(axis, 9, 3, 1)
            planes, height, width = _from(axis, extents[0], extents[1], extents[2])
            inside = cuda.threadIdx.y < height and cuda.threadIdx.x < width
            first = onward + (cuda.threadIdx.y + 1) * across + (cuda.threadIdx.x + 1) * along
            last = first + (planes - 1) * onward
            there = (onward, across, along)
            back = (-onward, across, along)
            changed |= _sweep(cube, steps, rule, first, there, kinds, planes, inside)
            changed |= _sweep(cube, steps, rule, last, back, kinds, planes, inside)
        falling = cuda.syncthreads_or(np.int32(changed)) != 0


@_step
def _lies_in(z: Int, y: Int, x: Int, shape: Triple) -> bool:
    return bool(0 <= z < shape[0] and 0 <= y < shape[1] and 0 <= x < shape[2])


@_step
def _load(
    cube: Cube, image: NDArray[Any], distance: NDArray[Any], edge: Int, start: Triple
) -> None:
    """Copy a block with its halo; what lies outside the volume is never reached."""
    cells = cube.distance.size
    first = cuda.threadIdx.y * cuda.blockDim.x + cuda.threadIdx.x
    for cell in range(first, cells, cuda.blockDim.x * cuda.blockDim.y):
        z = start[0] + cell // (edge * edge) - 1
        y = start[1] + cell // edge % edge - 1
        x = start[2] + cell % edge - 1
        inside = _lies_in(z, y, x, distance.shape)
        cube.distance[cell] = distance[z, y, x] if inside else UNREACHED
        for channel in range(image.shape[0]):
            cube.image[channel * cells + cell] = image[channel, z, y, x] if inside else ZERO


@_step
def _beyond(place: Int, side: Int) -> int:
    """In which direction a neighbouring block sees a voxel; 0 where none does."""
    return -1 if place == 0 else 1 if place == side - 1 else 0


@_step
def _mark_around(marked: NDArray[np.uint8], block: Triple, place: Triple, side: Int) -> None:
    """Mark the neighbouring blocks in whose halo a voxel of this block lies."""
    toward_z = _beyond(place[0], side)
    toward_y = _beyond(place[1], side)
    toward_x = _beyond(place[2], side)
    for corner in range(1, 8):
        z = block[0] + (corner >> 2) * toward_z
        y = block[1] + (corner >> 1 & 1) * toward_y
        x = block[2] + (corner & 1) * toward_x
        other = z != block[0] or y != block[1] or x != block[2]
        if other and _lies_in(z, y, x, marked.shape):
            marked[z, y, x] = 1


@_step
def _store(
    cube: Cube,
    distance: NDArray[Any],
    marked: NDArray[np.uint8],
    block: Triple,
    extent: Triple,
    side: Int,
) -> None:
    """Write the distances that fell, and mark the blocks that they matter to."""
    v, u = cuda.threadIdx.y, cuda.threadIdx.x
    if v >= extent[1] or u >= extent[2]:
        return
    edge = side + 2
    y, x = block[1] * side + v, block[2] * side + u
    for p in range(extent[0]):
        z = block[0] * side + p
        lowest = cube.distance[((p + 1) * edge + v + 1) * edge + u + 1]
        if lowest < distance[z, y, x]:
            distance[z, y, x] = lowest
            _mark_around(marked, block, (p, v, u), side)


@_kernel
def relax_blocks(
    listed: NDArray[np.int32],
    image: NDArray[Any],
    distances: NDArray[Any],
    marked: NDArray[Any],
    steps: Reals,
    rule: Rule,
    side: Int,
) -> None:
    """Relax one listed block for each group of `side` x `side` threads.

    Parameters
    ----------
    listed
        Places in `marked` when that is flattened, without repeats; one for each group.
    image
        (channels, Z, Y, X) float32.
    distances
        (classes, Z, Y, X) float32, lowered in place.
    marked
        (classes, Z, Y, X) uint8 over blocks: which must be relaxed in the next launch.
    steps
        (2, 27) float32, `StepCost.coefficients` flattened.
    rule
        How a difference of intensity becomes a cost.
    side
        Voxels along each edge of a block, at least 2. The launch gives `shared_bytes`.
    """
    depth, height, width = marked.shape[1:]
    item = listed[cuda.blockIdx.x]
    which = item // (depth * height * width)
    block = item // (height * width) % depth, item // width % height, item % width
    start = block[0] * side, block[1] * side, block[2] * side
    extent = (
        min(side, distances.shape[1] - start[0]),
        min(side, distances.shape[2] - start[1]),
        min(side, distances.shape[3] - start[2]),
    )
    edge = side + 2
    cells = edge * edge * edge
    shared = cuda.shared.array(0, float32)
    cube = Cube(shared[:cells], shared[cells:], image.shape[0])
    _load(cube, image, distances[which], edge, start)
    cuda.syncthreads()
    _settle(cube, steps, rule, edge, extent)
    _store(cube, distances[which], marked[which], block, extent, side)


@_kernel
def clear(distances: Reals, marked: NDArray[np.uint8]) -> None:
    """Nothing is reached, no block is marked; both arrays are flat."""
    for i in range(cuda.grid(1), distances.size, cuda.gridsize(1)):
        distances[i] = UNREACHED
    for i in range(cuda.grid(1), marked.size, cuda.gridsize(1)):
        marked[i] = 0


@_kernel
def place_seeds(
    seeds: NDArray[np.int64], distance: NDArray[Any], marked: NDArray[Any], side: Int
) -> None:
    """Set the distance of one class's seeds to 0, and mark every block that sees one."""
    height, width = distance.shape[1:]
    for i in range(cuda.grid(1), seeds.size, cuda.gridsize(1)):
        z, y, x = seeds[i] // (height * width), seeds[i] // width % height, seeds[i] % width
        block = z // side, y // side, x // side
        distance[z, y, x] = ZERO
        marked[block[0], block[1], block[2]] = 1
        _mark_around(marked, block, (z % side, y % side, x % side), side)


@_kernel
def list_marked(
    marked: NDArray[np.uint8], listed: NDArray[np.int32], count: NDArray[np.int32]
) -> None:
    """Move the marks of flat `marked` into a list, in any order; `count` starts at 0."""
    for i in range(cuda.grid(1), marked.size, cuda.gridsize(1)):
        if marked[i]:
            marked[i] = 0
            listed[cuda.atomic.add(count, 0, 1)] = i
