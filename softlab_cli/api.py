"""softlab in Python: the methods on plain arrays, and stores opened for reading.

`soften` is the one function; the others name its method. What the parameters of a
method mean is said once, where the method is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.methods.arrays import ArrayCase, ArraySink
from softlab_cli.methods.base import Method
from softlab_cli.methods.registry import METHODS, local_method, method_class
from softlab_cli.store.reader import Case, Store

if TYPE_CHECKING:
    from softlab_cli.geodesic.base import Metric
    from softlab_cli.methods.svls.svls import Sigma

__all__ = [
    "Case",
    "Store",
    "fuse",
    "geols",
    "label_smoothing",
    "msvls",
    "one_hot",
    "open_store",
    "soften",
    "svls",
    "vls",
]


def open_store(path: str | Path, *, from_label: bool = False) -> Store:
    """Open a store for reading.

    Parameters
    ----------
    path
        The folder that ``softlab svls`` or another method wrote.
    from_label
        Compute soft labels from the hard ones on read, although they are stored.
        With many classes this can be faster; the bits are the same. Stores of
        hard labels only are always read so.

    Returns
    -------
    Store
        A mapping of case ids to cases. It may be pickled, and used after a fork
        and from several threads.

    Raises
    ------
    StoreError
        When the folder is no store, or its method is not known here.

    Examples
    --------
    ::

        store = open_store("soft.zarr")
        patch = store["s01"].read((slice(0, 64), slice(-8, 56), slice(0, 64)))
    """
    store = Store(path)
    if not (from_label or store.info.labels_only):
        return store
    method = local_method(store.info.method, store.info.parameters)
    if method is None:
        local = [name for name in METHODS if method_class(name).takes == "label map"]
        raise StoreError(
            f"its soft labels are those of {store.info.method!r}, which softlab cannot compute on "
            "read.",
            remedy=f"It can for {', '.join(local)}, and for a majority of raters.",
            path=store.path,
        )
    from softlab_cli.methods.on_read import SoftenOnRead

    return Store(path, SoftenOnRead(method, store.classes))


def soften(
    method: Method,
    label_map: NDArray[Any] | Sequence[NDArray[Any]],
    image: NDArray[Any] | None = None,
    *,
    spacing_mm: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Soft labels by any method.

    Parameters
    ----------
    method
        A method with its parameters, such as ``SVLS(kernel_size=5)``; the classes of
        `softlab_cli.methods.METHODS`.
    label_map
        (Z, Y, X) or (Y, X) label values, integers from 0 to 65535; for a method of
        several raters one for each, of one shape. Raters are called ``1``, ``2``...
    image
        Intensities of the same shape, or (channels, *shape), of any real type; for
        methods that follow the image.
    spacing_mm
        Distance of voxels along the axes of `label_map`, in millimetres; 1 by default.
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
        For arrays that are no label map, or not what the method takes.
    GeometryError, InputError
        For raters or images of other shapes, or intensities that are not finite.

    Examples
    --------
    >>> import numpy as np
    >>> from softlab_cli.methods import SVLS
    >>> soften(SVLS(kernel_size=5), np.array([[0, 0, 1, 1]]))[1].round(3)
    array([[0.032, 0.178, 0.822, 0.968]], dtype=float16)
    """
    several = method.takes == "raters"
    case = ArrayCase.of(
        list(label_map) if several else [np.asarray(label_map)], image,
        spacing_mm=spacing_mm, labels=labels, ignore_value=ignore_value, threads=threads,
    )  # fmt: skip
    with method.prepare(case) as ready:
        sink = ArraySink.new(case)
        ready.write(sink, soft=True, threads=threads)
    return sink.soft_label[:, 0] if case.geometry.ndim == 2 else sink.soft_label


