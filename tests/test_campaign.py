"""A small share of the campaigns, with fixed seeds."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.campaign import kills, neighbours, places, runs
from tests.campaign.__main__ import CAMPAIGNS, main
from tests.campaign.trials import Trial, campaign

KILLS = (15, 16, 31)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Inputs, and what undisturbed runs make of them."""
    folder = tmp_path_factory.mktemp("campaign")
    runs.make_inputs(folder)
    return folder


@pytest.mark.parametrize("seed", KILLS)
def test_kills(folder: Path, seed: int) -> None:
    kill = kills.Kill.from_seed(seed)
    assert kills.try_kill(folder, kill, places.expected(folder, kill.method)) == ""


def test_kills_of_this_share_differ() -> None:
    chosen = [kills.Kill.from_seed(seed) for seed in KILLS]
    assert {kill.number for kill in chosen} == set(kills.SIGNALS)
    assert {kill.workers for kill in chosen} == {1, 2}


def test_parts_at_once(folder: Path) -> None:
    assert neighbours.parts(folder, "svls", random.Random(0)) == ""
    expected = places.expected(folder, "svls")
    assert runs.differences(runs.content(folder / "shared"), expected) == ""


def test_a_full_disk(folder: Path) -> None:
    assert places.small_files(folder, "svls", random.Random(0)) == ""


def test_a_campaign_counts_and_names_faults(tmp_path, capsys) -> None:
    def run(folder: Path, count: int, seed: int):
        assert folder.is_dir()
        for number in range(seed, seed + count):
            yield Trial(("even", "odd")[number % 2], number, "broke" if number == 5 else "")

    assert campaign(["--count", "4", "--seed", "3"], run, name="none", count=9) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "seed 5: odd: broke"
    assert [line.split() for line in lines[2:5]] == [
        ["even", "2", "0"], ["odd", "2", "1"], ["all", "4", "1"],
    ]  # fmt: skip
    assert campaign(["--count", "1", "--seed", "3"], run, name="none", count=9) == 0


def test_every_campaign_is_named(capsys) -> None:
    assert main([]) == 0
    assert all(name in capsys.readouterr().out for name in list(CAMPAIGNS)[:1])
    assert main(["nothing"]) == 2
