"""The pages of single films and their index in Chromium: from a disk, light and dark, wide and narrow."""

import re

import pytest

pytest.importorskip("playwright", reason="playwright is absent: pip install 'xingping[dev]'")

from playwright.sync_api import expect

from browser import DESKTOP, FAULTLESS, PHONE, hover_shows_text, visiting, wrong_with
from report_fixture import BIG_FILM, NASTY_FILM, UNTESTED_FILM, make_run
from xingping.report import write_report


@pytest.fixture(scope="module")
def folder(tmp_path_factory, chromium):
    run = make_run(tmp_path_factory.mktemp("run"), tasks=("classification",))
    return write_report(run, [], all_movies=True).parent


@pytest.fixture(scope="module")
def open_page(chromium, folder):
    """Return a function that opens a page of the folder; only what lies in the report's own may be asked for."""
    return lambda name, **window: visiting(
        chromium, (folder / name).as_uri(), is_own=lambda asked: asked.startswith(folder.as_uri()), **window
    )


@pytest.mark.parametrize("name", ["films/index.html", "films/film-001.html", "films/film-004.html"])
@pytest.mark.parametrize(
    ("width", "scheme"), [(PHONE, "light"), (PHONE, "dark"), (DESKTOP, "light"), (DESKTOP, "dark")]
)
def test_every_page_is_whole(open_page, name, width, scheme):
    with open_page(name, width=width, scheme=scheme) as visit:
        visit.page.wait_for_load_state("networkidle")
        assert wrong_with(visit.page, width, ["heading-order", "page-has-heading-one"]) == {}
        assert visit.faults() == FAULTLESS


def test_charts_of_a_film_are_interactive(open_page):
    with open_page("films/film-001.html") as visit:
        charts = visit.page.locator("figure:has(> script[data-kind])")
        assert charts.count() > 5
        kinds = set()
        for chart in charts.all():
            chart.scroll_into_view_if_needed()
            expect(chart).to_have_class(re.compile("is-live"))
            kinds.add(chart.get_attribute("data-chart"))
        assert {"matrix", "bars", "timeline", "ranked", "map"} <= kinds
        assert hover_shows_text(visit.page, visit.page.locator("figure[data-chart=matrix]").first)


def test_drawings_stand_in_where_there_are_no_scripts(chromium, folder):
    context = chromium.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((folder / "films/film-001.html").as_uri())
    drawings = page.locator("img.plot")
    assert drawings.count() > 5
    for drawing in drawings.all():
        drawing.scroll_into_view_if_needed()
        expect(drawing).to_have_js_property("complete", True)
        assert drawing.evaluate("(image) => image.naturalWidth") > 100
    context.close()


LOADED = "[...document.querySelectorAll('img.plot')].every((image) => image.complete && image.naturalWidth > 100)"


def test_a_page_is_printed_with_all_its_drawings(open_page):
    with open_page("films/film-001.html") as visit:
        assert visit.page.pdf(format="A4").startswith(b"%PDF")
        assert visit.page.evaluate(LOADED)


def names(page):
    return page.locator("tbody th").all_inner_texts()


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_films_can_be_put_in_another_order(open_page, width):
    with open_page("films/index.html", width=width) as visit:
        page = visit.page
        assert names(page)[0] == BIG_FILM, "the most reviewed"
        heading = page.get_by_role("columnheader", name="Reviews", exact=True)
        assert heading.get_attribute("aria-sort") == "descending"
        heading.get_by_role("button").click()
        assert heading.get_attribute("aria-sort") == "ascending"
        assert names(page)[-1] == BIG_FILM
        for _turn in range(2):
            page.get_by_role("button", name="Exact").click()
            assert names(page)[-1] == UNTESTED_FILM, "what is not known comes last, whatever the order"
        page.get_by_role("button", name="Film").click()
        assert names(page)[0] == NASTY_FILM
        assert page.locator("[aria-sort]").count() == 1
        page.get_by_role("link", name=BIG_FILM).click()
        assert page.locator("h2").first.inner_text() == BIG_FILM
        page.get_by_role("link", name="All films").click()
        assert page.locator("tbody tr").count() == 4
        assert visit.faults() == FAULTLESS
