"""What follows the voxels of a file: padding, something small, or data that a header hides.

A header that was damaged or belongs to another file may promise less than there is, and
the voxels that it leaves out, or puts into wrong rows, are nobody's to guess.
"""

from __future__ import annotations

from pathlib import Path

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.byte_stream import ByteStream

__all__ = ["MOST_SURPLUS", "surplus_warnings", "too_long"]

MOST_SURPLUS = 1 << 20
"""Padding is never longer (blocks of tapes and FITS have 512 or 2880 bytes)."""

SHARE = 16
"""What is shorter than this part of the voxels is no volume, and no row of slices."""

PIECE = 1 << 16


def surplus_warnings(stream: ByteStream, promised: int, path: Path) -> tuple[str, ...]:
    """What is to be said of the bytes that follow the voxels; nothing for zeros.

    Parameters
    ----------
    stream
        Right after the voxels; it is read to its end, and no further than `MOST_SURPLUS`.
    promised
        Bytes of voxels by the header.
    path
        The file, for messages.

    Raises
    ------
    InputError
        When so much follows that it looks like voxels.
    """
    count, is_padding = 0, True
    while count <= MOST_SURPLUS and (piece := stream.read(PIECE)):
        count += len(piece)
        is_padding = is_padding and not any(piece)
    if count > MOST_SURPLUS:
        raise too_long(f"more than {MOST_SURPLUS}", promised, path)
    if is_padding:
        return ()
    if count * SHARE >= promised:
        raise too_long(str(count), promised, path)
    return (f"{count} bytes follow the voxels that the header promises; they are left out.",)


def too_long(count: str, promised: int, path: Path) -> InputError:
    """The error for so many bytes behind the voxels."""
    return InputError(
        f"goes on after its voxels: the header promises {promised} bytes, and {count} follow. "
        "Header and voxels do not belong together, or the header is damaged.",
        remedy=FETCH_AGAIN,
        path=path,
    )
