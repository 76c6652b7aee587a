"""The page of a store: what it says, what it keeps, and that names in it are only text."""

from __future__ import annotations

import re
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import softlab_cli
from softlab_cli.core.classes import ClassTable
from softlab_cli.core.errors import StoreError, UsageError
from softlab_cli.core.events import CaseFinished, Event
from softlab_cli.core.extras import pip_install
from softlab_cli.core.text import shown
from softlab_cli.report.page.cases import CaseFacts, gather_cases, with_signs
from softlab_cli.report.page.drawing import css_colours, drawn_within
from softlab_cli.report.page.pieces import END, Pieces
from softlab_cli.report.page.write import MOST_BYTES, PAGE_BYTES, share_of, write_report
from softlab_cli.report.pictures.case import view_case
from softlab_cli.report.pictures.views import CaseViews, Line, Shade, SliceView
from softlab_cli.store.files import METADATA
from tests.conftest import blobs, write_image
from tests.page_support import (
    EVIL,
    EVIL_STORE,
    HEBREW,
    LONG,
    MARKUP,
    Elements,
    hostile_store,
    plain_store,
    run,
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return plain_store(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def page(store: Path) -> Path:
    report = write_report(store, store.parent / "report.html")
    assert (report.done, report.failed) == (3, 0)
    return store.parent / "report.html"


def copied(store: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(store, tmp_path / "soft.zarr"))


def test_the_page_says_what_the_store_is(store: Path, page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    found = Elements(html)
    for words in (
        "soft.zarr", "svls", "kernel_size = 3", 'command = "svls"', "3 cases", "case0", "case2",
        "label_3", "Worst first", "outline of the hard label", "isolines of the soft label",
        "entropy (bits)", "axial, slice", "sagittal, slice",
    ):  # fmt: skip
        assert words in found.text, words
    assert len(found.ids()) == len(set(found.ids()))
    assert found.tags["template"] == 3
    assert sorted(path.name for path in store.parent.iterdir()) == [
        "images", "labels", "report.html", "soft.zarr"
    ]  # fmt: skip


def test_the_page_loads_nothing(page: Path) -> None:
    found = Elements(page.read_text(encoding="utf-8"))
    assert found.tags["script"] == 1
    assert found.tags.keys().isdisjoint({"link", "img", "iframe", "object", "embed", "audio"})
    places = [v for _, name, v in found.attributes if name in ("src", "href", "action")]
    assert places
    assert {re.split("[:#]", place)[0] for place in places} <= {"", "data"}
    (policy,) = [v for t, n, v in found.attributes if t == "meta" and n == "content" and "src" in v]
    assert policy.startswith("default-src 'none'; img-src data:;")


def test_pictures_have_texts_and_all_that_is_typed_into_has_a_name(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    pictures = re.findall(r"<svg (?![^>]*aria-hidden)[^>]*>", html)
    assert pictures
    assert all(re.search(r'role="img" aria-label="[^"]{10,}"', svg) for svg in pictures)
    fields = re.findall(r"(<label[^>]*>[^<]*)?<(?:input|select)([^>]*)>", html)
    assert fields
    assert all(label or "aria-label" in attributes for label, attributes in fields)


def test_what_is_on_the_page_already_is_not_drawn_again(softlab, store, page, tmp_path) -> None:
    out = tmp_path / "again.html"
    shutil.copy(page, out)
    again = softlab("report", store, "--out", out)
    assert again.exit_code == 0, again.output
    assert "kept         3  unchanged since the last page" in again.output
    assert out.read_bytes() == page.read_bytes()
    assert "drawn        3" in softlab("report", store, "--out", out, "--overwrite").output


def test_a_changed_case_and_a_damaged_piece_are_drawn_again(store, page, tmp_path) -> None:
    text = page.read_text(encoding="utf-8")
    (tmp_path / "report.html").write_text(text.replace("axial, slice", "axial, slicf", 1), "utf-8")
    image = store.parent / "images" / "case2.nii.gz"
    write_image(image, np.zeros((9, 14, 16), np.float32), (2, 1, 1))
    report = write_report(store, tmp_path / "report.html")
    assert (report.done, report.skipped) == (2, 1)
    assert "slicf" not in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_an_interrupted_run_goes_on(store, tmp_path) -> None:
    out = tmp_path / "report.html"

    def listen(event: Event) -> None:
        if isinstance(event, CaseFinished):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(store, out, listen=listen)
    assert not out.exists()
    report = write_report(store, out)
    assert (report.done, report.skipped, report.failed) == (2, 1, 0)
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_cases_that_cannot_be_read_or_drawn_are_named(softlab, store, tmp_path) -> None:
    broken = copied(store, tmp_path)
    (broken / "case0" / METADATA).write_text("{}")
    for shard in (broken / "case1" / "soft").rglob("c*"):
        if shard.is_file():
            shard.write_bytes(bytes(shard.stat().st_size))
    out = tmp_path / "report.html"
    done = softlab("report", broken, "--out", out, "--workers", "2")
    assert done.exit_code == 1
    assert "failed       2  see above: case0, case1" in done.output
    found = Elements(out.read_text(encoding="utf-8"))
    words = re.sub(r"\s+", " ", found.text)
    assert "2 of 3 cases could not be read or drawn: case1, case0" in words
    assert "axial, slice" in found.text
    assert softlab("report", broken, "--out", out).output.count("kept         1") == 1


@pytest.mark.parametrize("kind", ["2D", "labels only", "no case", "many classes"])
def test_other_stores(softlab, tmp_path, kind) -> None:
    array = blobs((20, 24), 3) if kind == "2D" else blobs((6, 8, 10), 3)
    options = ["--labels-only"] if kind == "labels only" else []
    if kind == "many classes":
        array = np.arange(6 * 8 * 10, dtype=np.uint8).reshape(6, 8, 10) % 117
        options = ["--labels", "0-116"]
    write_image(tmp_path / "in" / "a.nii.gz", array)
    run("svls", "--in", tmp_path / "in", "--out", tmp_path / "s.zarr", *options)
    if kind == "no case":
        shutil.rmtree(tmp_path / "s.zarr" / "a")
    done = softlab("report", tmp_path / "s.zarr", "--out", tmp_path / "r.html")
    assert done.exit_code == 0, done.output
    text = Elements((tmp_path / "r.html").read_text(encoding="utf-8")).text
    expected = {"2D": "picture", "labels only": "computed on read", "no case": "no case yet",
                "many classes": "label_116"}  # fmt: skip
    assert expected[kind] in text


@pytest.fixture(scope="module")
def evil(tmp_path_factory: pytest.TempPathFactory) -> str:
    store = hostile_store(tmp_path_factory.mktemp("evil"))
    report = write_report(store, store.parent / "report.html")
    assert (report.done, report.failed) == (2, 0)
    assert write_report(store, store.parent / "report.html").skipped == 2
    return (store.parent / "report.html").read_text(encoding="utf-8")


def test_names_with_markup_are_text(evil) -> None:
    found = Elements(evil)
    for name in (MARKUP, EVIL, EVIL_STORE, HEBREW, LONG, "<b>r1", f"r2{HEBREW}"):
        assert shown(name) in found.text, name
    assert found.tags["script"] == 1
    assert found.tags.keys().isdisjoint({"img", "b", "u"})
    assert not [a for a in found.attributes if a[1].startswith("on")]
    assert not {"\x1b", "\u202e"} & set(evil)
    assert f"<bdi>{HEBREW}</bdi>" in evil
    assert "Dice of each two raters" in found.text
    assert "outline of <b>r1" in found.text


def test_names_cannot_end_a_piece(evil, tmp_path) -> None:
    (tmp_path / "report.html").write_text(evil, encoding="utf-8")
    assert evil.count(END) == 2
    assert (
        len(Pieces(tmp_path / "report.html").take_over(re.findall(r"<!--drawn (\w+)", evil))) == 2
    )


@pytest.mark.parametrize("warning", [EVIL, "r\u202e", MARKUP])
def test_warnings_are_text(store, warning) -> None:
    from softlab_cli.report.page.environment import page_environment
    from softlab_cli.report.page.warned import warning_table

    case = CaseFacts("a", "case-0", warnings=(warning,), rater_names=())
    table = warning_table([case])
    template = '{% import "parts.html" as parts %}{{ parts.table(t) }}'
    html = page_environment().from_string(template).render(t=table)
    assert shown(warning) in Elements(html).text
    assert not Elements(html).tags["img"]


def test_files_of_others_stay(store, tmp_path) -> None:
    other = tmp_path / "notes.html"
    other.write_text("<p>mine</p>")
    with pytest.raises(StoreError, match="no page of softlab"):
        write_report(store, other)
    with pytest.raises(UsageError, match="is a folder"):
        write_report(store, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.html"]


def test_no_page_lies_in_a_store(store) -> None:
    with pytest.raises(UsageError, match="lies in the store"):
        write_report(store, store / "report.html")
    assert not (store / "report.html").exists()


@pytest.mark.parametrize("ended", [True, False])
def test_a_run_that_loses_its_pictures_to_another_leaves_no_page_without(
    store, tmp_path, ended
) -> None:
    """Another run of the same page removes them: when it ends, or begins with --overwrite."""
    out, others = tmp_path / "r.html", tmp_path / "others.html"
    write_report(store, others, workers=1)

    def other_run(event: Event) -> None:
        if isinstance(event, CaseFinished) and event.case_id == "case1":
            Pieces(out).remove()
            if ended:
                shutil.copy(others, out)

    if ended:
        assert write_report(store, out, workers=1, listen=other_run).failed == 0
        assert out.read_text(encoding="utf-8").count(END) == 3
    else:
        with pytest.raises(StoreError, match="removed meanwhile"):
            write_report(store, out, workers=1, listen=other_run)
        assert not out.exists()


@pytest.mark.parametrize("package", ["jinja2", "PIL"])
def test_without_the_packages(monkeypatch, softlab, store, tmp_path, package) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    done = softlab("report", store, "--out", tmp_path / "r.html")
    assert done.exit_code == 1
    assert done.output == f"error: a page needs jinja2 and Pillow. {pip_install('plot')}\n"


# ---- sizes -----------------------------------------------------------------


def busy_views(side: int = 120) -> CaseViews:
    rng = np.random.default_rng(0)
    lines = tuple(
        Line("soft", f"c{c}", c, 0.5, (np.float32(rng.random((90, 2)) * side),)) for c in (1, 2, 3)
    )
    pixels = rng.integers(0, 255, (side, side)).astype(np.uint8)
    shade = Shade("entropy (bits)", pixels, 1.0)
    view = SliceView("axial", 0, 9, "ARPL", (1.0, 1.0), (side, side), pixels, lines, (shade,),
                     (5, 5), "a slice of noise")  # fmt: skip
    return CaseViews("a", (view,) * 3, (1, 2, 3), "auto")


def test_pictures_keep_to_their_share() -> None:
    classes = ClassTable.from_values(range(4))
    sizes = []
    for most in (400_000, 30_000, 12_000):
        text = drawn_within(busy_views(), classes, most)
        sizes.append(len(text.encode()))
        assert sizes[-1] <= most
        Elements(text)
    assert sizes == sorted(sizes, reverse=True)
    assert "lines of 0 classes are shown and of 3 left out" in text


def test_the_share_of_a_case_shrinks_in_steps() -> None:
    assert share_of(0) == share_of(44) == MOST_BYTES
    assert 0.95 * PAGE_BYTES < 500 * share_of(500) <= PAGE_BYTES
    shares = [share_of(n) for n in range(1, 1000)]
    assert shares == sorted(shares, reverse=True)
    assert len(set(shares)) < 12
    assert all(n * share <= PAGE_BYTES for n, share in enumerate(shares, 1) if share < MOST_BYTES)


def test_lines_are_seen_on_black() -> None:
    classes = ClassTable.from_values(range(3)).coloured({"label_1": "000000", "label_2": "ffff00"})
    colours = css_colours(classes)
    assert colours[2] == "#ffff00"
    assert int(colours[1][1:3], 16) > 100


# ---- which cases come first ------------------------------------------------


def test_worst_first(store) -> None:
    (first, *_) = gather_cases(softlab_cli.open_store(store))
    assert first.statistics is not None
    plain = [replace(first, case_id=f"c{i}") for i in range(10)]
    odd = replace(first.statistics, hard_mm3=[v * (20 if i == 2 else 1) for i, v in
                                              enumerate(first.statistics.hard_mm3)])  # fmt: skip
    gone = replace(first.statistics, hard_mm3=[0.0 if i == 3 else v for i, v in
                                               enumerate(first.statistics.hard_mm3)])  # fmt: skip
    soft = replace(first.statistics, mean_entropy=3.0)
    more = [replace(plain[0], case_id=f"c{i}") for i in range(10, 30)]
    cases = [
        *plain, *more, replace(first, case_id="big", statistics=odd),
        replace(first, case_id="gone", statistics=gone, warnings=("a", "b", "c")),
        replace(first, case_id="soft", statistics=soft),
        CaseFacts("broken", "case-9", "is damaged"),
    ]  # fmt: skip
    names = softlab_cli.open_store(store).classes.names
    ranked = with_signs(cases, names, 0)
    assert [c.case_id for c in ranked[:4]] == ["broken", "gone", "soft", "big"]
    told = {c.case_id: [" ".join(sign).strip() for sign in c.signs] for c in ranked}
    assert told["gone"] == ["3 warnings", "no label_3"]
    assert told["big"] == ["much label_2"]
    assert told["soft"] == ["much entropy"]
    assert all(not told[f"c{i}"] for i in range(30))


def test_views_of_the_store_can_be_drawn(store) -> None:
    case = softlab_cli.open_store(store)["case1"]
    text = drawn_within(view_case(case), case.classes, MOST_BYTES)
    assert text.count('<figure class="slice">') == 3
    assert 'data-switches="hard"' in text


def test_a_case_without_foreground_is_a_sign(store) -> None:
    (full, *_) = gather_cases(softlab_cli.open_store(store))
    assert full.statistics is not None
    nothing = replace(full.statistics, hard_mm3=[9.0, *[0.0] * (len(full.statistics.hard_mm3) - 1)])
    empty = replace(full, case_id="empty", statistics=nothing)
    names = softlab_cli.open_store(store).classes.names
    first, second = with_signs([full, empty], names, 0)
    assert (first.case_id, [sign.text for sign in first.signs]) == ("empty", ["no foreground"])
    assert not second.signs
