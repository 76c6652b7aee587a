"""Bring the real scans that the demo and the tests use, each checked by sha256.

    python examples/get_data.py totalsegmentator

Data come from packages on PyPI, by name, into ``examples/data/`` (ignored by
git). What is there already and has the right checksum is left alone.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

DATA = Path(__file__).resolve().parent / "data"

TOTALSEGMENTATOR = "totalsegmentator==2.18.0"
TOTALSEGMENTATOR_FILES = {
    "totalsegmentator/labels/s01.nii.gz": (
        "tests/reference_files/example_seg.nii.gz",
        "8be652475a4aaae83103a66bfb3345314b1fc06742807a06cf5005f7a7913a2d",
    ),
    "totalsegmentator/images/s01.nii.gz": (
        "tests/reference_files/example_ct_sm.nii.gz",
        "e50c00b2914e2cac0aaee8e7f3b5f57d44d9f21bfd5c0577271c54c0cb49e9fb",
    ),
}
"""Where each file goes: its path in the package, and its checksum."""


def sha256(path: Path) -> str:
    """Checksum of a file; empty when there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def download(requirement: str, folder: Path) -> Path:
    """The source distribution of a package, by pip."""
    name = requirement.split("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary", name, "--dest", str(folder), requirement]
    subprocess.run(command, check=True)
    return next(folder.glob("*.tar.gz"))


def class_names(source: str) -> dict[str, int]:
    """Names and values of the 118 classes, from TotalSegmentator's own table."""
    tree = ast.parse(source)
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "class_map":
            for key, value in zip(node.value.keys, node.value.values, strict=True):
                if key.value == "total":
                    named = ast.literal_eval(value)
                    return {"background": 0, **{name: v for v, name in named.items()}}
    raise SystemExit(f"{TOTALSEGMENTATOR}: its class table is not where it was expected.")


def get_totalsegmentator() -> None:
    """A CT at 3 mm with 42 of 118 classes; Apache-2.0."""
    names = DATA / "totalsegmentator" / "dataset.json"
    wanted = {DATA / path: facts for path, facts in TOTALSEGMENTATOR_FILES.items()}
    if names.exists() and all(sha256(path) == digest for path, (_, digest) in wanted.items()):
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = download(TOTALSEGMENTATOR, Path(scratch))
        with tarfile.open(archive) as tar:
            root = tar.getnames()[0].split("/")[0]
            for path, (member, digest) in wanted.items():
                content = tar.extractfile(f"{root}/{member}").read()
                if hashlib.sha256(content).hexdigest() != digest:
                    raise SystemExit(f"{member} of {TOTALSEGMENTATOR} has another checksum.")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            table = tar.extractfile(f"{root}/totalsegmentator/map_to_binary.py").read().decode()
    names.write_text(json.dumps({"labels": class_names(table)}, indent=1) + "\n")


SETS = {"totalsegmentator": get_totalsegmentator}


def main() -> None:
    """Bring the named sets, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="default: all")
    for name in parser.parse_args().sets or SETS:
        SETS[name]()
        print(f"{name}: {DATA / name}")


if __name__ == "__main__":
    main()
