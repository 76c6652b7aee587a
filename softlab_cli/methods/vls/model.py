"""What is kept of a trained model, and which of its networks a case is given to.

The weights lie beside ``model.json``, which is written last: a folder without it holds no
model, whatever else is there.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from softlab_cli.core.classes import ClassTable, LabelClass
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.methods.vls.recipe import Recipe
from softlab_cli.store.files import system_errors, written_whole

__all__ = ["MODEL", "KnownCase", "Model", "holds_model", "read_model", "write_model"]

MODEL = "model.json"
VERSION = 1


class KnownCase(NamedTuple):
    """A case that a model was trained with.

    Parameters
    ----------
    case_id
        Its name.
    group
        What it was kept together with.
    fold
        Its fold, whose networks have not seen it.
    label
        Checksum of its class indices.
    """

    case_id: str
    group: str
    fold: int
    label: str


@dataclass(frozen=True)
class Model:
    """A trained model.

    Parameters
    ----------
    folder
        Where it lies.
    recipe
        What it was trained with.
    classes
        Its class table.
    cases
        The cases that it was trained with, by the checksum of their image.
    weights
        Checksum of the weights of each fold.
    skills
        What each fold could tell of the labels from images, as far as that is known.
    report
        Figures and losses of each fold, for people.
    software
        Versions that it was trained with.
    """

    folder: Path
    recipe: Recipe
    classes: ClassTable
    cases: Mapping[str, KnownCase]
    weights: tuple[str, ...]
    skills: tuple[float | None, ...] = ()
    report: Mapping[str, Any] = field(default_factory=dict)
    software: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def checksum(self) -> str:
        """Checksum of all that a soft label depends on."""
        folds = sorted((image, case.fold) for image, case in self.cases.items())
        parts = [self.recipe.to_json(), self.classes.to_json(), folds, self.weights]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()

    def folds_for(self, image: str) -> tuple[int, ...]:
        """The folds whose networks a case is given to: its own, or else all of them."""
        known = self.cases.get(image)
        return tuple(range(len(self.weights))) if known is None else (known.fold,)

    def check_classes(self, classes: ClassTable) -> None:
        """Raise `UsageError` unless the classes are those of the model.

        A name that is made of the label value is nobody's, and fits any other.
        """
        pairs = list(zip(self.classes.classes, classes.classes, strict=False))
        same = len(self.classes) == len(classes) and all(map(_is_one, *zip(*pairs, strict=True)))
        if not same:
            listed = (
                ", ".join(f"{c.value} {c.name}" for c in table.classes)
                for table in (self.classes, classes)
            )
            raise UsageError(
                "holds a model of other classes: {}; those of this run are: {}.".format(*listed),
                remedy="Give the same classes with --labels or --classes-from.",
                path=self.folder,
            )


def _is_one(one: LabelClass, other: LabelClass) -> bool:
    nobodys = any(c.name in ("background", f"label_{c.value}") for c in (one, other))
    return one.value == other.value and (nobodys or one.name == other.name)


def holds_model(folder: Path) -> bool:
    """Whether a folder holds a model that is whole."""
    return (folder / MODEL).exists()


def write_model(model: Model) -> None:
    """Write ``model.json``, whole or not at all.

    Raises
    ------
    StoreError
        When it cannot be written.
    """
    content = {
        "softlab_vls_model": VERSION,
        "recipe": model.recipe.to_json(),
        "classes": model.classes.to_json(),
        "cases": {image: case._asdict() for image, case in sorted(model.cases.items())},
        "weights": list(model.weights),
        "skills": list(model.skills),
        "report": dict(model.report),
        "software": dict(model.software),
    }
    path = model.folder / MODEL
    with written_whole(path) as partial:
        partial.write_text(json.dumps(content, indent=1), encoding="utf-8")


def read_model(folder: Path) -> Model:
    """The model of a folder.

    Raises
    ------
    StoreError
        When there is none, or it is damaged or of another version.
    """
    path = folder / MODEL
    if not path.exists():
        raise StoreError(
            "holds no model of softlab vls that is whole.",
            remedy="Name the folder that a training has made (OUT.fit), or train first.",
            path=folder,
        )
    try:
        with system_errors(path, "read"):
            return _read(folder, path.stat().st_mtime_ns)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise StoreError(
            f"is no model that this softlab can read ({type(error).__name__}: {error}).",
            remedy="Get it again, or train anew.",
            path=path,
        ) from error


@lru_cache(maxsize=8)
def _read(folder: Path, changed: int) -> Model:
    """A model that is read once for all cases."""
    return _model(folder, json.loads((folder / MODEL).read_text(encoding="utf-8")))


def _model(folder: Path, facts: Mapping[str, Any]) -> Model:
    if facts["softlab_vls_model"] != VERSION:
        raise ValueError(f"version {facts['softlab_vls_model']}")
    return Model(
        folder,
        Recipe.from_json(facts["recipe"]),
        ClassTable.from_json(facts["classes"]),
        {image: KnownCase(**case) for image, case in facts["cases"].items()},
        tuple(facts["weights"]),
        tuple(facts["skills"]),
        facts["report"],
        facts["software"],
    )
