"""The networks: a U-Net of the image, an encoder of image and label, and the heads.

Everything that is used is deterministic on CUDA as well: strided convolutions in place of
pooling and of interpolation, means over cells as a product with a matrix.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from softlab_cli.methods.vls.pytorch import torch
from softlab_cli.methods.vls.recipe import LEVELS, Recipe

__all__ = ["Encoder", "Latent", "Network", "UNet", "build"]

WIDEST = 320
"""Channels of a level, at most."""

CELLS = 4
"""The encoder's last features are averaged over so many cells along each axis."""

LEAK = 0.01
LARGEST_LOG_VARIANCE = 10.0

nn = torch.nn
Tensor = torch.Tensor


def _layer(name: str, dims: int) -> type[nn.Module]:
    """The layer of this name for slices or volumes."""
    found: type[nn.Module] = getattr(nn, f"{name}{dims}d")
    return found


def _widths(width: int) -> list[int]:
    return [min(width * 2**level, WIDEST) for level in range(LEVELS)]


def _double(dims: int, first: int, last: int, *, stride: int = 1, norm: bool = True) -> nn.Module:
    """Twice a convolution of 3 voxels, a norm and a rectifier."""
    convolution, layers = _layer("Conv", dims), list[nn.Module]()
    for count, step in ((first, stride), (last, 1)):
        layers.append(convolution(count, last, 3, stride=step, padding=1, bias=not norm))
        if norm:
            layers.append(_layer("InstanceNorm", dims)(last, affine=True))
        layers.append(nn.LeakyReLU(LEAK))
    return nn.Sequential(*layers)


class UNet(nn.Module):
    """Features of an image at each voxel.

    Parameters
    ----------
    dims
        2 or 3.
    channels
        Channels of the image.
    width
        Features of the first level, and of the result.
    """

    def __init__(self, dims: int, channels: int, width: int) -> None:
        super().__init__()
        widths = _widths(width)
        upwards = _layer("ConvTranspose", dims)
        self.down = nn.ModuleList(
            _double(dims, channels if i == 0 else widths[i - 1], w, stride=1 if i == 0 else 2)
            for i, w in enumerate(widths)
        )
        self.up = nn.ModuleList(upwards(low, high, 2, stride=2) for high, low in pairwise(widths))
        self.join = nn.ModuleList(_double(dims, 2 * w, w) for w in widths[:-1])

    def forward(self, image: Tensor) -> Tensor:
        """(n, width, *patch) of (n, channels, *patch)."""
        kept = []
        for level in self.down:
            image = level(image)
            kept.append(image)
        image = kept.pop()
        for up, join in zip(reversed(self.up), reversed(self.join), strict=True):
            image = join(torch.cat([kept.pop(), up(image)], 1))
        return image


class Latent(NamedTuple):
    """q(z|x, y): mean and logarithm of the variance, each (n, latent) float32."""

    mean: Tensor
    log_variance: Tensor


class Encoder(nn.Module):
    """q(z|x, y) of an image and a label map.

    Parameters
    ----------
    dims
        2 or 3.
    inputs
        Channels of the image and classes together.
    width
        Features of the first level.
    latent
        Dimensions of z.
    """

    def __init__(self, dims: int, inputs: int, width: int, latent: int) -> None:
        super().__init__()
        widths = _widths(width)
        self.levels = nn.Sequential(
            *(
                _double(
                    dims, inputs if i == 0 else widths[i - 1], w, stride=1 if i == 0 else 2,
                    norm=False,
                )
                for i, w in enumerate(widths)
            )
        )  # fmt: skip
        self.hidden = nn.Linear(widths[-1] * CELLS**dims, widths[-1])
        self.out = nn.Linear(widths[-1], 2 * latent)

    def forward(self, image: Tensor, one_hot: Tensor) -> Latent:
        """Of (n, channels, *patch) and (n, C, *patch), which is 0 where there is no label."""
        features = self.levels(torch.cat([image, one_hot], 1)).float()
        with torch.autocast(features.device.type, enabled=False):
            for _ in range(features.ndim - 2):  # the front axis goes, its mean comes last
                cells = _cells(features.shape[2], features.device)
                features = torch.tensordot(features, cells, dims=([2], [1]))
            hidden = nn.functional.leaky_relu(self.hidden(features.flatten(1)), LEAK)
            mean, log_variance = self.out(hidden).chunk(2, 1)
        most = LARGEST_LOG_VARIANCE
        return Latent(mean, log_variance.clamp(-most, most))


