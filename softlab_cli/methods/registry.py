"""Every method, by its name: one table for all who offer methods.

The command line, `softlab run`, `open_store`, nnU-Net's hook and the documentation
read it. A method is imported when it is asked for, so that nobody pays for another.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from softlab_cli.core.errors import UsageError

if TYPE_CHECKING:
    from softlab_cli.methods.base import LocalMethod, Method

__all__ = ["METHODS", "Entry", "local_method", "method_class"]


@dataclass(frozen=True)
class Entry:
    """One method.

    Parameters
    ----------
    home
        Module and class, as in ``softlab_cli.methods.onehot:OneHot``.
    summary
        One line for ``softlab --help``.
    command
        Module and name of its command; by default ``command`` of the module of
        ``softlab_cli.cli`` that is called like the method.
    in_nnunet
        Whether nnU-Net's hook offers it.
    """

    home: str
    summary: str
    command: str = ""
    in_nnunet: bool = True


METHODS: dict[str, Entry] = {
    "svls": Entry("softlab_cli.methods.svls.svls:SVLS", "Spatially varying label smoothing."),
    "ls": Entry("softlab_cli.methods.uniform:UniformSmoothing", "Uniform label smoothing."),
    "onehot": Entry("softlab_cli.methods.onehot:OneHot", "One-hot labels, without smoothing."),
    "geols": Entry(
        "softlab_cli.methods.geols.geols:GeoLS",
        "Geodesic label smoothing, which follows the image.",
    ),
    "vls": Entry(
        "softlab_cli.methods.vls.vls:VLS",
        "Variational label smoothing, learned out of fold.",
    ),
    "msvls": Entry("softlab_cli.methods.raters.msvls:MSVLS", "Mean of several raters' SVLS."),
    "fuse": Entry(
        "softlab_cli.methods.raters.fuse:Fuse",
        "Several raters fused: mean, majority, STAPLE.",
        in_nnunet=False,
    ),
    "import": Entry(
        "softlab_cli.methods.imported:Import",
        "Soft labels that files already have: maps of 0 to 1, DICOM SEG, contours.",
        command="softlab_cli.cli.importing:command",
        in_nnunet=False,
    ),
}
"""Every method by its name, in the order in which they are shown."""


def method_class(name: str) -> type[Method]:
    """The class of a method.

    Raises
    ------
    UsageError
        For a name that no method has.
    """
    if name not in METHODS:
        raise UsageError(f"there is no method {name!r}.", remedy=f"There are {', '.join(METHODS)}.")
    module, _, attribute = METHODS[name].home.partition(":")
    found: type[Method] = getattr(importlib.import_module(module), attribute)
    return found


def local_method(name: str, parameters: Mapping[str, Any]) -> LocalMethod | None:
    """What computes a method's soft labels from hard ones on read; None where nothing can.

    Parameters
    ----------
    name
        Name of the method, which need not be known.
    parameters
        Its `softlab_cli.methods.base.Method.parameters`, as a store keeps them.
    """
    return method_class(name).from_parameters(parameters).on_read() if name in METHODS else None
