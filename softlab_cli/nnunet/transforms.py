"""Soft labels through nnU-Net's own augmentation, as its regression target."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from batchgeneratorsv2.transforms.base.basic_transform import BasicTransform

from softlab_cli.core.errors import EngineError

__all__ = ["SoftTargets"]

TARGET = "regression_target"


class SoftTargets(BasicTransform):
    """nnU-Net's augmentation, with soft labels that go the same way as the image.

    The last channels of the image are taken off, augmented as a regression target
    (moved and interpolated like the image, but not made noisy or bright), and put
    back. Where an augmentation brings in what lies beyond the volume, that is
    background; where it mixes labelled with ignored voxels, the labelled ones count.

    Parameters
    ----------
    transforms
        nnU-Net's augmentation.
    class_count
        Classes of the soft label, the background first.
    with_ignored
        Whether one more channel tells where nothing is labelled; it is not put back.

    Raises
    ------
    EngineError
        For an augmentation that does not know what to do with a regression target.
    """

    def __init__(self, transforms: BasicTransform, class_count: int, with_ignored: bool) -> None:
        super().__init__()
        unable = sorted({type(part).__name__ for part in _parts(transforms) if _is_unable(part)})
        if unable:
            raise EngineError(
                f"the augmentation {', '.join(unable)} would lose the soft labels: it has no "
                "_apply_to_regr_target.",
                remedy="Give it one, or leave it out.",
            )
        self.transforms = transforms
        self.class_count = class_count
        self.with_ignored = with_ignored

    def __call__(self, **sample: Any) -> dict[str, Any]:
        """Augment one sample; ``image`` (channels + classes, *spatial) keeps its channels."""
        own = self.class_count + self.with_ignored
        image = sample["image"]
        sample["image"], sample[TARGET] = image[:-own], image[-own:]
        augmented: dict[str, Any] = self.transforms(**sample)
        soft = augmented.pop(TARGET, None)
        if soft is None or soft.shape[1:] != augmented["image"].shape[1:]:
            raise EngineError(
                "an augmentation lost the soft labels, or gave them another shape than the image.",
                remedy="Leave out augmentations that do not handle a regression target.",
            )
        augmented["image"] = torch.cat((augmented["image"], self._settled(soft)))
        return augmented

    def _settled(self, soft: torch.Tensor) -> torch.Tensor:
        """(classes, *spatial) that add up to 1, or to 0 where most was ignored."""
        soft = soft.clamp(0, 1)
        soft[0] += (1 - soft.sum(0)).clamp(min=0)
        if not self.with_ignored:
            return soft
        labelled = 1 - soft[-1]
        return torch.where(labelled >= 0.5, soft[:-1] / labelled.clamp(min=0.5), 0)


def _parts(transform: BasicTransform) -> Iterator[BasicTransform]:
    """A transform and all that it is made of."""
    yield transform
    for value in vars(transform).values():
        for part in value if isinstance(value, list | tuple) else [value]:
            if isinstance(part, BasicTransform):
                yield from _parts(part)


def _is_unable(transform: BasicTransform) -> bool:
    """Whether a transform does nothing of its own with a regression target, and so returns None."""
    kind = type(transform)
    inherited = ("__call__", "apply", "_apply_to_regr_target")
    return all(getattr(kind, name) is getattr(BasicTransform, name) for name in inherited)
