"""softlab: soft labels for medical image segmentation.

The public names are imported when they are first used, so that importing the
package costs next to nothing.

>>> import softlab_cli
>>> callable(softlab_cli.open_store)
True
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from softlab_cli.version import __version__

if TYPE_CHECKING:
    from softlab_cli.api import fuse, geols, label_smoothing, msvls, one_hot, open_store, svls, vls
    from softlab_cli.evaluation.arrays import evaluate
    from softlab_cli.evaluation.calibrated_arrays import calibrate
    from softlab_cli.evaluation.calibrations import Calibration
    from softlab_cli.geodesic import geodesic_distance
    from softlab_cli.report.marginals import class_weights, label_marginals
    from softlab_cli.running.runner import run
    from softlab_cli.tuning.run import tune

__all__ = [
    "Calibration",
    "__version__",
    "calibrate",
    "class_weights",
    "evaluate",
    "fuse",
    "geodesic_distance",
    "geols",
    "label_marginals",
    "label_smoothing",
    "msvls",
    "one_hot",
    "open_store",
    "run",
    "svls",
    "tune",
    "vls",
]

_HOMES = {
    "Calibration": "softlab_cli.evaluation.calibrations",
    "calibrate": "softlab_cli.evaluation.calibrated_arrays",
    "class_weights": "softlab_cli.report.marginals",
    "evaluate": "softlab_cli.evaluation.arrays",
    "fuse": "softlab_cli.api",
    "geodesic_distance": "softlab_cli.geodesic",
    "geols": "softlab_cli.api",
    "label_marginals": "softlab_cli.report.marginals",
    "label_smoothing": "softlab_cli.api",
    "msvls": "softlab_cli.api",
    "one_hot": "softlab_cli.api",
    "svls": "softlab_cli.api",
    "vls": "softlab_cli.api",
    "open_store": "softlab_cli.api",
    "run": "softlab_cli.running.runner",
    "tune": "softlab_cli.tuning.run",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'softlab_cli' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
