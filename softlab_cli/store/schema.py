"""Schema 1.1: what the store keeps about itself and about each case.

::

    store/zarr.json                  attributes: softlab (StoreInfo)
    store/<case_id>/zarr.json        attributes: softlab (CaseInfo), ome (OME-NGFF)
    store/<case_id>/soft/            float16 (C, Z, Y, X), absent in a store of hard labels only
    store/<case_id>/labels/          attributes: ome, as also in labels/label: a label image
    store/<case_id>/labels/label/0/  uint8 or uint16 (Z, Y, X), class indices
    store/<case_id>/raters/          the same for each rater (R, Z, Y, X), where that was asked for

In schema 1 the hard label was an array ``label`` beside ``soft``, no label image of OME, and
shards lay in nested folders (``c/0/0/0`` for ``c.0.0.0``): 15 files and folders a case, and
now 12. A store keeps the schema that it was begun with: its cases are all alike, and
whoever reads one with another program finds the others in the same places.

Every case repeats the *recipe*, a checksum of the method, its parameters and the
classes. A case with another recipe than its store is the rest of a run that was
overwritten: the writer computes it anew and the reader refuses it.

A case also has its ``case_id``, for a folder that was renamed or exchanged; ``arrays``,
the record of its files (`softlab_cli.store.records`); and a ``seal`` over all of that.
The root has its recipe and a seal too. All of these are optional: stores of earlier
versions have none of them, are read as before, and may be continued.
Where they are, the reader insists on them (of the root, on the recipe); ``verify`` says
of which cases it could not check them.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final, TypeVar

import numpy as np

from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError
from softlab_cli.core.provenance import Source
from softlab_cli.core.volume import Geometry
from softlab_cli.store.records import ArrayRecord
from softlab_cli.store.remedies import ANEW, COPY
from softlab_cli.store.statistics import CaseStatistics
from softlab_cli.version import __version__

__all__ = [
    "FIRST_SCHEMA",
    "LABEL_IMAGE",
    "SCHEMA",
    "CaseInfo",
    "StoreInfo",
    "differences",
]

FIRST_SCHEMA: Final = 1
SCHEMA: Final = 1.1
"""Of new stores; a number, of which the part before the point says who can read it at all."""

LABEL_IMAGE = "labels/label"
"""Where the label image of a case is, which holds the array of class indices."""

FIRST_OME: Final = "0.5"
"""Version of OME-NGFF of stores that say none."""

Parsed = TypeVar("Parsed")


@dataclass(frozen=True)
class StoreInfo:
    """What holds for all cases of a store.

    Parameters
    ----------
    method
        Name of the method.
    parameters
        Every parameter that the result depends on, ready for JSON.
    classes
        The class table, with the ignored label values.
    labels_only
        Whether there are hard labels only, and soft labels are computed on read.
    sums_to_one
        Whether the soft labels of a valid voxel add up to 1.
    keep_raters
        Whether cases keep the labels of each rater.
    software
        Names and versions of what made the store.
    config
        The options of the run that made the store.
    reading
        How the label maps were read, where that was chosen.
    version
        Version of softlab that made the store.
    schema
        How its cases are laid out.
    ome
        Version of OME-NGFF that its cases speak: 0.5, or 0.6 with the exact affine.
    """

    method: str
    parameters: Mapping[str, Any]
    classes: ClassTable
    labels_only: bool = False
    sums_to_one: bool = True
    keep_raters: bool = False
    software: Mapping[str, str] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    version: str = __version__
    schema: float = SCHEMA
    ome: str = FIRST_OME

    @property
    def has_label_image(self) -> bool:
        """Whether the hard label of a case is a label image of OME."""
        return self.schema > FIRST_SCHEMA

    @property
    def separator(self) -> str:
        """What stands between the numbers in the name of a shard."""
        return "." if self.schema > FIRST_SCHEMA else "/"

    def array_path(self, name: str) -> str:
        """Path of an array (``label``, ``soft``, ``raters``) below the case's folder."""
        return f"{LABEL_IMAGE}/0" if name == "label" and self.has_label_image else name

    def essence(self) -> dict[str, Any]:
        """Everything that two runs must share to write into one store."""
        parameters: dict[str, Any] = json.loads(json.dumps(dict(self.parameters)))
        # Absent where nothing was chosen, so that recipes of such stores stay what they are.
        chosen: dict[str, Any] = {}
        if self.reading:
            chosen["reading"] = json.loads(json.dumps(dict(self.reading)))
        if self.keep_raters:
            chosen["keep_raters"] = True
        if self.ome != FIRST_OME:
            chosen["ome"] = self.ome
        return {
            "schema": self.schema,
            "method": self.method,
            "parameters": parameters,
            "classes": self.classes.to_json(),
            "ignore": {
                "label_values": list(self.classes.ignore_values),
                "index": self.classes.ignore_index,
            },
            "labels_only": self.labels_only,
            "sums_to_one": self.sums_to_one,
            **chosen,
        }

    @cached_property
    def recipe(self) -> str:
        """Checksum of `essence`."""
        canonical = json.dumps(self.essence(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """The store's facts as its metadata keeps them."""
        return {
            **self.essence(),
            "classes": self.classes.to_json(colours=True),
            "version": self.version,
            "software": dict(self.software),
            "config": dict(self.config),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], path: Path | None = None) -> StoreInfo:
        """The facts that `to_json` wrote.

        Raises
        ------
        StoreError
            For another schema, or facts that are incomplete.
        """
        return _parsed(facts, path, COPY, lambda: cls._from_json(facts))

    @classmethod
    def _from_json(cls, facts: Mapping[str, Any]) -> StoreInfo:
        ignored = facts["ignore"]["label_values"]
        return cls(
            method=str(facts["method"]),
            parameters=dict(facts["parameters"]),
            classes=ClassTable.from_json(facts["classes"], ignored),
            labels_only=bool(facts["labels_only"]),
            sums_to_one=bool(facts["sums_to_one"]),
            keep_raters=bool(facts.get("keep_raters", False)),
            software=dict(facts["software"]),
            config=dict(facts["config"]),
            reading=dict(facts.get("reading", {})),
            version=str(facts["version"]),
            schema=facts["schema"],
            ome=str(facts.get("ome", FIRST_OME)),
        )


@dataclass(frozen=True)
class CaseInfo:
    """What the store keeps about a case.

    Parameters
    ----------
    geometry
        The voxel grid.
    sources
        The files that the case was made from.
    statistics
        How much of each class there is.
    warnings
        What the reader of the files found odd.
    details
        Further facts from the method, ready for JSON.
    raters
        Names of the raters, in the order of their sources; empty with one label map.
    arrays
        The files of each array, by its name; empty in stores of earlier versions.
    """

    geometry: Geometry
    sources: tuple[Source, ...] = ()
    statistics: CaseStatistics | None = None
    warnings: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    raters: tuple[str, ...] = ()
    arrays: Mapping[str, ArrayRecord] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The case's facts as its metadata keeps them."""
        geometry, statistics = self.geometry, self.statistics
        return {
            "shape": list(geometry.shape),
            "ndim": geometry.ndim,
            **({"missing": geometry.missing} if geometry.missing else {}),
            "affine": geometry.affine.tolist(),
            "spacing_mm": list(geometry.spacing_mm),
            "sources": [source.to_json() for source in self.sources],
            "statistics": statistics and statistics.to_json(),
            "warnings": list(self.warnings),
            "details": dict(self.details),
            **({"raters": list(self.raters)} if self.raters else {}),
            **({"arrays": {k: a.to_json() for k, a in self.arrays.items()}} if self.arrays else {}),
        }

    @classmethod
    def from_json(cls, facts: Mapping[str, Any], path: Path | None = None) -> CaseInfo:
        """The facts that `to_json` wrote.

        Raises
        ------
        StoreError
            For another schema, or facts that are incomplete.
        """
        return _parsed(facts, path, ANEW, lambda: cls._from_json(facts))

    @classmethod
    def _from_json(cls, facts: Mapping[str, Any]) -> CaseInfo:
        z, y, x = map(int, facts["shape"])
        affine = np.array(facts["affine"], np.float64).reshape(4, 4)
        statistics = facts["statistics"]
        return cls(
            geometry=Geometry((z, y, x), affine, int(facts["ndim"]), facts.get("missing", "")),
            sources=tuple(Source.from_json(source) for source in facts["sources"]),
            statistics=statistics and CaseStatistics.from_json(statistics),
            warnings=tuple(map(str, facts["warnings"])),
            details=dict(facts["details"]),
            raters=tuple(map(str, facts.get("raters", ()))),
            arrays={k: ArrayRecord.from_json(a) for k, a in facts.get("arrays", {}).items()},
        )


def _parsed(
    facts: Mapping[str, Any], path: Path | None, remedy: str, parse: Callable[[], Parsed]
) -> Parsed:
    schema = facts.get("schema")
    if schema not in (FIRST_SCHEMA, SCHEMA):
        known = f"{FIRST_SCHEMA} to {SCHEMA}"
        raise StoreError(
            f"has schema {schema!r}, and softlab {__version__} knows schema {known}.",
            remedy="Read it with the version of softlab that wrote it, or a newer one.",
            path=path,
        )
    try:
        return parse()
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise StoreError(
            f"the 'softlab' attributes are damaged ({error!r}).", remedy=remedy, path=path
        ) from error


def differences(kept: StoreInfo, now: StoreInfo) -> list[str]:
    """What of method, parameters and classes differs, one line each.

    Parameters
    ----------
    kept
        What the store has.
    now
        What a run wants to write.
    """
    # A store goes on as it was begun: its schema says how it is laid out, not what it holds.
    now = replace(now, schema=kept.schema)
    a, b = dict(_flat("", kept.essence())), dict(_flat("", now.essence()))
    absent = {"keep_raters": "false", "ome": json.dumps(FIRST_OME)}
    both = ((n, a.get(n), b.get(n), absent.get(n, "nothing")) for n in dict.fromkeys([*a, *b]))
    return [
        f"{name}: {one or otherwise} in the store, {other or otherwise} now"
        for name, one, other, otherwise in both
        if one != other
    ]


def _flat(name: str, value: Any) -> Iterator[tuple[str, str]]:
    """Leaves of nested objects by their dotted names; a class is one leaf."""
    if isinstance(value, dict):
        for key, entry in value.items():
            yield from _flat(f"{name}.{key}" if name else key, entry)
    elif name == "classes":
        for entry in value:
            yield f"class {entry['index']}", f"{entry['value']} {entry['name']}"
    else:
        yield name, json.dumps(value)
