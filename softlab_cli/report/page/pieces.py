"""What was drawn of each case, kept until the page is whole, and found again in the page.

While a page is being made, each case's pictures are a file in a hidden folder beside it, so that
a run that was interrupted goes on where it was. When the page is whole the folder goes: the page
itself has every piece between two marks, with its key and a checksum, and the next run takes the
pieces that still hold from there. So nothing lies about beside the page, and after a few new
cases only these are drawn.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.store.files import system_errors, written_whole

__all__ = ["Pieces", "replace_page"]

BEGIN = re.compile(r"<!--drawn ([0-9a-f]{64}) ([0-9a-f]{64})-->\n")
END = "<!--/drawn-->\n"
MARK = '<meta name="generator" content="softlab '
"""What tells a page of softlab from another file, in its first lines."""

HEAD_BYTES = 4096


@dataclass(frozen=True)
class Pieces:
    """The pieces of a page.

    Parameters
    ----------
    page
        The page's file.
    """

    page: Path

    @property
    def folder(self) -> Path:
        """Where they wait."""
        return self.page.with_name(f".{self.page.name}.pieces")

    def check(self) -> None:
        """Refuse a page that cannot be written, or that is something else.

        Raises
        ------
        UsageError
            When it is a folder.
        StoreError
            When it is a file of somebody else.
        """
        if self.page.is_dir():
            raise UsageError(
                f"--out {self.page}: is a folder.", remedy="Name a file, such as report.html."
            )
        with system_errors(self.page, "read"):
            if self.page.exists() and MARK not in self._head():
                raise StoreError(
                    "is there already, and no page of softlab.",
                    remedy="Choose another --out.",
                    path=self.page,
                )

    def _head(self) -> str:
        with open(self.page, "rb") as file:
            return file.read(HEAD_BYTES).decode(errors="replace")

    def take_over(self, keys: Iterable[str]) -> set[str]:
        """Make the folder, and put into it what the last page has of these keys.

        Returns
        -------
        set of str
            Keys of the pieces that are there; others that wait there go with the folder.
        """
        wanted = set(keys)
        with system_errors(self.folder, "written"):
            self.folder.mkdir(parents=True, exist_ok=True)
            there = {path.name for path in self.folder.iterdir()} & wanted
            for key, text in self._in_page() if wanted - there else ():
                if key in wanted - there:
                    self.keep(key, text)
                    there.add(key)
        return there

    def _in_page(self) -> Iterator[tuple[str, str]]:
        if not self.page.exists():
            return
        with open(self.page, encoding="utf-8", errors="replace", newline="") as file:
            for line in file:
                begun = BEGIN.fullmatch(line)
                if begun is None:
                    continue
                text = "".join(iter(lambda: file.readline() or END, END))
                if _sum(text) == begun[2]:
                    yield begun[1], text

    def keep(self, key: str, text: str) -> int:
        """Keep a piece; returns its bytes.

        Parameters
        ----------
        key
            What it depends on, as a checksum.
        text
            Markup; names from files are escaped in it, so that it has no marks.
        """
        data = text.encode()
        path = self.folder / key
        with written_whole(path) as partial:
            self.folder.mkdir(parents=True, exist_ok=True)  # another run may have removed it
            partial.write_bytes(data)
        return len(data)

    def check_whole(self, keys: Iterable[str]) -> None:
        """Refuse to make a page of which pieces are lacking.

        Another run of the same page removes the folder when it ends; what it drew is in its
        page then, and is taken from there.

        Raises
        ------
        StoreError
            When some are in neither place.
        """
        wanted = set(keys)
        if lost := wanted - self.take_over(wanted):
            raise StoreError(
                f"{len(lost)} of {len(wanted)} pictures have been removed meanwhile, as by another "
                "softlab report with this --out; the page is left as it was.",
                remedy="Run it again.",
                path=self.page,
            )

    def marked(self, key: str) -> str:
        """A piece between its marks, for the page; empty where there is none."""
        try:
            text = (self.folder / key).read_text(encoding="utf-8")
        except OSError:
            return ""
        return f"<!--drawn {key} {_sum(text)}-->\n{text}{END}"

    def remove(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.folder, ignore_errors=True)


def _sum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def replace_page(page: Path, parts: Iterator[str]) -> int:
    """Write a page under another name, and rename it when it is whole; returns its bytes.

    Parameters
    ----------
    page
        The file.
    parts
        Its text, piece by piece.

    Raises
    ------
    StoreError
        When the system cannot write.
    """
    with written_whole(page) as partial:
        page.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "w", encoding="utf-8", newline="") as file:
            file.writelines(parts)
        return partial.stat().st_size
