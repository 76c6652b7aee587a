"""PNG, TIFF and ITK files made for tests, and the message that reading one fails with."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import SimpleITK as sitk

from softlab_cli.core.errors import InputError
from softlab_cli.readers import read_label_map


def write(path: Path, array: Any, packed: bool = True, **grid: Any) -> Path:
    image = sitk.GetImageFromArray(np.asarray(array), isVector=grid.pop("vector", False))
    for name, value in grid.items():
        getattr(image, f"Set{name}")(value)
    sitk.WriteImage(image, str(path), packed)
    return path


def message(path: Path, read: Any = read_label_map) -> str:
    with pytest.raises(InputError) as caught:
        read(path)
    assert str(caught.value).startswith(str(path))
    assert "itk" not in str(caught.value).replace(str(path), "").lower()
    assert "\n" not in str(caught.value)
    return str(caught.value)


def png(bits: int, colour_type: int, rows: np.ndarray, palette: bool = False) -> bytes:
    """A PNG file with packed rows and the filters None, Sub and Up in turn."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    height, width = rows.shape[:2]
    as_bits = np.unpackbits(rows.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
    packed = np.packbits(as_bits.reshape(height, -1), axis=1)
    lines, above = [], np.zeros_like(packed[0])
    for i, line in enumerate(packed):
        left = np.concatenate([[0], line[:-1]])
        filtered = [line, line - left, line - above][i % 3]
        lines.append(bytes([i % 3]) + filtered.astype(np.uint8).tobytes())
        above = line
    parts = [chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour_type, 0, 0, 0))]
    if palette:
        parts += [chunk(b"PLTE", bytes(range(100, 148))), chunk(b"tRNS", bytes(16))]
    parts += [chunk(b"IDAT", zlib.compress(b"".join(lines))), chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def tiff(pages: list[np.ndarray], big: bool = False, order: str = "<", **tags: int) -> bytes:
    """A TIFF file with uint8 pages: the data first, then one directory after another."""
    number, count, pointer = ("Q", "Q", 16) if big else ("I", "H", 8)
    entry = struct.Struct(f"{order}HH{number}")
    content = bytearray(pointer)
    places = []
    for page in pages:
        places.append(len(content))
        content += page.tobytes()
    link = 8 if big else 4
    for page, place in zip(pages, places, strict=True):
        struct.pack_into(order + number, content, link, len(content))
        height, width = page.shape
        facts = {254: tags.get("subfile", 0), 256: width, 257: height, 258: tags.get("bits", 8),
                 259: 1, 262: tags.get("photometric", 1), 273: place, 277: 1, 278: height,
                 279: page.size, 65000: 7}  # fmt: skip
        content += struct.pack(order + count, len(facts))
        for tag, value in facts.items():
            content += entry.pack(tag, 16 if big else 4, 1) + struct.pack(order + number, value)
        link = len(content)
        content += bytes(struct.calcsize(number))
    head = b"II" if order == "<" else b"MM"
    version = struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    content[: 2 + len(version)] = head + version
    return bytes(content)
