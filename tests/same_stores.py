"""Whether two checkouts of softlab make the same: stores to the bit, words to the letter.

Run before and after a change that should change nothing::

    python -m tests.same_stores ../before --keep before.json
    python -m tests.same_stores . --against before.json

Every method, raters, DICOM, pictures, hard labels only, maps on disk, failing cases:
the values of every array, every attribute without times and versions, what the
commands print, and how they exit.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import shlex
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import zarr

from tests.conftest import DATA, blobs, write_image

Found = dict[str, Any]

COMMANDS = """
inspect labels image
inspect phantom/pat_1
onehot --in labels --out @
ls --in labels --smoothing 0.2 --out @
svls --in labels --out @ --verbose --workers 1
svls --in labels --images image --kernel-size 5 --sigma-mm 1.5,1,1 --out @ --threads 2
svls --in labels --slicewise --workers 2 --out @ --part 1/2
svls --in labels --labels-only --labels 0-3 --ignore-label 3 --out @
svls --in labels --labels-only --labels 0-2 --out @
svls --in pictures --out @
svls --in broken --out @
svls --in turned --images image --out @
svls --in shifted --images image --out @
svls --in shifted --images image --resample-labels nearest --out @
import --in shifted --images image --resample-labels linear --out @
import --in labels --out @
geols --in labels --images image --out @ --engine numba
geols --in labels --images image --out @ --engine numba --max-memory 453.7M --threads 1 --workers 1
geols --in labels --images image --out @ --parity repository
geols --in labels --images image --out @ --engine numba --seeds erosion --min-mass 0.01
geols --in labels --out @ --engine numba
geols --in labels --images image --labels-only --out @
geols --in pictures --images pictures --engine numba --out @
msvls --in r1 --in r2 --in r3 --keep-raters --out @
msvls --in r1 --in r2 --rater-weight r1=0.3 --rater-weight r2=0.7 --kernel-size 5 --out @
msvls --in r1 --out @
msvls --in r1 --in r2 --labels-only --out @
fuse --in r1 --in r2 --in r3 --out @ --keep-raters --map r2:1=2,2=1
fuse --method staple --smooth --in r1 --in r2 --in r3 --out @
fuse --method dice-weighted --in r1 --in r2 --in r3 --out @
fuse --method majority --labels-only --smooth --in r1 --in r2 --in r3 --out @
fuse --in r1 --in r2 --min-raters 3 --out @
svls --in r1 --in r2 --out @
svls --in phantom --out @
svls --in phantom --roi GTV* --out @ --dry-run
import --in phantom --supersample 4 --out @
import --in phantom --out @
svls --in segs --out @ --dry-run
svls --in segs --out @
onehot --in fractions --threshold 0.4 --out @
import --in fractions --out @
info store
info store case0
info store --marginals
verify store
verify hard
info raters case0
info raters --json
export store --out @
export store --hard --out @ --to dicom-seg
svls --in labels --out store
svls --in labels --out store --sigma-voxels 2
ls --in labels --out store --dry-run
nothing
svls --in nowhere --out @
"""
"""One a line; ``@`` is a fresh name. Stores that later lines read are made before."""

PREPARED = """
svls --in labels --out store
svls --in labels --out hard --labels-only
msvls --in r1 --in r2 --in r3 --out raters --keep-raters
"""

COMMANDS_WITH_HELP = (
    "inspect", "svls", "ls", "onehot", "geols", "msvls", "fuse", "import", "run", "nnunet", "info",
    "verify", "preview", "export",
)  # fmt: skip

TIMES = re.compile(r"\d+(\.\d+)? s\b")
SIZES = re.compile(r"\d+(\.\d+)? [KMG]?i?B\b")
SHARD = re.compile(r"/c([./]\d+)+$")
VARIABLE = {"software", "created", "seconds", "time", "modified", "arrays", "seal", "case_id"}
"""Attributes that say when, with what and how it is stored, not what."""


def make_inputs(folder: Path) -> None:
    """Small inputs of each kind; the same bytes at every call."""
    rng = np.random.default_rng(0)
    for i in range(3):
        shape = (20, 24, 70 + i)
        write_image(folder / f"labels/case{i}.nii.gz", blobs(shape, 4, seed=i), (2, 1, 1))
        noise = rng.normal(size=shape).astype(np.float32) + blobs(shape, 4, seed=i)
        write_image(folder / f"image/case{i}.nii.gz", noise, (2, 1, 1))
        for rater in (1, 2, 3):
            drawn = blobs(shape, 3, seed=i)
            drawn = np.roll(drawn, rater - 1, axis=rater - 1)
            write_image(folder / f"r{rater}/case{i}.nii.gz", drawn, (2, 1, 1))
        write_image(folder / f"pictures/p{i}.png", blobs((40 + i, 50), 3, seed=i))
    write_image(folder / "broken/fine.nii.gz", blobs((9, 9, 9), 3))
    (folder / "broken/short.nii.gz").write_bytes(b"\x1f\x8b nothing")
    write_image(folder / "broken/real.nii.gz", rng.normal(size=(9, 9, 9)).astype(np.float32))
    _other_grids(folder)
    (folder / "phantom").symlink_to((DATA / "pycerr").resolve())


def _other_grids(folder: Path) -> None:
    import SimpleITK as sitk

    image = sitk.ReadImage(str(folder / "labels/case0.nii.gz"))
    for name, changed in {
        "turned": sitk.DICOMOrient(image, "RAS"),
        "shifted": sitk.Resample(image, image, sitk.TranslationTransform(3, (0.3, 0.6, 0)),
                                 sitk.sitkNearestNeighbor),
    }.items():  # fmt: skip
        if name == "shifted":
            changed.SetOrigin([o + 0.5 for o in image.GetOrigin()])
        path = folder / name / "case0.nii.gz"
        path.parent.mkdir()
        sitk.WriteImage(changed, str(path))


def make_segs(folder: Path) -> None:
    """A case with a BINARY and one with a FRACTIONAL SEG."""
    from tests.dicom_support import make_seg, make_series, read_back

    for name, kind in (("segs", "BINARY"), ("fractions", "FRACTIONAL")):
        case = make_series(folder / name / "p1", (6, 10, 12))
        pixels = np.stack([blobs((6, 10, 12), 3) == label for label in (1, 2)], axis=-1)
        if kind == "FRACTIONAL":
            pixels = pixels * np.float32(0.5)
        make_seg(case / "seg.dcm", read_back(case), pixels, kind, {1: "liver", 2: "spleen"})


def run(checkout: Path, folder: Path, arguments: list[str]) -> tuple[int, list[str]]:
    """Exit status and words of one command, without what changes from run to run."""
    environment = os.environ | {"PYTHONPATH": str(checkout.resolve()), "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-m", "softlab_cli", *arguments],
        cwd=folder, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    words = SIZES.sub("SIZE", TIMES.sub("TIME", done.stdout + "---\n" + done.stderr))
    return done.returncode, sorted(words.splitlines())  # workers end in any order


def describe(path: Path) -> Found:
    """Every array below a path by its values, every other file by its bytes or attributes.

    Values are what zarr-python reads, so that it does not matter how chunks are stored.
    """
    found: Found = {}
    for file in sorted(path.rglob("*")):
        name = str(file.relative_to(path))
        if file.name == "zarr.json":
            found[name] = _node(file)
        elif file.is_file() and not SHARD.search(f"/{name}") and file.suffix != ".dcm":
            # Shards are told by their arrays; exported objects have fresh UIDs.
            found[name] = hashlib.sha256(file.read_bytes()).hexdigest()
    return found


def _node(metadata: Path) -> Any:
    facts = json.loads(metadata.read_text())
    if facts["node_type"] != "array":
        return _steady(facts)
    values = np.ascontiguousarray(zarr.open_array(metadata.parent, mode="r")[:])
    return [facts["shape"], facts["data_type"], hashlib.sha256(values.tobytes()).hexdigest()]


def _steady(facts: Any) -> Any:
    if isinstance(facts, dict):
        return {k: _steady(v) for k, v in facts.items() if k not in VARIABLE}
    return [_steady(v) for v in facts] if isinstance(facts, list) else facts


def run_all(checkout: Path, inputs: Path) -> Found:
    """What a checkout makes of every command."""
    found: Found = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for entry in inputs.iterdir():
            (folder / entry.name).symlink_to(entry.resolve())
        for number, line in enumerate((PREPARED + COMMANDS).strip().splitlines()):
            out = f"out{number}"
            arguments = shlex.split(line.replace("@", out))
            if not arguments:
                continue
            status, words = run(checkout, folder, arguments)
            found[line or str(number)] = {
                "status": status, "words": words, "files": describe(folder / out),
            }  # fmt: skip
            print(f"{status}  softlab {line}", flush=True)
        for made in ("store", "hard", "raters"):
            found[made] = {"files": describe(folder / made)}
        for command in COMMANDS_WITH_HELP:
            found[f"{command} --help"] = {"words": run(checkout, folder, [command, "--help"])}
    return found


def differences(before: Any, after: Any, where: str = "") -> list[str]:
    """Places where two findings differ."""
    if isinstance(before, dict) and isinstance(after, dict):
        names = sorted({*before, *after})
        return [d for n in names
                for d in differences(before.get(n), after.get(n), f"{where} / {n}")]  # fmt: skip
    return [] if before == after else [f"{where}:\n   {before}\n   {after}"]


def main() -> None:
    """Run all commands; keep what came, or compare it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("--inputs", type=Path, help="a folder to keep the inputs in",
                        default=Path(tempfile.gettempdir()) / "softlab-same-stores")  # fmt: skip
    parser.add_argument("--keep", type=Path)
    parser.add_argument("--against", type=Path)
    given = parser.parse_args()
    if not given.inputs.exists():
        given.inputs.mkdir(parents=True)
        make_inputs(given.inputs)
        make_segs(given.inputs)
    found = json.loads(json.dumps(run_all(given.checkout, given.inputs)))
    if given.keep:
        given.keep.write_text(json.dumps(found, indent=1))
    if given.against:
        found_differences = differences(json.loads(given.against.read_text()), found)
        print("\n".join(found_differences) or "the same")
        raise SystemExit(bool(found_differences))


if __name__ == "__main__":
    main()
