"""nnU-Net looks for trainers here: every module of this folder is imported by its bare name."""

from softlab_cli.nnunet.trainer import nnUNetTrainerSoftLab  # noqa: F401
