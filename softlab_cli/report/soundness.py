"""Check a store against itself, its method, and the inputs that it was made from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from softlab_cli.api import open_store
from softlab_cli.cases import Case, discover_cases
from softlab_cli.core.errors import SoftlabError
from softlab_cli.core.events import Listener
from softlab_cli.core.places import refuse_url
from softlab_cli.running.scan import case_files
from softlab_cli.store.defects import Defect
from softlab_cli.store.reader import Store
from softlab_cli.store.softening import LocalSoftener
from softlab_cli.store.verify import verify_store

__all__ = ["check_store"]


def check_store(
    path: str | Path,
    *,
    cases: Sequence[str] | None = None,
    inputs: Sequence[Path] = (),
    check_sources: bool = True,
    quick: bool = False,
    mend_ome: bool = False,
    listen: Listener | None = None,
) -> list[Defect]:
    """Look for everything that could be wrong with a store: what ``softlab verify`` does.

    Parameters
    ----------
    path
        The store's folder.
    cases
        Case ids to check; None for all, and for the store's own files.
    inputs
        Label maps, as they were given to the run: a case of theirs that is not in
        the store, or was made from other files, is a defect. By default those of the
        configuration that the store keeps, where they are at hand; a case that is
        missing is then worth a note, for the run may go on.
    check_sources
        Compare the files that the cases were made from with their checksums, and
        look for the cases of the kept configuration.
    quick
        Read metadata, and indexes and digests of the shards, and no voxel.
    mend_ome
        Write OME metadata anew where they differ from affine and classes, as in
        stores of earlier versions; nothing else is written.
    listen
        Is told of each case that was checked.

    Returns
    -------
    defects
        What was found; the store is sound when none has severity ``defect``.

    Raises
    ------
    StoreError
        When the folder is no store of softlab at all.
    MissingCaseError
        For a case id that the store does not have.
    InputError
        When there are no cases in `inputs`.
    """
    refuse_url(*inputs)
    store = Store(path)
    expected = None
    if inputs or (check_sources and not quick):
        expected = _expected_cases(inputs, store.info.config)
    return verify_store(
        path,
        cases=cases,
        check_sources=check_sources and not quick,
        quick=quick,
        mend=mend_ome,
        softener=None if quick else _softener_of(store),
        expected=expected,
        missing="defect" if inputs else "note",
        listen=listen,
    )


def _softener_of(store: Store) -> LocalSoftener | None:
    """What computes the stored soft labels from the hard ones, for methods that can."""
    if store.info.labels_only:
        return None
    try:
        return open_store(store.path, from_label=True).compute
    except SoftlabError:
        return None


def _expected_cases(
    inputs: Sequence[Path], config: Mapping[str, Any]
) -> dict[str, tuple[Path, ...]] | None:
    """The cases of the inputs, with their label maps, or of the kept configuration.

    Paths that were kept may be relative, so of those only the case ids count. None when
    they are not at hand.
    """
    kept = [Path(text) for text in _texts(config, "in")]
    if not inputs and not (kept and all(path.exists() for path in kept)):
        return None
    try:
        found = discover_cases(
            list(inputs) or kept,
            series=next(iter(_texts(config, "series")), None),
            rater_pattern=next(iter(_texts(config, "rater-pattern")), None),
            class_pattern=next(iter(_texts(config, "class-pattern")), None),
            soft=config.get("command") == "import",
        )
    except SoftlabError:
        if inputs:
            raise
        return None
    return {case.case_id: _label_files(case) if inputs else () for case in found}


def _label_files(case: Case) -> tuple[Path, ...]:
    return tuple(path for path, role in case_files(case) if role == "label")


def _texts(config: Mapping[str, Any], name: str) -> list[str]:
    """The values of an option that is text, as often as it was given."""
    value = config.get(name, ())
    values = value if isinstance(value, list) else [value]
    return [entry for entry in values if isinstance(entry, str)]
