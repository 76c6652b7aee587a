"""A picture of one slice of a case: hard label, two soft labels, entropy, legend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Region
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.colours import class_colours
from softlab_cli.core.errors import SoftlabError, UsageError
from softlab_cli.core.extras import require
from softlab_cli.core.places import refuse_url
from softlab_cli.core.text import shown
from softlab_cli.core.volume import Geometry, check_same_grid
from softlab_cli.readers import read_image
from softlab_cli.report.pictures.planes import Plane, View

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.patches import Patch

__all__ = ["draw_case"]

MOST_NAMES = 24
"""Class names in the legend; more would not be read."""

FAINT = 0.25
"""Soft labels that differ no more from the hard one would look like it."""


def draw_case(
    case: Any,
    out: str | Path,
    *,
    plane: Plane = "axial",
    index: int | None = None,
    classes: Sequence[str] = (),
    title: str = "",
) -> list[str]:
    """Draw one slice of a case into a PNG file.

    Parameters
    ----------
    case
        A case of an open store (`softlab_cli.store.reader.Case`).
    out
        The file to write.
    plane
        Anatomical plane of the slice; without meaning for 2D pictures.
    index
        Slice number along the plane's array axis; by default the slice with the
        most borders between labels.
    classes
        Names or label values of two classes whose soft labels are shown; by
        default the two with the most soft voxels in the slice.
    title
        First words of the title; the case and the slice follow.

    Returns
    -------
    list of str
        What could not be shown, for the user.

    Raises
    ------
    EngineError
        Without matplotlib.
    UsageError
        For a slice or a class that is not there, and for a URL.
    """
    refuse_url(Path(out))
    geometry: Geometry = case.geometry
    view = View.of(geometry, plane)
    slices = geometry.shape[view.axis]
    chosen = _busiest_slice(case, view) if index is None else index
    if not 0 <= chosen < slices:
        raise UsageError(f"--slice {chosen}: the case has {plane} slices 0 to {slices - 1}.")
    region = view.region(geometry.shape, chosen)
    wanted = [case.classes.find(name).index for name in classes]
    soft, entropy = _soft_slices(case, region, view.axis, wanted)
    image, notes = _image_slice(case, region, view.axis)
    place = "" if geometry.ndim == 2 else f", {plane} slice {chosen} of {slices}"
    hard = np.squeeze(_read_label(case, region), view.axis)
    _draw(
        Path(out),
        Panels(f"{title}{case.case_id}{place}", case.classes, hard, soft, entropy, image),
        view,
    )
    return notes


@dataclass(frozen=True)
class Panels:
    """What the picture shows, each as the slice lies in the array.

    Parameters
    ----------
    heading
        Title of the whole picture.
    classes
        The store's class table.
    hard
        (rows, columns) class indices.
    soft
        Class index to its (rows, columns) soft label.
    entropy
        (rows, columns), nats.
    image
        (rows, columns) intensities, where there are any.
    """

    heading: str
    classes: ClassTable
    hard: NDArray[Any]
    soft: dict[int, NDArray[np.float32]]
    entropy: NDArray[np.float32]
    image: NDArray[np.float32] | None


class Map(NamedTuple):
    """A slice in colours: its title, numbers, colour map, and the ends of that."""

    title: str
    values: NDArray[np.float32]
    colours: str
    lowest: float
    highest: float | None


def soft_map(name: str, soft: NDArray[np.float32], hard: NDArray[np.bool_]) -> Map:
    """How the soft label of a class is shown; one close to the hard label by what differs.

    Parameters
    ----------
    name
        Name of the class.
    soft
        (rows, columns) its soft label.
    hard
        (rows, columns) where the hard label is the class.
    """
    change = soft - hard.astype(np.float32)
    most = float(np.abs(change).max())
    if not 0 < most <= FAINT:
        return Map(f"soft label of {name}", soft, "viridis", 0, 1)
    return Map(f"{name}: soft minus hard label", change, "RdBu_r", -most, most)


def _read_label(case: Any, region: Region) -> NDArray[Any]:
    cut = region[1:] if case.geometry.ndim == 2 else region
    pixels: NDArray[Any] = case.read_label(cut)
    return pixels[np.newaxis] if case.geometry.ndim == 2 else pixels


def _read_soft(case: Any, region: Region, index: int, axis: int) -> NDArray[np.float32]:
    cut = region[1:] if case.geometry.ndim == 2 else region
    values: NDArray[np.float32] = case.read(cut, classes=[index])[0].astype(np.float32)
    return values if case.geometry.ndim == 2 else np.squeeze(values, axis)


def _busiest_slice(case: Any, view: View) -> int:
    """The slice with the most borders between labels."""
    z, y, x = case.geometry.shape
    labels = np.moveaxis(_read_label(case, (slice(0, z), slice(0, y), slice(0, x))), view.axis, 0)
    borders = [
        np.count_nonzero(cut[1:] != cut[:-1]) + np.count_nonzero(cut[:, 1:] != cut[:, :-1])
        for cut in labels
    ]
    return int(np.argmax(borders))


def _soft_slices(
    case: Any, region: Region, axis: int, wanted: Sequence[int]
) -> tuple[dict[int, NDArray[np.float32]], NDArray[np.float32]]:
    """Soft labels of the wanted classes, or of the two softest, and the entropy over all."""
    entropy: Any = 0.0
    kept: dict[int, NDArray[np.float32]] = {}
    softness: dict[int, float] = {}
    for index in range(len(case.classes)):
        p = _read_soft(case, region, index, axis)
        entropy = entropy - p * np.log(np.where(p > 0, p, 1))
        softness[index] = float((p * (1 - p)).sum())
        if index == case.classes.background_index:
            softness[index] *= 1e-6  # shown only when there is nothing else
        kept[index] = p
        if wanted and index not in wanted:
            del kept[index]
        elif not wanted and len(kept) > 2:
            del kept[min(kept, key=softness.__getitem__)]
    order = list(wanted) or sorted(kept, key=softness.__getitem__, reverse=True)
    return {index: kept[index] for index in order}, entropy


def _image_slice(
    case: Any, region: Region, axis: int
) -> tuple[NDArray[np.float32] | None, list[str]]:
    """The slice of the case's first image, where there is one on the same grid."""
    paths = [Path(s.path) for s in case.sources if s.role == "image"]
    if not paths:
        return None, []
    try:
        image = read_image(paths[0])
        check_same_grid(case.geometry, image.geometry, names=("label map", "image"), path=paths[0])
    except SoftlabError as error:
        return None, [f"the image is not shown: {error}"]
    return np.squeeze(image.intensities[0][region], axis), []


