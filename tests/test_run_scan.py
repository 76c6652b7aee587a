"""The label map that a scan leaves for the run, and what threads that share it get."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from softlab_cli.cases import Case
from softlab_cli.core.volume import Geometry, LabelMap
from softlab_cli.labels.read import ReadingOptions
from softlab_cli.running import scan as scanning
from softlab_cli.running.scan import LastLabelMap
from tests.interleaving import interleaved

OPTIONS = ReadingOptions()


def case_of(number: int) -> Case:
    return Case(f"case{number}", (Path(f"case{number}.nii.gz"),), raters=("r",))


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Paths that are read; each label map holds the number of its case."""
    found: list[Path] = []

    def read(path: Path, *_: Any, **__: Any) -> LabelMap:
        found.append(path)
        number = int(path.name.removeprefix("case").removesuffix(".nii.gz"))
        return LabelMap(np.full((1, 1, 1), number), Geometry((1, 1, 1), np.eye(4)))

    monkeypatch.setattr(scanning, "read_labels", read)
    return found


def number_in(label_map: LabelMap) -> int:
    return int(label_map.values[0, 0, 0])


def test_label_map_is_read_once_and_given_away_once(reads: list[Path]) -> None:
    last = LastLabelMap()
    assert last.read(case_of(1), OPTIONS) is last.take(case_of(1), OPTIONS)
    assert len(reads) == 1
    last.take(case_of(1), OPTIONS)
    assert len(reads) == 2


def test_other_options_read_again(reads: list[Path]) -> None:
    last = LastLabelMap()
    last.read(case_of(1), OPTIONS)
    last.read(case_of(1), ReadingOptions(rois=("liver",)))
    assert len(reads) == 2


@pytest.mark.usefixtures("reads")
@pytest.mark.parametrize("way", ["read", "take"])
def test_threads_get_the_label_map_of_their_own_case(way: str) -> None:
    """Another case is read between any two lines, as another thread might."""
    last = LastLabelMap()
    with interleaved("read", "take", act=lambda: last.read(case_of(2), OPTIONS)):
        found = getattr(last, way)(case_of(1), OPTIONS)
    assert number_in(found) == 1
