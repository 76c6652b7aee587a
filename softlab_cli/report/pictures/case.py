"""The views of a case: slices through the place of most doubt, with everything that is known."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import SoftlabError, UsageError
from softlab_cli.core.text import shown
from softlab_cli.report.pictures.doubt import Place, find_place
from softlab_cli.report.pictures.lines import isoline, outline
from softlab_cli.report.pictures.planes import PICTURE, PLANES, Plane
from softlab_cli.report.pictures.slices import Slice, most_doubtful, open_slice
from softlab_cli.report.pictures.subject import Subject, subject_of
from softlab_cli.report.pictures.views import CaseViews, Line, LineKind, Shade, SliceView
from softlab_cli.report.pictures.windows import AUTO, Window, parse_window, window_around
from softlab_cli.report.pictures.zoom import parse_zoom
from softlab_cli.store.reader import Case

__all__ = ["ENTROPY", "ISOLINES", "NOT_LABELLED", "view_case", "view_subject"]

ISOLINES = (0.1, 0.25, 0.5, 0.75, 0.9)
"""Soft labels along which lines are drawn."""

ENTROPY = "entropy (bits)"
NOT_LABELLED = "not labelled"
"""Names of shades that every case may have."""

LEAST_BITS = 0.01
"""Entropy below which there is nothing to see."""

COLOURS = 3


def view_case(
    case: Case,
    *,
    planes: Sequence[Plane] = tuple(PLANES),
    place: Sequence[int | None] | None = None,
    classes: Sequence[str] = (),
    window: str = AUTO,
    zoom: str = AUTO,
    isolines: Sequence[float] = ISOLINES,
) -> CaseViews:
    """What is shown of a case of a store.

    Parameters
    ----------
    case
        A case of an open store.
    planes
        Anatomical planes; a 2D picture has one view, whatever they are.
    place
        Voxel (z, y, x) through which the slices go; None along an axis, or for all, means
        where there is most doubt.
    classes
        Names or label values of the classes that lines are drawn of; by default the few
        with most doubt in the slices.
    window
        ``auto``, ``bone``, ``lung``, ``soft`` (CT, in Hounsfield units), or
        ``LEVEL,WIDTH``.
    zoom
        ``auto`` cuts to what is labelled around the place, ``none`` shows the whole slice,
        and a number how many times larger it is.
    isolines
        Soft labels, between 0 and 1, along which lines are drawn.

    Returns
    -------
    CaseViews
        An image that cannot be shown is told of in its notes.

    Raises
    ------
    UsageError
        For a place, window, zoom or isoline that cannot be.
    ClassError
        For a class that is not there.
    StoreError
        When the case is damaged.
    PackageError
        Without matplotlib.
    """
    return view_subject(
        subject_of(case), planes=planes, place=place, classes=classes, window=window, zoom=zoom,
        isolines=isolines,
    )  # fmt: skip


def view_subject(
    subject: Subject,
    *,
    planes: Sequence[Plane] = tuple(PLANES),
    place: Sequence[int | None] | None = None,
    classes: Sequence[str] = (),
    window: str = AUTO,
    zoom: str = AUTO,
    isolines: Sequence[float] = ISOLINES,
) -> CaseViews:
    """The same of anything that has labels on one grid; see `view_case`."""
    given, factor, levels = parse_window(window), parse_zoom(zoom), _levels(isolines)
    wanted = [subject.classes.find(name).index for name in dict.fromkeys(classes)]
    at = _place(subject, place)
    if subject.geometry.ndim == 2:
        planes = ("axial",)
    slices = [open_slice(subject, plane, at, wanted, factor) for plane in planes]
    chosen = tuple(wanted) or most_doubtful(slices)
    pixels, notes = _pixels(subject, slices)
    used = None if pixels is None else given or _window(slices, pixels, chosen)
    highest = max(float(s.entropy.max()) for s in slices)
    views = [
        _view(s, chosen, levels, highest, *_shown(None if pixels is None else pixels[i], used))
        for i, s in enumerate(slices)
    ]
    return CaseViews(
        subject.case_id, tuple(views), chosen, str(used or ""), tuple(notes), tuple(subject.raters)
    )


def _levels(isolines: Sequence[float]) -> tuple[float, ...]:
    for level in isolines:
        if not 0 < level < 1:
            raise UsageError(
                f"an isoline at {level:g} cannot be.", remedy="Give soft labels between 0 and 1."
            )
    return tuple(sorted(set(isolines)))


def _place(subject: Subject, place: Sequence[int | None] | None) -> Place:
    """The place that is given, filled up with that of most doubt."""
    given = tuple(place or (None, None, None))
    for index, size, axis in zip(given, subject.geometry.shape, "zyx", strict=True):
        if index is not None and not 0 <= index < size:
            raise UsageError(
                f"slice {index} along {axis}: case {subject.case_id!r} has slices 0 to {size - 1}."
            )
    found = find_place(subject, given) if None in given else given
    z, y, x = (int(index or 0) for index in found)
    return z, y, x


Pixels = list[NDArray[np.float32]]
"""Of each slice: (channels, rows, columns) intensities."""


def _pixels(subject: Subject, slices: Sequence[Slice]) -> tuple[Pixels | None, list[str]]:
    """Intensities of each slice; the image is read once, and let go of."""
    if subject.image is None:
        return None, []
    try:
        image = subject.image()
    except SoftlabError as error:
        return None, [f"the image is not shown: {error}"]
    colours = subject.geometry.ndim == 2 and len(image) in (COLOURS, COLOURS + 1)
    channels = image[:COLOURS] if colours else image[:1]
    notes = []
    if len(image) > 1 and not colours:
        notes = [f"of {len(image)} channels of the image, the first is shown."]
    return [
        np.stack([np.array(s.view.slice_of(channel[s.region])) for channel in channels])
        for s in slices
    ], notes


def _window(slices: Sequence[Slice], pixels: Pixels, chosen: Sequence[int]) -> Window:
    """The window that shows the classes that lines are of, or a picture in colours as it is."""
    if len(pixels[0]) == COLOURS:
        highest = max(float(np.nanmax(p)) for p in pixels)
        return Window(0.0, 255.0 if highest <= 255 else highest, "auto, the colours as they are")
    inside = [_with_rim(np.isin(s.hard, chosen)) for s in slices]
    return window_around(
        np.concatenate([p[0].ravel() for p in pixels]),
        np.concatenate([mask.ravel() for mask in inside]),
    )


RIM_PIXELS = 3
"""Around what is outlined, that its neighbours are not black or white altogether."""


def _with_rim(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    for _ in range(RIM_PIXELS):
        wider = mask.copy()
        wider[1:] |= mask[:-1]
        wider[:-1] |= mask[1:]
        wider[:, 1:] |= mask[:, :-1]
        wider[:, :-1] |= mask[:, 1:]
        mask = wider
    return mask


BRIGHTNESS = np.array([0.299, 0.587, 0.114])
"""Shares of red, green and blue (ITU-R BT.601)."""


def _shown(
    pixels: NDArray[np.float32] | None, window: Window | None
) -> tuple[NDArray[np.uint8] | None, NDArray[np.uint8] | None]:
    """An image, and its colours where it has any, as uint8."""
    if pixels is None or window is None:
        return None, None
    drawn = window.apply(pixels)
    if len(drawn) < COLOURS:
        return drawn[0], None
    colours = np.moveaxis(drawn, 0, -1)
    return (colours @ BRIGHTNESS).round().astype(np.uint8), np.ascontiguousarray(colours)


def _view(
    cut: Slice,
    chosen: Sequence[int],
    levels: Sequence[float],
    highest_bits: float,
    image: NDArray[np.uint8] | None,
    colour: NDArray[np.uint8] | None,
) -> SliceView:
    subject = cut.subject
    lines, shades = tuple(_lines(cut, chosen, levels)), tuple(_shades(cut, highest_bits))
    row, column = cut.view.seen_at(subject.geometry.shape, cut.place)
    return SliceView(
        plane=cut.plane,
        index=cut.index,
        slices=subject.geometry.shape[cut.view.axis],
        edges=cut.view.edges,
        pixel_mm=cut.view.pixel_mm,
        shape=cut.shape,
        image=image,
        lines=lines,
        shades=shades,
        place=_inside(row - cut.rows.start, column - cut.columns.start, cut.shape),
        caption=_caption(cut, chosen, image is not None),
        labels=cut.hard,
        colour=colour,
        corner=(cut.rows.start, cut.columns.start),
    )


def _inside(row: int, column: int, shape: tuple[int, int]) -> tuple[int, int] | None:
    """The place, where the cut holds it."""
    return (row, column) if 0 <= row < shape[0] and 0 <= column < shape[1] else None


def _lines(cut: Slice, chosen: Sequence[int], levels: Sequence[float]) -> Iterator[Line]:
    """Outlines and isolines of the classes that are shown, what lies on top last."""
    soft = cut.soft(chosen)
    names = cut.subject.classes.names
    for index in chosen:
        between = (soft[index] > 0) & (soft[index] < 1)
        for level in levels if between.any() else ():
            yield from _line("soft", names[index], index, level, isoline(soft[index], level))
        yield from _line("hard", names[index], index, 0.5, outline(cut.hard == index))
    others: tuple[tuple[LineKind, Any], ...] = (
        ("reference", cut.references),
        ("rater", cut.raters),
    )
    for kind, labels_of in others:
        for name, labels in labels_of.items():
            for index in chosen:
                yield from _line(kind, name, index, 0.5, outline(labels == index))


def _line(
    kind: LineKind, name: str, index: int, level: float, paths: tuple[NDArray[np.float32], ...]
) -> Iterator[Line]:
    if paths:
        yield Line(kind, name, index, level, paths)


def _shades(cut: Slice, highest_bits: float) -> Iterator[Shade]:
    if highest_bits > LEAST_BITS:
        yield Shade(ENTROPY, _opacity(cut.entropy, highest_bits), highest_bits)
    for layer in cut.subject.layers:
        values = cut.read(layer.read).astype(np.float32)
        yield Shade(layer.name, _opacity(values, layer.highest), layer.highest)
    ignored = cut.hard == cut.subject.classes.ignore_index
    if ignored.any():
        yield Shade(NOT_LABELLED, _opacity(ignored.astype(np.float32), 1.0), 1.0)


def _opacity(values: NDArray[np.float32], highest: float) -> NDArray[np.uint8]:
    opacity: NDArray[np.uint8] = (np.clip(values / highest, 0, 1) * 255).round().astype(np.uint8)
    return opacity


def _caption(cut: Slice, chosen: Sequence[int], has_image: bool) -> str:
    """A sentence that says what is to be seen."""
    subject = cut.subject
    where = "2D picture"
    if cut.plane != PICTURE:
        where = f"{cut.plane} slice {cut.index} of {subject.geometry.shape[cut.view.axis]}"
    found = [
        f"{shown(subject.classes.names[index])} on {int((cut.hard == index).sum())} pixels"
        for index in chosen
    ]
    parts = [f"{where}, {'over the image' if has_image else 'without an image'}"]
    parts.append("hard label: " + (", ".join(found) or "no class"))
    if subject.soft is not None:
        soft = int((cut.entropy > LEAST_BITS).sum())
        most = float(cut.entropy.max())
        parts.append(f"soft on {soft} pixels, entropy up to {most:.2f} bits")
    for what, names in (("raters", cut.raters), ("references", cut.references)):
        if names:
            parts.append(f"{what}: " + ", ".join(map(shown, names)))
    return "; ".join(parts) + "."
