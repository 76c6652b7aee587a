"""Random 128^3 patches from one store: softlab's reader and others, in turns.

The last line of the output tells the median milliseconds of each, as JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["READERS", "time_patches"]

PATCH = 128
Region = tuple[slice, slice, slice]
Reader = Callable[[Region], Any]


def softlab_reader(store: Path, case_id: str) -> Reader:
    """The direct shard reader."""
    import softlab_cli

    case = softlab_cli.open_store(store)[case_id]
    return lambda region: case.read(region)


def zarr_reader(store: Path, case_id: str) -> Reader:
    """zarr-python on the same files."""
    import zarr

    array = zarr.open_array(store / case_id / "soft", mode="r")
    return lambda region: array[(slice(None), *region)]


def tensorstore_reader(store: Path, case_id: str) -> Reader:
    """tensorstore on the same files, with one thread."""
    import tensorstore

    spec = {
        "driver": "zarr3",
        "kvstore": {"driver": "file", "path": str((store / case_id / "soft").resolve())},
        "context": {
            "data_copy_concurrency": {"limit": 1},
            "file_io_concurrency": {"limit": 1},
        },
    }
    array = tensorstore.open(spec, read=True).result()
    return lambda region: array[(slice(None), *region)].read().result()


READERS: dict[str, Callable[[Path, str], Reader]] = {
    "softlab": softlab_reader,
    "zarr-python": zarr_reader,
    "tensorstore": tensorstore_reader,
}


def time_patches(
    readers: dict[str, Reader], shape: tuple[int, ...], count: int
) -> dict[str, float]:
    """Median milliseconds of a patch; every reader gets the same patches, in turns.

    The first patch of each reader does not count.
    """
    chance = random.Random(0)
    times: dict[str, list[float]] = {name: [] for name in readers}
    for _ in range(count + 1):
        region = _random_region(chance, shape)
        patches = {}
        for name, read in readers.items():
            start = time.perf_counter()
            patches[name] = read(region)
            times[name].append(time.perf_counter() - start)
        _check_equal(patches, region)
    return {name: 1000 * statistics.median(seconds[1:]) for name, seconds in times.items()}


def _random_region(chance: random.Random, shape: tuple[int, ...]) -> Region:
    z, y, x = (chance.randint(0, n - PATCH) for n in shape)
    return slice(z, z + PATCH), slice(y, y + PATCH), slice(x, x + PATCH)


def _check_equal(patches: dict[str, Any], region: Region) -> None:
    (_, first), *others = patches.items()
    for name, patch in others:
        if not np.array_equal(first, patch):
            raise SystemExit(f"{name} reads other values than softlab at {region}.")


def main() -> None:
    """Time the readers and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("case_id")
    parser.add_argument("--count", type=int, default=20, help="patches that count")
    args = parser.parse_args()
    described = json.loads((args.store / args.case_id / "soft" / "zarr.json").read_text())
    readers = {name: make(args.store, args.case_id) for name, make in READERS.items()}
    print(json.dumps(time_patches(readers, tuple(described["shape"][1:]), args.count)))


if __name__ == "__main__":
    main()
