"""A tiny data set, planned by hand and preprocessed by nnU-Net itself, in seconds."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from tests.conftest import blobs, write_image

NAME = "Dataset501_Tiny"
LABELS = {"background": 0, "one": 1, "two": 2, "three": 3}
RESAMPLING = {
    "is_seg": False, "order": 3, "order_z": 0, "force_separate_z": None,
}  # fmt: skip


@dataclass(frozen=True)
class Dataset:
    """Where nnU-Net's three folders are, and what the data set is called in them."""

    root: Path
    name: str = NAME

    @property
    def preprocessed(self) -> Path:
        return self.root / "preprocessed" / self.name

    @property
    def labels(self) -> Path:
        return self.root / "raw" / self.name / "labelsTr"

    def environment(self) -> dict[str, str]:
        folders = {"nnUNet_raw": "raw", "nnUNet_preprocessed": "preprocessed",
                   "nnUNet_results": "results"}  # fmt: skip
        return {name: str(self.root / folder) for name, folder in folders.items()}


def make_dataset(
    root: Path,
    *,
    labels: Mapping[str, Any] = LABELS,
    spacing_mm: Sequence[float] = (1.0, 1.0, 1.0),
    target_mm: Sequence[float] = (1.0, 1.0, 1.0),
    shape: tuple[int, int, int] = (36, 40, 44),
    case_count: int = 3,
    transpose: Sequence[int] = (0, 1, 2),
    patch: Sequence[int] = (32, 32, 32),
    dataset_facts: Mapping[str, Any] | None = None,
) -> Dataset:
    """Label maps with an image that shows them, and plans for 3d_fullres and 2d."""
    dataset = Dataset(root)
    raw = root / "raw" / NAME
    values = [v for v in labels.values() if isinstance(v, int)] + [
        i for v in labels.values() if isinstance(v, list) for i in v
    ]
    for number in range(case_count):
        indices = blobs(shape, max(values) + 1, seed=number)
        rng = np.random.default_rng(number)
        image = indices * 100.0 + rng.normal(0, 20, shape) + 50
        for outside in (np.s_[:, :3], np.s_[:8, :12, :8]):  # cropped; inside the box, but empty
            image[outside] = 0
            indices[outside] = 0
        write_image(raw / "labelsTr" / f"case{number}.nii.gz", indices, tuple(spacing_mm))
        write_image(
            raw / "imagesTr" / f"case{number}_0000.nii.gz", image.astype(np.float32),
            tuple(spacing_mm),
        )  # fmt: skip
    facts = {
        "channel_names": {"0": "MRI"}, "labels": dict(labels), "numTraining": case_count,
        "file_ending": ".nii.gz", **(dataset_facts or {}),
    }  # fmt: skip
    folder = dataset.preprocessed
    folder.mkdir(parents=True)
    (root / "results").mkdir()
    for path, content in [
        (folder / "dataset.json", facts), (raw / "dataset.json", facts),
        (folder / "dataset_fingerprint.json", {}),
        (folder / "nnUNetPlans.json", _plans(spacing_mm, target_mm, transpose, patch)),
    ]:  # fmt: skip
        path.write_text(json.dumps(content))
    ids = [f"case{number}" for number in range(case_count)]
    (folder / "splits_final.json").write_text(json.dumps([{"train": ids[1:], "val": ids[:1]}]))
    return dataset


def preprocess_as_nnunet_does(dataset: Dataset, configuration: str = "3d_fullres") -> Path:
    """nnU-Net's own preprocessing, case by case in this process."""
    from nnunetv2.preprocessing.preprocessors.default_preprocessor import DefaultPreprocessor
    from nnunetv2.utilities.plans_handling.plans_handler import PlansManager

    plans = PlansManager(str(dataset.preprocessed / "nnUNetPlans.json"))
    wanted = plans.get_configuration(configuration)
    facts = json.loads((dataset.preprocessed / "dataset.json").read_text())
    out = dataset.preprocessed / wanted.data_identifier
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    for label_map in sorted(dataset.labels.glob("*.nii.gz")):
        case_id = label_map.name.removesuffix(".nii.gz")
        image = dataset.labels.parent / "imagesTr" / f"{case_id}_0000.nii.gz"
        with contextlib.redirect_stdout(io.StringIO()):
            DefaultPreprocessor(verbose=False).run_case_save(
                str(out / case_id), [str(image)], str(label_map), plans, wanted, facts
            )
    return out


def segmentation(folder: Path, case_id: str) -> np.ndarray:
    """(Z, Y, X) label values as nnU-Net stored them."""
    import blosc2

    return np.asarray(blosc2.open(str(folder / f"{case_id}_seg.b2nd"), mode="r")[:])[0]


def rewrite_segmentation(folder: Path, case_id: str, values: np.ndarray) -> None:
    """Replace a stored segmentation."""
    path = folder / f"{case_id}_seg.b2nd"
    path.unlink()
    write_blosc(path, values[None])


