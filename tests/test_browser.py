"""The checks of `browser.py` see what they are for."""

import pytest

from browser import (
    DESKTOP,
    FAULTLESS,
    LACKED,
    PHONE,
    VARIABLE,
    cut_off,
    empty_figures,
    faint,
    find_chromium,
    hover_shows_text,
    launched_chromium,
    serious_violations,
    sideways,
    undrawn,
    visiting,
)

HEAD = '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>t</title>'
VIEWPORT = '<meta name="viewport" content="width=device-width">'

CANVAS = """<figure id="chart" data-chart><canvas width="300" height="200"></canvas><p id="told"></p></figure>
<script>
const canvas = document.querySelector("canvas"), context = canvas.getContext("2d");
const told = document.getElementById("told");
for (let x = 10; x < 300; x += 40) { context.fillStyle = "#246"; context.fillRect(x, 10, 20, 180); }
canvas.addEventListener("mousemove", (event) => {
  told.style.visibility = event.offsetX % 40 > 10 && event.offsetX % 40 < 30 ? "visible" : "hidden";
  told.textContent = `bar ${Math.floor(event.offsetX / 40)}`;
});
canvas.addEventListener("mouseleave", () => { told.style.visibility = "hidden"; });
</script>"""

GOOD = f"""{HEAD}{VIEWPORT}<style>body {{ overflow-wrap: anywhere }}</style></head><body><main><h1>Fine</h1>
<p lang="zh-Hans">{"x" * 500}</p>{CANVAS}
<figure><svg role="img" aria-label="lines" width="200" height="100"><path d="M0 0L200 100M0 100L200 0" stroke="black"/>
<circle cx="30" cy="30" r="9"/><circle cx="90" cy="60" r="9"/></svg></figure></main></body></html>"""

BAD = f"""{HEAD}{VIEWPORT}<link rel="stylesheet" href="https://example.org/style.css"></head><body><main>
<p style="color: #bbb">faint</p><img src="beside.png"><button></button><p>{LACKED}</p>
<div style="overflow: hidden; width: 3000px"><p style="white-space: nowrap; width: 1px">{"long " * 900}</p></div>
<div style="overflow-x: auto; width: 100px"><p style="width: 300px">scrolled</p></div>
<figure id="blank"><canvas width="300" height="200"></canvas></figure>
<figure id="none"><p>no drawing</p></figure>
<figure id="bare"><svg width="200" height="100"><defs><path d="M0 0L200 100"/></defs><path d="M0 0L2 2"/></svg></figure>
<figure id="tiny">{"<svg width='9' height='9'><circle r='5'/><circle r='4'/><circle r='3'/></svg>"}</figure></main>
<script>console.error("said"); alert("asked"); fetch("http://127.0.0.1:9/").catch(() => {{}}); missing.call();</script>
</body></html>"""


@pytest.fixture
def visit_of(chromium, tmp_path):
    """Return a function that opens some HTML."""

    def visit(html, **options):
        path = tmp_path / "page.html"
        path.write_text(html, encoding="utf-8")
        return visiting(chromium, path.as_uri(), **options)

    return visit


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_a_good_page_passes(visit_of, width):
    with visit_of(GOOD, width=width) as visit:
        assert visit.faults() == FAULTLESS
        assert sideways(visit.page, width) == []
        assert empty_figures(visit.page) == []
        assert serious_violations(visit.page) == {}
        assert not faint(visit.page.locator("svg"))


def test_requests_errors_and_dialogs_are_seen_and_refused(visit_of):
    with visit_of(BAD) as visit:
        addresses = visit.requests
        assert {"https://example.org/style.css", "http://127.0.0.1:9/"} <= set(addresses)
        assert any(address.endswith("/beside.png") for address in addresses)
        assert visit.dialogs == ["asked"]
        assert "said" in visit.errors
        assert any("missing is not defined" in error for error in visit.errors)


@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_what_is_too_wide_is_seen(visit_of, width):
    with visit_of(BAD, width=width) as visit:
        found = sideways(visit.page, width)
    assert any(line.startswith("page: ") for line in found)
    assert any(line.startswith("div.") for line in found)
    assert any(line.startswith("text of p.") for line in found)
    assert any(line.startswith("scrolled: div.") for line in found)


def test_what_a_hidden_overflow_hides_from_the_page_is_seen(visit_of):
    html = f'{HEAD}{VIEWPORT}<style>body {{ overflow-x: hidden }}</style></head><body><p style="width: 900px">wide</p>'
    with visit_of(html, width=PHONE) as visit:
        assert any(line.startswith("p.") for line in sideways(visit.page, PHONE))


def test_a_page_that_phones_would_shrink_is_seen(visit_of):
    with visit_of(f"{HEAD}</head><body><p>small</p>", width=PHONE) as visit:
        assert sideways(visit.page, PHONE)[0].startswith("page: ")


def test_figures_without_a_drawing_are_seen(visit_of):
    with visit_of(BAD) as visit:
        found = empty_figures(visit.page)
        assert [line.split()[2].rstrip(":") for line in found] == ["blank", "none", "bare", "tiny"]
        assert faint(visit.page.locator("#blank"))


def test_words_that_a_chart_cuts_off_are_seen(visit_of):
    chart = '<div class="live"><svg width="60" height="40"><text x="%d" y="20">word</text></svg></div>'
    with visit_of(f"{HEAD}</head><body>{chart % 9}{chart % 50}</body></html>") as visit:
        assert cut_off(visit.page) == ["word"]


def test_serious_violations_are_seen(visit_of):
    with visit_of(BAD) as visit:
        found = {line.partition(":")[0] for line in serious_violations(visit.page)}
    assert {"color-contrast", "image-alt", "button-name"} <= found


def test_missing_glyphs_are_seen(visit_of):
    with visit_of(BAD) as visit:
        assert undrawn(visit.page) == {"lacking": LACKED, "characters": 1}


def test_text_that_appears_under_the_mouse_is_seen(visit_of):
    with visit_of(GOOD) as visit:
        chart, still = visit.page.locator("figure").all()
        (line,) = hover_shows_text(visit.page, chart)
        assert line.startswith("bar ")
        assert hover_shows_text(visit.page, still, columns=3, rows=3) == []


def test_a_program_that_is_not_there_is_told(monkeypatch):
    monkeypatch.setenv(VARIABLE, "no-such-program")
    with pytest.raises(pytest.fail.Exception, match=f"{VARIABLE} names no program"):
        find_chromium()


def test_without_chromium_browser_tests_are_skipped_and_say_why(monkeypatch, tmp_path):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("browser.PROGRAMS", ("no-such-program",))
    pytest.importorskip("playwright")
    with pytest.raises(pytest.skip.Exception, match="apt-get install chromium"), launched_chromium(tmp_path):
        pass
