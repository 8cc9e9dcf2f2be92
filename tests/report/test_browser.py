"""The page in a real browser: offline, hostile ids, no request, nothing cut off."""

from dataclasses import replace
from pathlib import Path

import pytest

from segclf.report import write_report

CHROMIUM = Path("/usr/bin/chromium")
HOSTILE = "<img src=x onerror=\"document.title='owned'\">"

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
pytestmark = pytest.mark.skipif(not CHROMIUM.is_file(), reason=f"{CHROMIUM} is not installed")


@pytest.fixture(scope="module")
def browser():
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=str(CHROMIUM), args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def path(tmp_path_factory, content):
    """The page of a report with hostile names."""
    item = replace(content.gallery[0], case_id=HOSTILE)
    metrics = content.metrics.replace({"group": {"F": HOSTILE}, "method": {"tau": HOSTILE}})
    report = replace(content, title="A title", gallery=[item], metrics=metrics, data="phantom")
    return write_report(tmp_path_factory.mktemp("report"), report)


@pytest.fixture
def opened(browser, path):
    """The page, everything that the browser asked for, and everything it complained about."""
    context = browser.new_context(offline=True, viewport={"width": 1200, "height": 900})
    page = context.new_page()
    asked, said = [], []
    page.on("request", lambda request: asked.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(path.as_uri())
    yield page, asked, said
    context.close()


def test_hostile_names_are_text_and_nothing_is_requested(opened):
    page, asked, said = opened
    assert page.title() == "A title"
    assert asked == [page.url]
    assert said == []
    assert page.locator("img").count() == 0
    assert page.locator("h3", has_text=HOSTILE).inner_text() == HOSTILE


def test_nothing_is_wider_than_the_window_even_on_a_phone(opened):
    page, *_ = opened
    for width in (1200, 390):
        page.set_viewport_size({"width": width, "height": 900})
        assert page.evaluate("document.documentElement.scrollWidth") <= width


def test_images_are_drawn_and_outlines_lie_on_them(opened):
    page, *_ = opened
    image = page.locator(".panels svg image").first.bounding_box()
    truth = page.locator(".panels svg path.truth").first.bounding_box()
    assert image["width"] > 100
    scale = image["width"] / 16  # the drawn lesion: rows 5 and 6, columns 2 and 3 of 12 x 16
    assert truth["x"] - image["x"] == pytest.approx(2 * scale, abs=3)
    assert truth["y"] - image["y"] == pytest.approx(5 * scale, abs=3)
    assert truth["width"] == pytest.approx(2 * scale, abs=4)


def test_dark_screens_get_dark_paper_and_print_gets_white(opened):
    page, *_ = opened
    paper = "getComputedStyle(document.body).backgroundColor"
    line = "getComputedStyle(document.querySelector('.figure svg path[style*=series-0]')).stroke"
    page.emulate_media(color_scheme="light")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    light = page.evaluate(line)
    page.emulate_media(color_scheme="dark")
    assert page.evaluate(paper) == "rgb(20, 23, 27)"
    assert page.evaluate(line) != light
    page.emulate_media(color_scheme="dark", media="print")
    assert page.evaluate(paper) == "rgb(255, 255, 255)"
    assert page.evaluate(line) == light
