"""OME-NGFF 0.5 image metadata of a case, and the rules that we check ourselves.

The image is the ``soft`` array with the classes as channels; in a store of hard
labels only it is the ``label`` array, which has no channels. Scale and
translation place it in millimetres but cannot carry a direction: for that the
case has its affine.
"""

from __future__ import annotations

import colorsys
import re
from collections.abc import Iterator, Mapping
from typing import Any

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.volume import Geometry

__all__ = ["NGFF_VERSION", "image_metadata", "ngff_problems"]

NGFF_VERSION = "0.5"
MOST_ACTIVE_CHANNELS = 8
GOLDEN_RATIO = 0.6180339887498949
_WINDOW = ("min", "max", "start", "end")


def image_metadata(
    case_id: str, geometry: Geometry, classes: ClassTable, *, labels_only: bool
) -> dict[str, Any]:
    """The ``ome`` attributes of a case.

    Parameters
    ----------
    case_id
        Name of the image.
    geometry
        Spacing and origin of the image.
    classes
        Names of the channels.
    labels_only
        Whether there is a ``label`` array only.
    """
    ndim = geometry.ndim
    axes: list[dict[str, str]] = [
        {"name": name, "type": "space", "unit": "millimeter"} for name in "zyx"[3 - ndim :]
    ]
    scale = list(geometry.spacing_mm[3 - ndim :])
    translation = list(geometry.origin_mm[::-1][3 - ndim :])
    if not labels_only:
        axes.insert(0, {"name": "c", "type": "channel"})
        scale.insert(0, 1.0)
        translation.insert(0, 0.0)
    place = [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": translation},
    ]
    path = "label" if labels_only else "soft"
    dataset = {"path": path, "coordinateTransformations": place}
    multiscale = {"name": case_id, "axes": axes, "datasets": [dataset]}
    omero = {} if labels_only else {"omero": {"channels": _channels(classes)}}
    return {"version": NGFF_VERSION, "multiscales": [multiscale], **omero}


def _channels(classes: ClassTable) -> list[dict[str, Any]]:
    foreground = [c.index for c in classes.classes if c.index != classes.background_index]
    active = set(foreground[:MOST_ACTIVE_CHANNELS])
    return [
        {
            "label": entry.name,
            "color": entry.colour.upper() or _colour(entry.index),
            "active": entry.index in active,
            "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
        }
        for entry in classes.classes
    ]


def _colour(index: int) -> str:
    # Steps of the golden ratio keep the hues of any number of neighbours apart.
    rgb = colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1, 0.75, 1.0)
    return "".join(f"{round(255 * part):02X}" for part in rgb)


def ngff_problems(ome: Any, arrays: Mapping[str, tuple[str, ...]]) -> list[str]:
    """What in ``ome`` attributes breaks a rule of OME-NGFF 0.5; empty when all is well.

    Parameters
    ----------
    ome
        The attributes.
    arrays
        Path of each array of the group, to the names of its dimensions.
    """
    try:
        return list(_problems(ome, arrays))
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        return [f"the 'ome' attributes are incomplete ({error!r})"]


def _problems(ome: Any, arrays: Mapping[str, tuple[str, ...]]) -> Iterator[str]:
    if ome["version"] != NGFF_VERSION:
        yield f"version is {ome['version']!r} instead of {NGFF_VERSION!r}"
    if not ome["multiscales"]:
        yield "multiscales is empty"
    for multiscale in ome["multiscales"]:
        axes = multiscale["axes"]
        yield from _axis_problems([axis.get("type") for axis in axes])
        names = tuple(axis["name"] for axis in axes)
        for dataset in multiscale["datasets"]:
            if arrays.get(dataset["path"]) != names:
                yield (
                    f"axes {names} differ from the dimensions "
                    f"{arrays.get(dataset['path'])} of {dataset['path']!r}"
                )
            yield from _transform_problems(dataset["coordinateTransformations"], len(axes))
    for number, channel in enumerate(ome.get("omero", {}).get("channels", [])):
        yield from _channel_problems(number, channel)


def _axis_problems(types: list[str | None]) -> Iterator[str]:
    spatial = types.count("space")
    if not 2 <= len(types) <= 5 or spatial not in (2, 3):
        yield f"axes have the types {types}, of which 2 or 3 must be 'space'"
    elif set(types[-spatial:]) != {"space"}:
        yield f"axes have the types {types}, of which 'space' must come last"


def _transform_problems(transforms: list[dict[str, Any]], ndim: int) -> Iterator[str]:
    types = [transform["type"] for transform in transforms]
    if types not in (["scale"], ["scale", "translation"]):
        yield f"coordinateTransformations are {types} instead of a scale and a translation"
        return
    for kind, transform in zip(types, transforms, strict=True):
        if len(transform[kind]) != ndim:
            yield f"{kind} has {len(transform[kind])} entries for {ndim} axes"
    if min(transforms[0]["scale"]) <= 0:
        yield f"scale {transforms[0]['scale']} is not positive"


def _channel_problems(number: int, channel: dict[str, Any]) -> Iterator[str]:
    if not re.fullmatch("[0-9A-Fa-f]{6}", channel["color"]):
        yield f"channel {number} has the colour {channel['color']!r} instead of six hex digits"
    if missing := [name for name in _WINDOW if name not in channel["window"]]:
        yield f"the window of channel {number} lacks {', '.join(missing)}"
