"""Changes of a file's bytes: by chance, and with what decoders have stumbled over."""

from __future__ import annotations

import random
import re
import struct
from collections.abc import Callable

__all__ = ["CHANGES"]

NUMBERS = [
    "-1", "-3", "0", "1", "2", "3", "4", "7", "16", "17", "255", "256", "32768", "65535", "99999",
    "2147483647", "2147483648", "4294967295", "4294967297", "-2147483648", "9223372036854775807",
    "18446744073709551616", "1000000000000", "1e400", "-1e308", "1e-320", "nan", "inf", "-nan",
    "0x10", "3x", "", " ", "1 1", "1,1", "9" * 300, "0" * 1100, "1." + "3" * 1100,
]  # fmt: skip
TOKENS = [
    *NUMBERS, "%s%n", "%03d.raw 1 99999999 1", "\0", "\n", "\n\n", "\r\n", "\t", "(", ")", '"', ":",
    "=", ":=", "../../etc/passwd", "/dev/zero", "LIST\n", "none", "list", "vector", "domain",
    "A" * 1100, "A" * 70000, "(" + "1" * 1100 + ",0,0)", "True", "False", "LOCAL", "double",
    "block",
    "uchar", "gzip", "raw", "ascii", "bzip2", "MET_DOUBLE", "MET_LONG_LONG", "MET_OTHER", "big",
    "\xff\xfe", "\x1b[31m", "NRRD0004\n", "byte skip: -1\n", "line skip: 999999999\n",
    "CompressedData = True\n", "CompressedDataSize = 0\n", "HeaderSize = -1\n", "NDims = 2\n",
    "ElementNumberOfChannels = 3\n", "sizes: 2 2 2\n", "space dimension: 3\n", "\\", "{", "[", "]",
    "null", "=1+1", "@a", "s3://bucket/x",
]  # fmt: skip
WORD = re.compile(rb"[-+\w.]+")
HEADER_BYTES = 600
"""Where the headers of binary formats are."""


def flip(content: bytes, chance: random.Random) -> bytes:
    """Bits in one to four bytes."""
    changed = bytearray(content)
    for _ in range(chance.randint(1, 4)):
        changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def flip_header(content: bytes, chance: random.Random) -> bytes:
    """A byte of the beginning."""
    changed = bytearray(content)
    changed[chance.randrange(min(len(changed), HEADER_BYTES))] = chance.randrange(256)
    return bytes(changed)


def truncate(content: bytes, chance: random.Random) -> bytes:
    """The end is missing."""
    return content[: chance.randrange(len(content))]


def extend(content: bytes, chance: random.Random) -> bytes:
    """Something follows: zeros, anything, or the same again."""
    more = [bytes(chance.choice([1, 512, 2880])), chance.randbytes(chance.randint(1, 400)), content]
    return content + chance.choice(more)


def cut(content: bytes, chance: random.Random) -> bytes:
    """A piece is missing."""
    at = chance.randrange(len(content))
    return content[:at] + content[at + chance.choice([1, 2, 4, 16, 100]) :]


def repeat(content: bytes, chance: random.Random) -> bytes:
    """A piece stands twice, at another place perhaps."""
    at, to = chance.randrange(len(content)), chance.randrange(len(content))
    return content[:to] + content[at : at + chance.choice([1, 4, 16, 100])] + content[to:]


def overwrite(content: bytes, chance: random.Random) -> bytes:
    """A piece is zeros, ones, or anything."""
    at, size = chance.randrange(len(content)), chance.choice([2, 4, 8, 32, 200])
    piece = chance.choice([bytes(size), b"\xff" * size, chance.randbytes(size)])
    return content[:at] + piece[: len(content) - at] + content[at + size :]


def number(content: bytes, chance: random.Random) -> bytes:
    """A field of a binary header has a number that counts nothing."""
    layout = chance.choice(["<h", ">h", "<i", ">i", "<q", ">q", "<f", ">f", "<d"])
    value = chance.choice([-1, 0, 1, 2, 3, 7, 8, 255, 32767, -32768, 2**31 - 1, -(2**31), 2**62])
    if layout[1] in "fd":
        value = chance.choice([float(value), float("nan"), float("inf"), 1e-30])
    else:
        half = 1 << (8 * struct.calcsize(layout) - 1)
        value = (value + half) % (2 * half) - half
    packed = struct.pack(layout, value)
    places = range(0, max(1, min(len(content), HEADER_BYTES) - len(packed)), 2)
    at = chance.choice(places)
    return content[:at] + packed + content[at + len(packed) :]


def token(content: bytes, chance: random.Random) -> bytes:
    """A word that means something is put in, or takes another word's place."""
    words = list(WORD.finditer(content, 0, _text_end(content)))
    word = chance.choice(TOKENS).encode("latin-1")
    if not words:
        at = chance.randrange(len(content))
        return content[:at] + word + content[at:]
    found = chance.choice(words)
    begin = chance.choice([found.start(), found.end()])
    return content[:begin] + word + content[found.end() :]


def text_number(content: bytes, chance: random.Random) -> bytes:
    """A number of a text is another one."""
    found = [w for w in WORD.finditer(content, 0, _text_end(content)) if w[0][-1:].isdigit()]
    if not found:
        return token(content, chance)
    word = chance.choice(found)
    other = chance.choice(NUMBERS).encode("latin-1")
    return content[: word.start()] + other + content[word.end() :]


def lines(content: bytes, chance: random.Random) -> bytes:
    """A line of a text is missing, stands twice, or has changed places."""
    end = _text_end(content)
    rows = content[:end].split(b"\n")
    one, other = chance.randrange(len(rows)), chance.randrange(len(rows))
    how = chance.randrange(3)
    if how == 0:
        del rows[one]
    elif how == 1:
        rows.insert(other, rows[one])
    else:
        rows[one], rows[other] = rows[other], rows[one]
    return b"\n".join(rows) + content[end:]


def _text_end(content: bytes) -> int:
    """Where the text at the beginning of a file ends."""
    found = re.search(rb"[^\t\n\r\x20-\x7e]", content)
    return found.start() if found and found.start() > 40 else len(content)


CHANGES: dict[str, Callable[[bytes, random.Random], bytes]] = {
    "flip": flip, "flip header": flip_header, "truncate": truncate, "extend": extend, "cut": cut,
    "repeat": repeat, "overwrite": overwrite, "number": number, "token": token,
    "text number": text_number, "lines": lines,
}  # fmt: skip
"""Name of a change to what makes it."""
