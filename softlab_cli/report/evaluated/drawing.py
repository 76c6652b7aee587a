"""Pictures of a case that was judged: image, references, prediction, where it is sure and wrong."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from softlab_cli.cases import Case
from softlab_cli.core.blocks import Region
from softlab_cli.core.events import CaseFinished
from softlab_cli.core.failures import failure
from softlab_cli.core.volume import Geometry, check_same_grid
from softlab_cli.evaluation.case import EvaluationTask, OpenCase, open_case
from softlab_cli.evaluation.folders import write_text
from softlab_cli.evaluation.results import PICTURES, place_of
from softlab_cli.labels.stores import is_store_case
from softlab_cli.readers import read_image
from softlab_cli.report.evaluated.wrong import WRONG, worst_place, wrongness
from softlab_cli.report.page.drawing import css_colours
from softlab_cli.report.page.environment import render
from softlab_cli.report.page.slices import DETAILS, DrawnCase, draw_views
from softlab_cli.report.pictures.case import ENTROPY, view_subject
from softlab_cli.report.pictures.subject import Layer, Subject, read_array
from softlab_cli.report.pictures.views import CaseViews
from softlab_cli.store.reader import Store
from softlab_cli.store.sparse import SoftPart
from softlab_cli.version import __version__

__all__ = ["PictureTask", "draw_pictures", "picture_of"]

FORMAT = 2
"""Of pictures: another one draws all anew."""

TEXTS = {
    "hard": "outline of the prediction",
    "soft": "isolines of the prediction",
    "place": "place where most is sure and wrong",
}
"""What layers are in an evaluation."""


@dataclass(frozen=True)
class PictureTask:
    """Everything that the pictures of a case of a run take; travels to a worker process.

    Parameters
    ----------
    task
        What it was judged by.
    key
        What the pictures depend on, as a checksum.
    most_bytes
        What they may take of the page.
    """

    task: EvaluationTask
    key: str
    most_bytes: int

    @classmethod
    def of(cls, task: EvaluationTask, sources: Sequence[object], most_bytes: int) -> PictureTask:
        """The task, with its key.

        Parameters
        ----------
        task
            What a case was judged by.
        sources
            What its results say of the files that they were made from.
        most_bytes
            As in the class.
        """
        images = [str(path) for path in task.reference.images]
        known = [FORMAT, __version__, task.options, list(map(repr, sources)), images, most_bytes]
        text = json.dumps(known, sort_keys=True)
        return cls(task, hashlib.sha256(text.encode()).hexdigest(), most_bytes)

    @property
    def case_id(self) -> str:
        """What it is called in messages."""
        return self.task.case_id

    @property
    def path(self) -> Path:
        """Where the pictures are kept: beside the results."""
        result = place_of(self.task.out, self.task.reference.case_id, self.task.run)
        return result.with_suffix(PICTURES)


def picture_of(task: PictureTask) -> str | None:
    """The pictures as markup, where they are there and still hold."""
    try:
        head, _, text = task.path.read_text(encoding="utf-8").partition("\n")
    except (OSError, UnicodeDecodeError):
        return None
    return text if head == f"<!--{task.key}-->" else None


def draw_pictures(task: PictureTask) -> CaseFinished:
    """Draw one case and keep its pictures; never raises."""
    started = time.perf_counter()
    try:
        with open_case(task.task) as opened:
            views = _views(task.task, opened)
        text = _within(views, task)
        write_text(task.path, f"<!--{task.key}-->\n{text}")
        return CaseFinished(
            task.case_id, "done", seconds=time.perf_counter() - started,
            facts={"stored_bytes": len(text)},
        )  # fmt: skip
    except Exception as error:
        return failure(task.case_id, error, started)


def _views(task: EvaluationTask, opened: OpenCase) -> CaseViews:
    wrong = wrongness(opened)
    views = view_subject(_subject(task, opened, wrong), place=worst_place(wrong))
    # What is the hard label of a store is the prediction's here; the entropy, which is in the
    # isolines as well, would lie over what is sure and wrong.
    told = [
        replace(
            view,
            caption=view.caption.replace("; hard label: ", "; prediction: ", 1),
            shades=tuple(shade for shade in view.shades if shade.name != ENTROPY),
        )
        for view in views.views
    ]
    return replace(views, views=tuple(told))


def _subject(task: EvaluationTask, opened: OpenCase, wrong: NDArray[np.float16]) -> Subject:
    judges = {
        name: read_array(labels)
        for name, labels in zip(opened.scene.names, opened.scene.raters, strict=True)
    }
    several = len(judges) > 1
    image = _image_of(task)
    return Subject(
        task.reference.case_id,
        opened.geometry,
        task.classes,
        read_array(opened.hard),
        partial(_parts, opened) if opened.soft is not None else None,
        partial(_read_image, image, opened.geometry) if image else None,
        judges if several else {},
        {} if several else judges,
        (Layer(WRONG if opened.soft is not None else "wrong", read_array(wrong), 1.0),),
    )


def _parts(opened: OpenCase, region: Region, classes: Collection[int] | None) -> Iterator[SoftPart]:
    assert opened.soft is not None
    values = opened.soft.read(region)
    for index in range(len(values)) if classes is None else classes:
        if values[index].any():
            yield SoftPart(index, region, values[index])


def _image_of(task: EvaluationTask) -> Path | None:
    """The image of a case: that of ``--images``, or the one that a store was made with."""
    cases: Sequence[Case] = (task.reference, *task.members)
    for case in cases:
        if case.images:
            return case.images[0]
        path = case.label_maps[0]
        if is_store_case(path):
            sources = Store(path.parent)[path.name].sources
            found = [Path(source.path) for source in sources if source.role == "image"]
            if found:
                return found[0]
    return None


def _read_image(path: Path, geometry: Geometry) -> NDArray[np.float32]:
    image = read_image(path)
    grid = image.geometry.with_spacing(geometry.spacing_mm)
    check_same_grid(geometry, grid, names=("prediction", "image"), path=path)
    return image.intensities


def _within(views: CaseViews, task: PictureTask) -> str:
    """The pictures as markup, as fine as fits into their share."""
    classes = task.task.classes
    colours = css_colours(classes, views.classes)
    text = ""
    for detail in DETAILS:
        case = _renamed(draw_views(views, classes.names, colours, detail))
        text = render("case.html", case=case).strip("\n") + "\n"
        if len(text.encode()) <= task.most_bytes:
            break
    return text


def _renamed(case: DrawnCase) -> DrawnCase:
    layers = tuple(replace(layer, text=TEXTS.get(layer.key, layer.text)) for layer in case.layers)
    return replace(case, layers=layers)
