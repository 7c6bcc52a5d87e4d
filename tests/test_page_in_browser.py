"""The page of `xingping serve`, driven through all of its paths in Chromium."""

import csv
import json
import re
import urllib.request
from contextlib import ExitStack

import pytest

from browser import DESKTOP, FAULTLESS, PHONE, SEE_ALL, empty_figures, serious_violations, sideways, undrawn, visiting
from toy import BAD, GOOD

pytest.importorskip("fastapi")
pytest.importorskip("playwright", reason="playwright is absent: pip install 'xingping[dev]'")

from playwright.sync_api import expect

from served import served

PATIENCE = 30_000
"""Milliseconds."""

REVIEW = f"片子里{GOOD}看过"
HARM = '<img class="harm" src="harm.png" onerror="window.harmed = 1"><script>alert(1)</script>'
TABLE = f"电影,评论,号\n<b class=harm>甲</b>,{GOOD}看过,1\n<b class=harm>甲</b>,{BAD},2\n乙,,3\n".encode()


@pytest.fixture(scope="module")
def address(trained_run, chromium):
    with served(trained_run) as address:
        yield address


@pytest.fixture
def open_page(chromium, address):
    """Return a function that opens the page; nothing may go elsewhere, and what fails must be expected."""
    with ExitStack() as stack:
        visits = []

        def opened(locale="en-GB", **options):
            def is_own(asked):
                return asked.startswith(f"{address}/")

            visit = stack.enter_context(visiting(chromium, address, is_own=is_own, locale=locale, **options))
            visits.append(visit)
            expect(visit.page.locator("#model")).not_to_be_empty(timeout=PATIENCE)
            return visit

        yield opened
        assert [visit.faults() for visit in visits] == [FAULTLESS] * len(visits)


