"""Whether a file is DICOM, by its first bytes.

Apart from the rest, which imports pydicom: every run asks this of files that are none.
"""

from __future__ import annotations

from pathlib import Path

from softlab_cli.core.system import open_file

__all__ = ["has_magic", "is_dicom_file"]


def is_dicom_file(path: Path) -> bool:
    """Whether a file looks like DICOM: by its magic bytes, or by a first plausible tag."""
    start = _start(path)
    if start[128:132] == b"DICM":
        return True
    # Files without the preamble begin with an element of group 2 or 8.
    return len(start) == 132 and start[:2] in (b"\x02\x00", b"\x08\x00") and start[3:4] == b"\x00"


def has_magic(path: Path) -> bool:
    """Whether a file says that it is DICOM."""
    return _start(path)[128:132] == b"DICM"


def _start(path: Path) -> bytes:
    try:
        with open(path, "rb", opener=open_file) as file:
            return file.read(132)
    except OSError:
        return b""
