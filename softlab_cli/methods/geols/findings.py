"""What GeoLS asks of an image, and what it says about a case."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError
from softlab_cli.geodesic.base import StepCost
from softlab_cli.geodesic.distance import MAX_INTENSITY
from softlab_cli.geodesic.seeds import ClassBox, ClassSeeds, SeedOptions
from softlab_cli.methods.checks import check_finite

__all__ = ["check_image", "constant_warnings", "facts_of", "flat_warnings", "seed_warnings"]

NAMED_AT_MOST = 10


def check_image(image: NDArray[np.float32], shape: Shape) -> None:
    """Raise `InputError` unless an image has voxels of this shape and usable intensities.

    Usable are finite ones up to `MAX_INTENSITY`: sums and squares of their differences
    stay in the range of float32.

    Parameters
    ----------
    image
        (channels, Z, Y, X) intensities.
    shape
        Voxels of the label map along (Z, Y, X).
    """
    if image.ndim != 4 or image.shape[1:] != shape or len(image) == 0:
        raise InputError(
            f"the image has the shape {image.shape}, and a label map of the shape {shape} needs "
            f"(channels, {', '.join(map(str, shape))}).",
            remedy="Give the image that the label map was drawn on.",
        )
    lowest, highest = check_finite(image)
    if max(-lowest, highest) > MAX_INTENSITY:
        raise InputError(
            f"intensities reach from {lowest:g} to {highest:g}, and distances are computed up to "
            f"{MAX_INTENSITY:g}.",
            remedy="Rescale the image, to 0..1 for instance; clip fill values before.",
        )


def constant_warnings(
    image: NDArray[np.float32], cost: StepCost, channel_mode: str
) -> tuple[str, ...]:
    """Say which channels give no support although they should.

    Parameters
    ----------
    image
        (channels, Z, Y, X) finite intensities; no channels when none are used.
    cost, channel_mode
        How they are used.
    """
    constant = [i for i, channel in enumerate(image) if channel.min() == channel.max()]
    is_used = constant and cost.intensity_weight > 0
    if not is_used or (channel_mode == "vector" and len(constant) < len(image)):
        return ()
    which = ", ".join(map(str, constant))
    return (f"image channel {which} is constant, so the soft labels have no support in it",)


def seed_warnings(
    seeds: Sequence[ClassSeeds], options: SeedOptions, classes: ClassTable
) -> tuple[str, ...]:
    """Say which components have another seed than their strategy's, or none.

    Parameters
    ----------
    seeds
        The seeds of the classes.
    options
        How they were chosen.
    classes
        The class table.
    """
    emptied = [found for found in seeds if found.emptied]
    if not emptied:
        return ()
    count = sum(found.emptied for found in emptied)
    named = _some([classes.names[found.class_index] for found in emptied])
    lost = _some([classes.names[found.class_index] for found in emptied if not len(found.places)])
    components = "component" if count == 1 else "components"
    instead = "no seed is added" if options.bare else "the deepest voxel is the seed instead"
    return (
        f"the {options.strategy} leaves nothing of {count} {components} of {named}: {instead}",
        *([f"no seed is left of {lost}: the map is 0 everywhere"] if lost else []),
    )


def flat_warnings(flat: Sequence[str]) -> tuple[str, ...]:
    """Say which classes, by name, all voxels are at distance 0 from."""
    if not flat:
        return ()
    return (f"every voxel is at distance 0 from {_some(flat)}: the map is 1 everywhere",)


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - NAMED_AT_MOST} more" if len(names) > NAMED_AT_MOST else ""
    return ", ".join(names[:NAMED_AT_MOST]) + more


def facts_of(
    boxes: Sequence[ClassBox],
    seeds: Sequence[ClassSeeds],
    flat: Sequence[str],
    classes: ClassTable,
) -> dict[str, Any]:
    """What was found out about the classes of a case, by name, ready for JSON.

    Parameters
    ----------
    boxes
        The class indices that occur.
    seeds
        The seeds of the foreground classes among them.
    flat
        Names of classes that all voxels are at distance 0 from.
    classes
        The class table.
    """
    names, present = classes.names, {box.class_index for box in boxes}
    return {
        "seed_voxels": {names[s.class_index]: len(s.places) for s in seeds},
        "components_without_seeds": {names[s.class_index]: s.emptied for s in seeds if s.emptied},
        "classes_at_distance_0": list(flat),
        "classes_without_voxels": [n for i, n in enumerate(names) if i not in present],
    }
