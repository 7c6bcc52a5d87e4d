import base64
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from urllib.parse import unquote_to_bytes

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fontTools.ttLib import TTFont

from report_fixture import BIG_FILM, FILMS, NASTY_FILM, UNTESTED_FILM, make_run
from xingping.artifacts import write_json
from xingping.errors import InputError, RunDirectoryError
from xingping.language import speaking
from xingping.report import content, doubt, find_films, notes, write_report
from xingping.report.films import film_index
from xingping.report.highlights import highlights, shade_measures
from xingping.report.inline_svg import inline_svg
from xingping.report.rendering import render
from xingping.report.run_data import RunData

VOID = {"meta", "link", "img", "br", "hr", "input"}


class Page(HTMLParser):
    """What the tests ask of a page; refuses tags that do not match."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags, self.ids, self.addresses, self.open, self.text = [], [], [], [], []
        self.attributes = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes.append((tag, dict(attrs)))
        self.ids += [value for name, value in attrs if name == "id"]
        self.addresses += [value for name, value in attrs if name in ("src", "href", "srcset", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("style", "script"):
            self.text.append(data)

    @property
    def words(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.text))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


@pytest.fixture(scope="module")
def html(run):
    movies = [BIG_FILM, NASTY_FILM, UNTESTED_FILM, f" {BIG_FILM} "]
    return write_report(run, movies).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def metrics_of(run):
    return json.loads((run / "metrics.json").read_text(encoding="utf-8"))


def without_scripts(html: str) -> str:
    """Return a page without the scripts that it brings along: ECharts names addresses that it never asks for."""
    return re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)


def section(html: str, name: str) -> str:
    """Return the text of one of the main sections."""
    start = html.index(f'<section id="{name}"')
    ends = [found for mark in ('<section id="', "<footer class") if (found := html.find(mark, start + 1)) > 0]
    return Page("<section" + html[start + 8 : min(ends)].removesuffix("</main>\n")).words


def test_page_stands_alone(page, html):
    for address in page.addresses:
        assert address.startswith(("#", "data:")), address
    own = without_scripts(html)
    for address in re.findall(r"url\(\s*[\"']?([^\"')]*)", own):
        assert address.startswith(("data:", "#")), address[:80]
    assert not re.search(r"https?:|@import", own)
    assert not {"link", "iframe", "object", "embed"} & set(page.tags)
    assert not [attributes for tag, attributes in page.attributes if tag == "script" and "src" in attributes]
    assert len(html) < 6_000_000


def test_all_sections_are_there(page):
    wanted = {"results", "mistakes", "rules", "doubt", "map", "attention", "films", "data", "method"}
    assert wanted | {f"film-0{number}" for number in (1, 2, 3)} <= set(page.ids)
    assert "film-04" not in page.ids, "a film asked for twice has one case study"
    targets = {address[1:] for address in page.addresses if address.startswith("#")}
    assert targets <= set(page.ids)


def test_ids_are_unique(page):
    assert len(page.ids) == len(set(page.ids))


def test_markup_is_accessible(page):
    assert page.tags.count("h1") == 1
    assert ("html", {"lang": "en"}) in page.attributes
    images = [attributes for tag, attributes in page.attributes if tag == "svg"]
    assert len(images) > 20
    assert all(image["role"] == "img" and len(image["aria-label"]) > 20 for image in images)
    headers = [attributes for tag, attributes in page.attributes if tag == "th"]
    assert all("scope" in attributes for attributes in headers)
    assert page.tags.count("caption") == page.tags.count("table")
    assert page.tags.count("figcaption") > 10


def test_chinese_is_marked_as_chinese(html):
    assert f'<h2><span lang="zh-Hans">{BIG_FILM}</span></h2>' in html
    assert '<span lang="zh-Hans">海边的猫</span>2' in html


def test_what_users_wrote_is_escaped(html, page):
    own = without_scripts(html)
    assert "<script>alert" not in html
    assert "<b>" not in own
    assert NASTY_FILM in page.words
    assert "../../&lt;script&gt;alert(&#39;film&#39;)&lt;/script&gt;" in html
    assert "rating is <nothing>" in page.words
    assert (
        '<span class="word effect-down gradient-down" style="--attention:0.33;--effect:0.33;--gradient:0.33;" '
        'title="attention 25.0% · effect -0.50 stars · gradients -0.25 stars">&lt;b&gt;</span>'
    ) in html


def test_data_of_charts_cannot_leave_their_element(tmp_path):
    make_run(tmp_path, tasks=("classification",))
    reviews = pq.read_table(tmp_path / "reviews.parquet")
    texts = ["</script><script>alert(1)</script>"] * len(reviews)
    at = reviews.schema.get_field_index("text")
    pq.write_table(reviews.set_column(at, "text", pa.array(texts)), tmp_path / "reviews.parquet")
    html = write_report(tmp_path, [NASTY_FILM]).read_text(encoding="utf-8")
    assert "<script>alert" not in html
    points = re.search(r'<script type="application/json" id="map-points">(.*?)</script>', html, re.DOTALL)
    assert set(json.loads(points.group(1))["text"]) == {texts[0]}


def test_every_drawing_has_its_interactive_chart(html):
    kinds = re.findall(r'data-kind="([a-z]+)" data-label="([^"]*)"', html)
    wanted = {"dots", "matrix", "bars", "stacked", "lines", "map", "ranked", "timeline", "reliability"}
    assert wanted <= {kind for kind, _label in kinds}
    assert all(len(label) > 20 for _kind, label in kinds)


def test_film_names_do_not_reach_the_file_system(run, html):
    written = {str(path.relative_to(run)) for path in run.rglob("*") if path.is_file()}
    figures = {name for name in written if name.startswith("report/figures/")}
    assert all(re.fullmatch(r"report/figures/[a-z0-9-]+\.(png|svg)", name) for name in figures)
    assert "report/figures/film-02-classification-confusion.svg" in figures
    assert {name[:-4] for name in figures if name.endswith("png")} == {
        name[:-4] for name in figures if name.endswith("svg")
    }


def test_embedded_fonts_cover_the_text(html, page):
    sans, serif = (
        set(TTFont(BytesIO(_data(address))).getBestCmap())
        for address in re.findall(r'url\("(data:font/woff2;base64,[^"]+)"\)', html)
    )
    assert {ord(character) for character in page.words if ord(character) < 0x1F000} <= sans
    assert {ord(character) for character in BIG_FILM + UNTESTED_FILM + "星评"} <= serif


def _data(address: str) -> bytes:
    return base64.b64decode(unquote_to_bytes(address.partition(",")[2]))


def test_headline_agrees_with_the_metrics(run, page, html):
    """Both shares are by the rule that is best for each, as in the key figures below them."""
    intervals = metrics_of(run)["intervals"]["reviews"]
    shares = {
        task: [intervals[task][share]["value"] for share in ("accuracy", "accuracy_within_one")] for task in intervals
    }
    exact, near = shares["classification"]
    assert f"The right star for {100 * exact:.0f} in 100 reviews, within one star for {100 * near:.0f}" in page.words
    for task in ("classification", "regression"):
        exact, near = shares[task]
        assert (
            f"the {task} head names the exact star for {exact:.1%} and is within one star for {near:.1%}"
        ) in page.words
        if task == "classification":
            assert f"{near:.1%}" in html[html.index('class="key-figures"') : html.index("</dl>")]


def test_tables_agree_with_the_metrics(run, html):
    metrics = metrics_of(run)
    results = section(html, "results")
    for measures in (metrics["test"]["regression"], metrics["baselines"]["majority"]):
        assert f"{measures['accuracy']:.1%}" in results
        assert f"{measures['rmse']:.3f}" in results
    assert "Published, other data (full DMSC, bert-base-chinese)" in results
    assert "61.0%" in results
    assert "94.6%" in results
    assert "95.3%" in results
    rules = section(html, "rules")
    for rule, measures in metrics["test"]["classification"]["decisions"].items():
        assert rule.capitalize() in rules
        assert f"{measures['mae']:.3f}" in rules


def test_film_table_lists_films_by_test_reviews(run, html):
    films = metrics_of(run)["films"]
    shown = section(html, "films")
    best = films[BIG_FILM]["test"]["classification"]
    assert f"{100 * best['accuracy']:.1f} / {100 * best['accuracy_within_one']:.1f}" in shown
    assert shown.index(BIG_FILM) < shown.index("海边的猫2")
    assert UNTESTED_FILM not in shown


def test_case_study_warns_of_few_reviews(run, html):
    n = metrics_of(run)["films"][NASTY_FILM]["n"]
    assert 0 < n < content.FEW_REVIEWS
    assert f"Only {n} test reviews: figures on so few are rough." in section(html, "film-02")
    assert "are rough" not in section(html, "film-01")


def test_case_study_without_test_reviews_keeps_its_words(html):
    study = section(html, "film-03")
    assert "None of this film's reviews fell into the test split" in study
    assert "Frequent words by star" in study
    assert "TF-IDF" in study
    assert "Measures on" not in study
    assert "How often each star" not in study


def test_case_study_counts_words(run, html):
    study = section(html, "film-01")
    reviews = pa.parquet.read_table(run / "reviews.parquet").to_pylist()
    count = sum(row["words"].count("经典") for row in reviews if row["film"] == BIG_FILM and row["rating"] == 5)
    assert re.search(rf"经典 ?{count}\b", study)


def test_case_study_shows_time_aspects_and_reviews(run, html):
    study = section(html, "film-01")
    assert "Most reviews are of 2016-" in study
    assert "have no usable date." in study
    assert "Those who write of acting rate the film highest" in study
    for heading in ("Typical reviews", "Where model and author disagree most", "Most liked"):
        assert heading in study
    reviews = pq.read_table(run / "reviews.parquet").to_pylist()
    assert f"{max(row['likes'] for row in reviews if row['film'] == BIG_FILM)} likes" in study


def test_a_film_is_set_beside_another(run):
    html = write_report(run, [BIG_FILM], versus="海边的猫2").read_text(encoding="utf-8")
    study = section(html, "film-01")
    assert "Beside 海边的猫2" in study
    assert re.search(r"(星海列车 is rated .* higher than 海边的猫2|海边的猫2 is rated .* higher than 星海列车)", study)
    with pytest.raises(InputError, match="did you mean"):
        write_report(run, [BIG_FILM], versus="海边的猫")


@pytest.fixture(scope="module")
def film_pages(tmp_path_factory):
    """Write a page for each film, and return their folder; tests must not change it."""
    run = make_run(tmp_path_factory.mktemp("films"), tasks=("classification",))
    write_report(run, [], all_movies=True)
    return run / "report" / "films"


def test_every_film_can_have_a_page(film_pages):
    pages = sorted(path.name for path in film_pages.glob("*.html"))
    assert pages == [*(f"film-00{number}.html" for number in (1, 2, 3, 4)), "index.html"]
    index = Page((film_pages / "index.html").read_text(encoding="utf-8"))
    assert {address for address in index.addresses if address.startswith("film-")} == set(pages) - {"index.html"}
    assert NASTY_FILM in index.words
    first = Page((film_pages / "film-001.html").read_text(encoding="utf-8"))
    assert BIG_FILM in first.words
    assert "index.html" in first.addresses
    assert first.tags.count("h1") == 1
    assert "<script>alert" not in (film_pages / "film-003.html").read_text(encoding="utf-8")


def test_pages_of_films_share_what_is_large(film_pages):
    shared = {path.name for path in (film_pages / "assets").iterdir()}
    assert shared == {"style.css", "charts.js", "points.js"}
    assert "echarts" in (film_pages / "assets" / "charts.js").read_text(encoding="utf-8")
    style = (film_pages / "assets" / "style.css").read_text(encoding="utf-8")
    assert set(re.findall(r"url\(\"([^,]*)", style)) == {"data:font/woff2;base64"}
    sans = re.search(r'url\("(data:font/woff2;base64,[^"]+)"\)', style).group(1)
    drawn = set(TTFont(BytesIO(_data(sans))).getBestCmap())
    for path in film_pages.glob("*.html"):
        html = path.read_text(encoding="utf-8")
        page = Page(html)
        assert not re.search(r"https?:|@import|data:font", html)
        assert len(html) < 600_000
        own = [address.partition("#")[0] for address in page.addresses if not address.startswith(("#", "data:"))]
        assert [address for address in own if not (film_pages / address).is_file()] == []
        assert {ord(character) for character in page.words if ord(character) < 0x1F000} <= drawn


def test_the_index_of_films_sets_means_side_by_side(film_pages):
    metrics = metrics_of(film_pages.parent.parent)
    index = Page((film_pages / "index.html").read_text(encoding="utf-8"))
    mean = metrics["film_means"]["classification"]["films"][BIG_FILM]
    measured = metrics["films"][BIG_FILM]["test"]["classification"]
    row = next(
        row for row in re.split(r"(?=星海列车|海边的猫2|\.\./\.\./|纸上月亮)", index.words) if row.startswith(BIG_FILM)
    )
    for shown in (f"{mean['true']:.2f}", "3.50 (3.10 to 3.90)", f"{abs(3.5 - mean['true']):.2f}", str(mean["n"]),
                  f"{measured['accuracy']:.0%}", f"{measured['accuracy_within_one']:.0%}"):  # fmt: skip
        assert shown in row
    values = [attributes["data-value"] for tag, attributes in index.attributes if "data-value" in attributes]
    assert len(values) == 3 * 8 + 3, "one film has no test reviews"


def test_film_pages_no_longer_asked_for_are_gone(film_pages, tmp_path):
    run = shutil.copytree(film_pages.parent.parent, tmp_path / "run")
    folder = run / "report" / "films"
    (folder / "notes.txt").write_text("mine")
    (folder / "film-099.html").write_text("of a larger run")
    assert list((run / "report" / "figures").glob("film-p001-*"))
    write_report(run, [])
    assert [path.name for path in folder.iterdir()] == ["notes.txt"]
    assert not list((run / "report" / "figures").glob("film-p*"))


def test_the_index_of_films_speaks_chinese():
    index = scale([("甲", 3.2, 2.4, 3.6), ("乙", 4.0, 2.8, 3.3)])
    record = {
        "versions": {},
        "stages": {"prepare": {"seconds": 75.2, "peak_memory_bytes": 2**30}},
        "settings": {"seed": 0},
    }
    summary = {"source": {"name": "bundled sample", "sha256": ""}}
    with speaking("zh"):
        note = notes.film_index_note(
            content.film_finding({"films": {"甲": {"true": 3.0, "predicted": 3.2}}, "coverage": 1})
        )
        said = {"title": notes.film_index_title(2), "standfirst": note, "caption": notes.film_index_caption()}
        context = {"index": index, "record": record, "summary": summary, **said}
        page = Page(render("film_index.html.j2", "2", context))
    shown = page.words.replace("xingping", "")
    for words in ("自带样例", "预测平均", "3.00 (2.40 至 3.60)", "准备 1 分 15 秒"):
        assert words in shown
    assert not re.search("[a-z]{3}", shown[: shown.index("准备")])


def scale(rows):
    means = {name: {"n": 9, "true": true, "predicted": 3.0, "low": low, "high": high} for name, true, low, high in rows}
    measured = {"test": {"ordinal": {"accuracy": 0.5, "accuracy_within_one": 0.9}}}
    films = {name: {"reviews": 9, "mean_rating": 3.0, "stars": dict.fromkeys("12345", 0)} for name, *_ in rows}
    metrics = {"film_means": {"ordinal": {"films": means}}, "films": dict.fromkeys(means, measured)}
    return film_index([("film-001.html", name) for name in films], films, metrics, "ordinal")


def test_the_scale_of_the_index_holds_every_mean():
    index = scale([("甲", 3.2, 2.4, 3.6), ("乙", 4.0, 2.8, 3.3)])
    assert (index.low, index.high) == (2, 4)
    assert [index.place(stars) for stars in (2, 3.5, 4)] == ["0.00%", "75.00%", "100.00%"]
    assert (scale([("甲", 5.0, 5.0, 5.0)]).low, scale([("甲", 3.0, 3.0, 3.0)]).high) == (3, 4)
    assert (scale([]).low, scale([]).high) == (1, 5)


def test_the_report_speaks_chinese(tmp_path):
    make_run(tmp_path)
    with speaking("zh"):
        page = Page(write_report(tmp_path, [BIG_FILM], versus="海边的猫2").read_text(encoding="utf-8"))
    assert ("html", {"lang": "zh-Hans"}) in page.attributes
    assert "只看文字，能猜出作者打了几颗星吗？" in page.words
    assert "观众怎么说剧情、演技、画面、音乐与节奏" in page.words
    for english in ("Results", "Mistakes", "reviews", "test review", "beyond chance"):
        assert english not in page.words.replace("reviews & more.csv", "")


def test_explanations_are_said_to_be_trusted_or_not(html):
    shown = section(html, "attention")
    assert "To trust: leaving a word out." in shown
    assert "Not to trust: attention." in shown
    assert "Words that lower a rating most." in shown


def test_data_section_accounts_for_every_row(html):
    data = section(html, "data")
    assert "Of 320 rows read, 300 were kept, 12 rejected and 8 left out as duplicates." in data
    assert "9 rating is <nothing>" in data


def test_reviews_are_rejoined_from_their_pieces(run):
    examples = json.loads((run / "explanations.json").read_text(encoding="utf-8"))["overall"]
    by_star = highlights(examples)
    assert list(by_star) == [5, 4, 3, 2, 1]
    shown = ["".join(piece.text for piece in review.pieces) for star in by_star for review in by_star[star]]
    assert sorted(shown) == sorted(example["text"] for example in examples)


def test_overlapping_or_late_words_do_not_repeat_text():
    words = [
        {"word": "好看", "start": 1, "end": 3, "weight": 0.6},
        {"word": "看的", "start": 2, "end": 4, "weight": 0.4},
    ]
    example = {"text": "真好看的", "film": "", "rating": 5, "predicted": 5, "probability": None, "words": words}
    pieces = highlights([example])[5][0].pieces
    assert [piece.text for piece in pieces] == ["真", "好看", "的"]
    assert [round(piece.shades.get("attention", 0.0), 2) for piece in pieces] == [0.0, 1.0, 0.67]


def test_words_are_shaded_by_what_is_known_of_them():
    words = [
        {"word": "好看", "start": 0, "end": 2, "weight": 0.5, "effect": 1.0},
        {"word": "可惜", "start": 3, "end": 5, "weight": 0.5, "effect": -0.5},
    ]
    example = {"text": "好看，可惜", "film": "", "rating": 3, "predicted": 3, "probability": 0.5, "words": words}
    pieces = highlights([example])[3][0].pieces
    assert [piece.shades.get("effect") for piece in pieces] == [1.0, None, -0.5]
    assert pieces[2].note == "attention 50.0% · effect -0.50 stars"
    assert list(shade_measures([example])) == ["attention", "effect"]


@pytest.mark.parametrize("task", ["classification", "regression", "ordinal"])
def test_one_task_alone(tmp_path, task):
    html = write_report(make_run(tmp_path, tasks=(task,)), []).read_text(encoding="utf-8")
    page = Page(html)
    other = "classification" if task == "regression" else "regression"
    assert f"the {other} head" not in page.words
    assert ('id="rules"' in html) == (task != "regression")
    assert "case-study" not in page.tags
    assert "Case study" not in page.words
    figures = {path.name for path in (tmp_path / "report" / "figures").iterdir()}
    assert f"{task}-confusion.png" in figures
    assert f"{other}-confusion.png" not in figures


def test_head_without_attention_is_not_shaded_and_data_without_films_has_no_film_table(tmp_path):
    make_run(tmp_path, tasks=("classification",), attention=False)
    for name in ("data_summary.json", "metrics.json"):
        held = json.loads((tmp_path / name).read_text(encoding="utf-8"))
        nothing = {"classification": {"films": {}, "coverage": None}}
        write_json(tmp_path / name, {**held, "films": {}, "film_means": nothing})
    page = Page(write_report(tmp_path, []).read_text(encoding="utf-8"))
    assert "This head pools without attention" in page.words
    assert "key" not in [attributes.get("class") for _tag, attributes in page.attributes]
    assert "films" not in page.ids


def test_report_is_the_same_each_time_and_forgets_films_no_longer_asked_for(tmp_path):
    make_run(tmp_path, tasks=("classification",))
    first = write_report(tmp_path, [UNTESTED_FILM]).read_bytes()
    assert write_report(tmp_path, [UNTESTED_FILM]).read_bytes() == first
    figures = tmp_path / "report" / "figures"
    (figures / "my-own.png").write_bytes(b"")
    assert list(figures.glob("film-*"))
    write_report(tmp_path, [])
    assert not list(figures.glob("film-*"))
    assert (figures / "my-own.png").exists()


def test_unknown_film_lists_close_and_most_reviewed_films(run):
    with pytest.raises(InputError) as error:
        write_report(run, ["星海火车"])
    message = str(error.value)
    assert f"did you mean {BIG_FILM}?" in message
    assert f"most reviewed: {BIG_FILM}, " in message
    assert "\n" not in message


def test_films_that_have_no_reviews_are_refused():
    assert find_films({"甲片": 2, "乙片": 1, "": 1}, ["甲片", " 甲片 "]) == ["甲片"]
    with pytest.raises(InputError, match="most reviewed: 甲片"):
        find_films({"甲片": 2, "乙片": 1, "": 1}, ["丙"])
    with pytest.raises(InputError, match="--movie-column"):
        find_films({"": 2}, ["甲片"])


def test_the_report_says_what_was_sampled(tmp_path):
    page = write_report(make_run(tmp_path), []).read_text(encoding="utf-8")
    assert "trained on 90 reviews drawn at random from the 120" in page
    assert content.baseline_note({"reviews": 120, "of": 120}) == ""


def test_missing_artefact_is_named(tmp_path):
    make_run(tmp_path, tasks=("classification",))
    (tmp_path / "projection.parquet").unlink()
    with pytest.raises(RunDirectoryError, match=r"projection\.parquet"):
        write_report(tmp_path, [])
    with pytest.raises(RunDirectoryError, match="not a run directory"):
        write_report(Path(tmp_path.parent), [])


def test_report_needs_no_torch():
    code = "import sys, xingping.report; raise SystemExit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# Sentences.


def measures(accuracy, near, n=400):
    return {"n": n, "accuracy": accuracy, "accuracy_within_one": near}


def test_comparison_says_who_is_ahead():
    test = {"classification": measures(0.56, 0.88), "regression": measures(0.5, 0.9)}
    baselines = {"majority": measures(0.3, 0.6), "char_ngram_median": measures(0.53, 0.921)}
    assert content.comparison(test, baselines) == (
        "On exact stars, the classification head (56.0%) is 3.0 points ahead of the best baseline, character "
        "n-grams, median rule (53.0%); within one star, the regression head (90.0%) is 2.1 points behind the best "
        "baseline, character n-grams, median rule (92.1%)."
    )


def test_comparison_knows_a_tie_and_a_single_point():
    text = content.comparison({"regression": measures(0.5, 0.9)}, {"char_ngram": measures(0.5, 0.89)})
    assert "(50.0%) is level with the best baseline" in text
    assert "is 1.0 point ahead of" in text
    assert content.comparison({"regression": measures(0.5, 0.9)}, {}) == ""


def test_margin_shrinks_with_the_number_of_reviews():
    assert "±9.8 points" in content.margin(100)
    assert "±0.98" not in content.margin(100)
    assert "±1.0 points" in content.margin(10_000)


CONFUSION = [[9, 1, 0, 0, 0], [6, 2, 2, 0, 0], [0, 0, 0, 0, 0], [0, 0, 0, 5, 5], [2, 0, 0, 0, 8]]


def test_confusion_findings():
    assert content.confusion_finding(CONFUSION) == (
        "Recognised best: 1 star (90% exactly right). Most often mistaken: 2 stars, rated 1 star in 60% of the cases."
    )
    assert content.within_one_finding(CONFUSION) == (
        "5.0% of the predictions are more than one star off; of the reviews with 5 stars it is 20.0%."
    )
    perfect = np.diag([3, 1, 1, 1, 1]).tolist()
    assert content.confusion_finding(perfect).endswith("No star is taken for another.")
    assert content.within_one_finding(perfect) == "No prediction is more than one star off."


def test_distribution_finding_names_the_largest_gap():
    assert content.distribution_finding(CONFUSION) == (
        "The largest gap: 1 star is given to 42.5% of the reviews, more often than it is true (25.0%)."
    )
    balanced = np.diag([1, 1, 1, 1, 1]).tolist()
    assert content.distribution_finding(balanced) == "Each star is given as often as it is true."


def test_neighbour_finding_tells_a_sorted_map_from_a_mixed_one():
    rng = np.random.default_rng(0)
    ratings = np.repeat([1, 5], 50)
    apart = rng.normal(size=(100, 2)) + 50 * ratings[:, None]
    text = content.neighbour_finding(apart, rng.normal(size=(100, 2)), ratings)
    assert "100% on the trained head's; by chance it would be 50%." in text
    assert content.neighbour_finding(apart[:5], apart[:5], ratings[:5]) == ""


# Inlined figures.

SVG = """<?xml version="1.0"?>
<svg xmlns:xlink="http://www.w3.org/1999/xlink" xmlns="http://www.w3.org/2000/svg" viewBox="0 0 9 9" width="9pt">
 <metadata>made by</metadata><defs><style>*{fill: red}</style><path id="glyph" d="M 0 0 &#10;L 1 1"/></defs>
 <g id="unused" clip-path="url(#clip)"><!-- 剧情 --><use xlink:href="#glyph" style="fill: #1d1c1b"/></g>
 <clipPath id="clip"><path d="M 0 0"/></clipPath>
