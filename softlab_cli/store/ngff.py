"""OME-NGFF metadata of a case: an image, and its hard label as a label image beside it.

::

    <case_id>/                 the image: ``soft`` with the classes as channels
    <case_id>/labels/          names the label images, of which there is one
    <case_id>/labels/label/    the label image: names and colours of the class indices

In a store of hard labels only the image is the hard label too, without channels. Where
they lie in space is said in `softlab_cli.store.ngff_place`.
"""

from __future__ import annotations

import colorsys
from functools import cache
from typing import Any

from softlab_cli.core.classes import ClassTable, LabelClass
from softlab_cli.core.volume import Geometry
from softlab_cli.store.ngff_place import (
    axes_of,
    scale_of,
    to_world,
    translation_of,
    world_axes,
)

__all__ = ["image_metadata", "label_metadata", "labels_metadata"]

MOST_ACTIVE_CHANNELS = 8
GOLDEN_RATIO = 0.6180339887498949
CHANNEL: dict[str, Any] = {"name": "c", "type": "channel"}
NOT_LABELLED = {"name": "not labelled", "color": "808080"}


def image_metadata(
    case_id: str,
    geometry: Geometry,
    classes: ClassTable,
    *,
    path: str,
    channels: bool,
    version: str = "0.5",
) -> dict[str, Any]:
    """The ``ome`` attributes of a case.

    Parameters
    ----------
    case_id
        Name of the image.
    geometry
        Spacing and place of the image.
    classes
        Names of the channels.
    path
        The array, from the case's folder.
    channels
        Whether the classes are its first axis.
    version
        0.5, or 0.6 with the exact affine.
    """
    omero = {"omero": {"channels": _channels(classes)}} if channels else {}
    multiscale = _multiscale(case_id, geometry, path, channels=channels, version=version)
    return {"version": version, "multiscales": [multiscale], **omero}


def labels_metadata(names: list[str], version: str = "0.5") -> dict[str, Any]:
    """The ``ome`` attributes of the group that holds the label images of a case.

    Parameters
    ----------
    names
        The label images.
    version
        As in `image_metadata`.
    """
    return {"version": version, "labels": names}


def label_metadata(
    name: str, geometry: Geometry, classes: ClassTable, *, path: str, version: str = "0.5"
) -> dict[str, Any]:
    """The ``ome`` attributes of a label image: names and colours of its class indices.

    Parameters
    ----------
    name
        Name of the label image.
    geometry, classes, version
        As in `image_metadata`.
    path
        The array, from the label image's folder.
    """
    multiscale = _multiscale(name, geometry, path, channels=False, version=version)
    values = [(c.index, c.name, _colour(c)) for c in classes.classes]
    if classes.ignore_values:
        values.append((classes.ignore_index, NOT_LABELLED["name"], NOT_LABELLED["color"]))
    # What lies beneath is seen through the background.
    colors = [
        {"label-value": i, "rgba": [*bytes.fromhex(c), 0 if i == classes.background_index else 255]}
        for i, _, c in values
    ]
    properties = [{"label-value": i, "name": text} for i, text, _ in values]
    described = {"colors": colors, "properties": properties, "source": {"image": "../../"}}
    return {"version": version, "multiscales": [multiscale], "image-label": described}


def _multiscale(
    name: str, geometry: Geometry, path: str, *, channels: bool, version: str
) -> dict[str, Any]:
    """One array in its place; a first axis of channels has none."""
    axes, scale, translation = axes_of(geometry), scale_of(geometry), translation_of(geometry)
    if channels:
        axes, scale, translation = [CHANNEL, *axes], [1.0, *scale], [0.0, *translation]
    place = [
        {"type": "scale", "scale": scale},
        {"type": "translation", "translation": translation},
    ]
    if version == "0.5":
        dataset = {"path": path, "coordinateTransformations": place}
        return {"name": name, "axes": axes, "datasets": [dataset]}
    return {"name": name, **_with_systems(axes, place, geometry, path)}


def _with_systems(
    axes: list[dict[str, Any]], place: list[dict[str, Any]], geometry: Geometry, path: str
) -> dict[str, Any]:
    """The same in 0.6 (RFC-5): named systems of coordinates, and from one to the other."""
    channels = axes[0] == CHANNEL
    world, matrix = world_axes(geometry), to_world(geometry)
    if channels:
        world = [CHANNEL, *world]
        matrix = [[1.0] + [0.0] * len(axes), *([0.0, *row] for row in matrix)]
    sequence = {
        "type": "sequence",
        "transformations": place,
        "input": {"path": path},
        "output": {"name": "array"},
    }
    affine = {
        "type": "affine",
        "affine": matrix,
        "input": {"name": "array"},
        "output": {"name": "world"},
    }
    return {
        "coordinateSystems": [{"name": "array", "axes": axes}, {"name": "world", "axes": world}],
        "datasets": [{"path": path, "coordinateTransformations": [sequence]}],
        "coordinateTransformations": [affine],
    }


def _channels(classes: ClassTable) -> list[dict[str, Any]]:
    foreground = [c.index for c in classes.classes if c.index != classes.background_index]
    active = set(foreground[:MOST_ACTIVE_CHANNELS])
    return [
        {
            "label": entry.name,
            "color": _colour(entry),
            "active": entry.index in active,
            "window": {"min": 0.0, "max": 1.0, "start": 0.0, "end": 1.0},
        }
        for entry in classes.classes
    ]


def _colour(entry: LabelClass) -> str:
    return entry.colour.upper() if entry.colour else _hue(entry.index)


@cache
def _hue(index: int) -> str:
    # Steps of the golden ratio keep the hues of any number of neighbours apart.
    rgb = colorsys.hsv_to_rgb(index * GOLDEN_RATIO % 1, 0.75, 1.0)
    return "".join(f"{round(255 * part):02X}" for part in rgb)
