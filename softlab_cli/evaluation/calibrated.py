"""A prediction whose probabilities are calibrated as they are read."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.blocks import Grid, Region
from softlab_cli.core.errors import InputError
from softlab_cli.evaluation.calibrations import Calibration
from softlab_cli.evaluation.measure import Shares, SoftPrediction
from softlab_cli.evaluation.metrics.soundness import SUM_TOLERANCE, survey
from softlab_cli.evaluation.metrics.tallies import Faults

__all__ = ["Calibrated"]


class Calibrated:
    """A soft prediction after a calibration; see `softlab_cli.evaluation.measure.SoftPrediction`.

    Parameters
    ----------
    prediction
        What is calibrated.
    calibration
        How.
    refuse_sums
        Whether sums over classes that are not 1 are refused: afterwards all are 1.
    """

    def __init__(
        self, prediction: SoftPrediction, calibration: Calibration, *, refuse_sums: bool = False
    ) -> None:
        self._prediction, self._calibration = prediction, calibration
        self._refuse_sums = refuse_sums
        self._changed = 0
        self._faults = Faults()

    @property
    def shape(self) -> tuple[int, int, int]:
        """(Z, Y, X)."""
        return self._prediction.shape

    @property
    def ndim(self) -> int:
        """2 for a picture."""
        return self._prediction.ndim

    @property
    def members(self) -> Sequence[Shares]:
        """What is averaged, as it is: a calibration is of the mean."""
        return self._prediction.members

    def read(self, region: Region) -> NDArray[np.float32]:
        """(C, z, y, x), calibrated; looks as well whether they are probabilities.

        All are 0 where the prediction says nothing.
        """
        values, said = self._labelled(region)
        flat = np.ascontiguousarray(values.reshape(len(values), -1))
        if flat.dtype != np.float16:
            flat = flat.astype(np.float32, copy=False)
        top, flat, faults = survey(flat, SUM_TOLERANCE)
        self._faults += faults
        found = self._calibration.apply(flat)
        changed = found.argmax(axis=0) != top
        self._changed += int(np.count_nonzero(changed & said.ravel()))
        found *= said.ravel()
        return found.reshape(values.shape)

    def _labelled(self, region: Region) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Probabilities, the first class where nothing is said, and where something is."""
        values = self._prediction.read(region)
        nothing = self._prediction.unlabelled(region)
        if nothing is None:
            return values, np.ones(values.shape[1:], np.bool_)
        values[:, nothing] = 0
        values[0, nothing] = 1
        return values, ~nothing

    def unlabelled(self, region: Region) -> NDArray[np.bool_] | None:
        """(z, y, x), where the prediction says nothing."""
        return self._prediction.unlabelled(region)

    def volume(self, class_index: int) -> NDArray[np.float32]:
        """(Z, Y, X) of one class; all classes are read for it, block by block."""
        found = np.empty(self.shape, np.float32)
        for region in Grid.for_volume(self.shape, self.ndim).regions():
            values, said = self._labelled(region)
            found[region] = self._calibration.apply(values)[class_index] * said
        return found

    def check(self) -> None:
        """Raise `InputError` where sums were not 1 and are refused; once all has been read."""
        if self._refuse_sums and self._faults.wrong_sum:
            raise InputError(
                f"the prediction has {self._faults}.",
                remedy="Divide by the sum with --sums normalise.",
            )

    @property
    def warnings(self) -> Iterator[str]:
        """What the calibration did to the hard decisions; once all has been read."""
        if self._changed:
            yield (
                f"the calibration makes another class the most probable one at {self._changed:,} "
                "voxels; overlap and surfaces are of these."
            )
