"""Pixels as pictures inside of a page."""

from __future__ import annotations

import base64
from io import BytesIO
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.extras import require
from softlab_cli.report.page.environment import PROBLEM

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["grey_picture", "shade_picture"]

SHADE = (255, 176, 0)
"""Amber: light on the greys of an image, and no colour of a class in particular."""


def grey_picture(pixels: NDArray[np.uint8], most: int, quality: int) -> str:
    """A grey picture as a ``data:`` address.

    Parameters
    ----------
    pixels
        (rows, columns).
    most
        Pixels along the longer side; a larger picture is made smaller.
    quality
        0 to 100.
    """
    return _address(_resized(pixels, most), quality)


def shade_picture(opacity: NDArray[np.uint8], most: int, levels: int) -> str:
    """A layer of one colour as a ``data:`` address, see-through where `opacity` is low.

    Parameters
    ----------
    opacity
        (rows, columns): 0 is transparent.
    most
        As for `grey_picture`.
    levels
        How many opacities are told apart.
    """
    with require("PIL", extra="plot", problem=PROBLEM):
        from PIL import Image
    alpha = _resized(opacity, most)
    step = 255 / (levels - 1)
    alpha = alpha.point([round(round(i / step) * step) for i in range(256)])
    flat = [Image.new("L", alpha.size, part) for part in SHADE]
    return _address(Image.merge("RGBA", [*flat, alpha]), 50)


def _resized(pixels: NDArray[np.uint8], most: int) -> Image:
    with require("PIL", extra="plot", problem=PROBLEM):
        from PIL import Image
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    share = most / max(picture.size)
    if share >= 1:
        return picture
    columns, rows = (max(1, round(side * share)) for side in picture.size)
    return picture.resize((columns, rows), Image.Resampling.BOX)


def _address(picture: Image, quality: int) -> str:
    from PIL import features

    kind = "webp" if features.check("webp") else "png"
    options = {"quality": quality, "method": 4, "alpha_quality": 80} if kind == "webp" else {}
    file = BytesIO()
    picture.save(file, kind, **options)
    return f"data:image/{kind};base64,{base64.b64encode(file.getvalue()).decode()}"
