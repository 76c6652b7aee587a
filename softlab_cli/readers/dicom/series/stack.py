"""A stack of slices: their order, their line, and whether they make a volume."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.core.errors import InputError
from softlab_cli.core.volume import GRID_TOLERANCE_VOXELS
from softlab_cli.readers.base import FETCH_AGAIN
from softlab_cli.readers.dicom.files.common import listing, numbers
from softlab_cli.readers.dicom.files.frames import DISTINGUISHING, Frame

__all__ = ["LARGEST_DEVIATION_VOXELS", "Stack", "one_value"]

LARGEST_DEVIATION_VOXELS = 0.05
"""Slices may lie this far from equal steps on a straight line (rounding in headers)."""

_SAME_DIRECTION = 1e-4
_SAME_SPACING = 1e-4
_UNIT_TOLERANCE = 1e-2
_SHEAR_TO_MENTION_VOXELS = 0.5


@dataclass(frozen=True, eq=False)
class Stack:
    """Slices with one orientation and spacing; LPS millimetres, in no order."""

    path: Path
    frames: Sequence[Frame]
    positions: NDArray[np.float64]
    row: NDArray[np.float64]
    column: NDArray[np.float64]
    spacing: tuple[float, float]

    @classmethod
    def of(cls, path: Path, frames: Sequence[Frame]) -> Stack:
        """Read positions, orientation and spacing, and check that the latter are one."""
        positions = _numbers_of(path, frames, "ImagePositionPatient", 3)
        axes = _numbers_of(path, frames, "ImageOrientationPatient", 6)
        spacings = _numbers_of(path, frames, "PixelSpacing", 2)
        _check_one(path, frames, axes, _SAME_DIRECTION, "orientations")
        _check_one(path, frames, spacings, _SAME_SPACING * spacings[0].min(), "pixel spacings")
        if spacings[0].min() <= 0:
            problem = f"has pixel spacing {spacings[0]} mm."
            raise InputError(problem, remedy=FETCH_AGAIN, path=path)
        row, column = axes[0, :3], axes[0, 3:]
        lengths = float(np.linalg.norm(row)), float(np.linalg.norm(column))
        if (
            max(abs(lengths[0] - 1), abs(lengths[1] - 1), abs(float(row @ column)))
            > _UNIT_TOLERANCE
        ):
            raise InputError(
                f"ImageOrientationPatient {axes[0].tolist()} is not two perpendicular unit "
                "vectors.",
                remedy="Correct it in the files, if you know the orientation.",
                path=path,
            )
        spacing = (float(spacings[0, 0]), float(spacings[0, 1]))
        return cls(path, frames, positions, row / lengths[0], column / lengths[1], spacing)

    def affine(self, first: int, step: NDArray[np.float64]) -> NDArray[np.float64]:
        """Voxel (x, y, z) to LPS millimetres."""
        affine = np.eye(4)
        affine[:3, 0] = self.row * self.spacing[1]
        affine[:3, 1] = self.column * self.spacing[0]
        affine[:3, 2] = step
        affine[:3, 3] = self.positions[first]
        return affine

    def line_up(self) -> tuple[list[int], NDArray[np.float64], list[str]]:
        """Order of the slices along their normal, the step between them, warnings."""
        normal = np.cross(self.row, self.column)
        if len(self.frames) == 1:
            return [0], *self._single(normal)
        along = self.positions @ normal
        order = np.argsort(along, kind="stable")
        self._check_positions(along[order], order)
        first, last = self.positions[order[0]], self.positions[order[-1]]
        step = (last - first) / (len(order) - 1)
        ideal = first + np.arange(len(order))[:, None] * step
        moved = self.positions[order] - ideal
        to_voxels = np.linalg.inv(self.affine(int(order[0]), step)[:3, :3])
        deviation = np.abs(moved @ to_voxels.T)
        if float(deviation.max()) > LARGEST_DEVIATION_VOXELS:
            self._refuse_steps(along[order], order, deviation)
        warnings = _deviation_warning(float(deviation.max())) + self._tilt_warning(step, normal)
        return [int(i) for i in order], step, warnings

    def _single(self, normal: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
        frame = self.frames[0]
        for key in ("SpacingBetweenSlices", "SliceThickness"):
            if (found := numbers(frame.find(key), 1)) and found[0] > 0:
                return normal * found[0], []
        return normal.copy(), ["the only slice has no thickness; 1 mm was taken."]

    def _check_positions(self, along: NDArray[np.float64], order: NDArray[np.intp]) -> None:
        """Refuse several slices at one position."""
        steps = np.diff(along)
        apart = steps[steps > 1e-3]
        same = steps <= (1e-2 * float(np.median(apart)) if apart.size else np.inf)
        if not same.any():
            return
        groups = np.concatenate([[0], np.cumsum(~same)])
        members = [[self.frames[i] for i in order[groups == g]] for g in range(groups[-1] + 1)]
        crowd = max(members, key=len)
        raise InputError(
            f"{len(order)} slices lie at {len(members)} positions, up to {len(crowd)} at one "
            f"({listing([f.name for f in crowd], 3)}); {_difference(members)}",
            remedy="Give a folder that holds one slice for each position.",
            path=self.path,
        )

    def _refuse_steps(
        self, along: NDArray[np.float64], order: NDArray[np.intp], deviation: NDArray[np.float64]
    ) -> None:
        steps = np.diff(along)
        usual = float(np.median(steps))
        off = np.abs(steps - usual)
        widest = int(np.argmax(off))
        if off[widest] <= LARGEST_DEVIATION_VOXELS * usual:
            worst = self.frames[int(order[int(np.argmax(deviation.max(axis=1)))])].name
            problem = (
                f"the slices do not lie at equal steps on a straight line: {worst} is "
                f"{float(deviation.max()):.3g} voxels beside it."
            )
        else:
            before, after = (self.frames[int(i)].name for i in order[widest : widest + 2])
            others = int((off > LARGEST_DEVIATION_VOXELS * usual).sum()) - 1
            missing = round(steps[widest] / usual) - 1
            problem = (
                f"the slices are not equally spaced: the usual step is {usual:.6g} mm, but it is "
                f"{steps[widest]:.6g} mm from {before} (at {along[widest]:.6g}) to {after} "
                f"(at {along[widest + 1]:.6g})"
                + (f", and {others} more differ" if others else "")
                + (f"; {missing} slice(s) seem to be missing there." if missing > 0 else ".")
            )
        raise InputError(
            problem,
            remedy="Complete the series, or give one that was resampled to equal steps.",
            path=self.path,
        )

    def _tilt_warning(self, step: NDArray[np.float64], normal: NDArray[np.float64]) -> list[str]:
        across = step - (step @ normal) * normal
        total = float(np.linalg.norm(across)) * (len(self.frames) - 1)
        if total <= _SHEAR_TO_MENTION_VOXELS * min(self.spacing):
            return []
        angle = np.degrees(np.arctan2(np.linalg.norm(across), step @ normal))
        return [
            f"the slices are not perpendicular to the line that they lie on (gantry tilt of "
            f"{angle:.3g} degrees): the affine is sheared, and tools that assume right angles "
            f"misplace the last slice by {total:.4g} mm."
        ]


def one_value(path: Path, frames: Sequence[Frame], what: str, value: Callable[[Frame], str]) -> str:
    """The value that all frames share; an error says which frames have which."""
    found: dict[str, list[Frame]] = {}
    for frame in frames:
        found.setdefault(value(frame), []).append(frame)
    if len(found) > 1:
        raise InputError(
            f"the slices have {len(found)} different {what}: {_groups(found)}.",
            remedy="Give a folder that holds the slices of one only.",
            path=path,
        )
    return next(iter(found))


def _groups(found: dict[str, list[Frame]]) -> str:
    return "; ".join(
        f"{key or 'none'} in {len(group)} ({listing([f.name for f in group], 2)})"
        for key, group in list(found.items())[:4]
    )


def _numbers_of(path: Path, frames: Sequence[Frame], key: str, count: int) -> NDArray[np.float64]:
    """(slices, count) values of one element; an error names the slices without it."""
    found = [numbers(frame.find(key), count) for frame in frames]
    lacking = [f.name for f, value in zip(frames, found, strict=True) if value is None]
    if lacking:
        raise InputError(
            f"{len(lacking)} of {len(frames)} slices have no valid {key}: {listing(lacking)}.",
            remedy="Remove the files that are no slices of the volume.",
            path=path,
        )
    return np.array(found, dtype=np.float64)


def _check_one(
    path: Path,
    frames: Sequence[Frame],
    values: NDArray[np.float64],
    tolerance: float,
    what: str,
) -> None:
    """Refuse slices whose values differ by more than a tolerance."""
    if float(np.abs(values - values[0]).max()) <= tolerance:
        return
    keys = [str([round(float(v), 4) for v in row]) for row in values]
    found: dict[str, list[Frame]] = {}
    for key, frame in zip(keys, frames, strict=True):
        found.setdefault(key, []).append(frame)
    raise InputError(
        f"the slices have {len(found)} different {what}: {_groups(found)}.",
        remedy="Give a folder that holds the slices of one only (localizers removed).",
        path=path,
    )


def _deviation_warning(deviation: float) -> list[str]:
    if deviation <= GRID_TOLERANCE_VOXELS:
        return []
    return [f"slices lie up to {deviation:.2g} voxels from equal steps on a straight line."]


def _difference(members: Sequence[Sequence[Frame]]) -> str:
    """Which elements tell slices at one position apart."""
    crowded = [m for m in members if len(m) > 1]
    largest = max(map(len, crowded))
    telling: list[str] = []
    for key in DISTINGUISHING:
        values = [[str(f.find(key)) for f in m] for m in crowded]
        shared = list(dict.fromkeys(v for group in values for v in group))
        # An element that changes with the position as well (a time, say) explains nothing.
        if 1 < len(shared) <= largest and any(len(set(v)) > 1 for v in values):
            name = key if isinstance(key, str) else f"b-value ({key >> 16:04x},{key & 65535:04x})"
            telling.append(f"{name} ({listing(shared, 4)})")
    if not telling:
        return "no usual element tells them apart."
    return f"they differ in {' and '.join(telling[:3])}."
