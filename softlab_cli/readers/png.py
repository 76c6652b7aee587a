"""PNG label maps whose values ITK would not hand out as they are stored.

Index pictures (a palette over class indices) are a common form of label map,
but ITK replaces the indices by colours; pictures of 1, 2 or 4 bits are
stretched to 0..255.

Source: PNG specification (third edition), sections 5 and 11.
"""

from __future__ import annotations

import struct
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN

__all__ = ["PALETTE", "PngFacts", "as_grey", "png_facts"]

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER_CHUNK = b"\0\0\0\rIHDR"
GREY, PALETTE, GREY_ALPHA = 0, 3, 4
HEADER_BYTES = 25
COLOUR_TYPE = 9
"""Place of the colour type in the header chunk's data."""

KEPT = (b"IDAT", b"IEND", b"pHYs", b"sCAL")


@dataclass(frozen=True)
class PngFacts:
    """What matters of a PNG file's header.

    Parameters
    ----------
    bits
        Bits of one number.
    colour_type
        0 grey, 2 colours, 3 palette, 4 grey with alpha, 6 colours with alpha.
    """

    bits: int
    colour_type: int

    @property
    def stretch(self) -> int:
        """What ITK multiplies stored numbers by."""
        return 255 // (2**self.bits - 1) if self.bits < 8 else 1


def png_facts(path: Path) -> PngFacts:
    """The header of a PNG file.

    Raises
    ------
    InputError
        When it is no PNG file, or has grey values with alpha (which no reader
        here can take apart).
    """
    with open(path, "rb") as file:
        head = file.read(33)
    if len(head) < 33 or not head.startswith(SIGNATURE + HEADER_CHUNK):
        raise InputError(
            f"is not a PNG file: it starts with {head[:12].decode('latin-1')!r}.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    facts = PngFacts(bits=head[24], colour_type=head[25])
    if facts.colour_type == GREY_ALPHA:
        raise InputError(
            "has an alpha channel; one number for each pixel is expected.",
            remedy="Save it as greyscale without alpha.",
            path=path,
        )
    return facts


@contextmanager
def as_grey(path: Path) -> Iterator[Path]:
    """A copy of a file with a palette, whose indices are declared grey values.

    Indices and grey values of the same number of bits are stored alike, so only
    the header changes; decoding stays with the PNG library.
    """
    with tempfile.TemporaryDirectory(prefix="softlab-") as folder:
        copy = Path(folder) / "indices.png"
        copy.write_bytes(_declared_grey(path.read_bytes()))
        yield copy


def _declared_grey(content: bytes) -> bytes:
    start = len(SIGNATURE)
    at = start + HEADER_BYTES
    parts = [SIGNATURE, _grey_header(content[start:at])]
    while at + 12 <= len(content):
        (length,) = struct.unpack(">I", content[at : at + 4])
        chunk = content[at : at + 12 + length]
        if chunk[4:8] in KEPT:
            parts.append(chunk)
        at += len(chunk)
    return b"".join(parts)


def _grey_header(chunk: bytes) -> bytes:
    body = bytearray(chunk[4:-4])
    body[4 + COLOUR_TYPE] = GREY
    return chunk[:4] + bytes(body) + struct.pack(">I", zlib.crc32(body))
