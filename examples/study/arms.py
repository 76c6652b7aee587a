"""What is compared: soft labels (arms), and the settings that each of them is trained in.

An arm is a command of softlab that makes a store from the raters' label maps. All arms of a
setting and a seed see the same patches in the same order, from the same network: what
differs is the soft label alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Arm:
    """A soft label to train on.

    Parameters
    ----------
    command
        What is typed after ``softlab``, without inputs and output.
    all_raters
        Whether it is made from all raters, or from the first one.
    random_rater
        Whether a step trains on what one rater drew, who is drawn anew each time, in place
        of the soft label.
    """

    command: str
    all_raters: bool = True
    random_rater: bool = False


SEVERAL_RATERS = {
    "majority": Arm("fuse --method majority"),
    "one-rater": Arm("onehot", all_raters=False),
    "random-rater": Arm("fuse --method mean --keep-raters", random_rater=True),
    "staple": Arm("fuse --method staple"),
    "moh": Arm("fuse --method mean"),
    "msvls": Arm("msvls"),
}
OF_FIRST_RATER = {
    "svls-one": Arm("svls", all_raters=False),
    "learned-one": Arm(
        "vls --engine crossfit --base svls --smoothing 0.4 --folds 2 --group-by '^([^_]+)_'",
        all_raters=False,
    ),
}
"""What smoothing, and learning, make of the first rater alone."""

ONE_RATER = {
    "onehot": Arm("onehot", all_raters=False),
    "ls": Arm("ls --smoothing 0.1", all_raters=False),
    "svls": Arm("svls", all_raters=False),
    "geols": Arm("geols --smoothing 0.1", all_raters=False),
}


@dataclass(frozen=True)
class Setting:
    """Data, loss and length of training.

    Parameters
    ----------
    data
        ``lidc`` or ``hippocampus``.
    arms
        Name to arm; the first one is what the others are compared with.
    loss
        ``ce``: `SoftCrossEntropy`; ``combined``: `CombinedLoss`, which adds the Dice
        semimetric.
    steps, batch
        Length of training, and patches a step.
    patch
        Voxels of a patch; None for whole cases.
    cases
        Cases to train on; None for all.
    ndim
        2 or 3.
    calibrated
        Arms that are also judged after an isotonic calibration on the validation cases: what
        may be done after training, in place of soft labels or besides.
    """

    data: str
    arms: Mapping[str, Arm]
    loss: str
    steps: int
    batch: int
    ndim: int
    calibrated: tuple[str, ...]
    patch: tuple[int, ...] | None = None
    cases: int | None = None


SEEDS = (0, 1, 2)
PATCH = (32, 40, 32)
OF_SEVERAL, OF_ONE = ("majority", "msvls"), ("onehot", "svls")
SETTINGS = {
    "lidc-ce": Setting("lidc", SEVERAL_RATERS | OF_FIRST_RATER, "ce", 800, 16, 2, OF_SEVERAL),
    "lidc-combined": Setting("lidc", SEVERAL_RATERS, "combined", 800, 16, 2, OF_SEVERAL),
    "hippocampus-6": Setting("hippocampus", ONE_RATER, "ce", 600, 2, 3, OF_ONE, PATCH, 6),
    "hippocampus-40": Setting("hippocampus", ONE_RATER, "ce", 600, 2, 3, OF_ONE, PATCH, 40),
}
