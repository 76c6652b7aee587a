"""TIFF files, by tifffile: which pages make a volume, and how large their pixels are.

ITK's reader gives tiled, turned and 1-bit files as 8-bit RGBA and the first page of an
ImageJ stack alone, refuses 64 bits and zstd, and takes longer: a deflated volume of
512x512x300 uint8 0.12 s of CPU and 79 MiB against 0.08 s and 75 MiB here, LZW 0.23 s
against 0.17 s (one core, both with a warm cache; the labels are 75 MiB).

tifffile is lenient where a label map must not be: pages after a break in the file are left
out, and strips without a place are zeros. Both are looked for here.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, open_input
from softlab_cli.readers.picture import Picture

__all__ = ["open_tiff"]

MAGIC = {b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"}
"""First bytes of TIFF and of BigTIFF."""

MM_PER_UNIT = {2: 25.4, 3: 10.0}
"""What resolutions count pixels by: inches or centimetres; 1 is no unit."""

MM_PER_IMAGEJ_UNIT = {
    "mm": 1.0, "cm": 10.0, "inch": 25.4, "nm": 1e-6,
    **dict.fromkeys(("micron", "microns", "um", "µm", "μm", "\\u00B5m"), 1e-3),
}  # fmt: skip
"""Units that ImageJ names in its description, the micrometre in all its spellings."""

TILE_NUMBERS = 1 << 24
MOST_TILE = 4
"""A tile that has more numbers than these, and than so many pages, is no tile."""

PALETTE = 3
UPRIGHT = 1


def open_tiff(path: Path, *, as_labels: bool) -> Picture:
    """The header of a TIFF file.

    Axes before rows and columns are slices when they are one, whatever it is called (many
    save slices as time or channels). Of several, Z is (else the last that is no
    channel), and the others are volumes.

    Parameters
    ----------
    path
        The file.
    as_labels
        Whether its numbers are label values: indices into a palette then.

    Raises
    ------
    InputError
        When it is no TIFF file, its pages or their data lie beyond its end, or pages
        differ in size or kind.
    """
    with open_input(path) as file:
        head = file.read(16)
    if len(head) < 16 or head[:4] not in MAGIC:
        raise InputError(
            f"is not a TIFF file: it starts with {head[:12].decode('latin-1')!r}.",
            remedy=FETCH_AGAIN,
            path=path,
        )
    with _tiff(path) as tiff:
        pages = _pages(tiff, path)
        series = tiff.series[0]
        first = pages[0]
        shape, order = _order(tuple(series.shape), series.axes)
        if not _has_all_planes(shape[0] * shape[1], tiff, pages):
            raise _damaged(path)
        _check_extent(pages, series.nbytes, path)
        _check_codec(first, path)
        colours = first.photometric == PALETTE and not as_labels
        dtype = np.dtype(np.uint16) if colours else _dtype(first)
        spacing, says_z = _spacing(tiff, first)
        palette = np.asarray(first.colormap) if colours else None
    return Picture(
        shape=(shape[1], shape[2], shape[3]),
        numbers=3 if colours else shape[4],
        volumes=shape[0],
        dtype=dtype,
        decode=lambda: _decoded(path, shape, order, dtype, palette),
        spacing_mm=spacing,
        says_z=says_z,
        is_flat=len(pages) == 1 and shape[1] == 1,
        warnings=_turned(first),
    )


def _decoded(
    path: Path,
    shape: tuple[int, ...],
    order: tuple[int, ...],
    dtype: np.dtype[Any],
    palette: NDArray[Any] | None,
) -> NDArray[Any]:
    """All numbers: (volumes, Z, Y, X, numbers)."""
    with _tiff(path) as tiff:
        series = tiff.series[0]
        try:
            stored = np.asarray(series.asarray(maxworkers=1))
        except MemoryError:
            raise
        except Exception as error:  # each codec has errors of its own
            raise InputError(
                "is damaged: its compressed data do not match their checksum or make no sense.",
                remedy=FETCH_AGAIN,
                path=path,
            ) from error
    pixels = stored.transpose(order).reshape(shape)
    if palette is not None:
        return np.moveaxis(palette[:, pixels[..., 0]], 0, -1)
    return pixels.astype(dtype, copy=False)


def _order(sizes: tuple[int, ...], axes: str) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shape (volumes, Z, Y, X, numbers), and the order of axes that leads to it."""
    row, column = axes.index("Y"), axes.index("X")
    colours = [i for i, name in enumerate(axes) if name == "S"]
    others = [i for i in range(len(axes)) if i not in (row, column, *colours)]
    long = [i for i in others if sizes[i] > 1]
    planes = long if len(long) == 1 else [i for i in long if axes[i] != "C"]
    slices = [i for i in planes if axes[i] == "Z"] or planes[-1:]
    volumes = [i for i in others if i not in slices]
    order = (*volumes, *slices, row, column, *colours)
    groups = (volumes, slices, [row], [column], colours)
    return tuple(prod(sizes[i] for i in group) for group in groups), order


