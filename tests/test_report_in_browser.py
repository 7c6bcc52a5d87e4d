"""The report as readers see it: in Chromium without Chinese fonts, from a file, light and dark, wide and narrow."""

import json
import re

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("playwright", reason="playwright is absent: pip install 'xingping[dev]'")

from playwright.sync_api import expect

from browser import (
    DESKTOP,
    FAULTLESS,
    LACKED,
    PHONE,
    cut_off,
    empty_figures,
    faint,
    hover_shows_text,
    serious_violations,
    sideways,
    undrawn,
    visiting,
)
from report_fixture import BIG_FILM, NASTY_FILM, UNTESTED_FILM, make_run
from xingping.artifacts import write_table
from xingping.report import write_report

CLIMBING_FILM = "../../x"
HARM = '</script></style><img class="harm" src="harm.png" onerror="window.harmed = 1"><script>alert(1)</script>'
HARMFUL_WORD = '<b class="harm">'
SECTIONS = ("results", "mistakes", "rules", "doubt", "map", "attention", "films", "film-01", "data", "method")


def spoil(run):
    """Give a run what must do no harm: a film named as a path, and markup among the reviews and their words."""
    for path in run.rglob("*.json"):
        text = path.read_text(encoding="utf-8").replace(UNTESTED_FILM, CLIMBING_FILM)
        path.write_text(text.replace('"text": "', '"text": ' + json.dumps(HARM)[:-1]), encoding="utf-8")
    explanations = json.loads((run / "explanations.json").read_text(encoding="utf-8"))
    for example in [*explanations["overall"], *(one for some in explanations["films"].values() for one in some)]:
        example["words"] = [
            {**word, "start": word["start"] + len(HARM), "end": word["end"] + len(HARM)} for word in example["words"]
        ]
    (run / "explanations.json").write_text(json.dumps(explanations), encoding="utf-8")
    for path in run.glob("*.parquet"):
        rows = pq.read_table(path).to_pydict()
        rows["film"] = [CLIMBING_FILM if film == UNTESTED_FILM else film for film in rows["film"]]
        if path.name == "reviews.parquet":
            rows["text"] = [HARM + text for text in rows["text"]]
            rows["words"] = [[*words, HARMFUL_WORD] for words in rows["words"]]
        write_table(path, pa.table(rows, schema=pq.read_schema(path)))


def files_in(folder):
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(scope="module")
def written(tmp_path_factory, chromium):
    """Return the address of a report of reviews that mean harm, and the files that came with it."""
    folder = tmp_path_factory.mktemp("report")
    run = make_run(folder / "a" / "b" / "run")
    spoil(run)
    before = files_in(folder)
    page = write_report(run, [BIG_FILM, NASTY_FILM, CLIMBING_FILM])
    return page.as_uri(), files_in(folder) - before


@pytest.fixture(
    scope="module",
    params=[(width, scheme) for width in (PHONE, DESKTOP) for scheme in ("light", "dark")],
    ids=lambda param: f"{param[0]}-{param[1]}",
)
def opened(request, chromium, written):
    """Return the report in a window of some width and colours, and the width."""
    width, scheme = request.param
    with visiting(chromium, written[0], width=width, scheme=scheme) as visit:
        yield visit, width
        assert visit.faults() == FAULTLESS


@pytest.fixture(scope="module")
def visit(chromium, written):
    with visiting(chromium, written[0]) as visit:
        yield visit
        assert visit.faults() == FAULTLESS


def test_no_request_leaves_and_no_error_is_reported(opened):
    visit, _ = opened
    visit.page.wait_for_load_state("networkidle")
    assert visit.faults() == FAULTLESS


def test_every_section_can_be_seen_and_every_link_leads_to_one(opened):
    visit, _ = opened
    heights = visit.page.evaluate(
        "(ids) => ids.map((id) => document.getElementById(id)?.getBoundingClientRect().height ?? 0)", list(SECTIONS)
    )
    assert [name for name, height in zip(SECTIONS, heights, strict=True) if height < 100] == []
    links = visit.page.evaluate("[...document.querySelectorAll('nav a')].map((link) => link.getAttribute('href'))")
    assert set(links) >= {f"#{name}" for name in SECTIONS}
    assert all(visit.page.locator(f"[id='{link[1:]}']").is_visible() for link in links)


