"""Preprocessed cases of nnU-Net as methods see them, and methods made for them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from softlab_cli.core.blocks import Grid
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import ClassError, UsageError
from softlab_cli.core.fractions import SoftClasses
from softlab_cli.core.volume import Geometry, Image
from softlab_cli.fusion.patterns import find_patterns
from softlab_cli.labels.case import HardLabels, RaterLabels, count_labels
from softlab_cli.labels.indices import index_label_map
from softlab_cli.methods.base import Method
from softlab_cli.methods.registry import METHODS, method_class
from softlab_cli.nnunet.preprocessed import OUTSIDE, PreprocessedCase
from softlab_cli.nnunet.raters import Rater, read_raters
from softlab_cli.store.writer import StoreWriter

__all__ = ["HookCase", "hook_methods", "make_method"]


def hook_methods() -> tuple[str, ...]:
    """Names of the methods that the hook offers."""
    return tuple(name for name, entry in METHODS.items() if entry.in_nnunet)


def make_method(name: str, parameters: Mapping[str, Any], *, in_slices: bool) -> Method:
    """A method with its parameters.

    Parameters
    ----------
    name
        One of `hook_methods`.
    parameters
        Those that were given.
    in_slices
        Whether patches are slices: then nothing is smoothed across them.

    Raises
    ------
    UsageError
        For a parameter that the method does not have.
    """
    made = method_class(name)
    known = [f.name for f in fields(made) if f.init]  # type: ignore[arg-type]
    given = dict(parameters)
    for key in given:
        if key not in known:
            option = f"--{key.replace('_', '-')}"
            raise UsageError(f"the method {name} takes no {option}.", remedy="Leave it out.")
    if in_slices and "slicewise" in known:
        given["slicewise"] = True
    return made(**given)


@dataclass(frozen=True)
class HookCase:
    """A preprocessed case as a method sees it; see `softlab_cli.methods.base.CaseInput`.

    Parameters
    ----------
    case
        The preprocessed case.
    drawn
        Label maps of its raters.
    store
        Where it is going to.
    in_slices
        Whether patches are slices, and so are blocks.
    threads, max_memory
        As for `CaseInput`.
    """

    case: PreprocessedCase
    drawn: Sequence[Rater]
    store: StoreWriter
    in_slices: bool
    threads: int = 1
    max_memory: int | None = None

    @property
    def case_id(self) -> str:
        """The case's id."""
        return self.case.case_id

    @property
    def patient(self) -> str:
        """Nothing: nnU-Net keeps no headers."""
        return ""

    @property
    def classes(self) -> ClassTable:
        """The class table of the store."""
        return self.store.info.classes

    @property
    def keep_raters(self) -> bool:
        """Whether the store keeps each rater's labels."""
        return self.store.info.keep_raters

    def label_map(self) -> HardLabels:
        """nnU-Net's own segmentation."""
        values = np.where(self.case.values == OUTSIDE, np.int16(0), self.case.values)
        try:
            indices = index_label_map(values, self.classes).class_indices
        except ClassError as error:
            error.remedy = "Add the labels to dataset.json, and run nnUNetv2_preprocess again."
            raise
        return HardLabels(self.case.geometry, indices, count_labels(indices, self.classes))

    def raters(self) -> RaterLabels:
        """The raters' label maps, brought onto the grid of the preprocessed case."""
        indices = read_raters(self.case, self.drawn, self.classes)
        patterns = find_patterns(indices, len(self.classes), self.classes.ignore_index)
        return RaterLabels(self.case.geometry, patterns, tuple(name for name, _ in self.drawn))

    def image(self, geometry: Geometry) -> Image:
        """The preprocessed image."""
        return Image(self.case.intensities, geometry)

    def fractions(self, supersample: int | None) -> SoftClasses:
        """Refuse: there are none.

        Raises
        ------
        UsageError
            Always.
        """
        raise UsageError("nnU-Net's preprocessed cases have no soft labels to import.")

    def grid(self, geometry: Geometry) -> Grid:
        """Slices where patches are slices."""
        shape = geometry.shape
        return Grid.for_slices(shape) if self.in_slices else Grid.for_volume(shape)

    def scratch(self) -> AbstractContextManager[Path]:
        """A folder beside the case in the store."""
        return self.store.scratch(self.case_id)

    def naming_image(self) -> AbstractContextManager[None]:
        """Nothing: the case is named, and its image is nnU-Net's."""
        return nullcontext()
