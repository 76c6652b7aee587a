"""How label maps are read, where there is a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from softlab_cli.core.fractions import OverlapRule
from softlab_cli.readers.regrid import Resampling

__all__ = ["LostContours", "Padding", "ReadingOptions"]

Padding = Literal["background", "ignore"]
LostContours = Literal["refuse", "ok"]


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
    lost_contours
        Whether a region may lose a slice, or become empty, since some of its contours
        enclose no area.
    resample_labels
        How a label map on another grid than its image is resampled, if at all.
    value_map
        Label values to replace, for each rater; ``""`` is for those that have no
        entry of their own.
    """

    series: str | None = None
    rois: tuple[str, ...] = ()
    on_overlap: OverlapRule = "error"
    threshold: float | None = None
    padding: Padding = "background"
    lost_contours: LostContours = "refuse"
    resample_labels: Resampling | None = None
    value_map: Mapping[str, Mapping[int, int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """What was chosen, without what nobody chose."""
        unchosen = asdict(ReadingOptions())
        chosen = {k: v for k, v in asdict(self).items() if v != unchosen[k]}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in chosen.items()}

    def values_of(self, rater: str) -> Mapping[int, int]:
        """Label values to replace in the label maps of a rater."""
        return self.value_map.get(rater, self.value_map.get("", {}))
