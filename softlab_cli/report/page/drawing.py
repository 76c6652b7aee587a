"""The way of one case to its pictures; runs in any process, and raises nothing."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from softlab_cli.api import open_store
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.colours import class_colours, line_colours
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.failures import failure
from softlab_cli.report.page.environment import render
from softlab_cli.report.page.pieces import Pieces
from softlab_cli.report.page.slices import DETAILS, draw_views
from softlab_cli.report.pictures.case import view_case
from softlab_cli.report.pictures.views import CaseViews

__all__ = ["DrawTask", "css_colours", "draw_case", "drawn_within"]

LEAST_LUMINANCE = 0.45
"""Lines lie on black and grey: darker colours are made lighter."""


@dataclass(frozen=True)
class DrawTask:
    """Everything that the pictures of one case take; travels to a worker process.

    Parameters
    ----------
    store
        The store's folder.
    case_id
        The case.
    page
        The page; its folder of pieces exists.
    key
        What the pictures depend on, as a checksum.
    most_bytes
        The share of the page that they may take.
    """

    store: Path
    case_id: str
    page: Path
    key: str
    most_bytes: int


def draw_case(task: DrawTask) -> CaseFinished:
    """Draw one case and keep the piece of the page; never raises."""
    started = time.perf_counter()
    try:
        views = view_case(open_store(task.store)[task.case_id])
        text = drawn_within(views, open_store(task.store).classes, task.most_bytes)
        size = Pieces(task.page).keep(task.key, text)
        return CaseFinished(
            task.case_id, "done", seconds=time.perf_counter() - started,
            facts={"stored_bytes": size},
        )  # fmt: skip
    except Exception as error:
        return failure(task.case_id, error, started)


def drawn_within(views: CaseViews, classes: ClassTable, most_bytes: int) -> str:
    """The pictures of a case as markup, as fine as fits into some bytes.

    Parameters
    ----------
    views
        The slices.
    classes
        The class table.
    most_bytes
        How long it may be. The coarsest one is taken where none fits.
    """
    colours = css_colours(classes, views.classes)
    text = ""
    for detail in DETAILS:
        case = draw_views(views, classes.names, colours, detail)
        text = render("case.html", case=case).strip("\n") + "\n"
        if len(text.encode()) <= most_bytes:
            break
    return text


def css_colours(classes: ClassTable, shown: Sequence[int] = ()) -> Mapping[int, str]:
    """Class index to a colour that is seen on black, as CSS writes it.

    Parameters
    ----------
    classes
        The class table.
    shown
        Classes that are shown together; their colours are told apart.
    """
    colours = dict(enumerate(class_colours(classes))) | line_colours(classes, shown)
    return {index: _css(_lightened(colour)) for index, colour in colours.items()}


def _lightened(colour: np.ndarray) -> np.ndarray:
    luminance = float(colour @ (0.2126, 0.7152, 0.0722))
    share = max(0.0, (LEAST_LUMINANCE - luminance) / (1 - luminance)) if luminance < 1 else 0.0
    return colour + share * (1 - colour)


def _css(colour: np.ndarray) -> str:
    return "#" + "".join(f"{round(255 * float(part)):02x}" for part in colour)
