"""One case of arrays: what ``softlab tune`` reckons of a case."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from typing import Any

from numpy.typing import NDArray

from softlab_cli.core.errors import UsageError
from softlab_cli.methods.arrays import ArrayCase
from softlab_cli.tuning.grid import Grid
from softlab_cli.tuning.measure import measure_votes
from softlab_cli.tuning.request import CLIP, REGION, parse_region
from softlab_cli.tuning.subset import Surroundings
from softlab_cli.tuning.votes import FIGURES

__all__ = ["predict_left_out"]


def predict_left_out(
    label_maps: Sequence[NDArray[Any]],
    image: NDArray[Any] | None = None,
    *,
    spacing_mm: Sequence[float] | None = None,
    labels: Iterable[int] | None = None,
    ignore_value: int | None = None,
    regions: str = REGION,
    bins: int = 15,
    clip: float = CLIP,
    threads: int = 1,
    **grid: Any,
) -> dict[str, dict[str, float]]:
    """How well soft labels of some raters predict the rater left out, in one case.

    Parameters
    ----------
    label_maps
        One for each rater, two at least; see `softlab_cli.api.soften`.
    image
        Of the same shape, for methods that follow an image.
    spacing_mm, labels, ignore_value, threads
        As for `softlab_cli.api.soften`.
    regions, bins, clip
        As the options of ``softlab tune``.
    **grid
        Fields of `softlab_cli.tuning.grid.Grid`.

    Returns
    -------
    figures
        Name of each setting to its ``nll`` (nats), ``brier`` (summed over classes) and ``ece``,
        over all classes, voxels and raters; NaN where no voxel counts.

    Raises
    ------
    UsageError
        For fewer than two raters, and options without a meaning.
    GeometryError
        For raters of different shapes.

    Examples
    --------
    >>> import numpy as np
    >>> raters = [np.array([[0, 0, 1, 1]]), np.array([[0, 1, 1, 1]]), np.array([[0, 0, 0, 1]])]
    >>> found = predict_left_out(raters, methods=("mean",))
    >>> round(found["mean"]["nll"], 2), round(found["onehot"]["nll"], 2)
    (2.42, 2.3)
    """
    if len(label_maps) < 2:
        raise UsageError(
            f"{len(label_maps)} raters: one is to be left out and predicted by the others.",
            remedy="Give two or more.",
        )
    case = ArrayCase.of(
        list(label_maps), image, spacing_mm=spacing_mm, labels=labels, ignore_value=ignore_value,
        threads=threads,
    )  # fmt: skip
    drawn = case.raters()
    around = Surroundings(
        case.case_id,
        None if image is None else lambda: case.image(case.geometry),
        nullcontext,
        threads=threads,
    )
    found = measure_votes(
        drawn, case.classes, Grid(**grid).settings(image is not None), around,
        reach=parse_region(regions), bins=bins, clip=clip,
    )  # fmt: skip
    return {
        setting.name: {name: float(f(votes.weighed()[:1])[0]) for name, f in FIGURES.items()}
        for setting, votes in found.votes.items()
    }
