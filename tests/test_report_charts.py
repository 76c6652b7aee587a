"""Charts, tables and paths of pages: that they lie where numbers say."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from softlab_cli.report.page.boxes import LEAST, box_of, fences
from softlab_cli.report.page.charts import (
    Place,
    bar_chart,
    histogram,
    line_chart,
    matrix,
    scatter,
)
from softlab_cli.report.page.environment import page_environment
from softlab_cli.report.page.outlines import FINENESS, path_of
from softlab_cli.report.page.scales import Scale
from softlab_cli.report.page.tables import Column, Row, Table, as_text
from tests.page_support import MARKUP, Elements

numbers = st.floats(-1e6, 1e6, allow_nan=False)


@given(st.lists(numbers, max_size=8), st.integers(2, 9))
def test_ticks_are_round_and_inside(values: list[float], most: int) -> None:
    scale = Scale.around(values, 10, 110)
    assert scale.low < scale.high
    ticks = scale.ticks(most)
    assert len(ticks) <= most + 1
    assert all(10 <= tick.at <= 110 for tick in ticks)


@given(st.lists(st.floats(1e-6, 1e9), max_size=8))
def test_logarithmic_ticks_are_inside(values: list[float]) -> None:
    scale = Scale.around(values, 110, 10, log=True)
    ticks = scale.ticks(6)
    assert 1 <= len(ticks) <= 7
    assert all(10 <= tick.at <= 110 for tick in ticks)


@pytest.mark.parametrize("log", [False, True])
def test_numbers_that_differ_in_their_last_bits_are_one(log) -> None:
    scale = Scale.around([0.228, np.nextafter(0.228, 1)], 0, 100, log=log)
    labels = [tick.label for tick in scale.ticks()]
    assert len(set(labels)) == len(labels) > 0
    chart = histogram("Volumes", [0.228, np.nextafter(0.228, 1), 0.228 - 1e-9], "ml")
    assert len(chart.bars) == 1


def test_what_no_axis_has_room_for_makes_none() -> None:
    scale = Scale.around([-3, 0, 2, 50, float("inf"), float("nan")], 0, 100, log=True)
    assert (scale.low, scale.high) == (2, 50)
    one = Scale.around([8.0, 8.0], 0, 100, log=True)
    assert (one.low, one.high) == (4, 16)
    assert one.at(8) == 50


def test_places_on_scales() -> None:
    assert [Scale(0, 10, 0, 100).at(v) for v in (-5, 0, 5, 10, 20)] == [0, 0, 50, 100, 100]
    assert [Scale(1, 100, 0, 100, log=True).at(v) for v in (1, 10, 100)] == [0, 50, 100]
    assert [t.label for t in Scale(0, 1, 0, 1).ticks()] == ["0", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [t.label for t in Scale(0.5, 50, 0, 1, log=True).ticks(9)] == [
        "0.5", "1", "2", "5", "10", "20", "50"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (float("nan"), ""), (0.0, "0"), (3, "3"), (1234567.0, "1234567"),
     (0.123456, "0.1235"), (99.999, "100"), (1500.26, "1500"), (12.5, "12.5"),
     (-0.002, "-0.002"), (2e-7, "2e-07")],
)  # fmt: skip
def test_numbers_as_people_write_them(value, text) -> None:
    assert as_text(value) == text


def test_a_bar_is_as_long_as_its_number() -> None:
    chart = bar_chart("Volumes", {"liver": 30.0, MARKUP: 15.0, "none": 0.0}, "ml")
    lengths = [bar.width for bar in chart.bars]
    assert lengths[0] == 2 * lengths[1] > lengths[2] == 0
    assert "liver 30" in chart.told


def test_a_histogram_counts_all() -> None:
    values = [*np.linspace(0, 1, 50), float("nan")]
    chart = histogram("Entropy", values, "bits", bins=10)
    counts = [int(re.findall(r": (\d+) cases", bar.text)[0]) for bar in chart.bars]
    assert sum(counts) == 50
    assert max(bar.height for bar in chart.bars) == pytest.approx(chart.bottom - chart.top)


def test_points_that_have_no_place_are_left_out() -> None:
    places = [Place(0, 1, "zero"), Place(10, 2, "ten"), Place(float("nan"), 1)]
    assert len(scatter("a", {"s": places}, "x", "y", log_x=True).points) == 1
    chart = line_chart("b", {"one": places, "two": places}, "x", "y", diagonal=True, unit=True)
    assert [curve.series for curve in chart.curves] == [-1, 0, 1]
    assert chart.series == ("one", "two")


def drawn(template: str, **content: object) -> Elements:
    start = '{% import "parts.html" as parts %}'
    return Elements(page_environment().from_string(start + template).render(**content))


def test_every_chart_becomes_markup() -> None:
    charts = [
        bar_chart("bars", {MARKUP: 1.0}, "ml"), histogram("h", [1.0, 2.0], "ml", name=MARKUP),
        scatter("s", {"a": [Place(1, 2, MARKUP)], MARKUP: [Place(1, 2)]}, "x", "y", level=1.5),
        line_chart("l", {f"s{i}": [Place(i, 0.1), Place(2, 0.3)] for i in range(9)}, "x", "y"),
        histogram("nothing", [], "ml"), bar_chart("nothing", {}, "ml"),
    ]  # fmt: skip
    found = drawn("{% for c in charts %}{{ parts.chart(c) }}{% endfor %}", charts=charts)
    assert found.tags["svg"] == 6 + 2 + 9
    assert not found.tags["img"]
    assert MARKUP in found.text


def test_a_matrix_is_a_table_of_numbers() -> None:
    found = drawn("{{ parts.matrix(m) }}", m=matrix("Dice", ["a", MARKUP], ["x", "y"],
                  [[None, 0.5], [0.75, 1.0]]))  # fmt: skip
    assert "0.75" in found.text
    assert [v for t, n, v in found.attributes if n == "style"] == [
        "--strength:0.0", "--strength:0.5", "--strength:0.75", "--strength:1.0"
    ]  # fmt: skip


def test_cells_are_sorted_by_numbers_and_shown_as_text() -> None:
    columns = [Column("case", "name"), Column("share", "share"), Column("in", "link")]
    rows = [Row([MARKUP, 0.1234567, (("case-1", MARKUP), ("", "and 2 more"))], "row-1", True, "p")]
    found = drawn("{{ parts.table(t) }}", t=Table("t", "A table", columns, rows, True, "only odd"))
    assert "12.35 %" in found.text
    assert ("td", "data-value", "12.34567") in found.attributes
    assert ("a", "href", "#case-1") in found.attributes
    assert ("button", "data-opens", "p") in found.attributes
    assert not found.tags["img"]


# ---- what stands out -------------------------------------------------------


def test_fences() -> None:
    values = [float(v) for v in range(1, 12)]
    assert fences(values) == pytest.approx((3.5 - 15, 8.5 + 15))
    low, high = fences([10.0**v for v in range(1, 12)], log=True)
    assert np.log10([low, high]) == pytest.approx((3.5 - 15, 8.5 + 15))
    assert fences(values[: LEAST - 1]) == (-np.inf, np.inf)
    assert np.isfinite(fences(values[:LEAST])).all()


def test_numbers_that_are_one_do_not_stand_out_by_rounding() -> None:
    low, high = fences([0.1 + 0.2] * 9 + [0.3])
    assert low <= 0.3 <= high < 0.31


def test_a_box_shows_what_stands_out() -> None:
    box = box_of([10.0, 11, 12, 13, 14, 15, 16, 17, 900], 1, 1000, "volumes")
    assert len(box.outside) == 1
    assert box.low < box.first < box.middle < box.third < box.high < box.outside[0]
    assert box.median == 14
    low = box_of([0.01, 10.0, 11, 12, 13, 14, 15, 16, 17], 0.01, 100, "volumes")
    assert len(low.outside) == 1
    assert low.outside[0] < low.low < low.first


# ---- paths -----------------------------------------------------------------


def points_of(path: str) -> list[np.ndarray]:
    """The points that a browser draws."""
    found = []
    for start, steps, closed in re.findall(r"M(-?\d+ -?\d+)l([^zM]*)(z?)", path):
        numbers = [int(n) for n in re.findall(r"-?\d+", start + " " + steps.replace("-", " -"))]
        places = np.cumsum(np.reshape(numbers, (-1, 2)), axis=0)
        found.append(np.vstack([places, places[:1]]) if closed else places)
    return [places / FINENESS for places in found]


@given(
    st.lists(st.tuples(st.integers(-500, 500), st.integers(-500, 500)), min_size=2, max_size=20),
    st.booleans(),
)
def test_paths_are_what_they_draw(points: list[tuple[int, int]], closed: bool) -> None:
    line = np.float32([*points, *([points[0]] if closed else [])]) / 10
    moves = np.abs(np.diff(line, axis=0)).sum(axis=1) > 0
    expected = line[np.append(True, moves)]
    found = points_of(path_of([line], 0.0))
    if len(expected) < 2:
        assert found == []
        return
    if len(expected) > 2 or not closed:
        np.testing.assert_allclose(found[0], expected, atol=0.06)


def test_a_coarse_path_has_fewer_points() -> None:
    angles = np.linspace(0, 2 * np.pi, 300)
    circle = np.float32(np.stack([50 + 40 * np.cos(angles), 50 + 40 * np.sin(angles)], axis=1))
    (points,) = points_of(path_of([circle], 1.0))
    assert len(points) < 40
    assert np.abs(np.hypot(*(points - 50).T) - 40).max() < 0.2
