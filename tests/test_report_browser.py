"""The page in a real browser: it opens, sorts, filters, and switches layers, by keyboard too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from softlab_cli.core.text import shown
from softlab_cli.report.page.write import write_report
from tests.page_support import EVIL, EVIL_STORE, HEBREW, LONG, MARKUP, hostile_store, plain_store

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium")

NAMES = """
() => [...document.querySelectorAll("button, input, select, a, summary")]
  .filter((element) => element.checkVisibility())
  .map((element) => [element.outerHTML, (element.getAttribute("aria-label")
    || element.textContent.trim()
    || [...(element.labels || [])].map((label) => label.textContent).join("")).trim()])
"""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page with what went wrong in it, and what it asked the network for."""

    def __init__(self, browser: Any, file: Path, width: int = 1400) -> None:
        self.page = browser.new_page(viewport={"width": width, "height": 900})
        self.wrong: list[str] = []
        self.page.on("console", lambda message: self.wrong.append(message.text))
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("dialog", lambda dialog: self.wrong.append(dialog.message))
        self.page.on("request", lambda request: self._ask(request.url))
        self.file = file
        self.page.goto(f"file://{file}")

    def _ask(self, url: str) -> None:
        if not url.startswith("data:") and url != f"file://{self.file}":
            self.wrong.append(url)

    def column(self, table: str, index: int) -> list[str]:
        found: list[str] = self.page.eval_on_selector_all(
            f"#{table} > tbody > tr:not(.detail):not([hidden])",
            f"(rows) => rows.map((row) => row.cells[{index}].textContent.trim())",
        )
        return found


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    store = plain_store(tmp_path_factory.mktemp("plain"))
    write_report(store, store.parent / "report.html")
    return store.parent / "report.html"


@pytest.fixture
def opened(browser, plain) -> Iterator[Watched]:
    watched = Watched(browser, plain)
    yield watched
    assert watched.wrong == []
    watched.page.close()


def test_columns_sort_by_mouse_and_keyboard(opened) -> None:
    page = opened.page
    assert opened.column("cases", 0) != sorted(opened.column("cases", 0), reverse=True)
    head = page.locator("#cases thead th").first
    head.locator("button").click()
    assert opened.column("cases", 0) == ["case0", "case1", "case2"]
    assert head.get_attribute("aria-sort") == "ascending"
    head.locator("button").focus()
    page.keyboard.press("Enter")
    assert opened.column("cases", 0) == ["case2", "case1", "case0"]
    assert head.get_attribute("aria-sort") == "descending"
    volume = page.locator('#cases th[data-column="volume"]')
    volume.locator("button").click()
    index = volume.evaluate("(cell) => cell.cellIndex")
    numbers = [float(text) for text in opened.column("cases", index)]
    assert numbers == sorted(numbers, reverse=True)
    assert head.get_attribute("aria-sort") == "none"


def test_rows_are_filtered(opened) -> None:
    page = opened.page
    form = page.locator('form[data-for="cases"]')
    form.get_by_label("Find").fill("CASE1")
    assert opened.column("cases", 0) == ["case1"]
    assert form.locator("output").inner_text() == "1 of 3 cases"
    form.get_by_role("button", name="Show all").click()
    # Waits without code of its own: the page lets no other script run.
    page.locator("#cases tr[hidden]").first.wait_for(state="detached")
    index = page.locator('#cases th[data-column="volume"]').evaluate("(cell) => cell.cellIndex")
    volumes = sorted(float(text) for text in opened.column("cases", index))
    form.locator('select[name="column"]').select_option("volume, ml")
    form.get_by_label("from").fill(str(volumes[1] - 1e-3))
    assert len(opened.column("cases", 0)) == 2
    form.get_by_label("only cases with").check()
    assert opened.column("cases", 0) == []
    form.get_by_label("only cases with").uncheck()
    form.get_by_label("from").fill("")
    before = opened.column("cases", index)
    form.get_by_label("Volume of").select_option("label_2")
    assert opened.column("cases", index) != before


def test_cases_open_and_layers_are_switched_by_keyboard(opened) -> None:
    page = opened.page
    assert page.locator("tr.detail").count() == 1  # the worst case is open
    closed = page.locator('.opener[aria-expanded="false"]').first
    closed.focus()
    page.keyboard.press("Enter")
    assert page.locator("tr.detail").count() == 2
    assert page.locator(".slice svg[role=img]").count() == 6
    picture, larger = page.locator(".slice svg").first, page.get_by_role("button", name="larger")
    before = picture.bounding_box()["width"]
    larger.first.press("Enter")
    assert picture.bounding_box()["width"] > 1.5 * before
    larger.first.press("Enter")
    hard = page.locator('.slice [data-layer="hard"]')
    assert hard.first.is_visible()
    box = page.get_by_role("checkbox", name="outline of the hard label").first
    box.focus()
    page.keyboard.press("Space")
    assert not any(hard.nth(i).is_visible() for i in range(hard.count()))
    assert not page.get_by_role("checkbox", name="outline of the hard label").last.is_checked()
    assert page.locator('.slice [data-layer="soft"]').first.is_visible()
    for layer in ("image", "entropy", "isolines", "place of most doubt"):
        page.get_by_role("checkbox", name=layer).first.uncheck()
    assert not page.locator('.slice [data-layer="image"]').first.is_visible()
    assert not page.locator('.slice [data-layer="shade-0"]').first.is_visible()


def test_whatever_is_used_has_a_name(opened) -> None:
    assert [element for element, name in opened.page.evaluate(NAMES) if not name] == []
    pictures = opened.page.get_by_role("img").all()
    assert pictures
    assert all(len(picture.get_attribute("aria-label")) > 10 for picture in pictures)


def test_names_of_files_do_nothing(browser, tmp_path) -> None:
    store = hostile_store(tmp_path)
    write_report(store, tmp_path / "report.html")
    for width in (1400, 390):
        watched = Watched(browser, tmp_path / "report.html", width)
        page = watched.page
        for button in page.locator('.opener[aria-expanded="false"]').all():
            button.click()
        page.get_by_label("Find").first.fill(MARKUP)
        assert len(watched.column("cases", 0)) == 1
        page.get_by_label("Find").first.fill("")
        assert page.title() == EVIL_STORE
        assert watched.wrong == []
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        text = page.locator("body").inner_text()
        for name in (MARKUP, HEBREW, LONG, shown(EVIL)):
            assert name in text, name
        page.close()
