"""The documentation's site in Chromium, from disk: offline, on a phone and a desk, light and dark, and searched."""

import pytest

from browser import DESKTOP, FAULTLESS, PHONE, serious_violations, undrawn, visiting

SHOWN = [
    "index.html",
    "zh/film.html",
    "article.html",
    "reference/python.html",
    "reference/commands.html",
    "learning.html",
]


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", SHOWN)
def test_a_page_asks_for_nothing_and_fits(name, width, docs_site, chromium):
    scheme = "dark" if width == PHONE else "light"
    address = (docs_site / name).as_uri()
    with visiting(chromium, address, is_own=own(docs_site), width=width, scheme=scheme) as visit:
        assert visit.faults() == FAULTLESS
        assert visit.page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert undrawn(visit.page)["lacking"] == ""


def test_pages_have_no_serious_fault_of_access(docs_site, chromium):
    with visiting(chromium, (docs_site / "index.html").as_uri(), is_own=own(docs_site)) as visit:
        assert serious_violations(visit.page) == {}


@pytest.mark.parametrize(("words", "found"), [("conformal", "learning.html"), ("研究一部电影", "zh/film.html")])
def test_the_search_finds_words_offline(words, found, docs_site, chromium):
    with visiting(chromium, (docs_site / "index.html").as_uri(), is_own=own(docs_site)) as visit:
        visit.page.keyboard.press("/")
        visit.page.keyboard.type(words)
        visit.page.locator(f'a[href*="{found}?h="]').first.wait_for()
        assert visit.faults() == FAULTLESS


def own(site):
    return lambda asked: asked.startswith(site.as_uri())
