"""A share of the campaign of damages: none is missed, none is read wrong, none crashes."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import softlab_cli
from softlab_cli.methods import SVLS
from tests.campaign.__main__ import CAMPAIGNS, main
from tests.campaign.damages import NOT_TOLD, Outcome, damage, table


def test_sixty_damages(tmp_path: Path) -> None:
    outcomes = list(damage(tmp_path, range(60), seed=7))
    failed = [outcome for outcome in outcomes if outcome.failed]
    assert not failed, "\n".join(table(outcomes))
    assert sum(outcome.found for outcome in outcomes) > 40, "damages should damage something"
    assert len({outcome.fault for outcome in outcomes}) > 15


@pytest.mark.parametrize(
    ("outcome", "failed"),
    [
        (Outcome(1, "flip shard", "x", found=True), False),
        (Outcome(1, "flip shard", "x"), True),
        (Outcome(1, "flip shard", "x", harmless=True), False),
        (Outcome(1, "flip shard", "x", found=True, wrong=True), True),
        (Outcome(1, *NOT_TOLD, "x", found=True, wrong=True), False),
        (Outcome(1, *NOT_TOLD, "x", wrong=True), True),
        (Outcome(1, "flip shard", "x", found=True, crash="Traceback"), True),
    ],
)
def test_what_fails(outcome: Outcome, failed: bool) -> None:
    assert outcome.failed is failed
    assert ("--only 1" in "\n".join(table([outcome]))) is failed


def test_the_list_of_campaigns(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(CAMPAIGNS)
    assert main(["nothing"]) == 2


def test_the_remedy_for_a_damaged_chunk_mends_it(softlab, labels: Path, tmp_path: Path) -> None:
    """To run again is not enough: what has its size counts as whole."""
    store = tmp_path / "soft.zarr"
    softlab_cli.run(SVLS(), labels, store, workers=1)
    shard = store / "case1" / "soft" / "c.0.0.0.0"
    content = bytearray(shard.read_bytes())
    content[len(content) // 4] ^= 1
    shard.write_bytes(content)
    refused = softlab("export", store, "--out", tmp_path / "nifti")
    assert refused.exit_code == 1
    assert "Remove the folder of the case and run the command again" in refused.output
    shutil.rmtree(store / "case1")
    softlab_cli.run(SVLS(), labels, store, workers=1)
    assert softlab("verify", store).exit_code == 0