def test_every_figure_is_drawn(opened):
    visit, width = opened
    assert visit.page.locator("figure").count() > 20
    assert empty_figures(visit.page) == []
    assert cut_off(visit.page) == []
    if width == DESKTOP:
        assert [number for number, figure in enumerate(visit.page.locator("figure").all()) if faint(figure)] == []


def test_nothing_is_wider_than_the_window(opened):
    visit, width = opened
    assert sideways(visit.page, width) == []


def test_axe_finds_no_serious_violation(opened):
    visit, _ = opened
    assert serious_violations(visit.page, ["heading-order"]) == {}


def test_chinese_is_drawn_without_a_chinese_font_on_the_system(visit):
    drawn = undrawn(visit.page)
    assert drawn["lacking"] == ""
    assert drawn["characters"] > 50
    assert undrawn(visit.page, LACKED)["lacking"] == LACKED


POINT = """(figure) => {
  const chart = echarts.getInstanceByDom(figure.querySelector(".live")), series = chart.getOption().series;
  const number = series.findLastIndex((each) => each.data.length && !each.silent), at = series[number].data[0].value;
  const [x, y] = chart.convertToPixel({ seriesIndex: number }, at), box = chart.getDom().getBoundingClientRect();
  return [box.x + x, box.y + y];
}"""
"""Where the first point of a map's last group is."""


def hover_point(page, figure):
    """Move the mouse to a point of a map, and return the note that it shows."""
    page.mouse.move(*figure.evaluate(POINT))
    note = figure.locator(".chart-note")
    expect(note).to_be_visible()
    return note.inner_text()


def test_interactive_charts_tell_what_is_under_the_mouse(visit):
    charts = visit.page.locator("figure:has(> script[data-kind])")
    kinds, silent = set(), []
    for chart in charts.all():
        chart.scroll_into_view_if_needed()
        expect(chart).to_have_class(re.compile("is-live"))
        kind = chart.get_attribute("data-chart")
        kinds.add(kind)
        told = hover_point(visit.page, chart) if kind == "map" else hover_shows_text(visit.page, chart)
        if not told:
            silent.append(kind)
    assert silent == []
    assert kinds == {
        "dots", "matrix", "bars", "stacked", "lines", "ranked", "timeline", "reliability", "map"
    }  # fmt: skip


def test_a_review_in_a_tooltip_is_text(visit):
    chart = visit.page.locator("#map figure")
    chart.scroll_into_view_if_needed()
    expect(chart).to_have_class(re.compile("is-live"))
    told = hover_shows_text(visit.page, chart)
    assert any(line.startswith("</script>") for line in told)
    assert visit.page.locator(".harm").count() == 0


def test_the_map_can_be_coloured_by_film(visit):
    chart = visit.page.locator("#map figure")
    chart.scroll_into_view_if_needed()
    button = chart.get_by_role("button", name="by film")
    button.click()
    expect(button).to_have_attribute("aria-pressed", "true")
    assert empty_figures(visit.page) == []


def test_words_are_shaded_by_what_the_reader_chooses(visit):
    word = visit.page.locator("#attention .word").first
    before = word.evaluate("(each) => getComputedStyle(each).backgroundColor")
    visit.page.get_by_role("button", name="leaving a word out").first.click()
    assert word.evaluate("(each) => getComputedStyle(each).backgroundColor") != before


def test_what_users_wrote_becomes_no_markup(visit):
    assert visit.page.locator(".harm").count() == 0
    assert visit.page.evaluate("window.harmed") is None
    shown = visit.page.locator("body").inner_text()
    assert HARM in shown
    assert HARMFUL_WORD in shown
    assert NASTY_FILM in shown
    assert visit.faults() == FAULTLESS


def test_film_names_reach_no_file(written, visit):
    _, files = written
    assert "a/b/run/report/index.html" in files
    assert all(re.fullmatch(r"a/b/run/report/(index\.html|figures/[a-z0-9-]+\.(png|svg))", name) for name in files)
    assert CLIMBING_FILM in visit.page.locator("#film-03").inner_text()


def test_the_report_can_be_printed(visit):
    printed = visit.page.pdf(format="A4")
    assert printed.startswith(b"%PDF")
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) > 5
