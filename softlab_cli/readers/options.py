"""How label maps are read, where there is a choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, Literal

from softlab_cli.core.choices import Background, OverlapRule, SumRule
from softlab_cli.core.fractions import PADDING_VALUE
from softlab_cli.core.names import NameRule
from softlab_cli.core.numbers import one_nan
from softlab_cli.readers.regrid import Resampling
from softlab_cli.readers.replacing import Replacing

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
    spacing_mm
        Distance of voxels along (Z, Y, X) in files that do not say it, such as PNG.
    value_map
        Numbers of the files to label values, for each rater; ``""`` is for all
        raters, where their own entries do not say otherwise. Numbers are any whole ones, and NaN.
    loose_names
        Whether names of segments are the same where they differ only in case, spaces
        and underscores.
    names
        Which name is which class, where the classes of the run say it. Segments of one
        class are one when they are painted.
    unlabelled
        Numbers outside 0..65535, or NaN, that mean "not labelled"; they are read as 65535.
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
    lost_contours: LostContours = "refuse"
    resample_labels: Resampling | None = None
    spacing_mm: tuple[float, float, float] | None = None
    value_map: Mapping[str, Mapping[float, int]] = field(default_factory=dict)
    loose_names: bool = False
    names: NameRule | None = None
    unlabelled: tuple[float, ...] = ()
    background: Background | None = None
    sums: SumRule = "error"
    scale: float | None = None

    def to_json(self) -> dict[str, Any]:
        """What was chosen, without what nobody chose."""
        unchosen = ReadingOptions()
        chosen = {f.name: getattr(self, f.name) for f in fields(self)}
        chosen = {k: v for k, v in chosen.items() if v != getattr(unchosen, k)}
        if (rule := chosen.pop("names", None)) is not None and rule.partial:
            chosen["names"] = rule.to_json()
        return {k: _plain(v) for k, v in chosen.items()}

    def values_of(self, rater: str) -> Mapping[float, int]:
        """What numbers in the label maps of a rater become, as the user has said it."""
        told = (self.value_map.get("", {}), self.value_map.get(rater, {}))
        return {one_nan(n): value for values in told for n, value in values.items()}

    def for_rater(self, rater: str) -> ReadingOptions:
        """The options for the label maps of one rater."""
        return replace(self, value_map={"": self.values_of(rater)}) if self.value_map else self

    def replacing(self) -> Replacing:
        """What numbers of a file become, as it is said for all raters."""
        unlabelled = dict.fromkeys(self.unlabelled, PADDING_VALUE)
        wanted = {**unlabelled, **self.values_of("")}
        return Replacing.of(wanted, PADDING_VALUE if unlabelled else None)

    def segment_values(self, names: Mapping[int, str], path: Path) -> dict[str, int] | None:
        """Segment name to the label value that it is painted with.

        Parameters
        ----------
        names
            Numbers and names of the segments that `rois` choose.
        path
            The file, for messages.

        Returns
        -------
        values
            None where all segments count, with the numbers of the file.

        Raises
        ------
        ClassError
            For names that mean two classes.
        """
        if self.names is not None:
            values = self.names.assign(names, path)
            return {names[n]: value for n, value in values.items() if value}
        return {name: number for number, name in names.items()} if self.rois else None

    def class_name(self, value: int, name: str) -> str:
        """What a label map calls a segment: its class, where several may be one."""
        return name if self.names is None else self.names.titles.get(value, name)


def _plain(value: Any) -> Any:
    """A value as JSON has it; NaN, which JSON has not, is a text."""
    if isinstance(value, Mapping):
        return {_key(k): _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return [_plain(v) for v in value]
    return "nan" if value != value else value


def _key(key: Any) -> Any:
    return "nan" if key != key else key
