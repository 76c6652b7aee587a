"""Segmentations as 3D Slicer writes them, made by hand: header keys and layers."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["segment_keys", "write_seg_nrrd"]


def segment_keys(
    segments: Sequence[tuple[str, int, int]], colors: Mapping[str, str] | None = None
) -> dict[str, str]:
    """Header keys of segments, each a name, its label value and its layer."""
    keys: dict[str, str] = {}
    for n, (name, value, layer) in enumerate(segments):
        keys |= {
            f"Segment{n}_Color": (colors or {}).get(name, "0.5 0.25 1"),
            f"Segment{n}_Extent": "0 1 0 1 0 1",
            f"Segment{n}_ID": f"Segment_{n + 1}",
            f"Segment{n}_LabelValue": str(value),
            f"Segment{n}_Layer": str(layer),
            f"Segment{n}_Name": name,
        }
    return keys | {"Segmentation_ReferenceImageExtentOffset": "0 0 0"}


def write_seg_nrrd(
    path: Path,
    layers: Sequence[Any],
    keys: Mapping[str, str],
    origin: tuple[float, float, float] = (0, 0, 0),
    spacing_mm: tuple[float, float, float] = (1, 1, 1),
) -> Path:
    """Write layers (Z, Y, X), the first axis of the file if there are several.

    Parameters
    ----------
    path
        Ends in ``.nrrd``.
    layers
        Label values of each layer.
    keys
        Key/value pairs of the header.
    origin, spacing_mm
        As NRRD has them: along (x, y, z), LPS.
    """
    stack = np.stack([np.asarray(layer) for layer in layers], axis=-1)
    z, y, x, count = stack.shape
    several = count > 1
    steps = " ".join(
        "(" + ",".join(f"{spacing_mm[i] if i == j else 0:g}" for j in range(3)) + ")"
        for i in range(3)
    )
    types = {"uint8": "unsigned char", "int16": "short", "uint16": "unsigned short",
             "float32": "float"}  # fmt: skip
    lines = [
        "NRRD0004",
        "# Complete NRRD file format specification at:",
        f"type: {types[stack.dtype.name]}",
        f"dimension: {3 + several}",
        "space: left-posterior-superior",
        f"sizes: {f'{count} ' if several else ''}{x} {y} {z}",
        f"space directions: {'none ' if several else ''}{steps}",
        f"kinds: {'list ' if several else ''}domain domain domain",
        "endian: little",
        "encoding: gzip",
        "space origin: (" + ",".join(f"{v:g}" for v in origin) + ")",
        *(f"{key}:={value}" for key, value in keys.items()),
    ]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("\n".join(lines).encode() + b"\n\n" + gzip.compress(stack.tobytes()))
    return path
