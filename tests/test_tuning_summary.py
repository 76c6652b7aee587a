"""What tuning makes of all cases: the best setting, what is no worse, and half judged by half."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from softlab_cli.core.classes import ClassTable
from softlab_cli.evaluation.statistics import Interval
from softlab_cli.running.request import Request
from softlab_cli.tuning.grid import PLAIN, Setting
from softlab_cli.tuning.measure import Moved
from softlab_cli.tuning.results import Kept
from softlab_cli.tuning.summary import summarise, verdict
from softlab_cli.tuning.tables import described
from softlab_cli.tuning.votes import SURPRISE, Votes

MEAN, WIDE, NARROW = PLAIN["others"], Setting("msvls"), Setting("msvls", (("kernel_size", 5),))
CLASSES = ClassTable.from_values([0, 1])


def votes(nll: float) -> Votes:
    """A hundred votes of this NLL."""
    row = [0, round(nll * 100 / SURPRISE)]
    return Votes(100, 1, np.array([row] * 3, object), np.zeros((3, 2, 4), np.int64))


def case(number: int, nll: dict[Setting, float], moved: Any = None) -> Kept:
    found = {setting: votes(value) for setting, value in nll.items()}
    return Kept(f"c{number}", {}, (), ("r1", "r2", "r3"), 100, found, moved or {})


def summed(kept: list[Kept], settings: list[Setting], **more: Any) -> dict[str, Any]:
    request = SimpleNamespace(
        model={},
        groups=more.get("groups", {}), settings=settings, metric="nll", regions="all", bins=4,
        clip=1e-3, run=Request([Path("a"), Path("b")], Path("o")),
    )  # fmt: skip
    return dict(summarise(request, CLASSES, kept, {}).content)  # type: ignore[arg-type]


def of_wide(*nll: float) -> list[Kept]:
    """Cases whose NLL is .5 for the raters' mean."""
    return [case(i, {MEAN: 0.5, WIDE: value}) for i, value in enumerate(nll)]


def test_what_one_half_chooses_is_judged_by_the_other() -> None:
    found = summed(of_wide(0.1, 0.9, 0.1, 0.8), [MEAN, WIDE])["held_out"]
    first, second = found
    assert (first["setting"], second["setting"]) == (WIDE.name, MEAN.name)
    assert first["value"] == pytest.approx(0.85)
    assert first["gain"]["value"] == pytest.approx(0.35)
    assert (first["gain"]["than"], first["gain"]["verdict"]) == (MEAN.name, "worse")
    assert second["value"] == pytest.approx(0.5)
    assert second["gain"]["value"] == 0
    assert [(e["patients_choosing"], e["patients_judging"]) for e in found] == [(2, 2)] * 2


def test_a_half_that_chooses_the_plain_setting_is_not_judged_against_itself() -> None:
    request = SimpleNamespace(
        model={}, groups={}, settings=[MEAN, WIDE], metric="nll", regions="all", bins=4,
        clip=1e-3, run=Request([Path("a"), Path("b")], Path("o")),
    )  # fmt: skip
    summary = summarise(request, CLASSES, of_wide(0.1, 0.9, 0.1, 0.8), {})  # type: ignore[arg-type]
    said = [line for line in described(summary) if line.startswith("Half")]
    assert said[0].startswith(f"Half of the patients chooses {WIDE.name}; on the other half it")
    assert said[1] == f"Half of the patients chooses {MEAN.name}, as one would without a choice."


def test_halves_are_of_patients_and_too_few_have_none() -> None:
    kept = of_wide(0.1, 0.9, 0.1, 0.8)
    assert summed(kept[:3], [MEAN, WIDE])["held_out"] == []
    groups = {"c0": "p", "c1": "p", "c2": "q", "c3": "r"}
    found = summed(kept, [MEAN, WIDE], groups=groups)
    assert (found["patients"], found["held_out"]) == (3, [])
    five = of_wide(0.1, 0.9, 0.1, 0.8, 0.2)
    first, second = summed(five, [MEAN, WIDE])["held_out"]
    assert (first["patients_choosing"], second["patients_choosing"]) == (3, 2)


