"""Files with soft labels, small, for the tests of ``softlab import``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np

AFFINE = np.array([[-2.0, 0, 0, 9], [0, 2.5, 0, -4], [0, 0, 3, 7], [0, 0, 0, 1]])
"""Voxels run to the left, so that RAS order is another one."""

SHAPE = (5, 6, 7)


def save(path: Path, volumes: Any, affine: np.ndarray = AFFINE) -> Path:
    """A NIfTI file of (Z, Y, X), (C, Z, Y, X) or (T, C, Z, Y, X)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(np.asarray(volumes).T, affine), path)
    return path


def shares(class_count: int, seed: int = 0, shape: tuple[int, ...] = SHAPE) -> np.ndarray:
    """(C, Z, Y, X) float32 that sum to 1."""
    drawn = np.random.default_rng(seed).dirichlet(np.ones(class_count), shape)
    return np.moveaxis(drawn, -1, 0).astype(np.float32)


def save_probabilities(
    folder: Path, name: str, probabilities: np.ndarray, *, segmentation: Any = None, **arrays: Any
) -> Path:
    """What nnU-Net writes: ``name.npz`` and its segmentation; returns the archive."""
    labels = probabilities.argmax(axis=0) if segmentation is None else segmentation
    save(folder / f"{name}.nii.gz", np.asarray(labels, np.uint8))
    np.savez_compressed(folder / f"{name}.npz", probabilities=probabilities, **arrays)
    return folder / f"{name}.npz"
