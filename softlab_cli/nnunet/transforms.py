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
    back with the background before them. Where an augmentation brings in what lies beyond
    the volume, that is background; where it mixes labelled with ignored voxels, the labelled
    ones count.

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
        """Augment one sample.

        ``image`` has the image's channels, the classes but the background and, if there is
        one, the channel of what is ignored; it is given back with all classes after its own.
        """
        own = self.class_count - 1 + self.with_ignored
        image = sample["image"]
        sample["image"], sample[TARGET] = image[:-own], image[-own:]
        augmented: dict[str, Any] = self.transforms(**sample)
        soft = augmented.pop(TARGET, None)
        if soft is None or soft.shape[1:] != augmented["image"].shape[1:]:
            raise EngineError(
                "an augmentation lost the soft labels, or gave them another shape than the image.",
                remedy="Leave out augmentations that do not handle a regression target.",
            )
        augmented["image"] = self._joined(augmented["image"], soft)
        return augmented

    def _joined(self, image: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """The image's channels and (classes, *spatial) that add up to 1, or to 0 where ignored."""
        joined = image.new_empty((len(image) + self.class_count, *image.shape[1:]))
        joined[: len(image)] = image
        soft = joined[len(image) :]
        background, foreground = soft[0], soft[1:]
        torch.clamp(target[: len(foreground)], 0, 1, out=foreground)
        torch.sum(foreground, 0, out=background)
        if self.with_ignored:
            background += target[-1]
        background.neg_().add_(1).clamp_(min=0)
        if self.with_ignored:
            labelled = 1 - target[-1]
            soft.copy_(torch.where(labelled >= 0.5, soft / labelled.clamp(min=0.5), 0))
        return joined


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
