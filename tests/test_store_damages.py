"""A share of the campaign of damages: none is missed, none is read wrong, none crashes."""

from __future__ import annotations

from pathlib import Path

import pytest

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
