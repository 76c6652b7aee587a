"""PNG files: their header, and their numbers as they are stored.

libpng decodes, through imagecodecs. Pillow hands out colours, and grey with alpha, of 16
bits as 8 bits, and takes longer: 4096x4096 uint8 0.12 s of CPU and 49 MiB against 0.05 s
and 17 MiB here. ITK cannot read grey with alpha or with a transparent value at all.

Index pictures (a palette over class indices) are a common form of label map, and libpng
replaces the indices by colours; their header is declared grey before.

Source: PNG specification (third edition), sections 5 and 11.
"""

from __future__ import annotations

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, open_input
from softlab_cli.readers.picture import Picture

__all__ = ["open_png"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_CHUNK = b"\0\0\0\rIHDR"
GREY, COLOURS, PALETTE, GREY_ALPHA, COLOURS_ALPHA = 0, 2, 3, 4, 6
NUMBERS = {GREY: 1, COLOURS: 3, PALETTE: 3, GREY_ALPHA: 2, COLOURS_ALPHA: 4}
"""Colour type to numbers for each pixel, as decoded; one more where a colour is transparent."""

HEADER_BYTES = 33
"""The signature and the header chunk with its checksum."""

LONGEST_CHUNK = 1 << 10
"""Bytes of the chunks that are read here; the longest that makes sense has 256."""

COLOUR_TYPE = 9
"""Place of the colour type in the header chunk's data."""


@dataclass(frozen=True)
class _Header:
    width: int
    height: int
    bits: int
    colour_type: int

    @property
    def stretch(self) -> int:
        """What decoders multiply numbers of a few bits by."""
        return 255 // (2**self.bits - 1) if self.bits < 8 else 1


def open_png(path: Path, *, as_labels: bool) -> Picture:
    """The header of a PNG file.

    Parameters
    ----------
    path
        The file.
    as_labels
        Whether its numbers are label values: indices into a palette then, and numbers
        of a few bits as they are stored.

    Raises
    ------
    InputError
        When it is no PNG file.
    """
    with open_input(path) as file:
        header = _header(file.read(HEADER_BYTES), path)
        said = _before_pixels(file)
    indices = as_labels and header.colour_type == PALETTE
    # A transparent colour is an alpha that a label value does not need.
    transparent = b"tRNS" in said and not indices
    numbers = 1 if indices else NUMBERS[header.colour_type] + transparent

    def decode() -> NDArray[Any]:
        content = path.read_bytes()
        _check_chunks(content, path)
        pixels = _decoded(_declared_grey(content) if indices else content, path)
        if pixels.size != header.height * header.width * numbers:
            raise _damaged(path)
        if as_labels and header.stretch > 1:
            pixels = pixels // np.uint8(header.stretch)
        return pixels.reshape(1, 1, header.height, header.width, numbers)

    y, x = _spacing(said.get(b"sCAL", b""))
    dtype = np.dtype(np.uint16 if header.bits == 16 else np.uint8)
    return Picture((1, header.height, header.width), numbers, 1, dtype, decode, (1.0, y, x))


def _header(head: bytes, path: Path) -> _Header:
    if len(head) < HEADER_BYTES or not head.startswith(SIGNATURE + HEADER_CHUNK):
        raise InputError(
            f"is not a PNG file: it starts with {head[:12].decode('latin-1')!r}.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    header = _Header(*struct.unpack(">IIBB", head[16:26]))
    sound = zlib.crc32(head[12:29]) == int.from_bytes(head[29:33], "big")
    if not sound or header.colour_type not in NUMBERS or header.bits not in (1, 2, 4, 8, 16):
        raise _damaged(path)
    return header


def _before_pixels(file: BinaryIO) -> dict[bytes, bytes]:
    """Data of the chunks after the header that are read here, up to the pixels."""
    found: dict[bytes, bytes] = {}
    while len(start := file.read(8)) == 8 and start[4:] not in (b"IDAT", b"IEND"):
        length = int.from_bytes(start[:4], "big")
        if start[4:] in (b"sCAL", b"tRNS") and length <= LONGEST_CHUNK:
            found[start[4:]] = file.read(length)
            length = 0
        file.seek(length + 4, os.SEEK_CUR)
    return found


def _check_chunks(content: bytes, path: Path) -> None:
    """Refuse a file that breaks off, or one of whose chunks has another checksum.

    libpng goes on after wrong checksums of all but a few chunks, and says so on standard
    error.
    """
    at, kind = len(SIGNATURE), b""
    while kind != b"IEND":
        length = int.from_bytes(content[at : at + 4], "big")
        kind, end = content[at + 4 : at + 8], at + 8 + length
        if end + 4 > len(content):
            raise _damaged(path)
        if zlib.crc32(content[at + 4 : end]) != int.from_bytes(content[end : end + 4], "big"):
            raise _damaged(path)
        at = end + 4


def _decoded(content: bytes, path: Path) -> NDArray[Any]:
    import imagecodecs

    try:
        return np.asarray(imagecodecs.png_decode(content))
    except MemoryError as error:
        problem, remedy = "needs more memory than there is.", "Lower --workers."
        raise InputError(problem, remedy=remedy, path=path) from error
    except Exception as error:  # libpng's, and what damaged headers make of arrays
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError("is damaged, or not a .png image.", remedy=FETCH_AGAIN, path=path)


def _spacing(scale: bytes) -> tuple[float, float]:
    """Size of a pixel along (y, x): millimetres, as ITK writes them into the chunk for metres."""
    width, _, height = scale[1:].partition(b"\0")
    try:
        x, y = float(width), float(height)
    except ValueError:
        return 1.0, 1.0
    return (y, x) if scale[0] in (0, 1) else (1.0, 1.0)


def _declared_grey(content: bytes) -> bytes:
    """A palette's indices as grey values: of the same number of bits they are stored alike."""
    header = bytearray(content[12:29])
    header[4 + COLOUR_TYPE] = GREY
    parts = [content[:12], bytes(header), zlib.crc32(header).to_bytes(4, "big")]
    at = HEADER_BYTES
    while at + 12 <= len(content):
        end = at + 12 + int.from_bytes(content[at : at + 4], "big")
        if content[at + 4 : at + 8] in (b"IDAT", b"IEND"):
            parts.append(content[at:end])  # with its checksum
        at = end
    return b"".join(parts)
