import csv
import re
from html import unescape

import pytest

from toy import BAD, GOOD
from xingping.errors import InputError
from xingping.unrated import report_file

FILM = "../../x<b>"


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def rows(n, film):
    texts = [f"片子里剧情{GOOD}看过第{number}遍" if number % 3 else f"音乐都{BAD}第{number}遍" for number in range(n)]
    return [{"film": film, "text": text, "date": f"2020-0{1 + at % 6}-11"} for at, text in enumerate(texts)]


def text_of(page):
    html = page.read_text(encoding="utf-8")
    markup = r"<script.*?</script>|<style.*?</style>|<svg.*?</svg>|<[^>]+>"
    return html, unescape(re.sub(markup, " ", html, flags=re.DOTALL))


def test_reviews_without_stars_are_told_of_by_the_model(trained_run, tmp_path):
    source = write_csv(tmp_path / "new reviews.csv", rows(30, FILM) + rows(4, "另一部"))
    page = report_file(trained_run, source)
    html, words = text_of(page)
    assert page == trained_run / "report" / "file" / "index.html"
    assert "30 reviews, which the model rates" in words
    assert "No author's stars are used here" in words
    assert "From the texts alone the model reads" in words
    assert "Where model and author disagree" not in words
    assert "<b>" not in html
    assert "../../x&lt;b&gt;" in html
    assert {path.suffix for path in (page.parent / "figures").iterdir()} == {".png", ".svg"}
    assert {path.name for path in page.parent.iterdir()} == {"index.html", "figures"}
    assert {path.name for path in tmp_path.iterdir()} == {source.name}


def test_a_film_is_chosen_and_stars_are_used_where_there_are_any(trained_run, tmp_path):
    rated = [{**row, "star": 4} for row in rows(12, "另一部")]
    source = write_csv(tmp_path / "rated.csv", [*rated, *({**row, "star": ""} for row in rows(20, "甲片"))])
    _html, words = text_of(report_file(trained_run, source, movie="另一部", language="zh"))
    assert "12 条评论，平均 4.00 星" in words
    assert "模型与作者分歧最大的评论" in words
    with pytest.raises(InputError, match="most reviewed: 甲片"):
        report_file(trained_run, source, movie="没有")


def test_a_file_without_films_is_studied_whole_and_lost_rows_are_counted(trained_run, tmp_path):
    source = write_csv(tmp_path / "plain.csv", [{"text": row["text"]} for row in rows(9, "")] + [{"text": ""}])
    _html, words = text_of(report_file(trained_run, source))
    assert "plain" in words
    assert "9 reviews, which the model rates" in words
    assert "Of 10 rows read, 1 could not be used and 0 were duplicates." in words
