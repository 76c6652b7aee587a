"""Other ways from a label map file to an array of soft labels on disk.

Each is run as a process: ``python -m tests.benchmarks.peers NAME --source FILE
--out FOLDER --classes C``; ``torch`` takes several raters, a file each. All read
with SimpleITK, as softlab does, compute in float32 and keep float16. A volume is
processed in boxes only as far as memory (12 GiB) demands, and the boxes are whole
chunks of the output, so that no chunk is written twice.

The last line of the output tells the times, as JSON. ``--every N`` does one box
in N and extrapolates; the tables say so where it was used.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import math
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["PEERS", "svls_kernel"]

Box = tuple[slice, slice, slice, slice]
Values = NDArray[Any]
Softener = Callable[[list[Values], slice], Values]

GIB = 2**30
INFLATED_BYTES = 2**18
"""Inflated at a time: they stay in the cache, which takes half as long as all at once."""
BUDGET = 10 * GIB
TORCH_BYTES = 21
"""Bytes that the convolution needs for a voxel and class, as measured."""


def svls_kernel(sigma: float = 1.0) -> NDArray[np.float64]:
    """(3, 3, 3) weights of SVLS with sum 1: a Gaussian whose centre is the sum of the rest."""
    squares = np.array([1.0, 0.0, 1.0])
    distance = squares[:, None, None] + squares[:, None] + squares
    weights: NDArray[np.float64] = np.exp(-distance / (2 * sigma**2))
    weights[1, 1, 1] = weights.sum() - weights[1, 1, 1]
    weights /= weights.sum()
    return weights


# ---- what softens: (z+2, y+2, x+2) label values of each rater, classes -> (c, z, y, x) float16 --


def torch_softener() -> Softener:
    """Depthwise convolution of the one-hot volume, as the SVLS paper does it.

    Of several raters the mean is taken (mSVLS).

    The label map is padded in place of the one-hot volume, and the weights are
    divided by their sum in place of the result: the same values, sooner.
    """
    import torch

    torch.set_num_threads(1)
    kernel = torch.from_numpy(svls_kernel()).float()

    def convolve(label_map: Values, classes: slice) -> torch.Tensor:
        values = torch.arange(classes.start, classes.stop, dtype=torch.uint8)
        one_hot = (torch.from_numpy(label_map) == values[:, None, None, None]).float()
        weights = kernel.expand(len(values), 1, 3, 3, 3).contiguous()
        with torch.no_grad():
            return torch.nn.functional.conv3d(one_hot[None], weights, groups=len(values))[0]

    def soften(label_maps: list[Values], classes: slice) -> Values:
        soft = convolve(label_maps[0], classes)
        for label_map in label_maps[1:]:
            soft += convolve(label_map, classes)
        if len(label_maps) > 1:
            soft /= len(label_maps)
        result: Values = soft.half().numpy()
        return result

    return soften


def convolve_softener() -> Softener:
    """scipy.ndimage.convolve, class by class."""
    from scipy import ndimage  # type: ignore[import-untyped,unused-ignore]

    kernel = svls_kernel().astype(np.float32)
    return _class_by_class(lambda mask: ndimage.convolve(mask, kernel, mode="nearest"))


def gaussian_softener() -> Softener:
    """scipy.ndimage.gaussian_filter, class by class: three passes in place of one 3D one.

    With G the 3-wide Gaussian of sum 1 and g its centre, the kernel of SVLS is
    (G - g) / (2 (1 - g)) + 1/2 at the centre.
    """
    from scipy import ndimage  # type: ignore[import-untyped,unused-ignore]

    centre = 1 / (1 + 2 * np.exp(-0.5)) ** 3
    outside = np.float32(1 / (2 * (1 - centre)))
    inside = np.float32(0.5 - centre * outside)

    def smooth(mask: Values) -> Values:
        soft: Values = ndimage.gaussian_filter(mask, 1.0, mode="nearest", radius=1)
        soft *= outside
        soft += inside * mask
        return soft

    return _class_by_class(smooth)


def _class_by_class(smooth: Callable[[Values], Values]) -> Softener:
    def soften(label_maps: list[Values], classes: slice) -> Values:
        (label_map,) = label_maps
        z, y, x = (n - 2 for n in label_map.shape)
        soft = np.empty((classes.stop - classes.start, z, y, x), np.float16)
        for place, value in enumerate(range(classes.start, classes.stop)):
            smoothed = smooth((label_map == value).astype(np.float32))
            soft[place] = smoothed[1:-1, 1:-1, 1:-1]
        return soft

    return soften


# ---- where it goes --------------------------------------------------------------------------


def default_array(out: Path, shape: tuple[int, ...]) -> Any:
    """What zarr-python makes when only shape and type are given."""
    import zarr

    return zarr.create_array(out, shape=shape, dtype="float16")


def our_array(out: Path, shape: tuple[int, ...]) -> Any:
    """The layout of softlab's store."""
    import zarr
    from zarr.codecs import ZstdCodec

    shard = tuple(min(256, -(-n // 64) * 64) for n in shape[1:])
    return zarr.create_array(
        out,
        shape=shape,
        dtype="float16",
        chunks=(1, 64, 64, 64),
        shards=(shape[0], *shard),
        compressors=ZstdCodec(level=1),
    )


def boxes(shape: tuple[int, ...], unit: tuple[int, ...], most: float) -> list[Box]:
    """Boxes of whole units with at most `most` values, cut along Z and then along classes."""
    step = list(shape)
    for axis in (1, 0, 2, 3):
        while np.prod(step, dtype=float) > most and step[axis] > unit[axis]:
            step[axis] = (step[axis] - 1) // unit[axis] * unit[axis]
    starts = itertools.product(*(range(0, n, s) for n, s in zip(shape, step, strict=True)))
    return [
        tuple(slice(a, min(a + s, n)) for a, s, n in zip(start, step, shape, strict=True))  # type: ignore[misc]
        for start in starts
    ]


def _size(box: Box) -> int:
    return math.prod(s.stop - s.start for s in box)


# ---- the peers ------------------------------------------------------------------------------


@dataclass
class Clock:
    """Times of one peer: what is done once, and what is done for each box.

    `done` and `total` count values, not boxes: the last boxes are smaller.
    """

    fixed_s: float = 0.0
    boxes_s: float = 0.0
    done: int = 0
    total: int = 0
    started: float = field(default_factory=time.perf_counter)

    def lap(self) -> float:
        """Seconds since the last lap."""
        before, self.started = self.started, time.perf_counter()
        return self.started - before

    def each(self, every: list[Box], step: int) -> Iterator[Box]:
        """The boxes to do, one in `step`, spread over the volume."""
        step = min(step, len(every))
        self.total += sum(map(_size, every))
        for box in every[step // 2 :: step]:
            yield box
            self.done += _size(box)

    def report(self) -> dict[str, float]:
        """For the last line of output."""
        left_out = self.boxes_s * (self.total / self.done - 1)
        return {
            "job_s": self.fixed_s + self.boxes_s + left_out,
            "left_out_s": left_out,
            "share": self.done / self.total,
        }


def warm_up(make_array: Callable[..., Any], soften: Softener | None = None) -> None:
    """Do it once on next to nothing: what is set up on first use is no part of the job."""
    with tempfile.TemporaryDirectory() as folder:
        array = make_array(Path(folder) / "small", (5, 16, 16, 16))
        label_map = np.zeros((18, 18, 18), np.uint8)
        array[...] = soften([label_map], slice(0, 5)) if soften else np.ones(array.shape, "f2")


def read_label_map(source: Path) -> Values:
    """(Z, Y, X) label values of a file."""
    import SimpleITK as sitk

    label_map: Values = sitk.GetArrayFromImage(sitk.ReadImage(str(source)))
    return label_map


def soften_whole(args: argparse.Namespace) -> Clock:
    """File to store with one of the softeners above."""
    make_softener, make_array, bytes_each = SOFTENERS[args.peer]
    import SimpleITK  # noqa: F401  (before the clock starts)

    soften = make_softener()
    warm_up(make_array, soften)
    clock = Clock()
    label_maps = [read_label_map(source) for source in args.source]
    array = make_array(args.out, (args.classes, *label_maps[0].shape))
    padded = [np.pad(label_map, 1, mode="edge") for label_map in label_maps]
    todo = boxes(array.shape, array.shards or array.chunks, BUDGET / bytes_each)
    clock.fixed_s += clock.lap()
    for box in clock.each(todo, args.every):
        z, y, x = (slice(s.start, s.stop + 2) for s in box[1:])
        array[box] = soften([label_map[z, y, x] for label_map in padded], box[0])
        clock.boxes_s += clock.lap()
    return clock


def write_only(args: argparse.Namespace) -> Clock:
    """zarr-python writes the finished array; only the writing is timed."""
    import zarr

    (path,) = args.finished
    finished = zarr.open_array(path, mode="r")
    array = our_array(args.out, finished.shape)
    if (array.chunks, array.shards) != (finished.chunks, finished.shards):
        raise SystemExit(f"{path}: the layout is not that of `our_array`.")
    warm_up(our_array)
    clock = Clock()
    for box in clock.each(boxes(array.shape, array.shards, BUDGET / 6), args.every):
        values = np.ascontiguousarray(finished[box])
        clock.lap()
        array[box] = values
        clock.boxes_s += clock.lap()
    return clock


def floor(args: argparse.Namespace) -> Clock:
    """Read, sum and inflate the input, compress the chunks of both finished arrays, write them.

    No less can be done by any program with this input and this output format: sha256 of the
    source, the fastest inflation that we know, and no waiting for the disk. Reading the finished
    store is not timed.
    """
    import zarr
    from isal import isal_zlib
    from zstandard import ZstdCompressor

    from softlab_cli.store.codec import COMPRESSION

    arrays = [zarr.open_array(finished, mode="r") for finished in args.finished]
    args.out.mkdir(parents=True)
    compressor = ZstdCompressor(compression_params=COMPRESSION)
    clock = Clock()
    packed = args.source[0].read_bytes()
    hashlib.sha256(packed).hexdigest()
    inflater = isal_zlib.decompressobj(isal_zlib.MAX_WBITS | 16)
    while not inflater.eof:
        inflater.decompress(packed, INFLATED_BYTES)
        packed = inflater.unconsumed_tail
    clock.fixed_s += clock.lap()
    for name, finished in enumerate(arrays):
        todo = boxes(finished.shape, finished.shards or finished.chunks, BUDGET / 6)
        for number, box in enumerate(clock.each(todo, args.every)):
            chunks = list(_chunks(np.asarray(finished[box]), finished.chunks))
            clock.lap()
            with (args.out / f"{name}-{number}").open("wb") as shard:
                for chunk in chunks:
                    shard.write(compressor.compress(chunk))
            clock.boxes_s += clock.lap()
    return clock


def _chunks(values: Values, chunk: tuple[int, ...]) -> Iterator[memoryview]:
    """Chunks of a shard that are not all zero, filled up with zeros at the far faces."""
    padded = np.pad(values, [(0, -n % c) for n, c in zip(values.shape, chunk, strict=True)])
    for start in itertools.product(
        *(range(0, n, c) for n, c in zip(padded.shape, chunk, strict=True))
    ):
        part = padded[tuple(slice(a, a + c) for a, c in zip(start, chunk, strict=True))]
        if part.any():
            yield np.ascontiguousarray(part).data.cast("B")


SOFTENERS: dict[str, tuple[Callable[[], Softener], Callable[..., Any], int]] = {
    "torch": (torch_softener, default_array, TORCH_BYTES),
    "convolve": (convolve_softener, our_array, 6),
    "gaussian": (gaussian_softener, our_array, 6),
}
PEERS: dict[str, Callable[[argparse.Namespace], Clock]] = {
    **dict.fromkeys(SOFTENERS, soften_whole),
    "write-only": write_only,
    "floor": floor,
}


def main() -> None:
    """Run one peer and print its times."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--source", type=Path, nargs="+", help="label map of each rater")
    parser.add_argument("--finished", type=Path, nargs="+", help="arrays that softlab wrote")
    parser.add_argument("--out", type=Path, required=True, help="folder to write")
    parser.add_argument("--classes", type=int, help="label values 0..CLASSES-1")
    parser.add_argument("--every", type=int, default=1, help="do one box in EVERY")
    args = parser.parse_args()
    print(json.dumps(PEERS[args.peer](args).report()))


if __name__ == "__main__":
    main()
