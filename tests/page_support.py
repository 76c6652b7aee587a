"""Stores with names that attack pages, and what a page holds as a browser's parser sees it."""

from __future__ import annotations

import json
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
from click.testing import CliRunner

from softlab_cli.cli.main import cli
from tests.conftest import blobs, write_image

MARKUP = "<img src=x onerror=document.title='run'>"
"""No slash and no control character, so that a case may be called so."""

EVIL = (
    "</script><script>document.title='run'</script>\"' onload=\"document.title='run' "
    "{{ 7 * 7 }} --><!--/drawn-->\n<!--/drawn-->\n\x1b[2J\u202egnp"
)
HEBREW = "\u05db\u05d1\u05d3"
LONG = "w" * 300
SMALL = (9, 14, 16)

VOID = {"meta", "input", "link", "br", "img", "hr"}


class Elements(HTMLParser):
    """Elements, attributes and texts of a page; raises where tags do not match."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.texts: list[str] = []
        self.feed(html)
        self.close()
        assert not self.open, self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), (tag, attrs)
        self.attributes += [(tag, name, value or "") for name, value in attrs]

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, (tag, self.getpos())

    def handle_data(self, data: str) -> None:
        if not self.open or self.open[-1] not in ("script", "style"):
            self.texts.append(data)

    @property
    def text(self) -> str:
        return "".join(self.texts)

    def ids(self) -> list[str]:
        return [value for _, name, value in self.attributes if name == "id"]


def run(*arguments: object) -> None:
    done = CliRunner().invoke(cli, [str(a) for a in arguments])
    assert done.exit_code == 0, done.output


def hostile_store(folder: Path) -> Path:
    """A store of two cases and two raters, whose names, classes and paths attack a page."""
    raters = folder / "in"
    for case, seed in ((MARKUP, 0), (f"{HEBREW} case", 3)):
        for i, rater in enumerate(("<b>r1", f"r2{HEBREW}")):
            write_image(
                raters / f"{case}_{rater}.nii.gz", blobs(SMALL, 4, seed=seed + i), (2, 1, 1)
            )
    labels = {"background": 0, EVIL: 1, HEBREW: 2, LONG: 3}
    (folder / "names.json").write_text(json.dumps({"labels": labels}))
    run("msvls", "--in", raters, "--rater-pattern", "{case}_{rater}", "--keep-raters",
        "--classes-from", folder / "names.json", "--out", folder / "evil.zarr")  # fmt: skip
    return folder / "evil.zarr"


def plain_store(folder: Path, *options: object, cases: int = 3) -> Path:
    """A store of some cases with images and four classes."""
    for i in range(cases):
        array = blobs(SMALL, 4, seed=i)
        write_image(folder / "labels" / f"case{i}.nii.gz", array, (2, 1, 1))
        noise = np.random.default_rng(i).normal(0, 9, SMALL)
        write_image(
            folder / "images" / f"case{i}.nii.gz", np.float32(array * 100 + noise), (2, 1, 1)
        )
    run("svls", "--in", folder / "labels", "--images", folder / "images", "--out",
        folder / "soft.zarr", *options)  # fmt: skip
    return folder / "soft.zarr"
