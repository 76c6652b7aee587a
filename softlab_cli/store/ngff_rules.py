"""Rules of OME-NGFF 0.5 and of RFC-4 (orientation of axes) that we check ourselves."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from softlab_cli.store.ngff_place import TOWARDS

__all__ = ["ngff_problems"]

NGFF_VERSION = "0.5"
_WINDOW = ("min", "max", "start", "end")


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
        yield from _orientation_problems(axes)
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


def _orientation_problems(axes: list[dict[str, Any]]) -> Iterator[str]:
    """RFC-4: only axes of space run towards something, and no two along one of the body."""
    taken: dict[int, str] = {}
    for axis in (axis for axis in axes if "orientation" in axis):
        name, value = axis["name"], axis["orientation"]["value"]
        along = [number for number, names in enumerate(TOWARDS) if value in names]
        if axis["type"] != "space" or axis["orientation"]["type"] != "anatomical" or not along:
            yield f"axis {name!r} has the orientation {axis['orientation']}"
        elif (other := taken.setdefault(along[0], name)) != name:
            yield f"axes {other!r} and {name!r} run along one axis of the body, {value}"


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
