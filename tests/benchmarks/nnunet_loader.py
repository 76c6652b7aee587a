"""What soft labels cost nnU-Net's loader: processor seconds of a batch, with and without, in turns.

The data set is synthetic: five classes, patches of 96 x 96 x 80, batches of 2, loaded in this
process with nnU-Net's whole augmentation. The last line of the output tells, as JSON, the
seconds of a batch, and of those with the hook how many are spent reading the store.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from .inputs import ROOT

PATCH = (96, 96, 80)
LABELS = {"background": 0, **{f"label_{i}": i for i in range(1, 5)}}


def main() -> None:
    """Measure, and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=24, help="batches of each loader")
    count = parser.parse_args().count
    os.environ["nnUNet_n_proc_DA"] = "0"  # noqa: SIM112 - nnU-Net spells it so; loads in this process
    stock, soft = _loaders()
    reading = _Stopwatch()
    _time_reading(reading)
    seconds: dict[str, list[float]] = {"stock": [], "soft": []}
    for loader in (stock, soft):  # the first batches open files and compile
        next(loader)
    reading.total = 0.0
    for number in range(count):
        for name, loader in (("stock", stock), ("soft", soft)):
            _draw_alike(number)
            start = time.process_time()
            next(loader)
            seconds[name].append(time.process_time() - start)
    # Means: of the augmentations, which take most of the time, each batch draws only some.
    facts = {name: statistics.mean(values) for name, values in seconds.items()}
    facts |= {"ratio": facts["soft"] / facts["stock"], "reading": reading.total / count}
    print(json.dumps(facts))


def _draw_alike(number: int) -> None:
    """Have both loaders draw the same patches and augmentations for a batch."""
    import torch

    np.random.seed(number)  # noqa: NPY002 - nnU-Net draws from the global generators
    torch.manual_seed(number)


def _loaders() -> tuple[Any, Any]:
    """nnU-Net's own training loader, and the one with soft labels."""
    from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

    from softlab_cli.nnunet.preprocess import preprocess

    from ..nnunet_support import make_dataset, make_trainer, preprocess_as_nnunet_does, silence

    root = ROOT / "inputs" / "nnunet"
    shutil.rmtree(root, ignore_errors=True)
    dataset = make_dataset(root, labels=LABELS, shape=(112, 112, 96), patch=PATCH, case_count=4)
    os.environ.update(dataset.environment())
    preprocess_as_nnunet_does(dataset)
    preprocess("501", ["3d_fullres"], "svls", threads=1)
    made = []
    for kind in (nnUNetTrainer, None):
        trainer = make_trainer(dataset, "svls", kind=kind)
        with silence():
            made.append(trainer.get_dataloaders()[0])
    return made[0], made[1]


class _Stopwatch:
    """Processor seconds of all calls of a function."""

    def __init__(self) -> None:
        self.total = 0.0

    def around(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.process_time()
            try:
                return function(*args, **kwargs)
            finally:
                self.total += time.process_time() - start

        return timed


def _time_reading(stopwatch: _Stopwatch) -> None:
    from softlab_cli.store.reader import Case

    Case.read = stopwatch.around(Case.read)  # type: ignore[method-assign]


if __name__ == "__main__":
    main()
