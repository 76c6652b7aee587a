"""A small U-Net (Ronneberger et al., MICCAI 2015) in two or three dimensions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

SLOPE = 0.01


def double_convolution(ndim: int, inputs: int, outputs: int) -> nn.Sequential:
    """Twice: convolve, normalise, cut off what is negative."""
    convolution = {2: nn.Conv2d, 3: nn.Conv3d}[ndim]
    normalise = {2: nn.InstanceNorm2d, 3: nn.InstanceNorm3d}[ndim]
    layers: list[nn.Module] = []
    for channels in (inputs, outputs):
        layers += [
            convolution(channels, outputs, 3, padding=1, bias=False),
            normalise(outputs, affine=True),
            nn.LeakyReLU(SLOPE, inplace=True),
        ]
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Down and up again, with each level handed across.

    Parameters
    ----------
    ndim
        2 or 3.
    inputs
        Channels of the image.
    classes
        Channels of the logits.
    base
        Channels of the finest level; each coarser one has twice as many.
    depth
        Levels.
    """

    def __init__(self, ndim: int, inputs: int, classes: int, base: int = 8, depth: int = 3) -> None:
        super().__init__()
        transposed = {2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}[ndim]
        wide = [base * 2**level for level in range(depth)]
        before = [inputs, *wide]
        self.down = nn.ModuleList(
            double_convolution(ndim, before[level], wide[level]) for level in range(depth)
        )
        self.pool = {2: nn.MaxPool2d, 3: nn.MaxPool3d}[ndim](2)
        self.enlarge = nn.ModuleList(
            transposed(wide[level + 1], wide[level], 2, stride=2) for level in range(depth - 1)
        )
        self.up = nn.ModuleList(
            double_convolution(ndim, 2 * wide[level], wide[level]) for level in range(depth - 1)
        )
        self.logits = {2: nn.Conv2d, 3: nn.Conv3d}[ndim](base, classes, 1)
        self.multiple = 2 ** (depth - 1)

    def forward(self, image: Tensor) -> Tensor:
        """Logits (B, classes, *patch) of images (B, inputs, *patch), of any size."""
        size = image.shape[2:]
        missing = [-n % self.multiple for n in size]
        values = pad(image, [n for m in reversed(missing) for n in (0, m)], mode="replicate")
        levels: list[Tensor] = []
        for level, convolve in enumerate(self.down):
            values = convolve(values if level == 0 else self.pool(values))
            levels.append(values)
        for level in reversed(range(len(self.up))):
            across = torch.cat([levels[level], self.enlarge[level](values)], dim=1)
            values = self.up[level](across)
        return self.logits(values)[(..., *map(slice, size))]
