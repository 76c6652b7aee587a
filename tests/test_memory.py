"""Amounts of memory, and the workers that fit into them."""

from __future__ import annotations

import pytest

from softlab_cli.core.errors import UsageError
from softlab_cli.core.memory import CaseMemory, format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "count"),
    [("16G", 16 * 2**30), ("512 MiB", 512 * 2**20), ("1.5kb", 1536), ("1000", 1000)],
)
def test_amounts(text: str, count: int) -> None:
    assert parse_bytes(text) == count


@pytest.mark.parametrize("text", ["", "G", "12 apples", "-1G"])
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not an amount of memory"):
        parse_bytes(text)


def test_amounts_for_people() -> None:
    assert format_bytes(1000) == "1000 B"
    assert format_bytes(3 * 2**29) == "1.5 GiB"


def test_projection_counts_every_part() -> None:
    base = CaseMemory(1000, 0, 0, 0, 0, 1).total
    assert CaseMemory(1000, 0, 7, 2, 100, 3).total == base + 7 + 2000 + 900
    assert CaseMemory(1000, 5000, 7, 2, 100, 3).total == base + 5000 + 900