def one_hot(
    label_map: NDArray[Any],
    *,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """One-hot labels; see `softlab_cli.methods.onehot.OneHot` and `soften`.

    Examples
    --------
    >>> import numpy as np
    >>> one_hot(np.array([[0, 2, 2]]))[1]
    array([[0., 1., 1.]], dtype=float16)
    """
    from softlab_cli.methods import OneHot

    return soften(OneHot(), label_map, labels=labels, ignore_value=ignore_value, threads=threads)


def label_smoothing(
    label_map: NDArray[Any],
    *,
    smoothing: float = 0.1,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Uniform label smoothing; see `softlab_cli.methods.uniform.UniformSmoothing` and `soften`.

    Examples
    --------
    >>> import numpy as np
    >>> label_smoothing(np.array([[0, 1]]), smoothing=0.5)[1]
    array([[0.25, 0.75]], dtype=float16)
    """
    from softlab_cli.methods import UniformSmoothing

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
    """Spatially varying label smoothing; see `softlab_cli.methods.svls.svls.SVLS` and `soften`.

    `sigma_mm` needs `spacing_mm`.

    Examples
    --------
    >>> import numpy as np
    >>> svls(np.array([[0, 0, 1, 1]]))[1].round(3)
    array([[0.   , 0.172, 0.828, 1.   ]], dtype=float16)
    """
    from softlab_cli.methods import SVLS

    _check_spacing(sigma_mm, spacing_mm)
    return soften(
        SVLS(kernel_size, sigma_voxels, sigma_mm, slicewise),
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
    """Mean of several raters' SVLS; see `softlab_cli.methods.raters.msvls.MSVLS` and `soften`.

    `rater_weights` has one number for each rater.

    Examples
    --------
    >>> import numpy as np
    >>> msvls([np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]])])[1].round(3)
    array([[0.086, 0.5  , 0.914, 1.   ]], dtype=float16)
    """
    from softlab_cli.methods import MSVLS

    _check_spacing(sigma_mm, spacing_mm)
    weights = _by_number(rater_weights)
    return soften(
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
    """Several raters fused, without smoothing; see `softlab_cli.methods.raters.fuse.Fuse`.

    `rater_weights` has one number for each rater; the rest is as for `soften`.

    Examples
    --------
    >>> import numpy as np
    >>> fuse([np.array([[0, 0, 1]]), np.array([[0, 1, 1]])])[1]
    array([[0. , 0.5, 1. ]], dtype=float16)
    """
    from softlab_cli.methods import Fuse

    return soften(
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
    """Geodesic label smoothing; see `softlab_cli.methods.geols.geols.GeoLS` and `soften`.

    `GeoLS` itself has more parameters.

    Examples
    --------
    >>> import numpy as np
    >>> image = np.array([[0, 1, 2, 4, 4, 8]])
    >>> labels = np.array([[1, 1, 0, 0, 2, 2]])
    >>> geols(labels, image, spacing_mm=(1, 1), seeds="region")[:, 0, 2].round(3)
    array([0.941, 0.045, 0.015], dtype=float16)
    """
    from softlab_cli.methods import GeoLS

    return soften(
        GeoLS(smoothing, seeds, metric, intensity_weight, engine),
        label_map,
        image,
        spacing_mm=spacing_mm,
        labels=labels,
        ignore_value=ignore_value,
        threads=threads,
    )


def vls(
    label_map: NDArray[Any],
    image: NDArray[Any],
    *,
    model: str | Path,
    smoothing: float = 0.3,
    base: Literal["onehot", "svls"] = "onehot",
    samples: int = 20,
    temperature: float = 1.0,
    device: Literal["auto", "cpu", "cuda"] = "auto",
    spacing_mm: Sequence[float] | None = None,
    ignore_value: int | None = None,
    threads: int = 1,
) -> NDArray[np.float16]:
    """Variational label smoothing by a model; see `softlab_cli.methods.VLS` and `soften`.

    A model is what ``softlab vls`` leaves in ``OUT.fit``; ``softlab_cli.run(VLS(...), ...)``
    trains one. The classes are the model's. An image that it was trained with goes through
    the networks that have not seen it, any other through all of them.

    Raises
    ------
    StoreError
        When the folder holds no model that is whole.

    Examples
    --------
    ::

        soft_label = vls(label_map, image, model="vls.zarr.fit", spacing_mm=(2.0, 1.0, 1.0))
    """
    from softlab_cli.methods import VLS
    from softlab_cli.methods.vls.model import read_model

    return soften(
        VLS(
            smoothing=smoothing, base=base, samples=samples, temperature=temperature,
            model=Path(model), device=device,
        ),
        label_map,
        image,
        spacing_mm=spacing_mm,
        labels=read_model(Path(model)).classes.values,
        ignore_value=ignore_value,
        threads=threads,
    )  # fmt: skip


def _by_number(weights: Sequence[float] | None) -> dict[str, float] | None:
    if weights is None:
        return None
    return {str(number): weight for number, weight in enumerate(weights, 1)}


def _check_spacing(sigma_mm: Sigma | None, spacing_mm: Sequence[float] | None) -> None:
    if sigma_mm is not None and spacing_mm is None:
        raise UsageError("sigma_mm is given without spacing_mm.", remedy="Give the spacing.")
