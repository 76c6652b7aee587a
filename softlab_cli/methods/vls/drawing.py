"""The learned soft label y_s of patches: the mean of what many z give."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from softlab_cli.methods.vls.folds import seed_of
from softlab_cli.methods.vls.loss import encoded_labels
from softlab_cli.methods.vls.network import Network
from softlab_cli.methods.vls.pytorch import arithmetic, torch

__all__ = ["draw", "drawn_noise"]


def drawn_noise(samples: int, latent: int, *where: object) -> NDArray[np.float32]:
    """(samples, latent) standard normal, in pairs of opposite sign.

    Parameters
    ----------
    samples, latent
        How many.
    where
        Seed, case and tile, which decide; each pair has a draw of its own.
    """
    found = np.empty((samples, latent), np.float32)
    for pair in range(-(-samples // 2)):
        rng = np.random.default_rng(seed_of(*where, pair))
        found[2 * pair] = rng.standard_normal(latent, np.float32)
        if 2 * pair + 1 < samples:
            found[2 * pair + 1] = -found[2 * pair]
    return found


def draw(
    network: Network,
    image: NDArray[np.float32],
    labels: NDArray[np.int64],
    noises: Sequence[NDArray[np.float32]],
    device: str,
) -> NDArray[np.float32]:
    """y_s of patches, before temperature.

    Parameters
    ----------
    network
        The networks of a fold, on `device`.
    image, labels
        (n, channels, *patch) and (n, *patch), as in a `Batch`.
    noises
        (samples, latent) of each patch, from `drawn_noise`; not looked at without a z.
    device
        ``cpu`` or ``cuda``.

    Returns
    -------
    probabilities
        (n, C, *patch) float32.
    """
    with torch.inference_mode(), arithmetic(device):
        x = torch.from_numpy(np.ascontiguousarray(image)).to(device)
        features = network.features(x)
        if not network.recipe.has_latent:
            assert features is not None
            return _softmax(network.of_image(features)).cpu().numpy()
        y = torch.from_numpy(np.ascontiguousarray(labels)).to(device)
        latent = network.encode(x, encoded_labels(y, network.recipe.class_count))
        shared = network.shared(features)
        # The draws are made on the CPU, so that they are the same on every device.
        mean, deviation = latent.mean.cpu(), (latent.log_variance / 2).exp().cpu()
        drawn = torch.from_numpy(np.stack(noises))
        total = None
        for number in range(drawn.shape[1]):
            z = (mean + deviation * drawn[:, number]).to(device)
            one = _softmax(network.decode(shared, z)[0])
            total = one if total is None else total.add_(one)
        assert total is not None
        return (total / drawn.shape[1]).cpu().numpy()


def _softmax(logits: torch.Tensor) -> torch.Tensor:
    return logits.float().softmax(1)
