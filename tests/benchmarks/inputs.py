"""Names, sizes and places of the inputs; data.py makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["INPUTS", "LARGE", "MANY", "RATERS", "ROOT", "Input"]

ROOT = Path("bench-data")
AAL_SHAPE = (181, 217, 181)
LARGE = 512
RATERS = 4
MANY = 192


@dataclass(frozen=True)
class Input:
    """One folder of label maps.

    Parameters
    ----------
    name
        The folder in ``bench-data/inputs``.
    classes
        Label values 0..classes-1 occur.
    shape
        Voxels along (Z, Y, X).
    cases
        Cases in the folder.
    raters
        Label maps of each case; several lie in folders ``r1``, ``r2`` and so on.
    """

    name: str
    classes: int
    shape: tuple[int, int, int]
    cases: int = 1
    raters: int = 1

    @property
    def folder(self) -> Path:
        """Where the label maps lie."""
        return ROOT / "inputs" / self.name

    @property
    def files(self) -> list[Path]:
        """The label maps, named after their cases; all raters of a case, then the next."""
        names = [f"case_{i:02d}.nii.gz" for i in range(self.cases)]
        names = ["aal.nii.gz"] if self.cases == 1 else names
        return [folder / name for name in names for folder in self.rater_folders]

    @property
    def rater_folders(self) -> list[Path]:
        """One folder for each rater."""
        if self.raters == 1:
            return [self.folder]
        return [self.folder / f"r{i + 1}" for i in range(self.raters)]


_LARGE_SHAPE = (LARGE, LARGE, LARGE)
INPUTS = {
    entry.name: entry
    for entry in (
        Input("small-5", 5, (64, 64, 64)),
        Input("aal-5", 5, AAL_SHAPE),
        Input("aal-117", 117, AAL_SHAPE),
        Input("large-5", 5, _LARGE_SHAPE),
        Input("large-117", 117, _LARGE_SHAPE),
        Input("many-117", 117, AAL_SHAPE, cases=MANY),
        Input("raters-5", 5, AAL_SHAPE, raters=RATERS),
        Input("raters-117", 117, AAL_SHAPE, raters=RATERS),
        Input("twice-raters-5", 5, AAL_SHAPE, cases=2, raters=RATERS),
        Input("twice-raters-117", 117, AAL_SHAPE, cases=2, raters=RATERS),
        Input("twice-aal-5", 5, AAL_SHAPE, cases=2),
        Input("twice-aal-117", 117, AAL_SHAPE, cases=2),
        Input("twice-large-5", 5, _LARGE_SHAPE, cases=2),
        Input("twice-large-117", 117, _LARGE_SHAPE, cases=2),
    )
}
