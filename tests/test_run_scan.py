"""The label map that a scan hands over to the run of one case."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.cases import Case
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.labels import case as labels_case
from softlab_cli.labels.read import read_labels
from softlab_cli.running import scan
from softlab_cli.running.scan import Handover
from tests.conftest import blobs, write_image


@pytest.fixture
def case(tmp_path: Path) -> Case:
    path = write_image(tmp_path / "in" / "a.nii.gz", blobs((5, 6, 7), 3))
    return Case("a", (path,), raters=("r",))


def label_map() -> LabelMap:
    return LabelMap(np.ones((1, 1, 1), np.uint8), Geometry((1, 1, 1), np.eye(4)))


def test_it_is_given_away_once(case: Case) -> None:
    handover, kept = Handover(), label_map()
    handover.keep(case, kept)
    assert handover.take(case) is kept
    assert handover.take(case) is None


def test_a_file_that_has_changed_is_read_again(case: Case) -> None:
    handover = Handover()
    handover.keep(case, label_map())
    write_image(case.label_maps[0], blobs((8, 8, 8), 3))
    assert handover.take(case) is None


def test_it_does_not_travel(case: Case) -> None:
    handover = Handover()
    handover.keep(case, label_map())
    assert pickle.loads(pickle.dumps(handover)).take(case) is None


@pytest.mark.parametrize(("cases", "reads"), [(1, 1), (2, 4)])
def test_the_one_label_map_of_a_run_is_read_once(
    softlab: Callable[..., Any], tmp_path: Path, monkeypatch, cases: int, reads: int
) -> None:
    found = []

    def read(path: Path, *arguments: Any, **options: Any) -> LabelMap:
        found.append(path)
        return read_labels(path, *arguments, **options)

    for module in (scan, labels_case):
        monkeypatch.setattr(module, "read_labels", read)
    for number in range(cases):
        write_image(tmp_path / "in" / f"{number}.nii.gz", blobs((5, 6, 7), 3))
    done = softlab("svls", "--in", tmp_path / "in", "--out", tmp_path / "o.zarr", "--workers", 1)
    assert done.exit_code == 0, done.output
    assert len(found) == reads