def test_what_is_better_is_recommended_and_what_is_not_is_not() -> None:
    better = summed(of_wide(0.1, 0.2, 0.1, 0.3, 0.2), [MEAN, WIDE])
    best = better["best"]["others"]
    assert (best["setting"], best["take"], best["gain"]["verdict"]) == (
        WIDE.name, WIDE.name, "better",
    )  # fmt: skip
    assert best["value"] == pytest.approx(0.18)
    assert best["gain"]["value"] == pytest.approx(-0.32)
    assert better["recommended"] == {"others": WIDE.name}
    unsure = summed(of_wide(0.1, 0.9, 0.1, 0.8, 0.2), [MEAN, WIDE])
    assert unsure["best"]["others"]["setting"] == WIDE.name
    assert unsure["recommended"] == {"others": MEAN.name}
    plain = summed(of_wide(0.6, 0.7, 0.6, 0.7), [MEAN, WIDE])
    assert (plain["best"]["others"]["setting"], plain["best"]["others"]["gain"]) == (
        MEAN.name, None,
    )  # fmt: skip


def test_rivals_are_those_that_the_best_is_not_better_than() -> None:
    near = (0.15, 0.3, 0.05, 0.35)
    kept = [
        case(i, {MEAN: 0.5, WIDE: one, NARROW: other})
        for i, (one, other) in enumerate(zip((0.1, 0.25, 0.15, 0.3), near, strict=True))
    ]
    best = summed(kept, [MEAN, WIDE, NARROW])["best"]["others"]
    assert best["setting"] == WIDE.name
    assert best["no_better_than"] == [NARROW.name]


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(-0.2, -0.1, "better"), (0.1, 0.2, "worse"), (-0.1, 0.1, "no better"),
     (-0.1, 0.0, "no better"), (0.0, 0.1, "no better")],
)  # fmt: skip
def test_an_interval_that_reaches_nought_shows_nothing(low, high, said) -> None:
    assert verdict(Interval((low + high) / 2, low, high, 5)) == said


def test_what_is_moved_is_a_share_of_each_case() -> None:
    svls = Setting("svls")
    kept = [
        case(0, {}, {svls: Moved(100, 10, 2.0, 5, 3.0, 1, 0)}),
        case(1, {}, {svls: Moved(200, 40, 4.0, 10, 3.0, 0, 2)}),
        case(2, {}, {svls: Moved(100, 0, 0.0, 0, 0.0, 0, 0)}),
    ]
    (entry,) = summed(kept, [MEAN, svls])["moved"]
    assert entry["moved_of_foreground"]["value"] == pytest.approx((0.2 + 0.1) / 2)
    assert entry["moved_of_foreground"]["cases"] == 2
    assert entry["touched_of_foreground"]["value"] == pytest.approx((0.5 + 0.25) / 2)
    assert entry["touched"]["value"] == pytest.approx((0.05 + 0.05 + 0) / 3)
    assert entry["entropy"]["value"] == pytest.approx((0.03 + 0.015 + 0) / 3)
    assert (entry["argmax_changes"], entry["ties"], entry["voxels"]) == (1, 2, 400)


def test_the_picture_has_no_empty_rows_and_one_amount_is_one_place() -> None:
    pytest.importorskip("matplotlib")
    from softlab_cli.report.tuning import tuning_figure

    settings = [
        Setting("fuse", (("method", "mean"),)), Setting("onehot"),
        Setting("vls", (("base", "onehot"), ("smoothing", 0.4))),
        Setting("vls", (("base", "svls"), ("smoothing", 0.4))),
    ]  # fmt: skip
    figures = [
        {"of": s.of, "setting": s.name, "class": "all", "metric": "nll", "value": 0.5, "low": 0.4,
         "high": 0.6}
        for s in settings
    ]  # fmt: skip
    tried = [{"of": s.of, "setting": s.name, **s.to_json()} for s in settings]
    content = {"one_rater_only": False, "tried": tried, "figures": figures, "metric": "nll"}
    axes = tuning_figure(content).axes
    assert len(axes) == 2
    assert all(axis.has_data() and axis.axison for axis in axes)
    places = [line.get_xdata()[0] for line in axes[1].get_lines() if len(line.get_xdata()) == 1]
    low, high = axes[1].get_xlim()
    assert len(set(places)) > 1
    assert np.ptp(np.log(places)) < 0.05 * np.log(high / low)
