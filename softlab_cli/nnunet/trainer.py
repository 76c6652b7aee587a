"""nnU-Net's trainer, with soft labels.

``nnUNetTrainerSoftLab`` is the stock trainer with `SoftLabMixin` before it. The mixin
goes before any other trainer as well. Put this into a file of a folder of your own,
and name that folder, too, in ``nnUNet_extTrainer`` (folders are separated by ``:``)::

    from nnunetv2.training.nnUNetTrainer.variants.data_augmentation.nnUNetTrainerDA5 import (
        nnUNetTrainerDA5,
    )
    from softlab_cli.nnunet.trainer import SoftLabMixin

    class nnUNetTrainerSoftLabDA5(SoftLabMixin, nnUNetTrainerDA5):
        pass

A trainer with an ``__init__`` of its own must name its parameters as nnU-Net's has
them: nnU-Net looks them up by name.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nnunetv2.training.loss.deep_supervision import DeepSupervisionWrapper
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from softlab_cli.nnunet.checkpoints import make_portable
from softlab_cli.nnunet.dataset import SoftDataset, check_store
from softlab_cli.nnunet.loss import LabelRegions, SoftTargetLoss, combined_loss
from softlab_cli.nnunet.paths import find_store
from softlab_cli.nnunet.transforms import SoftTargets
from softlab_cli.store.reader import Store

__all__ = ["SoftLabMixin", "nnUNetTrainerSoftLab"]

STORE_VARIABLE = "SOFTLAB_STORE"
"""Names the store to train from, where there are several."""

CLASSES_AT_EASE = 16
"""Above this, loading takes several times as long as without soft labels."""

CHECKPOINTS = ("checkpoint_final.pth", "checkpoint_best.pth")


class SoftLabMixin(nnUNetTrainer):
    """Adds soft labels to a trainer of nnU-Net; put it before that trainer.

    Soft labels come from the store that ``SOFTLAB_STORE`` names, or from the only one
    that the configuration has. Sampling, augmentation, network, optimiser, validation
    and prediction are those of the trainer behind it; the loss is soft cross-entropy
    and the Dice semimetric loss.
    """

    @property
    def softlab_labels(self) -> list[int]:
        """Label values of the classes, without the ignore label."""
        ignored = self.label_manager.ignore_label
        return [int(label) for label in self.label_manager.all_labels if label != ignored]

    def get_tr_and_val_datasets(self) -> tuple[SoftDataset, SoftDataset]:
        """nnU-Net's data sets, with soft labels.

        Raises
        ------
        StoreError
            When there is no store, or it does not belong to these cases.
        """
        training, validation = super().get_tr_and_val_datasets()
        store = self._softlab_store({*training.identifiers, *validation.identifiers})
        ignore = self.label_manager.has_ignore_label
        return SoftDataset(training, store, ignore), SoftDataset(validation, store, ignore)

    def get_training_transforms(self, *args: Any, **kwargs: Any) -> SoftTargets:
        """nnU-Net's augmentation, with soft labels."""
        return self._softlab_transforms(super().get_training_transforms(*args, **kwargs))

    def get_validation_transforms(self, *args: Any, **kwargs: Any) -> SoftTargets:
        """nnU-Net's preparation of validation samples, with soft labels."""
        return self._softlab_transforms(super().get_validation_transforms(*args, **kwargs))

    def train_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, after the loss got the soft labels."""
        result: dict[str, Any] = super().train_step(self._softlab_split(batch))
        return result

    def validation_step(self, batch: dict[str, Any]) -> dict[str, Any]:
        """nnU-Net's step, after the loss got the soft labels."""
        result: dict[str, Any] = super().validation_step(self._softlab_split(batch))
        return result

    def on_train_end(self) -> None:
        """nnU-Net's, and checkpoints that predict without softlab."""
        super().on_train_end()
        stock = next(
            kind.__name__ for kind in type(self).__mro__ if kind.__module__.startswith("nnunetv2.")
        )
        for name in CHECKPOINTS:
            path = Path(self.output_folder) / name
            if self.local_rank == 0 and path.is_file():
                make_portable(path, stock)

    def _build_loss(self) -> SoftTargetLoss:
        labels = self.label_manager
        stock = super()._build_loss()
        scales = stock.weight_factors if isinstance(stock, DeepSupervisionWrapper) else None
        sets = labels.foreground_regions if labels.has_regions else []
        loss = combined_loss(
            region_count=len(sets),
            ignore=labels.has_ignore_label,
            batch_dice=self.configuration_manager.batch_dice,
            gather=self.is_ddp,
        )
        regions = LabelRegions(sets, self.softlab_labels) if sets else None
        return SoftTargetLoss(loss, scales, regions, labels.ignore_label).to(self.device)

    def _softlab_store(self, identifiers: set[str]) -> Store:
        folder = Path(self.preprocessed_dataset_folder)
        path = find_store(folder.parent, folder.name, os.environ.get(STORE_VARIABLE))
        store = Store(path)
        check_store(store, folder, sorted(identifiers), self.softlab_labels)
        self.print_to_log_file(f"softlab: soft labels from {path} ({store.info.method})")
        if len(self.softlab_labels) > CLASSES_AT_EASE:
            self.print_to_log_file(
                f"softlab: WARNING: {len(self.softlab_labels)} classes are as many further "
                "channels to crop and rotate; loading will take several times as long. "
                "Raise nnUNet_n_proc_DA if the GPU has to wait."
            )
        return store

    def _softlab_transforms(self, transforms: Any) -> SoftTargets:
        ignore = self.label_manager.has_ignore_label
        return SoftTargets(transforms, len(self.softlab_labels), ignore)

    def _softlab_split(self, batch: dict[str, Any]) -> dict[str, Any]:
        """Hand the soft labels to the loss; the rest is what nnU-Net expects."""
        own = len(self.softlab_labels)
        data = batch["data"].to(self.device, non_blocking=True)
        self.loss.soft = data[:, -own:]
        return {**batch, "data": data[:, :-own].contiguous()}


class nnUNetTrainerSoftLab(SoftLabMixin):
    """nnU-Net's default trainer with soft labels."""
