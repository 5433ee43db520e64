"""The built smoke book in a real browser: it draws, moves, typesets, searches, and stays at home."""

import re

import pytest
from selenium.webdriver.common.action_chains import ActionChains
from selenium.webdriver.common.by import By

from hmlcore import book

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PAGES = [
    "index.html", "book/notation.html", "book/use.html", "book/reproduce.html", "book/bibliography.html",
    "book/api/layers.html", "book/proposal.html", "book/roadmap.html", "book/results_at_a_glance.html",
]  # fmt: skip
CHAPTERS = [f"book/chapters/{name}.html" for name in book.chapter_names()]
FIGURES = "[...document.querySelectorAll('.hml-plotly')]"
# Traces that have marks on the screen, whatever their type.
MARKS = (
    ".scatterlayer path, .heatmaplayer image, .barlayer path, .boxlayer path, .contourlayer path,"
    " .imagelayer image"
)


def draw_all(page) -> int:
    """Scroll every figure into view, wait until it is drawn, and return how many there are."""
    count = page.js(f"return {FIGURES}.length")
    for index in range(count):
        page.js(f"{FIGURES}[args[0]].scrollIntoView()", index)
        page.wait(f"{FIGURES}[args[0]].dataset.drawn", index, what=f"figure {index} drawn")
    return count


# The write-up's one figure is awaited, see tests/awaited.py.
@pytest.mark.parametrize("path", [path for path in CHAPTERS if "w09_10" not in path])
def test_chapter_draws_its_figures(page, path):
    page.open(path)
    assert draw_all(page) >= (1 if "p3_sparse" in path else 3)  # of whose recall nothing is measured yet
    drawn = page.js(
        f"return {FIGURES}.map(f => [f.querySelectorAll('svg').length, f.querySelectorAll(args[0]).length])",
        MARKS,
    )
    assert all(svg and marks for svg, marks in drawn), drawn
    captions = page.js(
        f"return {FIGURES}.map(f => f.closest('figure')?.querySelector('.caption-number')?.innerText)"
    )
    assert all(caption and caption.startswith("Fig.") for caption in captions), captions
    assert not page.js(f"return {FIGURES}.some(f => f._context.showSendToCloud)")
    assert page.console_errors() == []
    assert page.outside_requests() == []


def test_slider_moves_through_time(page):
    page.open("book/chapters/w03_04_hml.html")
    draw_all(page)
    shown = f"{FIGURES}.find(f => f._fullLayout?.sliders?.length)"
    assert page.js(f"return Boolean({shown})"), "no figure has a slider"
    page.js(f"{shown}.scrollIntoView({{block: 'center'}})")
    drawn = f"JSON.stringify({shown}._fullData.map(t => [...t.x, ...t.y]))"
    state = f"return [{shown}._fullLayout.sliders[0].active, {drawn}]"
    before = page.js(state)
    figure = page.js(f"return {shown}")
    rail = figure.find_element(By.CSS_SELECTOR, ".slider-rail-touch-rect")
    ActionChains(page.chrome).move_to_element_with_offset(rail, rail.size["width"] // 4, 0).click().perform()
    page.wait(f"{shown}._fullLayout.sliders[0].active !== args[0]", before[0], what="the slider moved")
    assert page.js(state)[1] != before[1], "the slider moved and the drawing did not change"
    assert page.console_errors() == []


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS])
def test_page_is_complete_and_asks_nothing_of_the_network(page, path):
    page.open(path)
    draw_all(page)
    page.wait("document.readyState === 'complete'", what="page loaded")
    page.wait(
        "!document.querySelector('.math') || document.querySelector('mjx-container svg')", what="math typeset"
    )
    assert page.js("return document.querySelectorAll('mjx-merror, .problematic, .system-message').length") == 0
    assert page.js("return document.querySelectorAll('script[src*=thebe]').length") == 0
    assert page.console_errors() == []
    assert page.outside_requests() == []


@pytest.mark.parametrize("path", [*PAGES, *CHAPTERS])
def test_page_names_its_icon(smoke_book, path):
    """Without one a browser now and then asks for /favicon.ico, which no server of the book has."""
    icons = re.findall(r'<link[^>]*rel="[^"]*icon"[^>]*>', (smoke_book.html / path).read_text("utf-8"))
    hrefs = [re.search(r'href="([^"]+)"', icon)[1] for icon in icons]
    assert hrefs and all((smoke_book.html / path).parent.joinpath(href).is_file() for href in hrefs), icons


def test_an_outside_request_would_be_seen(page):
    page.open("book/notation.html")
    page.js("await fetch('http://outside.invalid/x').catch(() => null)")
    assert page.outside_requests() == ["http://outside.invalid/x"]


def test_math_is_typeset(page):
    page.open("book/notation.html")
    page.wait("document.querySelectorAll('mjx-container svg').length > 20", what="the symbols typeset")
    assert "\\(" not in page.js("return document.querySelector('article').innerText")


def test_search_finds_a_page(page):
    page.open("search.html?q=leapfrog")
    found = page.wait(
        "document.querySelectorAll('#search-results li a').length && "
        "[...document.querySelectorAll('#search-results li a')].map(a => a.href)",
        what="search results",
    )
    assert any("book/notation.html" in link for link in found), found
    fields = "[...document.querySelectorAll('input[type=search]')].filter(field => field.checkVisibility())"
    assert page.js(f"return {fields}.length") == 1
    assert page.outside_requests() == []


def test_figures_follow_the_theme(page):
    page.open(CHAPTERS[0])
    draw_all(page)
    colour = f"{FIGURES}[0]._fullLayout.font.color"
    theme = "document.documentElement.dataset.theme"
    first, ink = page.js(f"return {theme}"), page.js(f"return {colour}")
    assert first in ("light", "dark")
    for _ in range(3):  # the button cycles through light, dark and automatic
        if page.js(f"return {theme}") != first:
            break
        page.js("document.querySelector('.theme-switch-button').click()")
    assert page.js(f"return {theme}") != first
    page.wait(f"{colour} !== args[0]", ink, what="the figure recoloured")
    assert page.console_errors() == []
