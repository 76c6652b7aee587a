"""The methods on plain arrays: label maps in, soft labels of all classes out."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region, Shape, region_shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import UsageError
from softlab_cli.core.softblock import SoftBlock
from softlab_cli.core.threads import ordered_map
from softlab_cli.core.volume import Geometry
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.geodesic.base import Metric
from softlab_cli.labels.indices import distinct_values, index_label_map
from softlab_cli.methods import (
    MSVLS,
    SVLS,
    Fuse,
    GeoLS,
    LocalMethod,
    OneHot,
    RaterMethod,
    UniformSmoothing,
)
from softlab_cli.methods.base import Softener
from softlab_cli.methods.svls.svls import Sigma

__all__ = [
    "fuse",
    "geols",
    "label_smoothing",
    "msvls",
    "one_hot",
    "soften",
    "soften_raters",
    "svls",
]


def one_hot(
    label_map: NDArray[Any],
    *,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """One-hot labels.

    Parameters
    ----------
    label_map
        (Z, Y, X) or (Y, X) label values, integers from 0 to 65535.
    labels
        Label values that are classes, so that each has a place whether it occurs
        or not; by default those that occur. Sorted, they are classes 0 to C-1.
    ignore_value
        Label value of voxels that are not labelled; they get 0 in all classes.
    threads
        Blocks that are computed at the same time; the result does not depend on it.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError
        For label values outside 0..65535 or, with `labels`, outside of those.
    UsageError
        For arrays that are no label map.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.array([[0, 2, 2]]))[1]
    array([[0., 1., 1.]], dtype=float16)
    """
    return soften(OneHot(), label_map, labels=labels, ignore_value=ignore_value, threads=threads)


def label_smoothing(
    label_map: NDArray[Any],
    *,
    smoothing: float = 0.1,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Uniform label smoothing: p_c = (1 - alpha) [y = c] + alpha / C.

    Equation 1 of Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021.

    Parameters
    ----------
    label_map, labels, ignore_value, threads
        As for `one_hot`.
    smoothing
        The paper's alpha, from 0 (one-hot) to 1.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError
        As for `one_hot`, and for another amount of smoothing.

    Examples
    --------
    >>> import numpy as np
    >>> label_smoothing(np.array([[0, 1]]), smoothing=0.5)[1]
    array([[0.25, 0.75]], dtype=float16)
    """
    method = UniformSmoothing(smoothing)
    return soften(method, label_map, labels=labels, ignore_value=ignore_value, threads=threads)


