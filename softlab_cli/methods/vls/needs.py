"""Memory of networks and slabs, as arithmetic: upper bounds before anything is read."""

from __future__ import annotations

from math import prod

from softlab_cli.core.blocks import Shape
from softlab_cli.core.memory import MIB
from softlab_cli.methods.vls.parameters import VLSParameters
from softlab_cli.methods.vls.recipe import LEVELS, default_sizes

__all__ = ["TORCH_BYTES", "applying_bytes", "learning_bytes", "planned_dims"]

TORCH_BYTES = 500 * MIB
"""What importing torch takes, with what its libraries keep."""

CUDA_BYTES = 3072 * MIB
"""What a CUDA context takes of the host's memory."""

FEATURES_APPLYING, FEATURES_LEARNING = 16, 96
"""Numbers for each voxel of a patch and channel of the first level."""

PARAMETERS = 220
"""Weights of all networks for each width squared, in 2D; three times as many in 3D."""


def planned_dims(parameters: VLSParameters, ndim: int) -> int:
    """Dimensions of patches, where not all cases are known yet: rather too many."""
    if parameters.dims != "auto":
        return parameters.dims
    return 2 if ndim == 2 else 3


def _sizes(parameters: VLSParameters, dims: int) -> tuple[int, int, int]:
    """Voxels of a patch, width and batch: the larger ones where the device is not known."""
    device = "cuda" if parameters.device == "cuda" else "cpu"
    sizes = default_sizes(device, dims)
    sides = parameters.sides or (sizes.patch,)
    sides = sides * dims if len(sides) == 1 else sides
    return prod(sides), parameters.width or sizes.width, parameters.batch or sizes.batch


def _weights_bytes(width: int, dims: int, latent_voxels: int) -> int:
    widest = min(width << (LEVELS - 1), 320)
    convolutions = PARAMETERS * (3 if dims == 3 else 1) * width * width
    return 4 * (convolutions + widest * widest * (64 if dims == 3 else 16) + widest * latent_voxels)


def learning_bytes(parameters: VLSParameters, dims: int, channels: int, class_count: int) -> int:
    """What training a fold takes beside the interpreter."""
    voxels, width, batch = _sizes(parameters, dims)
    weights = _weights_bytes(width, dims, voxels // 2 ** (dims * (LEVELS - 1)))
    features = 4 * batch * voxels * (FEATURES_LEARNING * width + 8 * (channels + 2 * class_count))
    return TORCH_BYTES + _cuda(parameters) + 5 * weights + features


def applying_bytes(
    parameters: VLSParameters, dims: int, shape: Shape, channels: int, class_count: int
) -> int:
    """What the networks and the slab of a case take beside the interpreter and the case."""
    voxels, width, _ = _sizes(parameters, dims)
    together = 8 if dims == 2 else 1
    depth = 1 if dims == 2 else (parameters.sides or (default_sizes("cuda", 3).patch,))[0]
    slab = 4 * (3 * class_count + 1) * depth * shape[1] * shape[2]
    weights = _weights_bytes(width, dims, voxels // 2 ** (dims * (LEVELS - 1)))
    features = (
        4 * together * voxels * (FEATURES_APPLYING * width + 4 * (channels + 2 * class_count))
    )
    return TORCH_BYTES + _cuda(parameters) + parameters.folds * weights + slab + features


def _cuda(parameters: VLSParameters) -> int:
    return CUDA_BYTES if parameters.device == "cuda" else 0
