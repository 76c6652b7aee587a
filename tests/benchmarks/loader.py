"""Patches per second, store to tensor, in a DataLoader: softlab and other ways, in turns.

All ways get the same patches of one label map with the same sampler, and return
a (C, *patch) float16 tensor. The last line of the output tells, as JSON, the
patches per second of each way and the processor seconds of a patch.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from softlab_cli.trainers import SoftLabelDataset

from .patches import zarr_reader
from .peers import torch_softener

__all__ = ["WAYS"]

Region = tuple[slice, slice, slice]


class Patches(Dataset[torch.Tensor]):
    """Random patches of a case; what reads them is made in the worker.

    Parameters
    ----------
    store, case_id
        The case.
    make
        Gives a function from region to (C, *patch) float16.
    shape
        Voxels of the case.
    patch
        Voxels along each axis of a patch.
    count
        Patches in an epoch.
    """

    def __init__(
        self, store: Path, case_id: str, make: Any, shape: tuple[int, ...], patch: int, count: int
    ) -> None:
        self.arguments = store, case_id
        self.make, self.shape, self.patch, self.count = make, shape, patch, count
        self.read: Callable[[Region], Any] | None = None

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.read is None:
            torch.set_num_threads(1)
            self.read = self.make(*self.arguments)
        chance = random.Random(index)
        starts = [chance.randint(0, n - self.patch) for n in self.shape]
        z, y, x = (slice(a, a + self.patch) for a in starts)
        return torch.from_numpy(np.asarray(self.read((z, y, x))))


def svls_on_read(store: Path, case_id: str) -> Callable[[Region], Any]:
    """The label map in memory; SVLS of each patch by torch's conv3d."""
    import softlab_cli

    case = softlab_cli.open_store(store)[case_id]
    label_map = np.pad(case.read_label(), 1, mode="edge")
    soften, classes = torch_softener(), slice(0, len(case.classes))

    def read(region: Region) -> Any:
        z, y, x = (slice(s.start, s.stop + 2) for s in region)
        return soften([np.ascontiguousarray(label_map[z, y, x])], classes)

    return read


class OurPatches(SoftLabelDataset):
    """softlab's data set, its soft label alone, as the other ways return it."""

    def __getitem__(self, index: int) -> Any:
        return super().__getitem__(index)["soft"]


def ours(store: Path, case_id: str, shape: tuple[int, ...], patch: int, count: int) -> Any:
    """softlab: draws foreground, reads the hard label too."""
    return OurPatches(
        store, images=False, cases=[case_id], patch_size=patch, samples_per_case=count,
        soft_dtype=torch.float16,
    )  # fmt: skip


def by(make: Callable[[Path, str], Any]) -> Callable[..., Any]:
    """A way that only has a function from region to patch."""
    return lambda store, case_id, shape, patch, count: Patches(
        store, case_id, make, shape, patch, count
    )


WAYS = {"softlab": ours, "zarr-python": by(zarr_reader), "conv3d": by(svls_on_read)}


def epoch(data: Any, workers: int) -> dict[str, float]:
    """Patches per second after the first of each worker, and processor seconds of a patch."""
    before = cpu_seconds()
    loader = iter(DataLoader(data, batch_size=None, num_workers=workers))
    for _ in range(workers):
        next(loader)
    start, done = time.perf_counter(), 0
    for _ in loader:
        done += 1
    seconds = time.perf_counter() - start
    del loader
    return {"per_s": done / seconds, "cpu_s": (cpu_seconds() - before) / len(data)}


def cpu_seconds() -> float:
    """Of this process and of those that it started and that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def main() -> None:
    """Time all ways in turns and print the medians."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("store", type=Path)
    parser.add_argument("case_id")
    parser.add_argument("--patch", type=int, default=96)
    parser.add_argument("--count", type=int, default=40, help="patches in an epoch")
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    described = json.loads((args.store / args.case_id / "labels/label/0/zarr.json").read_text())
    place = args.store, args.case_id, tuple(described["shape"]), args.patch, args.count
    found: dict[str, list[dict[str, float]]] = {name: [] for name in WAYS}
    for _ in range(args.repeats):
        for name, make in WAYS.items():
            found[name].append(epoch(make(*place), args.workers))
    print(json.dumps({
        name: {key: statistics.median(run[key] for run in runs) for key in runs[0]}
        for name, runs in found.items()
    }))  # fmt: skip


if __name__ == "__main__":
    main()