def _draw(out: Path, panels: Panels, view: View) -> None:
    """Lay the panels out in a row over a legend, and save the figure."""
    with require("matplotlib", extra="plot", problem="a preview needs matplotlib."):
        from matplotlib.figure import Figure
    count = 2 + len(panels.soft)
    rows, columns = view.turn(panels.hard).shape
    tall = min(max(rows / columns * view.aspect, 0.3), 2.5)  # height of a panel over its width
    figure = Figure(figsize=(4.2 * count, 3.6 * tall + 2), layout="constrained")
    first, *others = figure.subplots(1, count)
    colours = class_colours(panels.classes)
    _show_hard(first, view, panels, colours)
    maps = [
        soft_map(as_drawn(panels.classes.names[index]), values, panels.hard == index)
        for index, values in panels.soft.items()
    ]
    maps.append(Map("entropy of the soft label (nats)", panels.entropy, "magma", 0, None))
    for axes, part in zip(others, maps, strict=True):
        pixels = view.turn(part.values)
        drawn = axes.imshow(pixels, cmap=part.colours, vmin=part.lowest, vmax=part.highest)
        axes.set_title(part.title)
        figure.colorbar(drawn, ax=axes, shrink=0.7)
    for axes in (first, *others):
        _dress(axes, view)
    figure.legend(
        handles=_legend(panels, colours), loc="outside lower center", ncols=6, fontsize=8,
        frameon=False,
    )  # fmt: skip
    figure.suptitle(as_drawn(panels.heading))
    out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(out, dpi=110, format="png")


def as_drawn(text: str) -> str:
    """A text from a file as matplotlib draws it: it takes ``$`` for formulas, hides ``_``."""
    text = shown(text).replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def _legend(panels: Panels, colours: NDArray[np.float64]) -> list[Patch]:
    """A colour and a name for each class in the slice, as many as can be read."""
    from matplotlib.patches import Patch

    found = {int(i) for i in np.unique(panels.hard)} & set(range(len(panels.classes)))
    present = sorted(found - {panels.classes.background_index})
    patches = [
        Patch(color=colours[i], label=as_drawn(panels.classes.names[i]))
        for i in present[:MOST_NAMES]
    ]
    if len(present) > MOST_NAMES:
        patches.append(Patch(color="none", label=f"and {len(present) - MOST_NAMES} more"))
    return patches


def _show_hard(axes: Axes, view: View, panels: Panels, colours: NDArray[np.float64]) -> None:
    """The hard label in colours, over the image where there is one; ignored voxels in white."""
    hard, image = panels.hard, panels.image
    known = hard < len(colours)
    layer = np.ones((*hard.shape, 4))
    layer[known, :3] = colours[hard[known]]
    layer[known, 3] = 0.6 if image is not None else 1.0
    if panels.classes.background_index is not None:
        layer[hard == panels.classes.background_index, 3] = 0.0
    axes.set_facecolor("black")
    if image is not None:
        low, high = np.percentile(image, [1, 99])
        axes.imshow(view.turn(image), cmap="gray", vmin=low, vmax=max(high, low + 1e-6))
    turned = np.stack([view.turn(layer[..., i]) for i in range(4)], axis=-1)
    axes.imshow(turned, interpolation="nearest")
    axes.set_title("hard label" if image is None else "hard label over the image")


def _dress(axes: Axes, view: View) -> None:
    """Pixel shape, no ticks, and letters for where the edges lie in the patient."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=2, foreground="black")]  # for letters over light pixels
    axes.set_aspect(view.aspect)
    axes.set_xticks([])
    axes.set_yticks([])
    places = [(0.5, 0.97), (0.97, 0.5), (0.5, 0.03), (0.03, 0.5)]
    for letter, (x, y) in zip(view.edges, places, strict=False):
        axes.text(
            x, y, letter, transform=axes.transAxes, color="white", ha="center", va="center",
            path_effects=outline,
        )  # fmt: skip