def asked(address, path, **body):
    request = urllib.request.Request(
        f"{address}/v1/{path}", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def tells(page, place, text):
    """Wait until some text stands somewhere; not by `wait_for_function`, which the page's policy forbids."""
    expect(page.locator(place)).to_have_text(text, timeout=PATIENCE)


def rate(page, text):
    page.fill("#text", text)
    page.click("#form button[type=submit]")
    page.wait_for_selector("#result", state="visible")
    tells(page, "#words", text)


def rate_file(page, name, content):
    page.set_input_files("#file", {"name": name, "mimeType": "text/csv", "buffer": content})
    page.click("#upload button[type=submit]")


def rated_rows(page, follow):
    with page.expect_download() as download:
        follow()
    assert download.value.suggested_filename == "rated.csv"
    with download.value.path().open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize(
    ("locale", "language", "title", "stars"),
    [
        ("zh-CN", "zh-Hans", "这条短评，会打几颗星？", "{} 星"),
        ("en-GB", "en", "How many stars is this review?", "{} star"),
    ],
)
def test_a_review_is_rated_as_the_api_rates_it(open_page, address, locale, language, title, stars):
    page = open_page(locale).page
    assert page.get_attribute("html", "lang") == language
    assert page.inner_text("h1") == title
    rate(page, REVIEW)
    (rating,) = asked(address, "predict", texts=[REVIEW])["ratings"]
    assert page.get_attribute("#stars", "aria-label").startswith(stars.format(rating["rating"]))
    assert page.inner_text("#stars") == "★" * rating["rating"] + "☆" * (5 - rating["rating"])
    assert f"{rating['expected']:.2f}" in page.inner_text("#expected")
    shares = page.locator("#probabilities td:last-child").all_inner_texts()
    assert shares == [f"{100 * share:.1f}%" for share in reversed(rating["probabilities"])]
    assert page.locator("#probabilities tr.in").count() == len(rating["set"])
    assert page.locator("#reviews li").count() == 5
    (similar,) = asked(address, "similar", texts=[REVIEW], n=5)["similar"]
    assert page.locator("#reviews li p:first-child").all_inner_texts() == [review["text"] for review in similar]


def test_the_word_that_decides_has_the_strongest_colour(open_page):
    page = open_page().page
    rate(page, REVIEW)
    strengths = page.evaluate(
        "[...document.querySelectorAll('#words span')].map((word) => "
        "[Number(word.style.getPropertyValue('--share')), word.className, word.textContent, "
        "getComputedStyle(word).backgroundColor])"
    )
    share, effect, word, colour = max(strengths)
    assert (share, effect) == (1, "up")
    assert word in GOOD
    assert colour != min(strengths)[3]


def test_words_of_a_long_review_are_coloured_by_gradients(open_page):
    page = open_page().page
    rate(page, "片子里的人和事都看过了" * 20 + GOOD)
    assert "integrated gradients" in page.inner_text("#wordsNote")
    shares = page.locator("#words span").evaluate_all(
        "(words) => words.map((word) => Number(word.style.getPropertyValue('--share')))"
    )
    assert max(shares) > 0
    rate(page, REVIEW)
    assert "without the word" in page.inner_text("#wordsNote")


@pytest.mark.parametrize("locale", ["zh-CN", "en-GB"])
def test_all_characters_are_drawn_where_the_reader_has_no_chinese_font(open_page, locale):
    page = open_page(locale).page
    rate(page, f"{REVIEW}，哭了三次；值得二刷！龘")
    page.evaluate("document.fonts.ready")
    expect(page.locator("#words")).to_be_visible()
    page.wait_for_load_state("networkidle")
    found = undrawn(page)
    assert found["lacking"] == ""
    assert found["characters"] > 20
    for written in page.locator("#examples button, [lang=zh-Hans] h1").all():  # a missing glyph is not as wide
        width, size = written.evaluate(
            "(element) => { const range = document.createRange(); range.selectNodeContents(element);"
            "return [range.getBoundingClientRect().width, parseFloat(getComputedStyle(element).fontSize)]; }"
        )
        assert width == pytest.approx(len(written.inner_text()) * size, rel=0.1), written.inner_text()


def test_examples_are_rated_at_once(open_page):
    page = open_page().page
    example = page.locator("#examples button").first
    example.click()
    page.wait_for_selector("#result", state="visible")
    assert page.input_value("#text") == example.inner_text()
    assert page.inner_text("#words") == example.inner_text()


def test_the_language_changes_all_that_is_shown_and_is_remembered(open_page):
    page = open_page("zh-CN").page
    rate(page, REVIEW)
    rate_file(page, "table.csv", TABLE)
    page.wait_for_selector("#download", state="visible")
    page.click("#language")
    assert page.get_attribute("html", "lang") == "en"
    shown = page.evaluate(
        "['h1', '#expected', '#doubt', '#model', '#tableMessage', '#films thead', '#films caption', '#probabilities']"
        ".map((name) => document.querySelector(name).innerText).join('\\n')"
    )
    assert not [character for character in shown if "一" <= character <= "鿿"], shown
    assert "Done: 3 rows, 1 of them without text." in shown
    page.reload()
    assert page.inner_text("h1") == "How many stars is this review?"
    page.click("#language")
    assert page.inner_text("#language") == "English"


def test_markup_is_shown_as_text(open_page):
    page = open_page().page
    rate(page, HARM)
    rate_file(page, "table.csv", TABLE)
    page.wait_for_selector("#films", state="visible")
    assert page.inner_text("#films tbody th") == "<b class=harm>甲</b>"
    assert page.inner_text("#words") == HARM
    assert page.locator(".harm").count() == 0
    assert page.evaluate("window.harmed") is None


def test_a_file_is_rated_with_progress_and_downloaded(open_page):
    page = open_page().page
    rate_file(page, "../表.csv", TABLE)
    page.wait_for_selector("#progress", state="visible")
    page.wait_for_selector("#download", state="visible")
    assert page.is_hidden("#progress")
    assert page.inner_text("#tableMessage") == "Done: 3 rows, 1 of them without text."
    assert page.locator("#films tbody tr").count() == 1
    assert page.locator("#films tbody td").first.inner_text() == "2"
    rows = rated_rows(page, lambda: page.click("#rated"))
    assert [(row["号"], row["predicted_rating"]) for row in rows] == [("1", "5"), ("2", "1"), ("3", "")]


def film_table(n=24):
    """Return a table with dates, of a film whose name and reviews are markup, and of another."""
    rows = [f"{HARM_FILM},{GOOD if i % 3 else BAD}剧情{i}{HARM_TEXT},2020-0{1 + i % 6}-11" for i in range(n)]
    return "\n".join(["电影,评论,日期", *rows, f"乙,{BAD},2020-01-01"]).encode() + b"\n"


HARM_FILM = "<img class=harm src=harm.png onerror=window.harmed=1>"
HARM_TEXT = "</script><script>window.harmed=1</script><b class=harm>"


def open_study(page):
    """Follow the link to the case study, and return the page that opens."""
    page.wait_for_selector("#study", state="visible")
    with page.context.expect_page() as opened:
        page.click("#study")
    opened.value.wait_for_load_state()
    return opened.value


@pytest.mark.parametrize(
    ("locale", "language", "link"), [("en-GB", "en", "Open the case study of "), ("zh-CN", "zh-Hans", "打开")]
)
def test_the_case_study_of_a_table_opens_with_its_charts(open_page, locale, language, link):
    visit = open_page(locale)
    rate_file(visit.page, "<b>reviews.csv", film_table())
    study = open_study(visit.page)
    assert visit.page.inner_text("#study").startswith(link)
    assert HARM_FILM in visit.page.inner_text("#study")
    errors = []
    study.on("console", lambda said: errors.append(said.text) if said.type in ("error", "warning") else None)
    study.on("pageerror", lambda error: errors.append(str(error)))
    study.reload()
    study.evaluate(SEE_ALL)
    assert study.get_attribute("html", "lang") == language
    assert HARM_FILM in study.inner_text("main")
    assert "<b>reviews.csv" in study.inner_text("header")
    expect(study.locator(".live").first).to_be_visible(timeout=PATIENCE)
    assert study.locator(".live canvas, .live svg").count() >= 2
    assert empty_figures(study) == []
    assert study.locator(".harm").count() == 0
    assert study.evaluate("window.harmed") is None
    assert study.evaluate("window.origin") == "null"  # it cannot reach what is of the page
    assert serious_violations(study) == {}
    assert errors == []


def test_no_script_but_its_own_runs_in_a_case_study(open_page):
    visit = open_page()
    rate_file(visit.page, "reviews.csv", film_table())
    study = open_study(visit.page)
    study.evaluate(
        "() => { const script = document.createElement('script'); script.textContent = 'window.harmed = 1';"
        "document.body.append(script); const image = document.createElement('img');"
        "image.setAttribute('onerror', 'window.harmed = 1'); image.src = 'data:,'; document.body.append(image); }"
    )
    study.wait_for_timeout(200)
    assert study.evaluate("window.harmed") is None


def test_where_there_is_no_case_study_the_page_says_why(open_page):
    page = open_page().page
    page.route("**/v1/tables/*", lambda route: route.fulfill(json=FAILED_STUDY))
    rate_file(page, "table.csv", TABLE)
    tells(page, "#studyMessage", "No case study: the server failed on this table")
    assert page.is_hidden("#study")
    assert page.is_visible("#download")


FAILED_STUDY = {
    "id": "a", "state": "done", "done": 1, "total": 1, "rows": 1, "unrated": 0, "message": None, "films": None,
    "study": "failed", "study_message": "the server failed on this table", "film": None,
}  # fmt: skip


def test_the_bar_moves_with_the_rows(open_page):
    page = open_page().page
    page.evaluate(
        "() => { const bar = document.querySelector('#progress'); window.seen = [];"
        "new MutationObserver(() => window.seen.push(bar.value)).observe(bar, { attributes: true }); }"
    )
    rows = "".join(f"{number}{GOOD if number % 2 else BAD}看过{number * 7}次\n" for number in range(6000))
    rate_file(page, "many.csv", f"text\n{rows}".encode())
    page.wait_for_selector("#download", state="visible", timeout=120_000)
    seen = page.evaluate("window.seen")
    assert seen == sorted(seen)
    assert any(0 < value < 1 for value in seen)


def test_a_server_with_keys_asks_for_one(trained_run, chromium, tmp_path):
    keys = tmp_path / "keys"
    keys.write_text("the-key\n", encoding="utf-8")
    with (
        served(trained_run, api_keys=keys) as address,
        visiting(chromium, address, is_own=lambda asked: asked.startswith(f"{address}/")) as visit,
    ):
        page = visit.page
        page.fill("#key", "another")
        page.press("#key", "Enter")
        tells(page, "#message", re.compile("API key is needed"))
        page.fill("#key", "the-key")
        page.press("#key", "Enter")
        expect(page.locator("#model")).not_to_be_empty(timeout=PATIENCE)
        assert page.is_hidden("#access")
        rate(page, REVIEW)
        rate_file(page, "table.csv", TABLE)
        page.wait_for_selector("#download", state="visible")
        assert len(rated_rows(page, lambda: page.click("#rated"))) == 3
        assert "<b class=harm>甲</b>" in open_study(page).inner_text("main")
        page.reload()
        expect(page.locator("#model")).not_to_be_empty(timeout=PATIENCE)
        assert {error for error in visit.errors if "401" not in error} == set()


def test_a_rate_limit_only_slows_the_watching_of_a_table(trained_run, chromium):
    with (
        served(trained_run, rate_limit=30) as address,
        visiting(chromium, address, is_own=lambda asked: asked.startswith(f"{address}/")) as visit,
    ):
        expect(visit.page.locator("#model")).not_to_be_empty(timeout=PATIENCE)
        for _ in range(28):
            visit.page.request.get(f"{address}/v1/model")
        rate_file(visit.page, "table.csv", TABLE)
        visit.page.wait_for_selector("#study", state="visible")
        assert any("429" in error for error in visit.errors)


@pytest.mark.parametrize(
    ("pasted", "column", "texts"),
    [
        (f'{GOOD}, "看过"\n\n{BAD}的评论, 真的\n', "text", [f'{GOOD}, "看过"', f"{BAD}的评论, 真的"]),
        (f"这条评论, 不长\n{GOOD}", "text", ["这条评论, 不长", GOOD]),
        (f"短评\n{GOOD}, 看过", "text", [f"{GOOD}, 看过"]),
        (f'评论,号\n"{GOOD}\n\n看过",1\n', "评论", [f"{GOOD}\n\n看过"]),
        (f"号\t评论\n1\t{GOOD}, 看过\n", "评论", [f"{GOOD}, 看过"]),
    ],
    ids=["lines", "a comma in the first", "a column", "a table", "tabs"],
)
def test_what_is_pasted_is_rated(open_page, pasted, column, texts):
    page = open_page().page
    page.click("summary")
    page.fill("#pasted", pasted)
    page.click("#upload button[type=submit]")
    page.wait_for_selector("#download", state="visible")
    rows = rated_rows(page, lambda: page.click("#rated"))
    assert [row[column] for row in rows] == texts
    assert all(row["predicted_rating"] in "12345" for row in rows)


def test_what_cannot_be_done_is_told_in_the_language_of_the_page(open_page):
    visit = open_page()
    page = visit.page
    page.click("#upload button[type=submit]")
    assert page.inner_text("#tableMessage") == "Choose a file or paste something first."
    page.fill("#text", "  ")
    page.press("#text", "Control+Enter")
    assert page.inner_text("#message") == "Write a review first."
    rate_file(page, "table.csv", b"a,b\n1,2\n")
    tells(page, "#tableMessage", re.compile("no text column"))
    rate_file(page, "table.zip", b"PK")
    tells(page, "#tableMessage", re.compile("unpack it first"))
    assert page.is_hidden("#progress")
    assert page.is_hidden("#download")
    page.click("#language")
    assert page.inner_text("#message") == "请先输入一条评论。"
    assert page.inner_text("#tableMessage").startswith("出错了：")
    assert [error for error in visit.errors if "415" not in error] == []
    visit.errors.clear()


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda route: route.abort(), "The server cannot be reached."),
        (
            lambda route: route.fulfill(status=503, headers={"Retry-After": "7"}),
            "The server is busy; try again in 7 s.",
        ),
        (lambda route: route.fulfill(status=500, body="<b>"), "That failed: Internal Server Error"),
    ],
    ids=["unreachable", "busy", "failed"],
)
def test_a_server_in_trouble_is_told_and_the_next_try_succeeds(open_page, answer, told):
    visit = open_page()
    page = visit.page
    page.route("**/v1/predict", answer)
    page.fill("#text", REVIEW)
    page.click("#form button[type=submit]")
    tells(page, "#message", told)
    assert page.is_hidden("#result")
    visit.errors.clear()
    page.unroute("**/v1/predict")
    rate(page, REVIEW)
    assert page.inner_text("#message") == ""