def _pages(tiff: Any, path: Path) -> list[Any]:
    """All pages, which are of one kind, and none of which was left out."""
    pages = list(tiff.pages)
    if not pages or any(not page.imagewidth or not page.imagelength for page in pages):
        raise _damaged(path)
    if len({_kind(page) for page in pages}) > 1:
        shown = ", ".join(f"{w}x{h}" for w, h in sorted({_size(page) for page in pages}))
        raise InputError(
            f"has pages of different sizes, types or kinds (sizes: {shown}).",
            remedy="Save it with its full-size pages only, all of one type.",
            path=path,
        )
    # The place where the last page says that there is no other one.
    handle = tiff.filehandle
    handle.seek(tiff.pages.next_page_offset)
    link = handle.read(tiff.tiff.offsetsize)
    if len(link) < tiff.tiff.offsetsize or any(link):
        raise _damaged(path)
    return pages


def _has_all_planes(planes: int, tiff: Any, pages: list[Any]) -> bool:
    """Whether a volume has every page, and all that a page for several stands for."""
    inside = int(pages[0].imagedepth)
    if len(pages) > 1:
        return planes == inside * len(pages)
    # ImageJ writes the planes of a stack one after another, with a page for the first;
    # where they cannot all be there, tifffile takes the first alone.
    said = (tiff.imagej_metadata or {}).get("images", 1)
    return planes >= max(inside, said if isinstance(said, int) else 1)


def _size(page: Any) -> tuple[int, int]:
    return int(page.imagewidth), int(page.imagelength)


def _kind(page: Any) -> tuple[Any, ...]:
    """What pages of one volume have in common."""
    return (
        *_size(page), page.bitspersample, page.sampleformat, page.samplesperpixel,
        page.planarconfig, page.photometric, page.subfiletype,
    )  # fmt: skip


def _check_extent(pages: list[Any], volume_bytes: int, path: Path) -> None:
    """Refuse strips and tiles that lie beyond the end, or nowhere."""
    size = path.stat().st_size
    for page in pages:
        places, lengths = page.dataoffsets, page.databytecounts
        # A tile may be larger than a small picture, but not by any factor.
        if prod(page.chunks) > max(TILE_NUMBERS, MOST_TILE * prod(page.shape)):
            raise _damaged(path)
        if len(places) < prod(page.chunked) or len(lengths) != len(places):
            raise _damaged(path)
        ends = [place + length for place, length in zip(places, lengths, strict=True)]
        if max(ends) > size or min(places) <= 0 or min(lengths) <= 0:
            raise _damaged(path)
    is_one_run = len(pages) == 1 and volume_bytes > pages[0].nbytes
    if is_one_run and pages[0].dataoffsets[0] + volume_bytes > size:
        raise _damaged(path)


def _check_codec(page: Any, path: Path) -> None:
    if page.compression in _tifffile().TIFF.DECOMPRESSORS:
        return
    name = getattr(page.compression, "name", page.compression)
    raise InputError(
        f"is compressed in a way that cannot be read (TIFF compression {name}).",
        remedy="Save it without compression, or with Deflate, LZW or PackBits.",
        path=path,
    )


def _dtype(page: Any) -> np.dtype[Any]:
    dtype = np.dtype(page.dtype) if page.dtype is not None else np.dtype(np.void)
    if dtype == np.bool_:
        return np.dtype(np.uint8)
    return np.dtype(np.float32) if dtype == np.float16 else dtype.newbyteorder("=")


def _spacing(tiff: Any, page: Any) -> tuple[tuple[float, float, float], bool]:
    """Millimetres along (Z, Y, X), and whether that along Z is said."""
    unit = MM_PER_UNIT.get(int(page.resolutionunit), 0.0)
    described = tiff.imagej_metadata or {}
    if not unit:
        unit = MM_PER_IMAGEJ_UNIT.get(str(described.get("unit", "")), 0.0)
    x, y = (_step(page.tags.get(name), unit) for name in ("XResolution", "YResolution"))
    z = described.get("spacing")
    if not unit or not isinstance(z, int | float) or not z > 0:
        return (1.0, y, x), False
    return (float(z) * unit, y, x), True


def _step(tag: Any, unit: float) -> float:
    """Size of a pixel from how many of them a unit has; 1 where nothing is said."""
    parts, below = tag.value if tag is not None and unit else (0, 1)
    # As float32, like all who read this tag with libtiff.
    count = float(np.float32(parts / below)) if below else 0.0
    return unit / count if count > 0 else 1.0


def _turned(page: Any) -> tuple[str, ...]:
    tag = page.tags.get("Orientation")
    if tag is None or int(tag.value) == UPRIGHT:
        return ()
    return (
        f"the file asks to be shown turned (orientation {int(tag.value)}); its pixels are read "
        "in the order that they are stored in.",
    )


@contextmanager
def _tiff(path: Path) -> Iterator[Any]:
    """The file, opened by tifffile; what it raises becomes an error of ours."""
    try:
        # What OME says may lead to other files; the pages of this one are what counts.
        with _tifffile().TiffFile(path, is_ome=False) as tiff:
            yield tiff
    except InputError:
        raise
    except MemoryError as error:
        problem, remedy = "needs more memory than there is.", "Lower --workers."
        raise InputError(problem, remedy=remedy, path=path) from error
    except Exception as error:  # tifffile raises many kinds for damaged files
        raise _damaged(path) from error


def _damaged(path: Path) -> InputError:
    return InputError(
        "is truncated or damaged: its pages lie beyond the end of the file, or make no sense.",
        remedy=FETCH_AGAIN,
        path=path,
    )


@functools.cache
def _tifffile() -> Any:
    """tifffile, imported when it is needed; what it logs of odd files stays unprinted."""
    import tifffile

    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return tifffile
