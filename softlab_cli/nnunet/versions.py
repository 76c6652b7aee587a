"""The versions of nnU-Net that the hook and the trainer were written for."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from softlab_cli.core.errors import EngineError, PackageError
from softlab_cli.core.extras import pip_install

__all__ = ["SUPPORTED", "check_versions"]

SUPPORTED = {
    "nnunetv2": ((2, 8), (2, 9)),
    "batchgeneratorsv2": ((0, 3, 2), (0, 4)),
}
"""Package: the first version that is supported, and the first that is no longer."""

REMEDY = pip_install("nnunet")


def check_versions() -> None:
    """Raise `EngineError` unless nnU-Net is installed in a version that is supported."""
    for package, (first, end) in SUPPORTED.items():
        try:
            installed = version(package)
        except PackageNotFoundError as error:
            raise PackageError(
                f"the package {package!r} is not installed.", remedy=REMEDY
            ) from error
        if not first <= _numbers(installed) < end:
            wanted = f">={_text(first)},<{_text(end)}"
            raise EngineError(
                f"{package} {installed} is installed, and softlab works with {wanted}.",
                remedy=REMEDY,
            )


def _numbers(text: str) -> tuple[int, ...]:
    """The release part of a version: (2, 8, 1) for 2.8.1rc1."""
    match = re.match(r"\d+(\.\d+)*", text)
    return tuple(int(n) for n in match[0].split(".")) if match else ()


def _text(numbers: tuple[int, ...]) -> str:
    return ".".join(map(str, numbers))
