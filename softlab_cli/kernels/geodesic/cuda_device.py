"""The CUDA device: its memory, and kernels compiled at run time; cupy is used only here.

Memory is taken from the driver and given back at once, not kept in cupy's pool: what is
free is free for other programs, and for the next call to count.
"""

from __future__ import annotations

from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import EngineError, PackageError
from softlab_cli.core.extras import pip_install
from softlab_cli.kernels.geodesic.cuda import KERNELS, LIST_BYTES, Variant, shared_bytes, source

__all__ = ["CupyDevice", "Device", "DeviceArray", "check_device"]

DeviceArray: TypeAlias = Any
"""An array in the device's memory, cut and measured as one of numpy's."""

SHARED_BYTES_OF_ALL = 48 * 1024
"""Shared memory that every device gives a group of threads without being asked to."""

OPTIONS = ("-std=c++17", "-fmad=false")


class Device(Protocol):
    """What the maps need of a device; all that it is told to do is done in turn."""

    def free_bytes(self) -> float:
        """Memory that can be taken."""
        ...

    def shared_bytes(self) -> int:
        """Largest shared memory that a group of threads can have."""
        ...

    def compile(self, variant: Variant) -> None:
        """Get the kernels ready."""
        ...

    def empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> DeviceArray:
        """Take memory."""
        ...

    def put(self, array: NDArray[Any]) -> DeviceArray:
        """Copy from the host."""
        ...

    def zero(self, array: DeviceArray) -> None:
        """Set all bytes to 0."""
        ...

    def launch(self, name: str, groups: int, threads: int, *arguments: Any) -> None:
        """Run a kernel; numbers are of numpy's types."""
        ...

    def staging(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """Memory of the host that `get` fills fast."""
        ...

    def get(self, array: DeviceArray, out: NDArray[Any]) -> None:
        """Copy to the host, after all that was launched."""
        ...


def check_device() -> None:
    """Raise `EngineError` when cupy or a CUDA device is missing."""
    try:
        import cupy
    except ImportError as error:
        raise PackageError(
            f"The engine 'cuda' needs the package 'cupy' ({_brief(error)}).",
            remedy=pip_install("cuda"),
        ) from error
    try:
        count = cupy.cuda.runtime.getDeviceCount()
    except RuntimeError as error:
        count, reason = 0, _brief(error)
    else:
        reason = "the driver lists none"
    if not count:
        raise EngineError(
            f"The engine 'cuda' finds no CUDA device ({reason}).",
            remedy=f"Install NVIDIA's driver and {pip_install('cuda')}, or take the engine "
            "'numba'.",
        )


def _brief(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(" .:")


class CupyDevice:
    """The current CUDA device, through cupy; see `Device`."""

    def __init__(self) -> None:
        import cupy

        self._cupy = cupy
        self._kernels: dict[str, Any] = {}
        self._shared: dict[str, int] = {}

    def free_bytes(self) -> float:
        """See `Device`."""
        return float(self._cupy.cuda.runtime.memGetInfo()[0])

    def shared_bytes(self) -> int:
        """See `Device`: half of what a group can ask for, so that two share a multiprocessor."""
        attributes = self._cupy.cuda.Device().attributes
        return max(SHARED_BYTES_OF_ALL, int(attributes["MaxSharedMemoryPerBlockOptin"]) // 2)

    def compile(self, variant: Variant) -> None:
        """See `Device`; cupy keeps the machine code on disk."""
        options = (*OPTIONS, *variant.definitions)
        module = self._cupy.RawModule(code=source(), options=options)
        self._kernels = {name: module.get_function(name) for name in KERNELS}
        needed = shared_bytes(variant.channels, variant.side)
        self._shared = {"relax_blocks": needed, "list_marked": LIST_BYTES}
        self._kernels["relax_blocks"].max_dynamic_shared_size_bytes = needed

    def empty(self, shape: tuple[int, ...], kind: type[np.generic]) -> DeviceArray:
        """See `Device`."""
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        memory = self._cupy.cuda.Memory(max(size, 1))
        return self._cupy.ndarray(shape, kind, self._cupy.cuda.MemoryPointer(memory, 0))

    def put(self, array: NDArray[Any]) -> DeviceArray:
        """See `Device`."""
        held = self.empty(array.shape, array.dtype.type)
        held.set(array)
        return held

    def zero(self, array: DeviceArray) -> None:
        """See `Device`."""
        array.data.memset_async(0, array.nbytes)

    def launch(self, name: str, groups: int, threads: int, *arguments: Any) -> None:
        """See `Device`."""
        shared = self._shared.get(name, 0)
        self._kernels[name]((groups,), (threads,), arguments, shared_mem=shared)

    def staging(self, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray[Any]:
        """See `Device`: pages that stay in place, so that the device writes into them."""
        size = int(np.prod(shape))
        memory = self._cupy.cuda.PinnedMemory(max(size, 1) * np.dtype(kind).itemsize)
        pointer = self._cupy.cuda.PinnedMemoryPointer(memory, 0)
        found: NDArray[Any] = np.frombuffer(pointer, kind, size).reshape(shape)
        return found

    def get(self, array: DeviceArray, out: NDArray[Any]) -> None:
        """See `Device`."""
        array.get(out=out)