</svg>"""


def test_inline_svg_prefixes_ids_and_follows_the_page():
    markup = inline_svg(SVG, "film-01-x", 'a "label" & more')
    assert 'id="film-01-x.glyph"' in markup
    assert 'href="#film-01-x.glyph"' in markup
    assert "url(#film-01-x.clip)" in markup
    assert "fill: var(--ink)" in markup
    assert 'aria-label="a &quot;label&quot; &amp; more"' in markup
    for gone in ("unused", "metadata", "<style", "xmlns", "xlink", "剧情", "9pt"):
        assert gone not in markup


def test_fixture_films_are_all_known(run):
    films = json.loads((run / "data_summary.json").read_text(encoding="utf-8"))["films"]
    assert set(films) == set(FILMS)


def test_doubt_is_shown_with_its_intervals(run, html):
    shown, metrics = section(html, "doubt"), metrics_of(run)
    lead = metrics["differences"]["reviews"]["classification"]["mean_features"]["nll"]
    assert f"{lead['value']:+.3f}".replace("-", "−") in shown
    assert f"{metrics['intervals']['films']['regression']['mae']['high']:.3f}" in shown
    assert "the sets do so in 89.5% of the test reviews, with 2.50 stars on average" in shown
    assert "Two authors of one text gave the same star in 40.0% of the pairs" in shown
    assert "Fails most often: negating praise lowers (20% of 300 cases)" in shown
    assert "剧情不<i>好看 4.2 → 剧情一点也不好看 4.5" in shown
    assert "Film names swapped" not in shown  # no case
    assert "3 test reviews where the model claims a star two or more away" in shown


def test_suspects_come_worst_first(run):
    table = pq.read_table(run / "predictions.parquet").sort_by("suspect_rank")
    texts = pq.read_table(run / "reviews.parquet", columns=["row", "text"])
    by_row = dict(zip(texts["row"].to_pylist(), texts["text"].to_pylist(), strict=True))
    worst = [by_row[row] for row in table["row"].to_pylist()[:2]]
    assert [suspect.text for suspect in RunData.read(run).suspects(2)] == worst


def test_a_lead_within_chance_is_not_called_one():
    def doubt_of(low, high):
        interval = {"nll": {"value": 1.0, "low": 0.9, "high": 1.1}}
        difference = {"nll": {"value": (low + high) / 2, "low": low, "high": high}}
        return {
            "intervals": {"reviews": {"classification": interval, "fasttext": interval}},
            "differences": {"reviews": {"classification": {"fasttext": difference}}},
        }

    says = {
        ends: doubt.lead_finding(doubt_of(*ends), "classification") for ends in ((-0.2, -0.1), (-0.1, 0.1), (0.1, 0.2))
    }
    assert "ahead of every baseline beyond chance: negative log-likelihood" in says[-0.2, -0.1]
    assert "level with the best: negative log-likelihood" in says[-0.1, 0.1]
    assert "behind the best beyond chance: negative log-likelihood" in says[0.1, 0.2]
    marked = doubt.interval_table(doubt_of(-0.2, -0.1), ["classification"]).groups[0].rows[0]
    assert marked.best == {4}
    assert marked.cells[-1] == "−0.150 (−0.200 to −0.100)"
    assert not doubt.interval_table(doubt_of(0.1, 0.2), ["classification"]).groups[0].rows[0].best