def svls(
    label_map: NDArray[Any],
    *,
    kernel_size: int = 3,
    sigma_voxels: Sigma | None = None,
    sigma_mm: Sigma | None = None,
    spacing_mm: Sequence[float] | None = None,
    slicewise: bool = False,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Spatially varying label smoothing: soft where classes meet, hard elsewhere.

    Each class's one-hot map is convolved with a Gaussian whose centre is replaced by
    the sum of its other weights, and divided by the kernel's sum; beyond the edge,
    the edge is repeated. Equation 2 of Islam and Glocker, Spatially Varying Label
    Smoothing, IPMI 2021 (kernel size 3, sigma 1 voxel).

    Parameters
    ----------
    label_map, labels, ignore_value, threads
        As for `one_hot`. Ignored voxels count for no neighbour.
    kernel_size
        Voxels along each side of the kernel, odd, 3 or larger.
    sigma_voxels
        Standard deviation in voxels, one number or three along (Z, Y, X); by
        default 1.
    sigma_mm
        The same in millimetres, in place of `sigma_voxels`; needs `spacing_mm`.
    spacing_mm
        Distance of voxels along the axes of `label_map`, in millimetres.
    slicewise
        Smooth within slices only; pictures always are.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError
        As for `one_hot`, and for parameters without meaning.

    Examples
    --------
    >>> import numpy as np
    >>> svls(np.array([[0, 0, 1, 1]]))[1].round(3)
    array([[0.   , 0.172, 0.828, 1.   ]], dtype=float16)
    """
    _check_spacing(sigma_mm, spacing_mm)
    method = SVLS(kernel_size, sigma_voxels, sigma_mm, slicewise)
    return soften(
        method,
        label_map,
        spacing_mm=spacing_mm,
        labels=labels,
        ignore_value=ignore_value,
        threads=threads,
    )


def msvls(
    label_maps: Sequence[NDArray[Any]],
    *,
    kernel_size: int = 3,
    sigma_voxels: Sigma | None = None,
    sigma_mm: Sigma | None = None,
    spacing_mm: Sequence[float] | None = None,
    slicewise: bool = False,
    rater_weights: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Mean of several raters' spatially varying label smoothing, in one pass.

    Equation 4 of Islam and Glocker, Spatially Varying Label Smoothing, IPMI 2021.

    Parameters
    ----------
    label_maps
        Label maps of the raters, each (Z, Y, X) or (Y, X), of one shape.
    kernel_size, sigma_voxels, sigma_mm, spacing_mm, slicewise, labels, ignore_value, threads
        As for `svls`. A rater that ignored a voxel has no share in it.
    rater_weights
        One for each rater, taken relative to their sum; by default equal.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError
        As for `svls`, and for weights that cannot be used.
    GeometryError
        For label maps of different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> msvls([np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])])[1].round(3)
    array([[0.086, 0.5  , 0.914, 1.   ]], dtype=float16)
    """
    _check_spacing(sigma_mm, spacing_mm)
    weights = _by_number(rater_weights)
    return soften_raters(
        MSVLS(kernel_size, sigma_voxels, sigma_mm, slicewise, weights),
        label_maps,
        spacing_mm=spacing_mm,
        labels=labels,
        ignore_value=ignore_value,
        threads=threads,
    )


def fuse(
    label_maps: Sequence[NDArray[Any]],
    *,
    method: str = "mean",
    rater_weights: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Fuse several raters into one soft label, without smoothing.

    Parameters
    ----------
    label_maps, rater_weights, labels, ignore_value, threads
        As for `msvls`; weights are for ``mean`` only.
    method
        ``mean`` (share of the raters), ``majority``, ``staple`` (posterior) or
        ``dice-weighted``; see `softlab_cli.methods.raters.fuse.Fuse`, which has all options.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError, GeometryError
        As for `msvls`, and for an unknown method.

    Examples
    --------
    >>> import numpy as np
    >>> fuse([np.array([[0, 0, 1]]), np.array([[0, 1, 1]])])[1]
    array([[0. , 0.5, 1. ]], dtype=float16)
    """
    return soften_raters(
        Fuse(method, rater_weights=_by_number(rater_weights)),
        label_maps,
        labels=labels,
        ignore_value=ignore_value,
        threads=threads,
    )


def geols(
    label_map: NDArray[Any],
    image: NDArray[Any],
    *,
    spacing_mm: Sequence[float],
    smoothing: float = 0.1,
    seeds: str = "skeleton",
    metric: Metric = "geodistk",
    intensity_weight: float = 1.0,
    engine: str = "auto",
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Geodesic label smoothing: soft labels that follow the image.

    Adiga Vasudeva, Dolz and Lombaert, GeoLS: Geodesic Label Smoothing for Image
    Segmentation, MIDL 2023.

    Parameters
    ----------
    label_map, labels, ignore_value, threads
        As for `one_hot`. Distances pass through ignored voxels.
    image
        Intensities of the same shape, or (channels, *shape); any real type.
    spacing_mm
        Distance of voxels along the axes of `label_map`, in millimetres.
    smoothing
        The paper's alpha, from 0 (one-hot) to 1.
    seeds, metric, intensity_weight, engine
        As for `softlab_cli.methods.geols.geols.GeoLS`, which has all options.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError
        As for `one_hot`, and for parameters without meaning.
    InputError
        For an image of another shape or with intensities that are not finite.
    EngineError
        When the engine cannot work here.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0, 1, 2, 4, 4, 8]])
    >>> labels = np.array([[1, 1, 0, 0, 2, 2]])
    >>> geols(labels, image, spacing_mm=(1, 1), seeds="region")[:, 0, 2].round(3)
    array([0.941, 0.045, 0.015], dtype=float16)
    """
    method = GeoLS(smoothing, seeds, metric, intensity_weight, engine)
    volume = _as_volume(label_map)
    geometry = _geometry(volume.shape, np.ndim(label_map), spacing_mm)
    classes = _class_table([volume], labels, ignore_value)
    indices = index_label_map(volume, classes).class_indices
    with (
        TemporaryDirectory() as folder,
        method.prepare(
            indices, _as_channels(image, np.shape(label_map)), classes, geometry,
            case_id="", scratch_folder=Path(folder), threads=threads, block=_block(geometry),
        ) as maps,
    ):  # fmt: skip
        return _soften_blocks(maps, indices, classes, geometry, threads)


def soften(
    method: LocalMethod,
    label_map: NDArray[Any],
    *,
    spacing_mm: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Soft labels by any local method.

    Parameters
    ----------
    method
        An entry of `softlab_cli.methods.METHODS`, made with its parameters.
    label_map, spacing_mm, labels, ignore_value, threads
        As for `svls`.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError
        As for `one_hot`.
    """
    volume = _as_volume(label_map)
    geometry = _geometry(volume.shape, np.ndim(label_map), spacing_mm)
    classes = _class_table([volume], labels, ignore_value)
    indices = index_label_map(volume, classes).class_indices
    return _soften_blocks(method, indices, classes, geometry, threads)


def soften_raters(
    method: RaterMethod,
    label_maps: Sequence[NDArray[Any]],
    *,
    spacing_mm: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Soft labels of several raters by any method that takes them.

    Parameters
    ----------
    method
        An entry of `softlab_cli.methods.RATER_METHODS`, made with its parameters;
        raters are called ``1``, ``2`` and so on.
    label_maps, spacing_mm, labels, ignore_value, threads
        As for `msvls`.

    Returns
    -------
    soft_label
        (C, Z, Y, X) or (C, Y, X) float16.

    Raises
    ------
    ClassError, UsageError, GeometryError
        As for `msvls`.
    """
    if not len(label_maps):
        raise UsageError("there is no label map.", remedy="Give one for each rater.")
    volumes = [_as_volume(label_map) for label_map in label_maps]
    geometry = _geometry(volumes[0].shape, np.ndim(label_maps[0]), spacing_mm)
    classes = _class_table(volumes, labels, ignore_value)
    indexed = (index_label_map(volume, classes).class_indices for volume in volumes)
    patterns = find_patterns(indexed, len(classes), classes.ignore_index)
    names = [str(number) for number in range(1, len(volumes) + 1)]
    fused = method.fuse(patterns, names, classes.background_index)
    return _soften_blocks(fused, fused.fused.indices, classes, geometry, threads)


def _class_table(
    volumes: Sequence[NDArray[Any]], labels: Iterable[int] | None, ignore_value: int | None
) -> ClassTable:
    if labels is None:
        labels = {value for volume in volumes for value in distinct_values(volume)}
    ignored = () if ignore_value is None else (ignore_value,)
    return ClassTable.from_values(labels, ignore_values=ignored)


def _soften_blocks(
    softener: Softener,
    indices: NDArray[Any],
    classes: ClassTable,
    geometry: Geometry,
    threads: int,
) -> NDArray[np.float16]:
    soft_label = np.zeros((len(classes), *geometry.shape), np.float16)
    grid = Grid.for_volume(geometry.shape, geometry.ndim)
    local = threading.local()

    def write(region: Region) -> None:
        if not hasattr(local, "workspace"):
            local.workspace = softener.workspace(classes, geometry, _block(geometry))
        for block in softener.soften(indices, region, local.workspace):
            _copy(block, soft_label)

    for _ in ordered_map(write, grid.regions(), threads):
        pass
    return soft_label[:, 0] if geometry.ndim == 2 else soft_label


def _block(geometry: Geometry) -> Shape:
    """Voxels of the largest block."""
    grid = Grid.for_volume(geometry.shape, geometry.ndim)
    z, y, x = (min(pair) for pair in zip(grid.block, grid.shape, strict=True))
    return z, y, x


def _by_number(weights: Sequence[float] | None) -> dict[str, float] | None:
    if weights is None:
        return None
    return {str(number): weight for number, weight in enumerate(weights, 1)}


def _check_spacing(sigma_mm: Sigma | None, spacing_mm: Sequence[float] | None) -> None:
    if sigma_mm is not None and spacing_mm is None:
        raise UsageError("sigma_mm is given without spacing_mm.", remedy="Give the spacing.")


def _copy(block: SoftBlock, soft_label: NDArray[np.float16]) -> None:
    z, y, x = region_shape(block.region)
    for i, class_index in enumerate(block.class_indices):
        soft_label[(class_index, *block.region)] = block.values[i, :z, :y, :x]
    for class_index, value in block.constants.items():
        soft_label[(class_index, *block.region)] = value


def _as_volume(label_map: NDArray[Any]) -> NDArray[Any]:
    array = np.asarray(label_map)
    if array.dtype == np.bool_:
        array = array.view(np.uint8)
    if array.dtype.kind not in "ui":
        raise UsageError(f"label values of type {array.dtype} are no integers.",
                         remedy="Convert the array, for instance with astype.")  # fmt: skip
    if array.ndim not in (2, 3) or array.size == 0:
        raise UsageError(f"an array of shape {array.shape} is no label map.",
                         remedy="Give (Z, Y, X) or (Y, X) with at least one voxel.")  # fmt: skip
    return array if array.ndim == 3 else array[np.newaxis]


def _as_channels(image: NDArray[Any], shape: tuple[int, ...]) -> NDArray[np.float32]:
    """(channels, Z, Y, X); that voxels are those of the label map is for the method to check."""
    array = np.asarray(image, np.float32)
    if array.shape == shape:
        array = array[np.newaxis]
    if array.shape[1:] == shape and len(shape) == 2:
        array = array[:, np.newaxis]
    return array


def _geometry(shape: tuple[int, ...], ndim: int, spacing_mm: Sequence[float] | None) -> Geometry:
    spacing = [1.0] * ndim if spacing_mm is None else [float(s) for s in spacing_mm]
    if len(spacing) != ndim or not all(0 < s < np.inf for s in spacing):
        raise UsageError(f"a spacing of {spacing_mm} mm does not fit {ndim} axes.",
                         remedy="Give one number above 0 for each axis.")  # fmt: skip
    affine = np.diag([*reversed(spacing), *[1.0] * (4 - ndim)])
    depth, height, width = shape
    return Geometry((depth, height, width), affine, ndim)
