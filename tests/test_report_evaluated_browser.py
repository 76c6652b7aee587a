"""report.html of an evaluation in a real browser."""

from __future__ import annotations

import pytest

from tests.page_support import MARKUP
from tests.test_report_browser import CHROMIUM, NAMES, Watched, browser
from tests.test_report_evaluated import CASES, root, two_runs

__all__ = ["browser", "root", "two_runs"]

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")


@pytest.mark.parametrize("width", [1400, 390])
def test_the_page_sorts_filters_and_opens(browser, two_runs, width) -> None:
    watched = Watched(browser, two_runs, width)
    page = watched.page
    # The worst case first, and open; names do nothing.
    assert watched.column("cases", 0)[0] == CASES[2]
    assert page.locator("tr.detail .slice svg[role=img]").count() == 3
    assert page.title() == "o"
    assert page.locator('.slice [data-layer="reference"]').first.is_visible()
    page.get_by_role("checkbox", name="sure and wrong").first.uncheck()
    assert not page.locator('.slice [data-layer="shade-0"]').first.is_visible()
    runs = page.locator('#cases thead th:has-text("run") button').first
    runs.click()
    assert watched.column("cases", 1) == ["bad"] * 3 + ["good"] * 3
    page.locator('form[data-for="cases"]').get_by_label("Find").fill(MARKUP)
    assert watched.column("cases", 0) == [MARKUP] * 2
    page.locator('form[data-for="differences"]').get_by_label("only differences").check()
    assert watched.column("differences", 0) == []
    assert [element for element, name in page.evaluate(NAMES) if not name] == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert watched.wrong == []
    page.close()
