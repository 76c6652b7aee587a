"""Pictures of cases of a store as PNG files: what ``softlab preview`` does."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from softlab_cli.core.errors import ClassError, SoftlabError, StoreError, UsageError
from softlab_cli.core.extras import require
from softlab_cli.core.places import refuse_url
from softlab_cli.report.pictures.case import ISOLINES, view_subject
from softlab_cli.report.pictures.figures import DPI, Cell, draw_cell, draw_figure, draw_key
from softlab_cli.report.pictures.planes import Plane, View
from softlab_cli.report.pictures.subject import subject_of
from softlab_cli.report.pictures.views import CaseViews
from softlab_cli.report.pictures.windows import AUTO, parse_window
from softlab_cli.report.pictures.zoom import parse_zoom
from softlab_cli.report.tables import counted
from softlab_cli.store.files import refuse_in_store, system_errors, written_whole
from softlab_cli.store.reader import Case, Store

__all__ = ["Drawn", "Looks", "draw_cases", "draw_sheet"]

COLUMNS, ROWS = 6, 20
"""Cells of a contact sheet; what does not fit goes to another sheet."""

PNG = b"\x89PNG"
"""What a PNG file begins with."""


@dataclass(frozen=True)
class Looks:
    """How cases are shown; see `softlab_cli.report.pictures.case.view_case`.

    Parameters
    ----------
    planes
        Anatomical planes; without meaning for 2D pictures.
    index
        Slice number along the plane's array axis, for one plane; by default the slice
        with most doubt.
    classes
        Names or label values of classes that lines are drawn of.
    window, zoom, isolines
        As there.
    image, raters
        Whether these are drawn, where there are any.
    """

    planes: Sequence[Plane] = ("axial",)
    index: int | None = None
    classes: Sequence[str] = ()
    window: str = AUTO
    zoom: str = AUTO
    isolines: Sequence[float] = ISOLINES
    image: bool = True
    raters: bool = True

    def check(self, store: Store) -> None:
        """Raise `UsageError` for what is wrong whatever the case."""
        parse_window(self.window)
        parse_zoom(self.zoom)
        for name in self.classes:
            try:
                store.classes.find(name)
            except ClassError as error:
                raise UsageError(error.problem, remedy=error.remedy) from error
        if self.index is not None and len(self.planes) > 1:
            raise UsageError(
                f"--slice {self.index} goes with one plane.", remedy="Give --plane once."
            )

    def views_of(self, case: Case) -> CaseViews:
        """What is shown of a case."""
        subject = subject_of(case)
        place: list[int | None] = [None, None, None]
        if self.index is not None:
            place[View.of(case.geometry, self.planes[0]).axis] = self.index
        views = view_subject(
            subject if self.image else replace(subject, image=None, notes=()),
            planes=self.planes, place=place, classes=self.classes, window=self.window,
            zoom=self.zoom, isolines=self.isolines,
        )  # fmt: skip
        return views if self.raters else _without_raters(views)


def _without_raters(views: CaseViews) -> CaseViews:
    kept = [
        replace(view, lines=tuple(line for line in view.lines if line.kind != "rater"))
        for view in views.views
    ]
    return replace(views, views=tuple(kept), raters=())


@dataclass(frozen=True)
class Drawn:
    """What came of a case, or of a contact sheet.

    Parameters
    ----------
    case_id
        The case; empty for a sheet.
    path
        The file that was written; None when none was.
    notes
        What could not be shown, and why.
    error
        Why the case could not be drawn.
    """

    case_id: str
    path: Path | None = None
    notes: tuple[str, ...] = ()
    error: SoftlabError | None = None


def draw_cases(
    store: Store, out: Path | str, case_ids: Sequence[str] = (), looks: Looks | None = None
) -> Iterator[Drawn]:
    """Draw cases of a store, each into a PNG file.

    Parameters
    ----------
    store
        An open store.
    out
        The file, for one case that is named; else, or where there is such a folder, the
        folder of the files ``CASE_ID.png``.
    case_ids
        The cases; by default all.
    looks
        How they are shown.

    Yields
    ------
    Drawn
        Each case as it ends; one that cannot be read stops no other.

    Raises
    ------
    PackageError
        Without matplotlib.
    UsageError
        For what is wrong with every case, for a case or a class that is not there, for a
        file that several cases would go into, and for a URL or a place in a store.
    StoreError
        For a store without cases, a file that is no PNG, or one that cannot be written.
    """
    looks = looks or Looks()
    names = _prepare(store, out, case_ids, looks)
    out = Path(out)
    one_file = len(case_ids) == 1 and not out.is_dir()
    if not one_file and out.suffix.lower() == ".png":
        raise UsageError(
            f"{str(out)!r} is one file, for {counted(len(names), 'case')}.",
            remedy="Give --out a folder, or draw a contact sheet with --sheet.",
        )
    for case_id in names:
        path = out if one_file else out / f"{case_id}.png"
        try:
            case = store[case_id]
            views = looks.views_of(case)
        except SoftlabError as error:
            yield Drawn(case_id, error=error)
            continue
        figure = draw_figure(views, case.classes, f"{_method(store)}: {case_id}")
        with _png(path) as partial:
            figure.savefig(partial, dpi=DPI, format="png")
        yield Drawn(case_id, path, views.notes)


def draw_sheet(
    store: Store, out: Path | str, case_ids: Sequence[str] = (), looks: Looks | None = None
) -> Iterator[Drawn]:
    """Draw many cases into one PNG file, a contact sheet.

    Parameters
    ----------
    store, case_ids, looks
        As for `draw_cases`.
    out
        The file; further sheets are called ``NAME-2.png`` and so on.

    Yields
    ------
    Drawn
        Each case as it is drawn, without a path, and each sheet as it is written.

    Raises
    ------
    SoftlabError
        As from `draw_cases`.
    """
    looks = looks or Looks()
    names = _prepare(store, out, case_ids, looks)
    out = Path(out)
    cells: list[Cell] = []
    raters: tuple[str, ...] = ()
    sheets = 0
    for case_id in names:
        try:
            case = store[case_id]
            views = looks.views_of(case)
        except SoftlabError as error:
            yield Drawn(case_id, error=error)
            continue
        for number in range(len(views.views)):
            if len(cells) == COLUMNS * ROWS:
                sheets += 1
                yield _write_sheet(store, _numbered(out, sheets), cells, looks)
                cells = []
            cells.append(draw_cell(views, number, case.classes, raters, _below(case)))
            raters = cells[-1].raters
        yield Drawn(case_id, notes=views.notes)
    if cells:
        yield _write_sheet(store, _numbered(out, sheets + 1), cells, looks)


def _prepare(store: Store, out: Path | str, case_ids: Sequence[str], looks: Looks) -> list[str]:
    """The cases, when all is well before the first is drawn."""
    refuse_url(Path(out))
    refuse_in_store(out)
    with require("matplotlib", extra="plot", problem="a preview needs matplotlib."):
        import matplotlib.figure  # noqa: F401
    looks.check(store)
    store.check_filled()
    store.check_known(case_ids)
    return list(dict.fromkeys(case_ids)) or list(store)


def _method(store: Store) -> str:
    """The method, and for fused raters how they are fused."""
    how = store.info.parameters.get("method")
    return f"{store.info.method} {how}" if isinstance(how, str) else store.info.method


def _below(case: Case) -> str:
    """Figures of a case that a quality check looks for."""
    entropy = case.statistics.mean_entropy_bits if case.statistics else None
    warnings = len(case.info.warnings)
    return ", ".join(
        filter(
            None,
            (
                "" if entropy is None else f"mean entropy {entropy:.2g} bits",
                counted(warnings, "warning") if warnings else "",
            ),
        )
    )


def _numbered(out: Path, number: int) -> Path:
    return out if number == 1 else out.with_name(f"{out.stem}-{number}{out.suffix}")


def _write_sheet(store: Store, out: Path, cells: Sequence[Cell], looks: Looks) -> Drawn:
    from matplotlib.image import imsave

    height, width, _ = cells[0].pixels.shape
    columns = min(COLUMNS, len(cells))
    rows = -(-len(cells) // columns)
    raters = ", and raters" if cells[-1].raters else ""
    window = parse_window(looks.window) or "auto, for each case"
    words = f"Areas are hard labels; lines are soft labels, the surer the wider{raters}."
    if any(cell.has_image for cell in cells):
        words += f" Image window: {window}."
    heading = f"{_method(store)}: {store.path.name}"
    key = draw_key(cells, store.classes, (heading, words), max(columns, 3) * width)
    pixels = np.full((len(key) + rows * height, max(columns, 3) * width, 3), 255, np.uint8)
    pixels[: len(key), : key.shape[1]] = key
    for number, cell in enumerate(cells):
        top = len(key) + number // columns * height
        left = number % columns * width
        pixels[top : top + height, left : left + width] = cell.pixels
    with _png(out) as partial:
        imsave(partial, pixels, format="png")
    return Drawn("", out)


@contextmanager
def _png(out: Path) -> Iterator[Path]:
    """A name to write a picture under; see `written_whole`."""
    with system_errors(out, "written"):
        _refuse_other_file(out)
        out.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(out) as partial:
        yield partial


def _refuse_other_file(out: Path) -> None:
    """Raise `StoreError` for a file that is no picture, such as a label map named by mistake."""
    if out.is_file():
        with open(out, "rb") as file:
            if file.read(len(PNG)) != PNG:
                raise StoreError(
                    "is there already, and no PNG file.", remedy="Choose another --out.", path=out
                )
