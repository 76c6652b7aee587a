"""Chunks to bytes and back: zstd level 1 and crc32c, one context a thread, constants once only."""

from __future__ import annotations

import threading
from functools import lru_cache
from typing import Any

import google_crc32c
import numpy as np
import zstandard
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.errors import StoreError

__all__ = ["CHECKSUM_BYTES", "ZSTD_LEVEL", "decode_chunk", "encode_chunk", "encode_constant"]

ZSTD_LEVEL = 1

COMPRESSION = zstandard.ZstdCompressionParameters.from_level(ZSTD_LEVEL, min_match=6, hash_log=13)
"""Chosen for soft labels of many classes: 117 of SVLS or mSVLS are compressed in 0.9 of this
level's time, GeoLS in 0.97, others in as much. Sizes differ by a hundredth; only where a label map
was enlarged by nearest neighbour, SVLS takes a seventh more."""

CHECKSUM_BYTES = 4

INTACT = 0x48674BC7
"""crc32c of any bytes that are followed by their own crc32c."""

LONGEST_CONSTANT = 128
"""A chunk of one value shrinks to less than this; longer ones are not looked up."""

MOST_CONSTANTS = 4096

SIZES_KEPT = 128
"""Sizes and types of blocks: small volumes have blocks of their own."""

LONGEST_SHORT = 4096
"""Of a small volume little is in a block but zeros: to make room for them takes far longer
than to look up the bytes of the last few chunks, which `verify` asks for twice."""

SHORT_KEPT = 8

_context = threading.local()
_constants: dict[tuple[bytes, str, Shape, bool], NDArray[Any]] = {}


def _compressor() -> zstandard.ZstdCompressor:
    # A fresh context costs more than compressing a small chunk does.
    if not hasattr(_context, "compressor"):
        _context.compressor = zstandard.ZstdCompressor(compression_params=COMPRESSION)
    made: zstandard.ZstdCompressor = _context.compressor
    return made


def _compress(values: NDArray[Any]) -> bytes:
    encoded: bytes = _compressor().compress(values.data)
    checksum: int = google_crc32c.value(encoded)
    return encoded + checksum.to_bytes(CHECKSUM_BYTES, "little")


def _decompressor() -> zstandard.ZstdDecompressor:
    if not hasattr(_context, "decompressor"):
        _context.decompressor = zstandard.ZstdDecompressor()
    made: zstandard.ZstdDecompressor = _context.decompressor
    return made


@lru_cache(maxsize=MOST_CONSTANTS)
def encode_constant(value: float, dtype: str, shape: Shape) -> bytes:
    """Bytes of a chunk that holds one value only; empty for the fill value 0.

    Parameters
    ----------
    value
        The value, as the type has it.
    dtype
        NumPy's name of the type, for instance ``<f2``.
    shape
        Voxels of the chunk.
    """
    return b"" if value == 0 else _compress(np.full(shape, value, dtype))


@lru_cache(maxsize=SIZES_KEPT)
def _encoded_zeros(dtype: str, shape: Shape) -> bytes:
    return _compress(np.zeros(shape, dtype))


def encode_chunk(values: NDArray[Any]) -> bytes:
    """Bytes of a chunk; empty when it is 0 all over, as such chunks are not stored.

    Parameters
    ----------
    values
        (Z, Y, X), a whole block, C-contiguous, little-endian.
    """
    encoded = _compress(values)
    zeros = _encoded_zeros(values.dtype.str, values.shape)
    return b"" if encoded == zeros else encoded


def decode_chunk(
    data: memoryview, dtype: np.dtype[Any], shape: Shape, *, checksum: bool
) -> NDArray[Any]:
    """Values of a chunk, read-only.

    Parameters
    ----------
    data
        What `encode_chunk` made, or any other zstd frame of a whole chunk.
    dtype
        Type of the values.
    shape
        Voxels of the chunk.
    checksum
        Whether `data` ends in the crc32c of what is before; it is checked.

    Returns
    -------
    values
        (Z, Y, X); a chunk of one value comes back as a broadcast of it, from
        memory rather than from `data`.

    Raises
    ------
    StoreError
        When the bytes are not those that were written, or no zstd frame of a
        chunk of this shape.
    """
    if len(data) > LONGEST_CONSTANT:
        decode = _decode if len(data) > LONGEST_SHORT else _decode_short
        return decode(bytes(data), dtype, shape, checksum)
    key = (bytes(data), dtype.str, shape, checksum)
    known = _constants.get(key)
    if known is None:
        known = _as_constant(_decode(key[0], dtype, shape, checksum))
        if known.strides == (0, 0, 0) and len(_constants) < MOST_CONSTANTS:
            _constants[key] = known
    return known


@lru_cache(maxsize=SHORT_KEPT)
def _decode_short(data: bytes, dtype: np.dtype[Any], shape: Shape, checksum: bool) -> NDArray[Any]:
    return _decode(data, dtype, shape, checksum)


def _decode(data: bytes, dtype: np.dtype[Any], shape: Shape, checksum: bool) -> NDArray[Any]:
    if not checksum:
        return _decompress(memoryview(data), dtype, shape)
    if google_crc32c.value(data) != INTACT:
        raise StoreError("a chunk has another crc32c than when it was written: it is damaged.")
    return _decompress(memoryview(data)[:-CHECKSUM_BYTES], dtype, shape)


def _decompress(data: memoryview, dtype: np.dtype[Any], shape: Shape) -> NDArray[Any]:
    expected = shape[0] * shape[1] * shape[2] * dtype.itemsize
    try:
        raw = _decompressor().decompress(data, max_output_size=expected)
    except zstandard.ZstdError as error:
        raise StoreError(f"a chunk does not decode ({error}).") from error
    if len(raw) != expected:
        raise StoreError(f"a chunk decodes to {len(raw)} bytes instead of {expected}.")
    return np.frombuffer(raw, dtype).reshape(shape)


def _as_constant(values: NDArray[Any]) -> NDArray[Any]:
    first = values[0, 0, 0]
    if values[-1, -1, -1] != first or (values != first).any():
        return values
    return np.broadcast_to(first.copy(), values.shape)
