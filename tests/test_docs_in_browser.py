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

FOCUSED_ANYWAY = "scrollable-region-focusable"
"""What scrolls takes the focus without being told to, in Chromium (since 130) as in Firefox; axe does not know it."""


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
@pytest.mark.parametrize("name", SHOWN)
def test_a_page_asks_for_nothing_and_fits(name, width, docs_site, chromium):
    scheme = "dark" if width == PHONE else "light"
    address = (docs_site / name).as_uri()
    with visiting(chromium, address, is_own=own(docs_site), width=width, scheme=scheme) as visit:
        assert visit.faults() == FAULTLESS
        assert visit.page.evaluate("document.scrollingElement.scrollWidth") <= width
        assert undrawn(visit.page)["lacking"] == ""
        assert [found for found in serious_violations(visit.page) if not found.startswith(FOCUSED_ANYWAY)] == []


@pytest.mark.parametrize("name", ["zh/film.html", "how-to/splits.html", "index.html"])
def test_chinese_in_the_navigation_is_drawn(name, docs_site, chromium):
    with visiting(chromium, (docs_site / name).as_uri(), is_own=own(docs_site)) as visit:
        link = visit.page.locator("nav .md-nav__item .md-ellipsis", has_text="中文").first
        width, size = link.evaluate(WIDTH)
        assert width == pytest.approx(2 * size, rel=0.02)  # a box for what no font has is narrower


WIDTH = """(element) => {
  const range = document.createRange();
  const text = [...element.childNodes].find((node) => node.data?.trim());
  const start = text.data.indexOf("中");
  range.setStart(text, start);
  range.setEnd(text, start + 2);
  return [range.getBoundingClientRect().width, parseFloat(getComputedStyle(element).fontSize)];
}"""


@pytest.mark.parametrize(("words", "found"), [("conformal", "learning.html"), ("研究一部电影", "zh/film.html")])
def test_the_search_finds_words_offline(words, found, docs_site, chromium):
    with visiting(chromium, (docs_site / "index.html").as_uri(), is_own=own(docs_site)) as visit:
        visit.page.keyboard.press("/")
        visit.page.keyboard.type(words)
        visit.page.locator(f'a[href*="{found}?h="]').first.wait_for()
        assert visit.faults() == FAULTLESS


def own(site):
    return lambda asked: asked.startswith(site.as_uri())
