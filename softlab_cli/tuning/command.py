"""The command that makes the store of a setting, ready to be pasted."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from softlab_cli.labels.read import ReadingOptions
from softlab_cli.running.request import Request
from softlab_cli.tuning.grid import Setting

__all__ = ["command_of"]

LABELS, IMAGES = "LABELS", "IMAGES"
"""Stand for label maps of one rater and their images, which the user may have elsewhere."""

READING = {f.name for f in fields(ReadingOptions)} - {"names", "unlabelled"}
SAID_OF_LABELS = ("labels", "image_like", "classes_from", "ignore_labels", "class_pattern")
SINGULAR = {"rois": "roi", "ignore_labels": "ignore-label", "value_map": "map"}
"""Fields that the command line has an option of another name for."""


def command_of(
    setting: Setting, request: Request, *, alone: bool, model: Path | None = None
) -> str:
    """The command, with the inputs of a request and all that it says of them.

    Parameters
    ----------
    setting
        The method and its parameters.
    request
        Where the label maps are and how they are read.
    alone
        Whether there is one rater in each case. Where there are several, a method of one takes
        none of these inputs, and `LABELS` stands for others.
    model
        That of a method that learned.
    """
    said = ["softlab", *shlex.split(setting.command)]
    several = setting.of == "others"
    if setting.is_learned and model is not None:
        said += ["--model", str(model)]
    if several or alone:
        said += [part for path in request.inputs for part in ("--in", str(path))]
    else:
        said += ["--in", LABELS]
    if request.images is not None and (several or alone):
        said += ["--images", str(request.images)]
    elif setting.follows_image:
        said += ["--images", IMAGES]
    if several and request.rater_pattern:
        said += ["--rater-pattern", request.rater_pattern]
    chosen = {name: getattr(request, name) for name in SAID_OF_LABELS}
    chosen |= {name: getattr(request.reading, name) for name in sorted(READING)}
    unchosen = Request((), Path())
    for name, value in chosen.items():
        usual = getattr(unchosen if name in SAID_OF_LABELS else unchosen.reading, name)
        if value != usual:
            said += _option(SINGULAR.get(name, name.replace("_", "-")), value)
    return shlex.join([*said, "--out", "soft.zarr"])


def _option(name: str, value: Any) -> Iterator[str]:
    if value is True:
        yield f"--{name}"
    elif isinstance(value, Mapping):
        for rater, pairs in value.items():
            listed = ",".join(f"{_plain(a)}={_plain(b)}" for a, b in pairs.items())
            yield from (f"--{name}", f"{rater}:{listed}" if rater else listed)
    elif name == "spacing-mm":
        yield from (f"--{name}", ",".join(map(_plain, value)))
    elif isinstance(value, tuple | list):
        for one in value:
            yield from (f"--{name}", _plain(one))
    else:
        yield from (f"--{name}", _plain(value))


def _plain(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)