def _cells(length: int, device: torch.device) -> Tensor:
    """(cells, length): what each voxel counts in the mean of each cell."""
    matrix = torch.zeros(CELLS, length)
    for cell in range(CELLS):
        first, stop = cell * length // CELLS, -(-(cell + 1) * length // CELLS)
        matrix[cell, first:stop] = 1 / (stop - first)
    return matrix.to(device)


class Joined(nn.Module):
    """Features of the image and z to labels, and to the image.

    The first layer is a sum of what the features and z give, so that for several z the
    features' part is computed once.
    """

    def __init__(self, dims: int, width: int, latent: int, classes: int, channels: int) -> None:
        super().__init__()
        point = _layer("Conv", dims)
        self.of_features = point(width, width, 1)
        self.of_latent = nn.Linear(latent, width, bias=False)
        self.second = point(width, width, 1)
        self.label = point(width, classes, 1)
        self.image = point(width, channels, 1) if channels else None

    def forward(self, shared: Tensor, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits and image of (n, width, *patch), as `of_features` gives it, and (n, latent)."""
        moved = self.of_latent(z).reshape(*z.shape[:1], -1, *[1] * (shared.ndim - 2))
        hidden = nn.functional.leaky_relu(shared + moved, LEAK)
        hidden = nn.functional.leaky_relu(self.second(hidden), LEAK)
        return self.label(hidden), None if self.image is None else self.image(hidden)


class Poster(nn.Module):
    """z alone to labels and image, as on the poster: p(y|z) p(x|z)."""

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        widths, dims = _widths(recipe.width), recipe.dims
        self.lowest = tuple(side // 2 ** (LEVELS - 1) for side in recipe.patch)
        count = widths[-1]
        for side in self.lowest:
            count *= side
        self.first = nn.Linear(recipe.latent, count)
        upwards = _layer("ConvTranspose", dims)
        self.up = nn.Sequential(
            *(
                nn.Sequential(
                    upwards(low, high, 2, stride=2), _double(dims, high, high, norm=False)
                )
                for low, high in pairwise(widths[::-1])
            )
        )
        self.label = _layer("Conv", dims)(recipe.width, recipe.class_count, 1)
        self.image = _layer("Conv", dims)(recipe.width, recipe.channels, 1)

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Logits and image of (n, latent)."""
        hidden = self.up(self.first(z).reshape(len(z), -1, *self.lowest))
        return self.label(hidden), self.image(hidden)


class Network(nn.Module):
    """All networks of a fold.

    Parameters
    ----------
    recipe
        How large they are, and which there are.
    """

    def __init__(self, recipe: Recipe) -> None:
        super().__init__()
        self.recipe = recipe
        dims, width = recipe.dims, recipe.width
        channels = recipe.channels if recipe.image_weight > 0 else 0
        self.unet: UNet | None = None
        self.plain: nn.Module | None = None
        self.encoder: Encoder | None = None
        self.joined: Joined | None = None
        self.poster: Poster | None = None
        if recipe.has_image_head:
            self.unet = UNet(dims, recipe.channels, width)
            self.plain = _layer("Conv", dims)(width, recipe.class_count, 1)
        if recipe.has_latent:
            inputs = recipe.channels + recipe.class_count
            self.encoder = Encoder(dims, inputs, width, recipe.latent)
        if recipe.has_latent and recipe.has_image_head:
            self.joined = Joined(dims, width, recipe.latent, recipe.class_count, channels)
        if recipe.parity:
            self.poster = Poster(recipe)

    def features(self, image: Tensor) -> Tensor | None:
        """(n, width, *patch) features of the image; None for the poster."""
        return None if self.unet is None else self.unet(image)

    def shared(self, features: Tensor | None) -> Tensor | None:
        """What is the same for all z."""
        if features is None or self.joined is None:
            return None
        found: Tensor = self.joined.of_features(features)
        return found

    def of_image(self, features: Tensor) -> Tensor:
        """(n, C, *patch) logits that features alone give."""
        assert self.plain is not None
        found: Tensor = self.plain(features)
        return found

    def encode(self, image: Tensor, one_hot: Tensor) -> Latent:
        """q(z|x, y)."""
        assert self.encoder is not None
        found: Latent = self.encoder(image, one_hot)
        return found

    def decode(self, shared: Tensor | None, z: Tensor) -> tuple[Tensor, Tensor | None]:
        """Logits and image of z, with what `shared` gave."""
        if self.joined is None or shared is None:
            assert self.poster is not None
            return self.poster(z)  # type: ignore[no-any-return]
        return self.joined(shared, z)  # type: ignore[no-any-return]


def build(recipe: Recipe, seed: int) -> Network:
    """Networks with weights that depend on the seed alone; what torch draws next does not."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(recipe)
