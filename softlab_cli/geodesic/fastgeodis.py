"""Engine ``fastgeodis``: the package FastGeodis as it is, on a CPU or with CUDA."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import EngineError, PackageError, UsageError
from softlab_cli.core.memory import MIB
from softlab_cli.geodesic.base import UNREACHABLE, Seeds, StepCost

__all__ = ["FAR", "FastGeodisEngine"]

FAR = 1e10
"""What FastGeodis starts from where there is no seed; must exceed every distance."""

INSTALL = (
    "FastGeodis is built against the torch that is installed, so install torch first, then: "
    "pip install 'setuptools<81' wheel && "
    "pip install --no-build-isolation --no-cache-dir FastGeodis"
)

TORCH_BYTES = 320 * MIB
"""What importing torch and FastGeodis takes."""


@dataclass(frozen=True)
class FastGeodisEngine:
    """Sweeps planes of the volume a given number of times, which need not converge.

    Asad et al., "FastGeodis: Fast Generalised Geodesic Distance Transform", JOSS 2022.
    The distances are those of Criminisi et al., "GeoS", ECCV 2008, with steps of the
    26-neighbourhood. Its CUDA kernel does not wait for all of a plane before the next,
    so with CUDA two runs can differ.

    Parameters
    ----------
    iterations
        How often each axis is swept there and back; FastGeodis's own default is 4.
    device
        Name of torch's device; "auto" takes CUDA when torch and FastGeodis have it.
    """

    name: ClassVar[str] = "fastgeodis"
    deterministic: ClassVar[bool] = False

    iterations: int = 4
    device: str = "auto"

    def check(self) -> None:
        """Raise `EngineError` when torch or FastGeodis is missing or does not import."""
        _packages()

    def held_bytes(self, shape: Shape, channels: int, threads: int) -> int:
        """See `Engine`; FastGeodis keeps turned copies of image and distances."""
        return (10 + 2 * channels) * 4 * shape[0] * shape[1] * shape[2] + TORCH_BYTES

    def distances(
        self,
        image: NDArray[np.float32],
        seeds: Sequence[Seeds],
        spacing_mm: tuple[float, float, float],
        cost: StepCost,
        *,
        threads: int = 1,
    ) -> Iterator[NDArray[np.float32]]:
        """See `Engine`. Raises `UsageError` for a metric that FastGeodis does not have."""
        if cost.metric != "fastgeodis":
            raise UsageError(
                f"The engine 'fastgeodis' has no metric {cost.metric!r}.",
                remedy="Take the metric 'fastgeodis', or the engine 'numba' or 'cuda'.",
            )
        torch, package = _packages()
        device = self._device(torch, package)
        tensor = torch.from_numpy(image)[None].to(device)
        steps = [float(step) for step in spacing_mm]
        mask = np.empty(image.shape[1:], np.float32)
        for places in seeds:
            if not places.size:
                yield np.full(mask.shape, UNREACHABLE)
                continue
            mask.fill(1)
            mask.reshape(-1)[places] = 0
            softmask = torch.from_numpy(mask)[None, None].to(device)
            with _threads(torch, threads):
                found = package.generalised_geodesic3d(
                    tensor, softmask, steps, FAR, cost.intensity_weight, self.iterations
                )
            yield found[0, 0].cpu().numpy()

    def _device(self, torch: Any, package: Any) -> str:
        """Name of the device to compute on."""
        if self.device == "auto":
            has_cuda = torch.cuda.is_available() and not _fault(torch, package, "cuda")
            return "cuda" if has_cuda else "cpu"
        if fault := _fault(torch, package, self.device):
            raise EngineError(
                f"FastGeodis does not work on the device {self.device!r}: {fault}.",
                remedy="For CUDA, torch and FastGeodis must both be built with it. "
                "Take the device 'cpu', or another engine.",
            )
        return self.device


def _fault(torch: Any, package: Any, device: str) -> str:
    """Why FastGeodis does not work on a device; empty when it does."""
    try:
        voxel = torch.zeros((1, 1, 1, 1, 1), device=device)
        package.generalised_geodesic3d(voxel, voxel, [1.0, 1.0, 1.0], FAR, 0.5, 1)
    except (AssertionError, RuntimeError) as error:
        return str(error).strip().splitlines()[0].rstrip(".")
    return ""


@contextmanager
def _threads(torch: Any, count: int) -> Iterator[None]:
    """Let torch's operators use a number of threads for a while."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _packages() -> tuple[Any, Any]:
    """Import torch and FastGeodis, in this order: FastGeodis's library needs torch's."""
    try:
        import torch
        import FastGeodis  # isort: skip
    except (ImportError, OSError) as error:
        raise PackageError(
            f"The engine 'fastgeodis' cannot import torch and FastGeodis: {error}.",
            remedy=INSTALL,
        ) from error
    return torch, FastGeodis
