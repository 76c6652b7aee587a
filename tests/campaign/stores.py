"""Small sound stores of several kinds, to be damaged, and everything that their reader returns."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner

import softlab_cli
from softlab_cli.cli.main import cli
from softlab_cli.core.errors import SoftlabError
from softlab_cli.store.reader import Case, Store
from tests.conftest import blobs, write_image
from tests.store_support import small_blocks

SHAPES = {"one": (13, 11, 18), "two": (9, 8, 12), "three": (13, 11, 18)}


@dataclass(frozen=True)
class Sound:
    """A sound store.

    Parameters
    ----------
    path
        The store.
    inputs
        The label maps that it was made from.
    other
        A store of the same recipe and the same case ids, made from other label maps.
    """

    path: Path
    inputs: tuple[Path, ...]
    other: Path


RECIPES = {
    "svls": "svls --labels 0-3 --ignore-label 9",
    "labels-only": "svls --labels 0-3 --ignore-label 9 --labels-only",
    "ls": "ls --labels 0-3",
    "staple": "fuse --labels 0-3 --method staple --keep-raters",
    "geols": "geols --labels 0-3",
    "pictures": "svls --labels 0-3",
}
"""Kind of store to the command that makes it."""


def make_stores(folder: Path) -> dict[str, Sound]:
    """Every kind of store, by name."""
    with small_blocks():
        return {name: _make(folder / name, name) for name in RECIPES}


def _make(folder: Path, name: str) -> Sound:
    made = []
    for number, place in enumerate((folder / "here", folder / "there")):
        inputs = _write_inputs(place, name, seed=10 * number)
        arguments = [*RECIPES[name].split(), "--out", place / "store", "--workers", "1"]
        for path in inputs:
            arguments += ["--in", path]
        if name == "geols":
            arguments += ["--images", place / "images"]
        done = CliRunner().invoke(cli, [*map(str, arguments), "--threads", "1", "--no-sync"])
        assert done.exit_code == 0, done.output
        made.append((place / "store", inputs))
    return Sound(made[0][0], made[0][1], made[1][0])


def _write_inputs(place: Path, name: str, seed: int) -> tuple[Path, ...]:
    raters = ("r1", "r2", "r3") if name == "staple" else ("labels",)
    for i, (case_id, shape) in enumerate(SHAPES.items()):
        for j, rater in enumerate(raters):
            label_map = blobs(shape, 4, seed=seed + i + 100 * j)
            if name == "pictures":
                write_image(place / rater / f"{case_id}.png", label_map[0])
                continue
            if "ignore" in RECIPES[name]:
                label_map[label_map.shape[0] // 2, 2:5] = 9
            write_image(place / rater / f"{case_id}.nii.gz", label_map, (2, 1, 0.5))
        if name == "geols":
            image = np.random.default_rng(seed + i).normal(size=shape).astype(np.float32)
            write_image(place / "images" / f"{case_id}.nii.gz", image, (2, 1, 0.5))
    return tuple(place / rater for rater in raters)


def read_everything(path: Path) -> dict[str, Any]:
    """What the reader returns of each case, or the error that it raises.

    Raises
    ------
    SoftlabError
        When the store itself cannot be opened.
    """
    store = softlab_cli.open_store(path)
    found: dict[str, Any] = {}
    for case_id in store:
        try:
            found[case_id] = _read_case(store, store[case_id])
        except SoftlabError as error:
            found[case_id] = error
    return found


def _read_case(store: Store, case: Case) -> list[Any]:
    arrays = [case.read(), case.read_label()]
    arrays += [case.read_rater(name) for name in case.raters if store.info.keep_raters]
    info = case.info
    return [
        *((a.shape, a.dtype.str, hashlib.sha256(a.tobytes()).hexdigest()) for a in arrays),
        case.affine.tolist(),
        case.spacing_mm,
        case.classes.to_json(),
        info.statistics and info.statistics.to_json(),
        [source.to_json() for source in info.sources],
        info.warnings,
        info.raters,
        dict(info.details),
        (store.info.method, dict(store.info.parameters), store.info.sums_to_one),
    ]


@contextmanager
def quiet() -> Iterator[None]:
    """No warnings of NumPy about the values of damaged chunks."""
    with np.errstate(all="ignore"):
        yield
