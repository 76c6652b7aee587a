"""What is tried: the registry's methods, each with some parameters."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from itertools import product
from pathlib import Path
from typing import Any, Literal

from softlab_cli.core.errors import UsageError
from softlab_cli.methods.base import Method
from softlab_cli.methods.raters.fuse import FUSION_RULES
from softlab_cli.methods.registry import METHODS, method_class

__all__ = ["PLAIN", "Grid", "Of", "Setting"]

Of = Literal["one", "others"]
"""Whose soft label it is: that of one rater, or of all but the one who is left out."""

FUSE = "fuse"
"""The method whose rules are tried one by one."""


@dataclass(frozen=True)
class Setting:
    """A method with its parameters.

    Parameters
    ----------
    method
        Its name in the registry.
    parameters
        Names and values, in the order in which they are said; the others have their defaults.
    """

    method: str
    parameters: tuple[tuple[str, Any], ...] = ()

    @property
    def of(self) -> Of:
        """Whose soft label it is."""
        return "others" if method_class(self.method).takes == "raters" else "one"

    @property
    def family(self) -> str:
        """What it is called without its amount of smoothing: the method, or the rule of fusion."""
        return str(dict(self.parameters).get("method", self.method))

    @property
    def name(self) -> str:
        """What it is called in tables, such as ``msvls --kernel-size 5 --sigma-mm 1``."""
        said = [pair for pair in self.parameters if pair[0] != "method"]
        return " ".join([self.family, *_options(said)])

    @property
    def command(self) -> str:
        """How it is said on the command line, ready to be pasted; without inputs."""
        return shlex.join([self.method, *_options(self.parameters)])

    @property
    def is_learned(self) -> bool:
        """Whether its method learns first, so that it is tried with a model that is there."""
        return method_class(self.method).fits

    @property
    def follows_image(self) -> bool:
        """Whether its method needs an image."""
        return method_class(self.method).takes == "label map and image"

    def make(self, model: Path | None = None) -> Method:
        """The method itself; a learned one with its model."""
        more = {"model": None if model is None else Path(model)} if self.is_learned else {}
        return method_class(self.method)(**dict(self.parameters), **more)

    def to_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {"method": self.method, "parameters": dict(self.parameters)}


def _options(parameters: Sequence[tuple[str, Any]]) -> Iterator[str]:
    for name, value in parameters:
        option = "--" + name.replace("_", "-")
        if value is not False:
            yield from [option] if value is True else [option, _number(value)]


def _number(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


PLAIN: dict[Of, Setting] = {
    "one": Setting("onehot"),
    "others": Setting(FUSE, (("method", "mean"),)),
}
"""What a setting is to be better than: the labels as they are, and their mean."""


@dataclass(frozen=True)
class Grid:
    """The parameters that are tried; named like the options of the methods that have them.

    Each method is tried with all combinations of those that it has.

    Parameters
    ----------
    methods
        Names of methods of the registry, and of rules of fusion; by default all that can be
        computed from the label maps, and with images those that follow an image.
    kernel_size, sigma_voxels, sigma_mm
        Of SVLS and mSVLS. Sigmas in voxels are left out where there are some in mm only.
    smoothing
        Of LS, GeoLS and VLS.
    slicewise
        Whether kernels within the slice are tried as well.
    base
        What VLS blends the learned part with.

    Raises
    ------
    UsageError
        For a method that is not known or cannot be tried, and for parameters without a meaning.
    """

    methods: tuple[str, ...] = ()
    kernel_size: tuple[int, ...] = (3, 5)
    sigma_voxels: tuple[float, ...] = ()
    sigma_mm: tuple[float, ...] = ()
    smoothing: tuple[float, ...] = ()
    slicewise: bool = False
    base: tuple[str, ...] = ("onehot", "svls")

    def settings(self, images: bool, models: bool = False) -> tuple[Setting, ...]:
        """What is tried, the plain ones among it; each setting once.

        Parameters
        ----------
        images
            Whether there are images to follow.
        models
            Whether there are models of methods that learn.
        """
        usable = tuple(name for name in METHODS if _usable(name, images, models) is None)
        found = list(PLAIN.values())
        for name in self.methods or usable:
            found += self._of_method(name, images, models)
        for setting in found:
            setting.make()  # parameters without a meaning are refused before anything is read
        return tuple(dict.fromkeys(found))

    def _of_method(self, name: str, images: bool, models: bool) -> list[Setting]:
        if name in FUSION_RULES:
            return [Setting(FUSE, (("method", name),))]
        if name == FUSE:
            return [Setting(FUSE, (("method", rule),)) for rule in FUSION_RULES]
        if name not in METHODS:
            raise UsageError(
                f"--methods {name!r} is no method.",
                remedy=f"There are {', '.join([*METHODS, *FUSION_RULES])}.",
            )
        if reason := _usable(name, images, models):
            problem, lacking = reason
            leave = f"leave {name} out of --methods."
            remedy = f"Give {lacking}, or {leave}" if lacking else leave.capitalize()
            raise UsageError(f"--methods {name!r} {problem}", remedy=remedy)
        return [Setting(name, chosen) for chosen in self._parameters(name)]

    def _parameters(self, name: str) -> Iterator[tuple[tuple[str, Any], ...]]:
        has = _parameters_of(name)
        columns: dict[str, list[tuple[str, Any]]] = {
            "base": [("base", base) for base in self.base],
            "kernel_size": [("kernel_size", size) for size in self.kernel_size],
            "sigma_mm": list(self._sigmas()),
            "smoothing": [("smoothing", share) for share in self._smoothing(name)],
            "slicewise": [("slicewise", flat) for flat in (False, True)[: 1 + self.slicewise]],
        }
        for chosen in product(*(column for key, column in columns.items() if key in has)):
            yield tuple(pair for pair in chosen if pair[1] is not False)

    def _sigmas(self) -> list[tuple[str, float]]:
        voxels = self.sigma_voxels or (() if self.sigma_mm else (0.5, 1.0, 2.0))
        pairs = [("sigma_voxels", float(s)) for s in voxels]
        return pairs + [("sigma_mm", float(s)) for s in self.sigma_mm]

    def _smoothing(self, name: str) -> tuple[float, ...]:
        kind = method_class(name)
        if kind.fits:
            usual: tuple[float, ...] = (0.2, 0.3, 0.4)
        elif kind.takes == "label map and image":
            # Distances through an image take far longer than all the rest: the paper's amount only.
            usual = (0.1,)
        else:
            usual = (0.05, 0.1, 0.2)
        return tuple(float(s) for s in self.smoothing or usual)

    def to_json(self) -> Mapping[str, Any]:
        """All of it, ready for JSON."""
        return {f.name: getattr(self, f.name) for f in fields(self)}


def _parameters_of(name: str) -> set[str]:
    kind = method_class(name)
    return {f.name for f in fields(kind) if f.init} if is_dataclass(kind) else set()


def _usable(name: str, images: bool, models: bool) -> tuple[str, str] | None:
    """Why a method cannot be tried, and what would help, if anything; None where it can."""
    kind = method_class(name)
    if kind.takes == "fractions":
        return "takes soft labels that are there already, and none are made here.", ""
    if kind.fits and "model" not in _parameters_of(name):
        return "learns from all cases first, and is not tried.", ""
    if kind.fits and not models:
        return "learns from all cases first.", f"--model, which softlab {name} --train-only makes"
    if kind.takes == "label map and image" and not images:
        return "follows the image, and no --images are given.", "them"
    return None
