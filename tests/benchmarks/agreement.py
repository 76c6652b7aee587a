"""Do two arrays of soft labels say the same? Differences, in steps of float16."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import zarr

__all__ = ["compare"]


def compare(a: Path, b: Path) -> dict[str, float]:
    """Share of values that differ, and the largest difference.

    Returns
    -------
    dict
        ``differing`` (share of all values), ``largest`` (absolute difference) and
        ``steps`` (the same in steps of float16, where both are above 2^-14, the
        smallest normal number).
    """
    first, second = zarr.open_array(a, mode="r"), zarr.open_array(b, mode="r")
    if first.shape != second.shape:
        raise SystemExit(f"{a} has shape {first.shape}, {b} has {second.shape}.")
    differing, largest, steps = 0, 0.0, 0
    for index in range(first.shape[0]):
        x, y = (np.asarray(array[index], np.float16) for array in (first, second))
        other = x != y
        x, y = x[other], y[other]
        if not x.size:
            continue
        differing += x.size
        largest = max(largest, float(np.abs(x.astype(float) - y.astype(float)).max()))
        normal = np.minimum(x, y) > 2.0**-14
        between = np.abs(x.view(np.int16).astype(int) - y.view(np.int16).astype(int))
        steps = max(steps, int(between[normal].max(initial=0)))
    return {"differing": differing / first.size, "largest": largest, "steps": steps}


def main() -> None:
    """Compare the two arrays that are named on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("a", type=Path)
    parser.add_argument("b", type=Path)
    args = parser.parse_args()
    print(json.dumps(compare(args.a, args.b)))


if __name__ == "__main__":
    main()
