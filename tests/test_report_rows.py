"""What a page says of cases, classes and raters: each number against one worked out by hand."""

from __future__ import annotations

from typing import Any

import pytest

from softlab_cli.core.classes import ClassTable
from softlab_cli.fusion.raters import PairAgreement, RaterStatistics
from softlab_cli.report.page.boxes import LEAST, Box
from softlab_cli.report.page.cases import CaseFacts, Sign, case_table, with_signs
from softlab_cli.report.page.classes import MOST_NAMED, class_charts, class_table
from softlab_cli.report.page.raters import rater_part
from softlab_cli.report.page.tables import Table
from softlab_cli.store.statistics import CaseStatistics

NAMES = ("background", "liver", "spleen")
CLASSES = ClassTable.from_values([0, 1, 5], dict(zip((0, 1, 5), NAMES, strict=True)))


def statistics(hard: tuple[float, ...] = (9e5, 2000.0, 1000.0), **changes: Any) -> CaseStatistics:
    """Of a case with these volumes in mm3, twice as much soft liver and half as much spleen."""
    soft = [hard[0], 2 * hard[1], hard[2] / 2]
    given: dict[str, Any] = {
        "voxels": 1000, "ignored_voxels": 0, "voxel_mm3": 1.0, "foreground_box": None,
        "hard_voxels": [0, 0, 0], "hard_proportion": [0.0] * 3, "hard_proportion_valid": [0.0] * 3,
        "hard_proportion_box": None, "hard_mm3": list(hard), "soft_mm3": soft,
        "argmax_changes": 0, "ties": 0, "mean_entropy": 0.1,
    }  # fmt: skip
    return CaseStatistics(**(given | changes))


def raters(dice: dict[tuple[str, str], float], **changes: Any) -> RaterStatistics:
    """Of raters with these Dice; sensitivity is 0.1 and specificity 0.2 of background."""
    names = sorted({name for pair in dice for name in pair})
    own = [[d for pair, d in dice.items() if name in pair] for name in names]
    given: dict[str, Any] = {
        "raters": names, "labelled_voxels": 9, "disputed_voxels": 0, "disputed_share": 0.0,
        "disputed_share_foreground": 0.0, "mean_entropy": 0.0, "majority_ties": 0,
        "pairs": [PairAgreement(pair, [], d) for pair, d in dice.items()],
        "mean_dice": [sum(d) / len(d) for d in own], "fleiss_kappa": [],
        "fleiss_kappa_overall": None, "sensitivity": [[0.1, 0.8, None] for _ in names],
        "specificity": [[0.2, 0.9, 0.6] for _ in names], "staple": {}, "outliers": [],
        "warnings": [],
    }  # fmt: skip
    return RaterStatistics(**(given | changes))


def facts(name: str, found: CaseStatistics | None = None, **more: Any) -> CaseFacts:
    return CaseFacts(name, f"at-{name}", statistics=found or statistics(), **more)


def plain(count: int = LEAST + 2, **more: Any) -> list[CaseFacts]:
    return [facts(f"c{i}", **more) for i in range(count)]


def signs(cases: list[CaseFacts]) -> dict[str, list[Sign]]:
    found = with_signs(cases, NAMES, 0)
    return {case.case_id: list(case.signs) for case in found if case.signs}


def cells(table: Table) -> dict[str, dict[str, Any]]:
    """First cell of each row, then heading, to cell."""
    titles = [column.title for column in table.columns]
    return {row.cells[0]: dict(zip(titles, row.cells, strict=True)) for row in table.rows}


# ---- cases -----------------------------------------------------------------


def test_much_of_one_figure_and_little_of_another_are_signs() -> None:
    alike = raters({("a", "b"): 0.9})
    agreed = [facts("low", raters=raters({("a", "b"): 0.2})),
              facts("high", raters=raters({("a", "b"): 1.0}))]  # fmt: skip
    assert signs([*plain(raters=alike), *agreed]) == {"low": [Sign("raters agree little")]}
    for changes, text in (
        ({"ties": 90}, "many ties"),
        ({"argmax_changes": 90}, "many changes of the largest class"),
        ({"mean_entropy": 2.0}, "much entropy"),
    ):
        assert signs([*plain(), facts("odd", statistics(**changes))]) == {"odd": [Sign(text)]}
    assert signs([*plain(), facts("sure", statistics(mean_entropy=0.0))]) == {}


def test_volumes_of_foreground_that_stand_out_are_signs() -> None:
    odd = [
        facts("small", statistics((9e5, 20.0, 1000.0))),
        facts("large", statistics((9e5, 2000.0, 1e5))),
        facts("field", statistics((9e8, 2000.0, 1000.0))),
    ]
    found = signs([*plain(20), *odd])
    assert found == {"small": [Sign("little", "liver")], "large": [Sign("much", "spleen")]}


def test_a_class_is_lacking_where_nearly_all_cases_have_it() -> None:
    without = statistics((9e5, 2000.0, 0.0))
    assert signs([*plain(19), facts("gone", without)]) == {"gone": [Sign("no", "spleen")]}
    assert signs([*plain(18), facts("gone", without), facts("gone2", without)]) == {}


