"""How label maps are read, where there is a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from softlab_cli.core.fractions import Background, OverlapRule, SumRule
from softlab_cli.readers.regrid import Resampling

__all__ = ["Padding", "ReadingOptions"]

Padding = Literal["background", "ignore"]


@dataclass(frozen=True)
class ReadingOptions:
    """How label maps are read, where there is a choice; named like the command line's options.

    Parameters
    ----------
    series
        UID, description or pattern of the series (or of the segmentation) that
        is meant where a folder holds several.
    rois
        Names or patterns of the regions or segments to keep; by default all.
    on_overlap
        What counts where segments overlap.
    threshold
        Fractions from here on are inside; for FRACTIONAL segmentations.
    padding
        Whether padding of a LABELMAP segmentation is background or ignored.
    resample_labels
        How a label map on another grid than its image is resampled, if at all.
    value_map
        Label values to replace, for each rater; ``""`` is for those that have no
        entry of their own.
    background
        Of soft labels with several volumes: whether the first one is background, or
        background is what they leave. By default the files decide.
    sums
        What happens where soft labels of a voxel do not sum to 1: refuse, or divide.
    scale
        Number that stands for a soft label of 1, such as 100 for per cent.
    """

    series: str | None = None
    rois: tuple[str, ...] = ()
    on_overlap: OverlapRule = "error"
    threshold: float | None = None
    padding: Padding = "background"
    resample_labels: Resampling | None = None
    value_map: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    background: Background | None = None
    sums: SumRule = "error"
    scale: float | None = None

    def to_json(self) -> dict[str, Any]:
        """What was chosen, without what nobody chose."""
        unchosen = asdict(ReadingOptions())
        chosen = {k: v for k, v in asdict(self).items() if v != unchosen[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}

    def values_of(self, rater: str) -> Mapping[int, int]:
        """Label values to replace in the label maps of a rater."""
        return self.value_map.get(rater, self.value_map.get("", {}))
