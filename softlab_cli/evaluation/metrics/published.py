"""What other tools make of the same predictions, for comparison, with their faults named.

Each function gives the figures under the names that its tool has for them. Where a fault
is one of arithmetic (sums in float32) it is not copied: the figure is what the tool means.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from softlab_cli.evaluation.metrics.calibration import (
    Reliability,
    class_reliability,
    ece,
    reliability,
    tace,
)
from softlab_cli.evaluation.metrics.tallies import ALL, Counts

__all__ = ["PUBLISHED", "curvas2024", "curvas2025", "monai", "qubiq", "svls"]


def svls(counts: Counts) -> Mapping[str, float]:
    """Figures of the code that was published with SVLS, 10 bins.

    Known faults:

    - its ECE is over voxels with reference > 0 (region ``foreground`` here), and there a
      predictor that is calibrated by construction does not get 0;
    - its TACE is the mean over bins of terms that are weighted already: a tenth of TACE. It
      sorts in float32 with an unstable sort, so that ties fall as they may.
    """
    found = {"ece_all": ece(counts.within(ALL), 10)}
    if "foreground" in counts.regions:
        found["ece"] = ece(counts.within("foreground"), 10)
    found["tace"] = tace(counts.within(ALL), 10).mean / 10
    return found


def monai(counts: Counts) -> Mapping[str, float]:
    """MONAI's ``CalibrationErrorMetric`` of one case: 20 bins, mean over all classes.

    ``expected``, ``average`` and ``maximum`` are its three reductions, over each class's own
    probability. Over cases MONAI takes the mean of these.

    Known faults (1.6.1):

    - it adds up in float32, so that a bin stops counting at 2^24 voxels: of 32,768,000 voxels
      it finds 16,777,216, and a mean of .0467 for .0250;
    - ``right`` is documented the wrong way round: the default, False, has bins (lower, upper];
    - classes that are nowhere in the case count like any other;
    - a mean over cases hides what few voxels do.
    """
    parts = class_reliability(counts.within(ALL), 20)
    reductions: Mapping[str, Callable[[Reliability], float]] = {
        "expected": Reliability.expected,
        "average": Reliability.mean,
        "maximum": Reliability.largest,
    }
    return {
        name: math.fsum(reduce(part) for part in parts) / len(parts)
        for name, reduce in reductions.items()
    }


def curvas2024(counts: Counts) -> Mapping[str, float]:
    """Calibration error of CURVAS 2024: of each rater, 50 bins, and their mean.

    Known faults:

    - it rests on ``torchmetrics``' calibration error, which adds up in float32 and stops
      counting at 2^24 voxels in a bin. Bins are [lower, upper) there and 1 is a bin of its own,
      as here;
    - the mean over raters is not 0 for the raters' own mean;
    - the challenge crops to where the image is above 0, so that the figure depends on the
      scanner's background; here it is over all voxels.

    Its volumes (CRPS) and consensus Dice are not of calibration and not here.
    """
    return _over_raters(counts, ALL)


def curvas2025(counts: Counts) -> Mapping[str, float]:
    """Calibration error of CURVAS-PDACVI 2025: as 2024, in a box around all raters.

    The box is region ``box`` (`softlab_cli.evaluation.metrics.regions.challenge_box`, which says
    what is wrong with theirs); all voxels where that was not counted. Probabilities are raised
    to 1e-8 and divided by their sum before; of ones that sum to 1 that changes nothing to be seen.

    Known faults: those of `curvas2024`, and the figure depends on the margin, as background that
    is easily right dilutes it.
    """
    return _over_raters(counts, "box" if "box" in counts.regions else ALL)


def _over_raters(counts: Counts, region: str) -> Mapping[str, float]:
    tallies = counts.within(region)
    found = {}
    for rater in range(tallies.rater_count):
        part = reliability(tallies, 50, rater=rater, closed="lower")
        if part.votes:
            found[f"ece_rater{rater + 1}"] = part.expected()
    mean = math.fsum(found.values()) / len(found) if found else math.nan
    return found | {"ece": mean}


def qubiq(counts: Counts) -> Mapping[str, float]:
    """QUBIQ has no figure of calibration.

    Its thresholded Dice compares prediction and raters' mean at the same thresholds, and is no
    matter of counts of probabilities.
    """
    return {}


PUBLISHED: Mapping[str, Callable[[Counts], Mapping[str, float]]] = {
    "svls": svls,
    "monai": monai,
    "curvas2024": curvas2024,
    "curvas2025": curvas2025,
    "qubiq": qubiq,
}
"""What ``--parity`` calls: of one case."""