def test_more_signs_come_first_then_more_entropy_then_the_name() -> None:
    cases = [
        facts("c10"), facts("c9"), facts("soft", statistics(mean_entropy=0.2)),
        facts("three", warnings=("a", "b", "c")), facts("two", warnings=("a", "b")),
    ]  # fmt: skip
    ranked = with_signs(cases, NAMES, 0)
    assert [case.case_id for case in ranked] == ["three", "two", "soft", "c9", "c10"]
    assert [case.sign_count for case in ranked] == [3, 2, 0, 0, 0]


def test_shares_are_of_what_is_labelled() -> None:
    case = facts("c", statistics(ignored_voxels=600, ties=100))
    assert case.share(100) == 0.25
    assert case.share(None) is None


def test_the_table_of_cases_has_millilitres() -> None:
    cases = with_signs([facts("a"), facts("b", statistics((9e5, 500.0, 0.0)))], NAMES, 0)
    table = case_table(cases, NAMES, 0)
    assert list(table.choices) == ["all but background", "liver", "spleen"]
    assert {row.cells[0]: row.volumes for row in table.rows} == {
        "a": (3.0, 2.0, 1.0), "b": (0.5, 0.5, None),
    }  # fmt: skip
    assert cells(table)["a"]["volume, ml"] == 3.0
    assert cells(table)["a"]["entropy, bits"] == pytest.approx(0.1 / 0.693147, rel=1e-5)


# ---- classes ---------------------------------------------------------------


def test_a_class_has_its_volumes_and_what_softening_makes_of_them() -> None:
    less = statistics((9e5, 4000.0, 0.0), soft_mm3=[9e5, 4400.0, 0.0])
    cases = [*plain(2), facts("less", less)]
    rows = cells(class_table(cases, CLASSES))
    liver, spleen = rows["liver"], rows["spleen"]
    assert (liver["label value"], liver["cases"], liver["median, ml"]) == (1, 3, 2.0)
    assert (spleen["label value"], spleen["cases"], spleen["median, ml"]) == (5, 2, 1.0)
    assert liver["soft against hard"] == pytest.approx((4000 + 4000 + 4400) / 8000 - 1)
    assert (liver["least"], liver["most"]) == pytest.approx((0.1, 1.0))
    assert spleen["soft against hard"] == -0.5
    box = liver["volumes over the cases"]
    assert isinstance(box, Box)
    assert "3 volumes, ml: least 2, quartiles 2 and 3, median 2, most 4" in box.told
    assert rows["background"]["volumes over the cases"] is None
    (chart,) = (c for c in class_charts(cases, CLASSES) if "Soft against hard" in c.title)
    assert "from -50 % (spleen) to 55 % (liver)" in chart.told


def test_cases_that_stand_out_in_a_class_are_named_up_to_a_number() -> None:
    odd = [facts(f"odd{i}", statistics((9e8, 1e6, 1000.0))) for i in range(MOST_NAMED + 2)]
    rows = cells(class_table([*plain(100), *odd[:1]], CLASSES))
    assert rows["liver"]["stands out in"] == (("at-odd0", "odd0"),)
    assert rows["spleen"]["stands out in"] is None
    assert rows["background"]["stands out in"] is None
    named = cells(class_table([*plain(100), *odd], CLASSES))["liver"]["stands out in"]
    assert len(named) == MOST_NAMED + 1
    assert named[-1] == ("", "and 2 more")


# ---- raters ----------------------------------------------------------------


def test_raters_over_all_cases() -> None:
    one = raters({("a", "b"): 0.9, ("a", "c"): 0.52, ("b", "c"): 0.6}, outliers=["c"])
    two = raters({("a", "b"): 0.7})
    part = rater_part([facts("one", raters=one), facts("two", raters=two), facts("none")], 0)
    assert part is not None
    rows = cells(part.table)
    assert [rows[name]["cases"] for name in "abc"] == [2, 2, 1]
    assert [rows[name]["Dice"] for name in "abc"] == pytest.approx([0.705, 0.725, 0.56])
    assert rows["a"]["sensitivity"] == pytest.approx(0.8)  # of the liver alone
    assert rows["a"]["specificity"] == pytest.approx(0.75)  # of liver and spleen
    assert [rows[name]["does not belong in"] for name in "abc"] == [
        None, None, (("at-one", "one"),)
    ]  # fmt: skip
    assert part.rater == "c"
    assert "mean Dice 0.560 in 1 case; the other raters have 0.715" in part.said
    assert part.pairs is not None
    assert [[cell.text for cell in row] for row in part.pairs.cells] == [
        ["", "0.8", "0.52"], ["0.8", "", "0.6"], ["0.52", "0.6", ""]
    ]  # fmt: skip
    assert "the least is 0.520" in part.pairs.told


def test_of_two_raters_neither_agrees_least() -> None:
    part = rater_part([facts("one", raters=raters({("a", "b"): 0.5}))], 0)
    assert part is not None
    assert (part.rater, part.said) == ("", "")
    assert rater_part(plain(3), 0) is None
