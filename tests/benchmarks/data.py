"""Inputs of the benchmarks: the AAL label map, whole, merged, enlarged, varied, displaced.

Run as a process of its own (``python -m tests.benchmarks.data``), so that the
memory it needs does not count as that of the programs measured afterwards.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import SimpleITK as sitk
from numpy.typing import NDArray

from .inputs import INPUTS, LARGE, MANY, RATERS

__all__ = ["make_inputs"]

AAL_VARIABLE = "SOFTLAB_MRICRON"
AAL_DEFAULT = "/usr/share/mricron/templates/aal.nii.gz"
CLASSES_PER_GROUP = 29
DISPLACED_VOXELS = 1.5
DISPLACEMENT_SIGMA = 6

LabelValues = NDArray[np.uint8]
Image = Any
"""SimpleITK.Image, whose methods have no annotations."""


def find_aal() -> Path:
    """The AAL label map of Debian's mricron-data."""
    path = Path(os.environ.get(AAL_VARIABLE, AAL_DEFAULT))
    if path.is_file():
        return path
    raise SystemExit(
        f"{path}: no such file. The benchmarks need the AAL label map: install Debian's package "
        f"mricron-data, or set {AAL_VARIABLE} to the path of its aal.nii.gz."
    )


def make_inputs(names: list[str]) -> None:
    """Write the inputs that are not there yet."""
    makers: dict[str, Callable[[Image], list[Image]]] = {
        "small-5": lambda aal: [merge(aal)[58:122, 76:140, 58:122]],
        "aal-5": lambda aal: [merge(aal)],
        "aal-117": lambda aal: [aal],
        "large-5": lambda aal: [enlarge(merge(aal))],
        "large-117": lambda aal: [enlarge(aal)],
        "many-117": vary,
        "raters-5": lambda aal: disagree(merge(aal)),
        "raters-117": disagree,
    }
    # The same case twice: in the second the program is warm.
    for name in [name for name in INPUTS if name.startswith("twice-")]:
        makers[name] = partial(_twice, makers[name.removeprefix("twice-")])
    aal = sitk.ReadImage(str(find_aal()), sitk.sitkUInt8)
    for name in names:
        paths = INPUTS[name].files
        if not all(path.exists() for path in paths):
            for path, image in zip(paths, makers[name](aal), strict=True):
                write(image, path)


def _twice(make: Callable[[Image], list[Image]], aal: Image) -> list[Image]:
    return make(aal) * 2


def write(image: Image, path: Path) -> None:
    """Write under another name and rename: a file that exists is whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.parent / f".unfinished-{path.name}"
    sitk.WriteImage(image, str(unfinished), useCompression=True)
    unfinished.rename(path)


def like(values: LabelValues, image: Image) -> Image:
    """Values on the grid of an image."""
    result: Image = sitk.GetImageFromArray(values)
    result.CopyInformation(image)
    return result


def merge(image: Image) -> Image:
    """116 regions merged into 4, each of 29 label values; background stays 0."""
    values: NDArray[Any] = sitk.GetArrayFromImage(image)
    merged = np.where(values > 0, 1 + (values.astype(np.int16) - 1) // CLASSES_PER_GROUP, 0)
    return like(merged.astype(np.uint8), image)


def enlarge(image: Image, size: int = LARGE) -> Image:
    """The same field of view with `size` voxels along each axis, by nearest neighbour."""
    values: LabelValues = sitk.GetArrayFromImage(image)
    nearest = [((np.arange(size) + 0.5) * n / size).astype(int) for n in values.shape]
    result: Image = sitk.GetImageFromArray(values[np.ix_(*nearest)])
    result.SetDirection(image.GetDirection())
    result.SetSpacing(
        [s * n / size for s, n in zip(image.GetSpacing(), image.GetSize(), strict=True)]
    )
    # The first voxel of the fine grid lies off the centre of the first coarse one.
    first = [0.5 * n / size - 0.5 for n in image.GetSize()]
    result.SetOrigin(image.TransformContinuousIndexToPhysicalPoint(first))
    return result


def vary(image: Image, count: int = MANY) -> list[Image]:
    """Cases that differ: the label map mirrored and shifted."""
    values: LabelValues = sitk.GetArrayFromImage(image)
    cases = []
    for i in range(count):
        mirrored = np.flip(values, axis=tuple(axis for axis in range(3) if i >> axis & 1))
        cases.append(like(np.roll(mirrored, (3 * i, 2 * i, -2 * i), axis=(0, 1, 2)), image))
    return cases


def disagree(image: Image, raters: int = RATERS) -> list[Image]:
    """Raters who draw edges elsewhere: a smooth random displacement for each, seeded.

    Along each axis the largest is `DISPLACED_VOXELS`.
    """
    from scipy.ndimage import gaussian_filter

    values: LabelValues = sitk.GetArrayFromImage(image)
    rng = np.random.default_rng(0)
    found = []
    for _ in range(raters):
        places = []
        for axis, size in enumerate(values.shape):
            noise = rng.standard_normal(values.shape).astype(np.float32)
            smooth = gaussian_filter(noise, DISPLACEMENT_SIGMA)
            moved = np.indices(values.shape)[axis] + smooth * (DISPLACED_VOXELS / abs(smooth).max())
            places.append(np.clip(np.rint(moved), 0, size - 1).astype(int))
        found.append(like(values[tuple(places)], image))
    return found


def main() -> None:
    """Make the inputs that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(INPUTS)}")
    names = parser.parse_args().names
    for name in set(names) - set(INPUTS):
        parser.error(f"there is no input {name!r}; there are {', '.join(INPUTS)}.")
    make_inputs(names or list(INPUTS))


if __name__ == "__main__":
    main()
