"""A trainer of one's own: `SoftLabMixin` before a trainer of nnU-Net, here with short epochs."""

import torch
from nnunetv2.training.nnUNetTrainer.nnUNetTrainer import nnUNetTrainer

from softlab_cli.nnunet.trainer import SoftLabMixin


class nnUNetTrainerSoftLabShort(SoftLabMixin, nnUNetTrainer):
    """Two epochs of ten steps."""

    # nnU-Net looks the parameters up by these names.
    def __init__(self, plans, configuration, fold, dataset_json, device=torch.device("cuda")):  # noqa: B008
        super().__init__(plans, configuration, fold, dataset_json, device)
        self.num_epochs = 2
        self.num_iterations_per_epoch = 10
        self.num_val_iterations_per_epoch = 2
