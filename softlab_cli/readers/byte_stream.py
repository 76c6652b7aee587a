"""Bytes of a file in order, inflated on the way when the file is compressed."""

from __future__ import annotations

import os
from pathlib import Path

from isal import isal_zlib as zlib

from softlab_cli.core.errors import InputError
from softlab_cli.readers.base import FETCH_AGAIN, open_input

__all__ = ["MOST_INFLATION", "ByteStream"]

MOST_INFLATION = 1032
"""Deflate never makes more of one byte: 258 bytes from 2 bits."""

PIECE = 1 << 18
"""Bytes read, and inflated, at a time: they stay in the processor's cache."""

GZIP_MAGIC = b"\x1f\x8b"
GZIP_OR_ZLIB = 47
"""Window bits with which zlib recognises both kinds of header."""


class ByteStream:
    """A file read from front to back; gzip is recognised by content, not by name.

    Parameters
    ----------
    path
        The file.
    start
        Where the data begin.
    compressed
        Whether the data are deflated; None to look at the first two bytes.
    """

    def __init__(self, path: Path, start: int = 0, compressed: bool | None = None) -> None:
        self.path = path
        self._file = open_input(path)
        self._size = os.fstat(self._file.fileno()).st_size - start
        # A read of more than there is would get, and give back, memory for all of it.
        self._piece = min(PIECE, max(0, self._size)) or PIECE
        if start:
            self._file.seek(start)
        if compressed is None:  # looking ahead moves nothing, and is one read with what follows
            compressed = self._file.peek(2)[:2] == GZIP_MAGIC  # type: ignore[attr-defined]
        self._inflater = zlib.decompressobj(GZIP_OR_ZLIB) if compressed else None
        self._input = b""
        self._output = memoryview(b"")  # of the data, not yet handed out

    def __enter__(self) -> ByteStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read any more."""
        self._file.close()

    @property
    def size(self) -> int:
        """Bytes of the data as the file has them."""
        return self._size

    @property
    def capacity(self) -> int:
        """Upper bound of the bytes that the stream can give."""
        return self._size * (1 if self._inflater is None else MOST_INFLATION)

    def readinto(self, target: memoryview) -> int:
        """Fill `target`; fewer bytes than it has room for only at the end of the data."""
        done = 0
        while done < len(target):
            count = self._some(target[done:])
            if not count:
                break
            done += count
        return done

    def read(self, count: int) -> bytes:
        """The next `count` bytes, or what is left of the data."""
        if count <= len(self._output):
            found = bytes(self._output[:count])
            self._output = self._output[count:]
            return found
        if self._inflater is not None and not self._output and not self._fill():
            return b""  # to make room for much that is not there takes longer than to see that
        buffer = bytearray(count)
        return bytes(buffer[: self.readinto(memoryview(buffer))])

    def peek(self, count: int) -> bytes:
        """What `read` would give, and gives afterwards."""
        if not self._output and self._inflater is not None:
            self._fill()
        if count <= len(self._output):
            return bytes(self._output[:count])
        found = self.read(count)
        self._output = memoryview(found + self._output)
        return found

    def skip(self, count: int) -> None:
        """Leave out `count` bytes."""
        self.skim(count)

    def skim(self, most: int) -> int:
        """Leave out `most` bytes, or what is left of the data; how many these were."""
        count = 0
        while count < most and (step := len(self.read(min(most - count, PIECE)))):
            count += step
        return count

    def seek(self, count: int) -> None:
        """Leave out `count` bytes of a file that is not compressed, without reading them."""
        assert self._inflater is None
        self._file.seek(count, os.SEEK_CUR)

    def _some(self, target: memoryview) -> int:
        if not self._output:
            if self._inflater is None:
                return int(self._file.readinto(target))  # type: ignore[attr-defined]
            if not self._fill():
                return 0
        count = min(len(target), len(self._output))
        target[:count] = self._output[:count]
        self._output = self._output[count:]
        return count

    def _fill(self) -> bool:
        """Inflate the next piece; False at the end of the data."""
        assert self._inflater is not None
        while not self._inflater.eof or self._next_member():
            data = self._input or self._file.read(self._piece)
            try:
                out = self._inflater.decompress(data, PIECE)
            except zlib.error as error:  # type: ignore[misc]
                raise InputError(
                    "is damaged: its compressed data do not match their checksum or make no sense.",
                    remedy=FETCH_AGAIN,
                    path=self.path,
                ) from error
            self._input = self._inflater.unconsumed_tail
            if out:
                self._output = memoryview(out)
                return True
            if not data:
                raise InputError(
                    "is truncated: its compressed data break off.",
                    remedy=FETCH_AGAIN,
                    path=self.path,
                )
        return False

    def _next_member(self) -> bool:
        """Go on to the next gzip member, which parallel compressors write."""
        assert self._inflater is not None
        rest = self._inflater.unused_data + self._file.read(self._piece)
        if not rest.startswith(GZIP_MAGIC):
            return False
        self._inflater = zlib.decompressobj(GZIP_OR_ZLIB)
        self._input = rest
        return True
