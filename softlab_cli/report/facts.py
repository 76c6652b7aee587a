"""What is known of a store and its cases, ready for JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, get_args

from softlab_cli.report.marginals import LabelMarginals, Of, Over, stored_marginals
from softlab_cli.store.reader import Store

__all__ = ["Marginals", "config_toml", "gather_marginals", "marginal_facts", "store_facts"]

Marginals = dict[Of, dict[Over, LabelMarginals]]
"""Of hard and soft labels: what the amounts are a share of, and the marginals; empty where
the store keeps none."""

NAMES: dict[Over, str] = {
    "all": "proportion",
    "valid": "proportion_valid",
    "box": "proportion_box",
}
"""Names of the proportions, as the statistics of a case have them."""


def store_facts(store: Store, case_id: str | None = None) -> dict[str, Any]:
    """What a store, or one of its cases, says of itself.

    Raises
    ------
    MissingCaseError
        When the store has no such case.
    """
    schema = {"schema": store.info.schema}
    if case_id:
        return {"case_id": case_id, **schema, **store[case_id].info.to_json()}
    cases = {name: schema | store.read_info(name).to_json() for name in store}
    return {"path": str(store.path), **store.info.to_json(), "cases": cases}


def config_toml(config: Mapping[str, Any]) -> str:
    """A configuration as `softlab run` reads it (JSON's plain values are TOML's)."""
    return "\n".join(
        f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in config.items()
    )


def gather_marginals(store: Store, case_id: str | None = None) -> Marginals:
    """What the statistics of all cases, or of one, have of each class."""
    case_ids = None if case_id is None else [case_id]
    return {
        source: {
            over: found
            for over in get_args(Over)
            if (found := stored_marginals(store, over, source, case_ids=case_ids)) is not None
        }
        for source in get_args(Of)
    }


def marginal_facts(store: Store, case_id: str | None = None) -> dict[str, Any]:
    """How much of each class each case has, and all together.

    Parameters
    ----------
    store
        An open store.
    case_id
        One case; by default all.

    Returns
    -------
    dict
        ``classes``; ``pooled``, and ``cases`` by case id, each with ``hard`` and, where it
        is kept, ``soft``: lists by class of voxels, mm3 and proportions.

    Raises
    ------
    StoreError
        When a case has no statistics.
    """
    found = gather_marginals(store, case_id)
    case_ids = found["hard"]["all"].case_ids
    return {
        "classes": store.classes.to_json(),
        "pooled": {source: _pooled(parts) for source, parts in found.items() if parts},
        "cases": {
            name: {source: _of_case(parts, row) for source, parts in found.items() if parts}
            for row, name in enumerate(case_ids)
        },
    }


def _pooled(parts: dict[Over, LabelMarginals]) -> dict[str, Any]:
    every = parts["all"]
    return {
        "voxels": every.amounts.sum(axis=0).tolist(),
        "mm3": every.mm3.sum(axis=0).tolist(),
        **{NAMES[over]: part.pooled.tolist() for over, part in parts.items()},
    }


def _of_case(parts: dict[Over, LabelMarginals], row: int) -> dict[str, Any]:
    every = parts["all"]
    shares = {
        # A case without a box has no shares of it.
        NAMES[over]: part.proportions[row].tolist() if part.voxels[row] else None
        for over, part in parts.items()
    }
    return {"voxels": every.amounts[row].tolist(), "mm3": every.mm3[row].tolist(), **shares}
