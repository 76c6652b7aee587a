r"""Text that comes from files, where people read it.

Names of files, cases, raters, classes and segments are data. A line break in one could
pass for a line of ours, and a control character steer the terminal or turn the line
around: they are shown as Python writes them (``\n``, ``\x1b``, ``\u202e``). What is
stored, and JSON, has them as they are.
"""

from __future__ import annotations

import re

__all__ = ["cut_bytes", "printable", "shown", "shown_message"]

OUR_LINE_BREAK = re.compile(r"(\n(?=  )|\n\Z)")
"""In a message of ours, a line break comes before an indented line, or last."""


def shown(text: object) -> str:
    """A text in one line, with everything escaped that is not printable."""
    return "".join(c if c.isprintable() else _escaped(c) for c in str(text))


def printable(text: object) -> str:
    """The same for text of several lines: line breaks stay."""
    return "\n".join(map(shown, str(text).split("\n")))


def shown_message(text: str) -> str:
    """The same for a message: line breaks stay where the message has them, not in names."""
    return "".join(p if i % 2 else shown(p) for i, p in enumerate(OUR_LINE_BREAK.split(text)))


def _escaped(character: str) -> str:
    # Bytes of a file name that are no UTF-8 come as lone surrogates: \udcff.
    return character.encode("unicode_escape").decode("ascii")


def cut_bytes(text: str, most: int) -> str:
    """As much of a text as takes no more bytes than that in UTF-8."""
    return text.encode(errors="surrogateescape")[:most].decode(errors="ignore")
