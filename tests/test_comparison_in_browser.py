"""The page of `xingping compare --html` in Chromium: light and dark, wide and narrow, in both languages."""

import re

import pytest

pytest.importorskip("playwright", reason="playwright is absent: pip install 'xingping[dev]'")

from playwright.sync_api import expect

from browser import DESKTOP, FAULTLESS, PHONE, hover_shows_text, visiting, wrong_with
from comparison_fixture import make_run
from xingping.comparing import compare_runs
from xingping.language import speaking
from xingping.report import write_comparison

HARM = '<img class="harm" src=x onerror="window.harmed = 1">'


@pytest.fixture(scope="module")
def addresses(tmp_path_factory, chromium):
    """Write the page in both languages, of three runs one of which means harm and has a long name."""
    folder = tmp_path_factory.mktemp("runs")
    runs = [
        make_run(folder / name, skill=skill, seed=seed, settings={"head": {"n_hops": seed}, "seed": 1})
        for seed, (name, skill) in enumerate({"frozen-encoder": 0.3, "微调-" + "x" * 60: 0.5, HARM[:60]: 0.4}.items())
    ]
    compared, pages = compare_runs(runs), {}
    for language in ("en", "zh"):
        with speaking(language):
            write_comparison(folder / f"{language}.html", compared)
        pages[language] = (folder / f"{language}.html").as_uri()
    return pages


@pytest.fixture(
    scope="module",
    params=[(PHONE, "light", "en"), (PHONE, "dark", "zh"), (DESKTOP, "light", "zh"), (DESKTOP, "dark", "en")],
    ids=lambda param: "-".join(map(str, param)),
)
def opened(request, chromium, addresses):
    width, scheme, language = request.param
    with visiting(chromium, addresses[language], width=width, scheme=scheme) as visit:
        yield visit, width
        assert visit.faults() == FAULTLESS


def test_the_page_is_whole(opened):
    visit, width = opened
    visit.page.wait_for_load_state("networkidle")
    assert visit.page.locator("figure").count() == 4
    assert wrong_with(visit.page, width, ["heading-order"]) == {}
    assert visit.page.locator(".harm").count() == 0


def test_charts_tell_the_difference_under_the_mouse(opened):
    visit, width = opened
    if width != DESKTOP:
        pytest.skip("a phone has no mouse")
    for chart in visit.page.locator("figure").all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_class(re.compile("is-live"))
        assert hover_shows_text(visit.page, chart)