def write_blosc(path: Path, values: np.ndarray) -> None:
    """Write an array as nnU-Net's data sets have them."""
    import blosc2

    blosc2.asarray(np.ascontiguousarray(values), urlpath=str(path))


def make_trainer(
    dataset: Dataset,
    store: str,
    configuration: str = "3d_fullres",
    kind: Any = None,
    device: str = "cpu",
) -> Any:
    """A trainer as nnUNetv2_train makes it; `kind` is its class."""
    import torch

    from softlab_cli.nnunet.trainer import nnUNetTrainerSoftLab

    kind = kind or nnUNetTrainerSoftLab
    os.environ.update(dataset.environment() | {"SOFTLAB_STORE": store})
    plans = json.loads((dataset.preprocessed / "nnUNetPlans.json").read_text())
    facts = json.loads((dataset.preprocessed / "dataset.json").read_text())
    plans["continue_training"] = False
    with silence():
        trainer = kind(plans, configuration, 0, facts, torch.device(device))
        trainer.initialize()
    return trainer


@contextlib.contextmanager
def silence() -> Iterator[io.StringIO]:
    """nnU-Net prints a lot; what it prints is kept."""
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        yield printed


def _plans(
    spacing_mm: Sequence[float],
    target_mm: Sequence[float],
    transpose: Sequence[int],
    patch: Sequence[int],
) -> dict[str, Any]:
    statistics = {"max": 400.0, "mean": 200.0, "median": 200.0, "min": 0.0,
                  "percentile_00_5": 0.0, "percentile_99_5": 400.0, "std": 100.0}  # fmt: skip
    full = _configuration("nnUNetPlans_3d_fullres", patch, target_mm)
    flat = _configuration("nnUNetPlans_2d", patch[1:], target_mm[1:])
    return {
        "dataset_name": NAME, "plans_name": "nnUNetPlans",
        "original_median_spacing_after_transp": list(spacing_mm),
        "original_median_shape_after_transp": [36, 40, 44],
        "image_reader_writer": "SimpleITKIO", "transpose_forward": list(transpose),
        "transpose_backward": np.argsort(transpose).tolist(),
        "experiment_planner_used": "ExperimentPlanner", "label_manager": "LabelManager",
        "foreground_intensity_properties_per_channel": {"0": statistics},
        "configurations": {
            "2d": flat, "3d_fullres": full,
            "3d_again": {"inherits_from": "3d_fullres", "batch_dice": True},
            "3d_lowres": {"inherits_from": "3d_fullres", "next_stage": "3d_cascade"},
            "3d_cascade": {"inherits_from": "3d_fullres", "previous_stage": "3d_lowres"},
        },
    }  # fmt: skip


def _configuration(
    data_identifier: str, patch: Sequence[int], target_mm: Sequence[float]
) -> dict[str, Any]:
    ndim = len(patch)
    strides = [[1] * ndim, [2] * ndim, [2] * ndim]
    resampling = "resample_data_or_seg_to_shape"
    network = {
        "n_stages": 3, "features_per_stage": [4, 8, 8],
        "conv_op": f"torch.nn.modules.conv.Conv{ndim}d", "kernel_sizes": [[3] * ndim] * 3,
        "strides": strides, "n_conv_per_stage": [1, 1, 1], "n_conv_per_stage_decoder": [1, 1],
        "conv_bias": True,
        "norm_op": f"torch.nn.modules.instancenorm.InstanceNorm{ndim}d",
        "norm_op_kwargs": {"eps": 1e-05, "affine": True}, "dropout_op": None,
        "dropout_op_kwargs": None, "nonlin": "torch.nn.LeakyReLU",
        "nonlin_kwargs": {"inplace": True},
    }  # fmt: skip
    return {
        "data_identifier": data_identifier, "preprocessor_name": "DefaultPreprocessor",
        "batch_size": 2, "patch_size": list(patch), "median_image_size_in_voxels": [36, 37, 44],
        "spacing": list(target_mm), "normalization_schemes": ["ZScoreNormalization"],
        "use_mask_for_norm": [False], "batch_dice": False,
        "resampling_fn_data": resampling, "resampling_fn_seg": resampling,
        "resampling_fn_probabilities": resampling,
        "resampling_fn_data_kwargs": RESAMPLING,
        "resampling_fn_seg_kwargs": {**RESAMPLING, "is_seg": True, "order": 1},
        "resampling_fn_probabilities_kwargs": {**RESAMPLING, "order": 1},
        "architecture": {
            "network_class_name": "dynamic_network_architectures.architectures.unet.PlainConvUNet",
            "arch_kwargs": network,
            "_kw_requires_import": ["conv_op", "norm_op", "dropout_op", "nonlin"],
        },
    }  # fmt: skip
