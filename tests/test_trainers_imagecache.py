"""Threads that share a cache of images."""

from __future__ import annotations

from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softlab_cli.trainers import imagecache
from softlab_cli.trainers.imagecache import ImageCache
from tests.interleaving import interleaved


@pytest.mark.parametrize("where", [None, "memory"])
def test_threads_get_the_image_of_their_own_case(
    monkeypatch: pytest.MonkeyPatch, where: Any
) -> None:
    def read(case: Any, paths: tuple[Path, ...]) -> np.ndarray:
        return np.full((1, 1, 1, 1), len(case.case_id), np.float32)

    monkeypatch.setattr(imagecache, "read_case_image", read)
    cache: Any = ImageCache(where)
    others = (SimpleNamespace(case_id="b" * n) for n in count(2))
    with interleaved("get", act=lambda: cache.get(next(others), ())):
        found = cache.get(SimpleNamespace(case_id="a"), ())
    assert found.item() == 1
