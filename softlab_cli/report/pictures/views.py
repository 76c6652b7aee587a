"""What is shown of one slice: pixels, lines and shades, ready for any renderer.

A page draws a view as SVG and a preview draws it with matplotlib; both show the same lines. All
coordinates are in pixels of the slice as it is shown (turned to the radiologists' view, cut to
what matters): x to the right, y down, and the pixel of row r and column c covers [c, c + 1] x
[r, r + 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["CaseViews", "Line", "LineKind", "Shade", "SliceView"]

LineKind = Literal["hard", "soft", "rater", "reference"]
"""Outline of the hard label (or hard prediction), isoline of the soft label, outline of one
rater, outline of a reference."""


@dataclass(frozen=True)
class Line:
    """An outline or an isoline of one class.

    Parameters
    ----------
    kind
        What it belongs to.
    name
        The class, or for a rater the rater; text from files, not escaped yet.
    class_index
        The class, which decides the colour of all but raters.
    level
        Of an isoline: the soft label along it; otherwise 0.5.
    paths
        (n, 2) float32 arrays of x and y; closed where the first point is the last.
    """

    kind: LineKind
    name: str
    class_index: int
    level: float
    paths: tuple[NDArray[np.float32], ...]


@dataclass(frozen=True)
class Shade:
    """A see-through layer, such as the entropy or where a prediction is sure and wrong.

    Parameters
    ----------
    name
        What it shows, with its unit.
    opacity
        (rows, columns) uint8: 0 is transparent.
    highest
        What 255 stands for, in the unit of the name.
    """

    name: str
    opacity: NDArray[np.uint8]
    highest: float


@dataclass(frozen=True)
class SliceView:
    """One slice as it is shown.

    Parameters
    ----------
    plane
        ``axial``, ``coronal``, ``sagittal``, or ``picture`` for 2D.
    index
        Slice number along the array's axis.
    slices
        How many there are.
    edges
        Letters at the top, right, bottom and left; empty for a 2D picture.
    pixel_mm
        Height and width of a pixel.
    shape
        Rows and columns.
    image
        (rows, columns) uint8 after windowing, where there is an image.
    lines, shades
        What lies over it.
    place
        Row and column of the place that the planes of a case share, where they do.
    caption
        One sentence for those who cannot see it: plane, slice, classes, what is where.
    labels
        (rows, columns) class indices of the hard label, for who fills areas with colour.
    colour
        (rows, columns, 3) uint8 of a picture in colours, whose brightness `image` is.
    corner
        Row and column of the first pixel in the slice before it was cut.
    """

    plane: str
    index: int
    slices: int
    edges: str
    pixel_mm: tuple[float, float]
    shape: tuple[int, int]
    image: NDArray[np.uint8] | None
    lines: tuple[Line, ...]
    shades: tuple[Shade, ...]
    place: tuple[int, int] | None
    caption: str
    labels: NDArray[Any] | None = None
    colour: NDArray[np.uint8] | None = None
    corner: tuple[int, int] = (0, 0)


@dataclass(frozen=True)
class CaseViews:
    """The slices shown of one case.

    Parameters
    ----------
    case_id
        The case.
    views
        A slice for each plane, or one of a picture.
    classes
        Class indices that are shown, the most doubtful first.
    window
        Intensities that are black and white, and how they were chosen; empty without image.
    notes
        What could not be shown, and why.
    raters
        Names of all raters, also of those who have no lines in these slices.
    """

    case_id: str
    views: tuple[SliceView, ...]
    classes: tuple[int, ...]
    window: str
    notes: tuple[str, ...] = ()
    raters: tuple[str, ...] = ()
