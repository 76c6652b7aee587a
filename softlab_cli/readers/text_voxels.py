"""Voxels of MetaImage and NRRD files, as their headers say that they are stored.

ITK returns random memory where the compressed bytes are fewer than it expects, and passes
over wrong checksums. Here what is inflated must have the header's number of bytes, no more
and no less, and the checksum that is stored with it.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.byte_stream import ByteStream
from softlab_cli.readers.text_headers import DataPart

__all__ = ["read_stored"]

TEXT_PIECE = 1 << 18
BREAKS = re.compile(rb"[\s,]+")
LONGEST_NUMBER = 64
NUMBER = re.compile(rb"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?|[+-]?(nan|inf|infinity)", re.IGNORECASE)


def read_stored(part: DataPart, dtype: np.dtype[Any], count: int, path: Path) -> NDArray[Any]:
    """All numbers of a file, flat, in file order and this machine's byte order.

    Parameters
    ----------
    part
        Where they are.
    dtype
        Type of one number.
    count
        How many the header promises, a multiple of the number of files.
    path
        The header's file, for messages.

    Raises
    ------
    InputError
        When there are fewer or, in a compressed stream or a text, more.
    """
    values = np.empty(count, dtype)
    share = count // len(part.files)
    for number, file in enumerate(part.files):
        target = values[number * share : (number + 1) * share]
        if part.encoding == "text":
            _read_text(part, file, target, path)
        else:
            _read_binary(part, file, target, path)
    if part.encoding != "text" and part.is_big_endian != (sys.byteorder == "big"):
        values.byteswap(inplace=True)
    return values


def _read_binary(part: DataPart, file: Path, target: NDArray[Any], path: Path) -> None:
    view = target.view(np.uint8).data
    compressed = part.encoding == "gzip"
    with ByteStream(file, part.begin(file, len(view)), compressed) as stream:
        stream.skip(part.skip)
        done = stream.readinto(view)
        if done < len(view):
            raise InputError(
                f"is truncated: its voxels amount to {done} bytes of {len(view)}.",
                remedy=FETCH_AGAIN,
                path=path,
            )
        # Looking for more makes the checksum of what was read be compared.
        if compressed and stream.read(1):
            raise InputError(
                f"holds more than its header promises, which is {len(view)} bytes of voxels.",
                remedy=FETCH_AGAIN,
                path=path,
            )


def _read_text(part: DataPart, file: Path, target: NDArray[Any], path: Path) -> None:
    done = 0
    with ByteStream(file, part.begin(file, 0), compressed=False) as stream:
        stream.skip(part.skip)
        for words in _words(stream, path):
            if done + len(words) > len(target):
                raise InputError(
                    f"holds more numbers than the {len(target)} that its header promises.",
                    remedy=FETCH_AGAIN,
                    path=path,
                )
            target[done : done + len(words)] = _numbers(words, target.dtype, path)
            done += len(words)
    if done < len(target):
        raise InputError(
            f"is truncated: it holds {done} numbers of {len(target)}.",
            remedy=FETCH_AGAIN,
            path=path,
        )


def _words(stream: ByteStream, path: Path) -> Iterator[list[bytes]]:
    """Words of a text, those of a piece at a time."""
    rest = b""
    while piece := stream.read(TEXT_PIECE):
        *words, rest = BREAKS.split(rest + piece)
        if len(rest) > LONGEST_NUMBER:
            raise _no_number(rest, path)
        yield [word for word in words if word]
    if rest.strip(b"\0"):
        yield [rest]


def _numbers(words: list[bytes], dtype: np.dtype[Any], path: Path) -> NDArray[Any]:
    """Numbers of a type from their digits."""
    for word in words:
        if NUMBER.fullmatch(word) is None or len(word) > LONGEST_NUMBER:
            raise _no_number(word, path)
    if dtype.kind == "f":
        with np.errstate(over="ignore"):  # as in the NIfTI reader
            return np.array([float(word) for word in words], np.float64).astype(dtype)
    numbers = [_whole(word, path) for word in words]
    limits = np.iinfo(dtype)
    wrong = next((n for n in numbers if not limits.min <= n <= limits.max), None)
    if wrong is not None:
        raise InputError(
            f"holds the number {wrong}, which its type ({dtype.name}) cannot.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    return np.array(numbers, dtype)


def _whole(word: bytes, path: Path) -> int:
    with suppress(ValueError):
        return int(word)
    if not float(word).is_integer():
        raise _no_number(word, path)
    return int(float(word))


def _no_number(word: bytes, path: Path) -> InputError:
    shown = word[:LONGEST_NUMBER].decode("latin-1")
    return InputError(
        f"is damaged: {shown!r} stands where a number is expected.", remedy=FETCH_AGAIN, path=path
    )