def tab(page):
    """Go to the next element, and return its id or its text; it must be seen that it has the focus."""
    page.keyboard.press("Tab")
    name, outline = page.evaluate(
        "[document.activeElement.id || document.activeElement.innerText, "
        "getComputedStyle(document.activeElement).outlineStyle]"
    )
    assert outline not in ("none", ""), name
    return name


def test_all_can_be_done_by_keyboard(open_page):
    page = open_page().page
    assert [tab(page), tab(page)] == ["language", "text"]
    page.keyboard.insert_text(REVIEW)
    assert tab(page) == "Rate"
    page.keyboard.press("Enter")
    page.wait_for_selector("#result", state="visible")
    expect(page.locator("#form button[type=submit]")).to_be_focused(timeout=PATIENCE)
    assert [len(tab(page)) > 5 for _ in range(3)] == [True] * 3  # examples
    assert [tab(page), tab(page)] == ["file", "Or paste"]
    page.keyboard.press("Enter")
    assert tab(page) == "pasted"
    page.keyboard.insert_text(f"{GOOD}\n{BAD}")
    assert tab(page) == "Rate the table"
    page.keyboard.press("Space")
    page.wait_for_selector("#download", state="visible")
    assert tab(page) == "rated"
    assert len(rated_rows(page, lambda: page.keyboard.press("Enter"))) == 2
    page.wait_for_selector("#study", state="visible")
    assert tab(page) == "study"
    with page.context.expect_page() as opened:
        page.keyboard.press("Enter")
    assert "pasted" in opened.value.inner_text("main")
    page.bring_to_front()
    assert tab(page) == "OpenAPI"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [PHONE, DESKTOP])
def test_it_fits_the_window_and_axe_finds_no_serious_violation(open_page, width, scheme):
    page = open_page("zh-CN", width=width, scheme=scheme).page
    assert sideways(page, width) == []
    assert serious_violations(page) == {}
    rate(page, f"{REVIEW}，{'x' * 200}")
    page.click("summary")
    rate_file(
        page, "table.csv", f"电影,评论\n{'长' * 100},{GOOD}\nTheLongestNameOfAFilmEver{'x' * 100},{BAD}\n".encode()
    )
    page.wait_for_selector("#films", state="visible")
    page.wait_for_selector("#study", state="visible")
    assert sideways(page, width) == []
    assert serious_violations(page) == {}
