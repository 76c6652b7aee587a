"""The ``zarr.json`` of a store and of its cases: written with a seal, and read with care."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from softlab_cli.core.errors import StoreError
from softlab_cli.store.files import (
    METADATA,
    json_bytes,
    parse_json,
    read_bytes,
    read_json,
    system_errors,
)
from softlab_cli.store.ngff import image_metadata, label_metadata, labels_metadata
from softlab_cli.store.records import SEAL, is_sealed, sealed, sealed_text
from softlab_cli.store.remedies import ANEW, COPY
from softlab_cli.store.schema import LABEL_IMAGE, CaseInfo, StoreInfo

__all__ = [
    "PROOFS",
    "case_documents",
    "group_document",
    "group_paths",
    "label_documents",
    "ome_metadata",
    "read_case_info",
    "read_store_info",
    "softlab_facts",
    "store_document",
]

GIVE = "Give the folder that softlab wrote."

PROOFS = frozenset({"case_id", "arrays", SEAL})
"""Entries that a case has all of, or none when it was written by an earlier version."""


def group_document(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """The ``zarr.json`` of a group."""
    return {"zarr_format": 3, "node_type": "group", "attributes": dict(attributes)}


def case_documents(case_id: str, case: CaseInfo, store: StoreInfo) -> dict[str, bytes]:
    """The ``zarr.json`` of the groups in a complete case, by their paths, and its own, the last."""
    made = {"schema": store.schema, "recipe": store.recipe, "complete": True}
    facts = {"case_id": case_id, **case.to_json(), **made}
    ome = ome_metadata(case_id, case, store)
    documents = {path: json_bytes(own) for path, own in label_documents(ome).items()}
    # What is sealed is a text already.
    own = json_bytes(group_document({"ome": ome[""], "softlab": {}})).removesuffix(b"{}}}")
    return {**documents, "": own + sealed_text(facts).encode() + b"}}"}


def label_documents(ome: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The ``zarr.json`` of the groups in a case, by their paths, from `ome_metadata`."""
    return {path: group_document({"ome": own}) for path, own in ome.items() if path}


def group_paths(store: StoreInfo) -> tuple[str, ...]:
    """The groups of a case, by their paths below it; the case itself has the empty path."""
    group, _, _ = LABEL_IMAGE.partition("/")
    return ("", group, LABEL_IMAGE) if store.has_label_image else ("",)


def ome_metadata(case_id: str, case: CaseInfo, store: StoreInfo) -> dict[str, dict[str, Any]]:
    """The ``ome`` attributes of a case and of the groups in it.

    Returns
    -------
    attributes
        By the path of the group below the case, which has the empty path.
    """
    image = image_metadata(
        case_id,
        case.geometry,
        store.classes,
        path=store.array_path("label" if store.labels_only else "soft"),
        channels=not store.labels_only,
        version=store.ome,
    )
    if not store.has_label_image:
        return {"": image}
    group, _, name = LABEL_IMAGE.partition("/")
    array = store.array_path("label").removeprefix(f"{LABEL_IMAGE}/")
    label = label_metadata(name, case.geometry, store.classes, path=array, version=store.ome)
    return {"": image, group: labels_metadata([name], store.ome), LABEL_IMAGE: label}


def store_document(store: StoreInfo) -> dict[str, Any]:
    """The ``zarr.json`` of a store's root."""
    return group_document({"softlab": sealed({**store.to_json(), "recipe": store.recipe})})


def read_store_info(path: str | Path) -> StoreInfo:
    """What holds for all cases of the store in a folder.

    Raises
    ------
    StoreError
        When the folder does not exist, is no store of softlab, or tells another
        method, other parameters or classes than when it was made.
    """
    path = Path(path)
    with system_errors(path, "read"):
        if not path.is_dir():
            what = "is a file, not a store." if path.exists() else "does not exist."
            raise StoreError(what, remedy=GIVE, path=path)
        if not (path / METADATA).is_file():
            raise StoreError(f"is not a store: it has no {METADATA}.", remedy=GIVE, path=path)
    facts = softlab_facts(path / METADATA)
    if "complete" in facts:
        problem = "is a case of a store, not a store."
        raise StoreError(problem, remedy=f"Give the folder of the store, {path.parent}.", path=path)
    info = StoreInfo.from_json(facts, path / METADATA)
    # What a run was told besides may be damaged without harm: verify says so.
    if facts.get("recipe", info.recipe) != info.recipe:
        raise StoreError(
            "its method, parameters or classes have changed since it was written.",
            remedy=COPY,
            path=path / METADATA,
        )
    return info


def read_case_info(folder: Path, store: StoreInfo) -> CaseInfo:
    """What the store keeps about a complete case.

    Parameters
    ----------
    folder
        The case's folder.
    store
        What holds for all cases.

    Raises
    ------
    StoreError
        When the metadata is missing, damaged, of another case, or of another run's
        making.
    """
    path = folder / METADATA
    text = read_bytes(path)
    facts = _softlab_facts(parse_json(text, path), path)
    _check_proofs(facts, text, path)
    if facts.get("recipe") != store.recipe or facts.get("complete") is not True:
        raise StoreError(
            "was made with other parameters or classes than its store tells.",
            remedy=ANEW,
            path=folder,
        )
    return CaseInfo.from_json(facts, path)


def _check_proofs(facts: Mapping[str, Any], text: bytes, path: Path) -> None:
    """Raise unless the facts are those that were written, for this case."""
    case_id = path.parent.name
    present = PROOFS & facts.keys()
    if not present:
        return
    if present != PROOFS or not is_sealed(facts, text):
        raise StoreError("has changed since it was written.", remedy=ANEW, path=path)
    if facts["case_id"] != case_id:
        raise StoreError(
            f"is of the case {facts['case_id']!r}, in the folder of {case_id!r}.",
            remedy="Give the folder its name again, or remove it and run the command again.",
            path=path,
        )


def softlab_facts(document: Path) -> Mapping[str, Any]:
    """The ``softlab`` attributes of a store's root, or of a case.

    Parameters
    ----------
    document
        The group's ``zarr.json``.

    Raises
    ------
    StoreError
        When the document cannot be read or has no such attributes.
    """
    return _softlab_facts(read_json(document, COPY), document)


def _softlab_facts(content: Mapping[str, Any], document: Path) -> Mapping[str, Any]:
    attributes = content.get("attributes")
    facts = attributes.get("softlab") if isinstance(attributes, dict) else None
    if not isinstance(facts, dict):
        raise StoreError(
            "is Zarr, but was not written by softlab: it has no 'softlab' attributes.",
            remedy=GIVE,
            path=document.parent,
        )
    return facts
