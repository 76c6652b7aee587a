"""Variational label smoothing (VLS): soft labels that networks learn from images and labels."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from softlab_cli.core.blocks import Grid, Shape
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import InputError, UsageError
from softlab_cli.core.memory import PROCESS_BYTES, SHARD_BUFFER_BYTES, blocks_bytes
from softlab_cli.labels.images import probe_images
from softlab_cli.methods.base import CaseInput, Fitting, LocalMethod, Method, Needs, Takes
from softlab_cli.methods.onehot import OneHot
from softlab_cli.methods.prepared import PreparedBlocks
from softlab_cli.methods.svls.svls import SVLS
from softlab_cli.methods.vls.batches import NOT_LABELLED
from softlab_cli.methods.vls.blending import LearnedMaps, blending_bytes
from softlab_cli.methods.vls.cases import (
    check_image,
    content_of,
    fits_spacing,
    normalised,
    wanted_shape,
)
from softlab_cli.methods.vls.model import MODEL, Model, holds_model, read_model
from softlab_cli.methods.vls.needs import applying_bytes, learning_bytes, planned_dims
from softlab_cli.methods.vls.parameters import TRAINED_WITH, VLSParameters
from softlab_cli.methods.vls.regridding import resample_linear, resample_nearest

if TYPE_CHECKING:
    from softlab_cli.cases import Case
    from softlab_cli.core.volume import Image
    from softlab_cli.labels.case import HardLabels
    from softlab_cli.methods.vls.maps import PlaneMaps
    from softlab_cli.readers import FileProbe

__all__ = ["VLS"]

SCRATCH_NAME = "vls.maps"


@dataclass(frozen=True)
class VLS(VLSParameters, Method):
    """Variational label smoothing: Y = (1 - alpha) base + alpha y_s.

    Guo et al., CALSeg: Improving Calibration of Medical Image Segmentation via Variational
    Label Smoothing. Networks learn q(z|x, y) and p(y|z), and y_s is the mean of p(y|z)
    over draws of z. What the text leaves open (alpha, temperature, the number of draws,
    what the networks are) is decided here, so that its results cannot be reproduced.

    y_s is *out of fold*: the networks that give a case its y_s have not learned from that
    case, nor from its group. Without that they give back what they remember. The engine
    ``vls`` joins features of the image with z; ``crossfit`` is the same without a z, a
    plain network, which did as well in a prototype.

    Ignored voxels count in no loss, and get 0 in every class.

    Parameters
    ----------
    engine, smoothing, base, ...
        As for `softlab_cli.methods.vls.parameters.VLSParameters`, which checks them.
    """

    name: ClassVar[str] = "vls"
    takes: ClassVar[Takes] = "label map and image"
    fits: ClassVar[bool] = True

    @property
    def has_learned(self) -> bool:
        """Whether a model is given."""
        return self.model is not None

    @classmethod
    def from_parameters(cls, parameters: Any) -> Self:
        """The method that has these `parameters`; where its model lies, they do not say."""
        patch = parameters["patch"]
        return cls(**{**parameters, "patch": None if patch is None else tuple(patch)})

    @property
    def base_method(self) -> LocalMethod:
        """What y_s is blended with."""
        return OneHot() if self.base == "onehot" else SVLS()

    def check(self, case: Case) -> None:
        """As `Method.check`; several label maps are a matter for msvls."""
        if len(case.drawings) > 1:
            raise InputError(
                f"has {len(case.drawings)} label maps ({', '.join(case.drawings)}), and vls learns "
                "what one rater leaves open.",
                remedy="What several raters say is better than what is learned of one: softlab "
                "msvls takes them.",
                path=case.label_maps[0],
            )
        super().check(case)

    def fit(self, fitting: Fitting) -> Self:
        """The method with its model: that of `model`, that of the folder, or a new one."""
        from softlab_cli.methods.vls.applying import check_weights
        from softlab_cli.methods.vls.pytorch import chosen_device

        device = chosen_device(self.device)
        if self.model is not None:
            model = read_model(self.model)
            model.check_classes(fitting.classes)
            check_weights(model, device)
            return self._with(model, device, exact=False)
        if holds_model(fitting.folder):
            model = read_model(fitting.folder)
            model.check_classes(fitting.classes)
            check_weights(model, device)
            found = self._with(model, device, exact=True)
            _tell_others(model, fitting)
            return found
        from softlab_cli.methods.vls.learning import learn

        return self._with(learn(self, fitting, device), device, exact=True)

    def _with(self, model: Model, device: str, *, exact: bool) -> Self:
        """The method with a model, whose parameters become its own."""
        recipe = model.recipe
        known = {**recipe.to_json(), "patch": list(recipe.patch)}
        self.refuse_other(known, exact=exact, path=model.folder)
        own: dict[str, Any] = {name: getattr(recipe, name) for name in TRAINED_WITH}
        own |= {"device": device, "model": model.folder, "trained": model.checksum}
        return replace(self, **own)

    def needs(self, case: Case, seen: FileProbe, classes: ClassTable, threads: int) -> Needs:
        """Memory of what takes more, learning or applying; the disk that a case's maps take.

        A case on another spacing than the model's may need more.
        """
        geometry = seen.geometry
        image = probe_images(case, geometry)
        planned = self._planned()
        dims = planned_dims(planned, geometry.ndim)
        voxels, count = prod(geometry.shape), len(classes)
        block = Grid.for_volume(geometry.shape, geometry.ndim).block
        indices = voxels * classes.index_dtype.itemsize
        held = indices + 2 * image.bytes_held + 9 * voxels
        reading = max(seen.bytes_on_read, seen.bytes_held + max(indices, image.bytes_on_read))
        applying = held + applying_bytes(planned, dims, geometry.shape, image.channels, count)
        learning = 0 if self.has_learned else learning_bytes(planned, dims, image.channels, count)
        blocks = self._blocks_bytes(count, block, threads)
        most = max(reading, learning, applying, held + image.bytes_held)
        return Needs(PROCESS_BYTES + SHARD_BUFFER_BYTES + blocks + most, 2 * voxels * count)

    def _planned(self) -> VLSParameters:
        """The parameters with the sizes of the model that is given, as far as it is there."""
        if self.model is None or self.trained or not holds_model(self.model):
            return self
        return _with_sizes(self, self.model, (self.model / MODEL).stat().st_mtime_ns)

    def _blocks_bytes(self, class_count: int, block: Shape, threads: int) -> int:
        own = self.base_method.workspace_bytes(class_count, block)
        return blocks_bytes(own + blending_bytes(class_count, block), threads)

    @contextmanager
    def prepare(self, case: CaseInput) -> Iterator[PreparedBlocks]:
        """Read label map and image, and let the networks make y_s of the whole case."""
        method, model = self._ready(case.classes)
        labels = case.label_map()
        image = case.image(labels.geometry)
        warnings = dict.fromkeys((*labels.warnings, *image.warnings))
        with case.naming_image():
            check_image(image.intensities, labels.class_indices.shape)
            _check_channels(model, image)
        content = content_of(image.intensities)
        warnings |= dict.fromkeys(_warnings(model, case.case_id, content, labels))
        with (
            case.scratch() as folder,
            method.make_maps(case, model, labels, image, content, folder) as maps,
        ):
            del image  # the maps are made
            learned = LearnedMaps(maps, method.smoothing, method.base_method)
            ready = PreparedBlocks.of_hard_labels(labels, learned, case.classes)
            details = {
                "vls": {
                    "folds": list(model.folds_for(content)),
                    "out_of_fold": content in model.cases,
                    "skills": list(model.skills),
                    "scratch_bytes": maps.size,
                }
            }
            yield replace(ready, warnings=tuple(warnings), details=details)

    def _ready(self, classes: ClassTable) -> tuple[Self, Model]:
        """The method with its model, and the model.

        Raises
        ------
        UsageError
            When there is none, or one of other classes.
        """
        if self.model is None:
            raise UsageError(
                "vls learns from all cases of a run.",
                remedy="Run softlab vls on a folder, and give the model that it makes (OUT.fit).",
            )
        model = read_model(self.model)
        model.check_classes(classes)
        if self.trained:
            return self, model
        from softlab_cli.methods.vls.pytorch import chosen_device

        return self._with(model, chosen_device(self.device), exact=False), model

    def make_maps(
        self,
        case: CaseInput,
        model: Model,
        labels: HardLabels,
        image: Image,
        content: str,
        folder: Path,
    ) -> PlaneMaps:
        """The y_s of a case, in memory where it has room, and on disk otherwise.

        Parameters
        ----------
        case
            Tells how much memory there is.
        model
            The model.
        labels, image
            What the case holds.
        content
            Checksum of the image.
        folder
            For a file with the maps.

        Raises
        ------
        InputError
            For voxels of another order of size than the model's.
        StoreError
            When the disk is full, or the model is damaged.
        """
        from softlab_cli.methods.vls.applying import Applying, write_maps

        recipe, shape = model.recipe, labels.geometry.shape
        applying = Applying(
            model, model.folds_for(content), self.samples, self.temperature, self.seed, content,
            self.device,
        )  # fmt: skip
        own = fits_spacing(labels.geometry, recipe.spacing_mm, recipe.dims)
        x, _ = normalised(image.intensities)
        y = labels.class_indices.astype(np.int64)
        y[y == case.classes.ignore_index] = NOT_LABELLED
        if not own:
            wanted = wanted_shape(labels.geometry, recipe.spacing_mm, recipe.dims)
            x, y = resample_linear(x, wanted), resample_nearest(y, wanted)
        in_memory = self._has_room(case, x.nbytes + image.intensities.nbytes + y.nbytes, shape)
        return write_maps(applying, x, y, shape, None if in_memory else folder / SCRATCH_NAME)

    def _has_room(self, case: CaseInput, held: int, shape: Shape) -> bool:
        """Whether the maps of a case may stay in memory."""
        if case.max_memory is None:
            return True
        count, dims = len(case.classes), int(self.dims)
        block = Grid.for_volume(shape, 3).block
        taken = held + PROCESS_BYTES + SHARD_BUFFER_BYTES
        taken += self._blocks_bytes(count, block, case.threads)
        taken += applying_bytes(self, dims, shape, 1, count)
        return taken + 2 * count * prod(shape) <= case.max_memory


@lru_cache(maxsize=8)
def _with_sizes(parameters: VLSParameters, folder: Path, changed: int) -> VLSParameters:
    """As `VLS._planned`; a model is read once for all cases."""
    recipe = read_model(folder).recipe
    sizes: dict[str, Any] = {name: getattr(recipe, name) for name in ("dims", "patch", "width")}
    return replace(parameters, **sizes, folds=recipe.folds)


def _check_channels(model: Model, image: Image) -> None:
    own, given = model.recipe.channels, len(image.intensities)
    if own != given:
        raise InputError(
            f"the image has {given} channel{'' if given == 1 else 's'}, and the model is of {own}.",
            remedy="Give the channels that the model was trained with, in the same order.",
        )


def _warnings(model: Model, case_id: str, content: str, labels: HardLabels) -> Iterator[str]:
    known = model.cases.get(content)
    if known is None and case_id in {case.case_id for case in model.cases.values()}:
        yield (
            "the image has changed since the model was trained, so that the mean of the networks "
            "of all folds is taken"
        )
    elif (
        known is not None
        and known.case_id == case_id
        and known.label != content_of(labels.class_indices)
    ):
        yield "the label map has changed since the model was trained"


def _tell_others(model: Model, fitting: Fitting) -> None:
    """Say which cases the model that is there has not been trained with."""
    known = {case.case_id for case in model.cases.values()}
    new = [case.case_id for case in fitting.cases if case.case_id not in known]
    if new:
        fitting.tell(
            f"{model.folder} holds a model that was trained without {len(new)} of the cases, "
            f"such as {new[0]}; remove that folder to train anew"
        )
