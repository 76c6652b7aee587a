"""The directories of a TIFF file, to refuse what ITK would silently read as something else.

When a file breaks off, ITK returns the pages before the break; it does not look
at the checksums of deflated data, inverts label values stored with white as 0,
and turns palettes into colours.

Source: TIFF 6.0, section 2, and the BigTIFF design.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, open_input

__all__ = ["check_tiff", "verify_strips"]

WIDTH, HEIGHT, BITS, COMPRESSION, PHOTOMETRIC, SUBFILE = 256, 257, 258, 259, 262, 254
DEFLATE = (8, 32946)
FORM = (WIDTH, HEIGHT, BITS, PHOTOMETRIC, SUBFILE, 277, 284, 339)
"""Tags in which pages must agree, samples and their type among them; ITK 5.4 makes
room for pages like the first, and writes past it when others are larger."""

PARTS = ((273, 279), (324, 325))
"""Tags of the places and lengths of strips, and of tiles."""

TYPE_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
TYPE_CODES = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}

REFUSED = {0: "with white as 0, so that its values would be inverted", 3: "as colours of a palette"}


Page = dict[int, tuple[int, ...]]
"""Tags of one page and their whole numbers."""


@dataclass(frozen=True)
class _Form:
    """How numbers are laid out in one kind of TIFF."""

    order: str
    count: str
    entry: str
    offset: str

    def read(self, file: BinaryIO, code: str) -> tuple[Any, ...]:
        layout = struct.Struct(self.order + code)
        return layout.unpack(file.read(layout.size))


def check_tiff(path: Path, *, as_labels: bool) -> None:
    """Refuse a TIFF file that is damaged, or a label map that holds no plain numbers.

    Parameters
    ----------
    path
        The file.
    as_labels
        Whether its values are label values.

    Raises
    ------
    InputError
        When pages or their data lie beyond the end of the file, or pages differ
        in size or kind; for label maps also when values are inverted, bits, or indices
        into a palette.
    """
    size = path.stat().st_size
    with open_input(path) as file:
        pages = _all_pages(file, path)
    sizes = {(_value(page, WIDTH, 0), _value(page, HEIGHT, 0)) for page in pages}
    forms = {tuple(page.get(tag) for tag in FORM) for page in pages}
    if len(forms) > 1:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted(sizes))
        raise InputError(
            f"has pages of different sizes, types or kinds (sizes: {shown}).",
            remedy="Save it with its full-size pages only, all of one type.",
            path=path,
        )
    for page in pages:
        _check_extent(page, size, path)
        if as_labels:
            _check_values(page, path)


def verify_strips(path: Path) -> None:
    """Inflate deflated strips and tiles once, so that their checksums are known to be right.

    Raises
    ------
    InputError
        When one is wrong.
    """
    with open_input(path) as file:
        for page in _all_pages(file, path):
            if _value(page, COMPRESSION, 1) not in DEFLATE:
                continue
            for place, length in _parts(page):
                file.seek(place)
                _verify(file.read(length), path)


def _verify(data: bytes, path: Path) -> None:
    try:
        zlib.decompress(data)
    except zlib.error as error:
        raise InputError(
            "is damaged: its compressed data do not match their checksum or make no sense.",
            remedy=FETCH_AGAIN,
            path=path,
        ) from error


def _all_pages(file: BinaryIO, path: Path) -> list[Page]:
    try:
        return list(_pages(file, path))
    except (struct.error, OverflowError, ValueError, OSError) as error:
        raise _damaged(path) from error


def _parts(page: Page) -> Iterator[tuple[int, int]]:
    """Places and lengths of a page's strips and tiles."""
    for places, lengths in PARTS:
        yield from zip(page.get(places, ()), page.get(lengths, ()), strict=False)


def _value(page: Page, tag: int, default: int) -> int:
    """A tag's first value."""
    values = page.get(tag)
    return values[0] if values else default


def _check_values(page: Page, path: Path) -> None:
    photometric = _value(page, PHOTOMETRIC, 1)
    bits = _value(page, BITS, 1)
    how = REFUSED.get(photometric, f"with {bits} bits" if bits < 8 else "")
    if how:
        raise InputError(
            f"stores its values {how}.",
            remedy="Save it as plain greyscale of 8, 16 or 32 bits, or as PNG.",
            path=path,
        )


def _check_extent(page: Page, size: int, path: Path) -> None:
    if any(place + length > size for place, length in _parts(page)):
        raise _damaged(path)


def _damaged(path: Path) -> InputError:
    return InputError(
        "is truncated or damaged: its pages lie beyond the end of the file, or make no sense.",
        remedy=FETCH_AGAIN,
        path=path,
    )


def _pages(file: BinaryIO, path: Path) -> Iterator[Page]:
    """Tags of each page."""
    form, at = _start(file, path)
    seen: set[int] = set()
    while at:
        if at in seen:
            raise struct.error("pages in a circle")
        seen.add(at)
        file.seek(at)
        (count,) = form.read(file, form.count)
        entries = [form.read(file, form.entry) for _ in range(count)]
        (at,) = form.read(file, form.offset)
        page = {tag: _values(file, form, kind, n, field) for tag, kind, n, field in entries}
        if not page.get(WIDTH) or not page.get(HEIGHT):
            raise struct.error("a page without a size")
        yield page


def _start(file: BinaryIO, path: Path) -> tuple[_Form, int]:
    head = file.read(16)
    order = {b"II": "<", b"MM": ">"}.get(head[:2], "")
    version = struct.unpack(order + "H", head[2:4])[0] if order and len(head) == 16 else 0
    if version == 42:
        return _Form(order, "H", "HHI4s", "I"), struct.unpack(order + "I", head[4:8])[0]
    if version == 43:
        return _Form(order, "Q", "HHQ8s", "Q"), struct.unpack(order + "Q", head[8:16])[0]
    raise InputError(
        f"is not a TIFF file: it starts with {head[:12].decode('latin-1')!r}.",
        remedy=FETCH_AGAIN,
        path=path,
    )


def _values(file: BinaryIO, form: _Form, kind: int, count: int, field: bytes) -> tuple[int, ...]:
    """An entry's whole numbers; empty for text, fractions and damaged counts."""
    code = TYPE_CODES.get(kind)
    if code is None:
        return ()
    length = TYPE_SIZES[kind] * count
    if length > len(field):
        (place,) = struct.unpack(form.order + form.offset, field)
        if place + length > os.fstat(file.fileno()).st_size:
            raise struct.error("beyond the end of the file")
        file.seek(place)
        field = file.read(length)
    return struct.unpack(f"{form.order}{count}{code}", field[:length])
