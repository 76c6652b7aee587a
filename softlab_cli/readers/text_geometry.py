"""What NRRD and MetaImage headers say of units and spacing, and ITK keeps to itself.

ITK reads the numbers of a header and drops their units; where there are no numbers it
takes 1, as if the file said so.

Source: the definition of NRRD (teem), and MetaIO's list of fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.volume import ASSUMED, NO_POSITION, NO_SPACING
from softlab_cli.readers.text_headers import header_fields

__all__ = ["TextGeometry", "read_text_geometry"]

_UNITS = {
    "metres": (1000.0, "m", "meter", "meters", "metre", "metres"),
    "centimetres": (10.0, "cm", "centimeter", "centimeters", "centimetre", "centimetres"),
    "millimetres": (1.0, "mm", "millimeter", "millimeters", "millimetre", "millimetres"),
    "micrometres": (
        1e-3, "um", "\N{MICRO SIGN}m", "\N{GREEK SMALL LETTER MU}m", "micron", "microns",
        "micrometer", "micrometers", "micrometre", "micrometres",
    ),
    "nanometres": (1e-6, "nm", "nanometer", "nanometers", "nanometre", "nanometres"),
}  # fmt: skip

NAMES = {word: (name, float(mm)) for name, (mm, *words) in _UNITS.items() for word in words}
"""How headers write a unit, to its name and its length in millimetres."""

NOT_IN_SPACE = ("list", "vector", "color", "complex", "point", "normal", "matrix", "time")


@dataclass(frozen=True)
class TextGeometry:
    """What a header says of units and spacing.

    Parameters
    ----------
    mm_per_unit
        Millimetres to the unit along the axes (x, y, z) of the world.
    missing
        As in `Geometry.missing`.
    warnings
        What the user should know of it.
    """

    mm_per_unit: tuple[float, float, float] = (1.0, 1.0, 1.0)
    missing: str = ""
    warnings: tuple[str, ...] = ()

    def in_mm(self, affine: NDArray[np.float64]) -> NDArray[np.float64]:
        """An affine in the units of the file, in millimetres."""
        return np.diag([*self.mm_per_unit, 1.0]) @ affine


def read_text_geometry(path: Path) -> TextGeometry:
    """What the header of a NRRD or MetaImage file says of units and spacing."""
    fields = header_fields(path)
    if path.suffix.lower() in (".nrrd", ".nhdr"):
        missing, units = _missing_nrrd(fields), _units_nrrd(fields)
    else:
        missing, units = _missing_meta(fields), [fields.get("distanceunits", "")]
    mm_per_unit, warnings = _millimetres(units)
    if missing.startswith(NO_SPACING):
        warnings.append(f"the file does not say how large its voxels are; {ASSUMED}")
    return TextGeometry(mm_per_unit, missing, tuple(warnings))


def _missing_meta(fields: Mapping[str, str]) -> str:
    if not {"elementspacing", "elementsize"} & fields.keys():
        return NO_SPACING
    return "" if {"offset", "position", "origin"} & fields.keys() else NO_POSITION


def _missing_nrrd(fields: Mapping[str, str]) -> str:
    directions = _vectors(fields.get("spacedirections", ""))
    steps = directions or fields.get("spacings", "").split()
    kinds = [*fields.get("kinds", "").lower().split(), *[""] * len(steps)]
    sizes = fields.get("sizes", "").split()
    lacking = [
        axis
        for axis, (step, kind) in enumerate(zip(steps, kinds, strict=False))
        if ("none" in step.lower() or "nan" in step.lower())
        and not any(word in kind for word in NOT_IN_SPACE)
        and sizes[axis : axis + 1] != ["1"]
    ]
    if not steps:
        return NO_SPACING
    # What is no axis of space goes without a step; who names no kinds means it so.
    if lacking and (fields.get("kinds") or len(steps) - len(lacking) < min(3, len(steps))):
        listed = ", ".join(str(axis + 1) for axis in lacking)
        return f"{NO_SPACING} along axis {listed}"
    return "" if "spaceorigin" in fields or "axismins" in fields else NO_POSITION


def _vectors(text: str) -> list[str]:
    """The vectors of a line, ``none`` among them."""
    return re.findall(r"\([^)]*\)|none|nan", text, re.IGNORECASE)


def _units_nrrd(fields: Mapping[str, str]) -> list[str]:
    """One unit for each axis of the world, or the only one of all axes of the file."""
    if "spaceunits" in fields:
        return re.findall(r'"([^"]*)"', fields["spaceunits"])
    if "spacedirections" in fields:
        return []
    units = re.findall(r'"([^"]*)"', fields.get("units", ""))
    lengths = {unit for unit in units if _known(unit) is not None}
    return list(lengths) if len(lengths) == 1 else []


def _known(unit: str) -> tuple[str, float] | None:
    # A header is read as Latin-1, where the micro sign of UTF-8 is two characters.
    text = unit.strip().replace("\N{LATIN CAPITAL LETTER A WITH CIRCUMFLEX}", "")
    return NAMES.get(text) or NAMES.get(text.lower())


def _millimetres(units: list[str]) -> tuple[tuple[float, float, float], list[str]]:
    said = [unit for unit in units if unit.strip() not in ("", "?", "???")][:3]
    strange = sorted({unit for unit in said if _known(unit) is None})
    if strange or not said:
        names = ", ".join(repr(unit) for unit in strange)
        warning = f"the header counts in {names}, which is no known unit; millimetres are assumed."
        return (1.0, 1.0, 1.0), [warning] if strange else []
    found = [pair for unit in said if (pair := _known(unit)) is not None]
    found = [*found, *[found[-1]] * 3][:3]
    names = " and ".join(dict.fromkeys(name for name, _ in found))
    x, y, z = (mm for _, mm in found)
    converted = [] if (x, y, z) == (1.0, 1.0, 1.0) else [
        f"the header counts in {names}; converted to millimetres."
    ]  # fmt: skip
    return (x, y, z), converted
