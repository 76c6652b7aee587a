"""What a method asks of an image before it uses it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from softlab_cli.blocks import Shape
from softlab_cli.errors import InputError

__all__ = ["check_image", "constant_channels"]


def check_image(image: NDArray[np.float32], shape: Shape) -> None:
    """Raise `InputError` unless an image has voxels of this shape and finite intensities.

    Parameters
    ----------
    image
        (channels, Z, Y, X) intensities.
    shape
        Voxels of the label map along (Z, Y, X).
    """
    if image.ndim != 4 or image.shape[1:] != shape or len(image) == 0:
        raise InputError(
            f"the image has the shape {image.shape}, and a label map of the shape {shape} needs "
            f"(channels, {', '.join(map(str, shape))}).",
            remedy="Give the image that the label map was drawn on.",
        )
    # Smallest and largest need no memory, and are not finite where any voxel is not.
    if np.isfinite(image.min()) and np.isfinite(image.max()):
        return
    count = sum(int(np.count_nonzero(~np.isfinite(plane))) for plane in _planes(image))
    first = next(i for i, p in enumerate(_planes(image)) if not np.isfinite(p).all())
    channel, z = divmod(first, shape[0])
    y, x = np.argwhere(~np.isfinite(image[channel, z]))[0].tolist()
    raise InputError(
        f"{count} {'intensity is' if count == 1 else 'intensities are'} NaN or infinite; the first "
        f"is that of voxel (z {z}, y {y}, x {x}) in channel {channel}.",
        remedy="Replace them by finite numbers.",
    )


def _planes(image: NDArray[np.float32]) -> NDArray[np.float32]:
    return image.reshape(-1, *image.shape[2:])


def constant_channels(image: NDArray[np.float32]) -> list[int]:
    """Channels in which all intensities are the same.

    Parameters
    ----------
    image
        (channels, Z, Y, X) finite intensities.
    """
    return [i for i, channel in enumerate(image) if channel.min() == channel.max()]
