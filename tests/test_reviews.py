import csv
from pathlib import Path

import pyarrow as pa
import pytest

from xingping.config import CleaningSettings, ColumnSettings
from xingping.errors import InputError, OutputError
from xingping.reviews import SHORT_TEXT, defuse_formulas, find_columns, read_reviews, write_rejects

DMSC = "ID,Movie_Name_EN,Movie_Name_CN,Crawl_Date,Number,Username,Date,Star,Comment,Like\n"
LONG = "这部电影真的非常非常好看，推荐大家去看"


@pytest.fixture
def write(tmp_path):
    def write(text, name="reviews.csv"):
        path = tmp_path / name
        path.write_text(text, encoding="utf-8", newline="")
        return path

    return write


def parse(**columns):
    return ColumnSettings.parse(columns)


def test_the_columns_of_dmsc_are_recognised(write):
    path = write(DMSC + "0,Zootopia,疯狂动物城,2017-01-22,1,甲,2016-03-04,5, 朱迪太可爱了！,12\n")
    reviews = read_reviews(path)
    assert reviews.table.to_pylist() == [
        {
            "row": 1, "line": 2, "text": "朱迪太可爱了！", "film": "疯狂动物城", "user": "甲", "date": "2016-03-04",
            "rating": 5, "likes": 12,
        }
    ]  # fmt: skip
    assert reviews.table.schema.types == [
        pa.int64(), pa.int64(), pa.string(), pa.string(), pa.string(), pa.string(), pa.int8(), pa.int64(),
    ]  # fmt: skip
    assert reviews.columns == {
        "text": "Comment", "rating": "Star", "movie": "Movie_Name_CN", "date": "Date", "likes": "Like",
        "user": "Username",
    }  # fmt: skip
    assert (reviews.encoding, reviews.format) == ("utf-8", "csv")


@pytest.mark.parametrize(
    ("header", "found"),
    [
        ("film,posted,rating,text,votes", ("text", "rating", "film", "posted", "votes", None)),
        ("电影,评分,短评,时间,有用,用户", ("短评", "评分", "电影", "时间", "有用", "用户")),
        ("片名,星级,评论,日期,赞,昵称", ("评论", "星级", "片名", "日期", "赞", "昵称")),
        (
            "Movie Name, STARS ,Content,Time,Useful,User-Name",
            ("Content", "STARS", "Movie Name", "Time", "Useful", "User-Name"),
        ),
        ("review,score", ("review", "score", None, None, None, None)),
        ("Movie_Name_EN,Star,Comment", ("Comment", "Star", "Movie_Name_EN", None, None, None)),
    ],
)
def test_common_headers_are_recognised(write, header, found):
    path = write(header + "\n" + ",".join(["1"] * (header.count(",") + 1)) + "\n")
    reviews = read_reviews(path)
    assert tuple(reviews.columns[role] for role in ("text", "rating", "movie", "date", "likes", "user")) == found


def test_a_named_column_goes_before_a_recognised_one(write):
    path = write("comment,my text,my stars,star,title\nno,yes,2,5,t\n")
    reviews = read_reviews(path, parse(text="my text", rating="My_Stars"))
    assert reviews.table.select(["text", "rating", "film"]).to_pylist() == [{"text": "yes", "rating": 2, "film": "t"}]
    assert read_reviews(path, parse(text="title")).table["film"].to_pylist() == [""]


@pytest.mark.parametrize(
    ("columns", "option"),
    [
        (parse(text="nope"), "--text-column"),
        (parse(rating="nope"), "--rating-column"),
        (parse(movie="nope"), "--movie-column"),
        (parse(date="nope"), "--date-column"),
        (parse(likes="nope"), "--likes-column"),
        (parse(user="nope"), "--user-column"),
    ],
)
def test_a_named_column_that_is_missing_is_an_error(write, columns, option):
    path = write("text,star\n好,5\n")
    with pytest.raises(InputError, match=rf"no column 'nope' \({option}\); its columns are 'text', 'star'"):
        read_reviews(path, columns)


def test_only_what_is_needed_must_be_there():
    path = Path("x.csv")
    assert find_columns(["a", "text"], parse(), path).text == "text"
    with pytest.raises(InputError, match=r"x\.csv has no rating column.* 'a', 'text'.*--rating-column"):
        find_columns(["a", "text"], parse(), path, require_rating=True)
    with pytest.raises(InputError, match=r"no text column.*'c0', .*'c11' and 88 more;.*--text-column"):
        find_columns([f"c{i}" for i in range(100)], parse(), path)


def test_without_ratings_nothing_is_rejected_for_them(write):
    path = write("text,star\n好,5\n差,x\n一般,\n,3\n")
    reviews = read_reviews(path, require_rating=False)
    assert reviews.table["rating"].to_pylist() == [5, None, None]
    assert reviews.rejects.to_pylist() == [{"row": 4, "line": 5, "column": "text", "reason": "no text", "value": ""}]
    unrated = read_reviews(write("text\n好\n差\n"), require_rating=False)
    assert unrated.table["rating"].to_pylist() == [None, None]
    assert unrated.columns["rating"] is None


def test_every_record_ends_in_one_place(write):
    path = write(
        'text,star,user\n好看,5,甲\n"空\n格",4,甲\n,4,乙\n！！！,4,乙\n差,0,丙\n好看,5,甲\n太少\n\u200b,9,丁\n好,3.7,戊\n'
    )
    reviews = read_reviews(path)
    assert reviews.table["text"].to_pylist() == ["好看", "空 格", "！！！"]
    assert reviews.table["line"].to_pylist() == [2, 3, 6]
    assert reviews.table["row"].to_pylist() == [1, 2, 4]
    assert reviews.rejects.to_pylist() == [
        {"row": 3, "line": 5, "column": "text", "reason": "no text", "value": ""},
        {"row": 5, "line": 7, "column": "star", "reason": "star 0 is outside 1-5", "value": "0"},
        {"row": 7, "line": 9, "column": "star", "reason": "1 field, the header has 3", "value": "太少"},
        {"row": 8, "line": 10, "column": "text", "reason": "no text", "value": "\u200b"},
        {"row": 9, "line": 11, "column": "star", "reason": "star 3.7 is not a whole star", "value": "3.7"},
    ]
    assert (reviews.rows_read, reviews.rows_kept, reviews.rows_rejected, reviews.rows_duplicate) == (9, 3, 5, 1)


def test_a_long_value_is_cut_in_the_rejects(write):
    reviews = read_reviews(write(f"text,star\n好,5\n差,{'很' * 500}\n"))
    assert reviews.rejects["value"].to_pylist() == ["很" * 80]


@pytest.mark.parametrize(
    ("rows", "kept"),
    [
        ([("甲", "a", "2016", "5", "不错")] * 3, [0]),
        ([("甲", "a", "2016", "5", "不错"), ("甲", "b", "2016", "5", "不错")], [0, 1]),
        ([("甲", "a", "2016", "5", "不错"), ("乙", "a", "2016", "5", "不错")], [0, 1]),
        ([("甲", "a", "2016", "5", "不错"), ("甲", "a", "2017", "5", "不错")], [0, 1]),
        ([("甲", "a", "2016", "5", "不错"), ("甲", "a", "2016", "4", "不错")], [0, 1]),
        ([("甲", "a", "2016", "5", "不错"), ("甲", "a", "2016", "50", " 不错 ")], [0]),
        ([("甲", "", "2016", "5", "不错")] * 3, [0, 1, 2]),
        ([("甲", "", "2016", "5", LONG)] * 3, [0]),
        ([("甲", "", "", "5", "字" * SHORT_TEXT)] * 2, [0, 1]),
        ([("甲", "", "", "5", "字" * (SHORT_TEXT + 1))] * 2, [0]),
        (
            [
                ("甲", "a", "", "5", LONG), ("乙", "b", "", "5", LONG), ("甲", "a", "", "5", LONG),
                ("乙", "c", "", "5", LONG), ("乙", "b", "", "5", LONG), ("甲", "a", "", "5", LONG),
            ],
            [0, 1, 3],
        ),
    ],
)  # fmt: skip
def test_repeats_are_dropped_where_they_prove_something(write, rows, kept):
    text = "".join(",".join(row) + "\n" for row in rows)
    reviews = read_reviews(write("film,user,date,star,text\n" + text))
    assert [row - 1 for row in reviews.table["row"].to_pylist()] == kept
    assert reviews.rows_duplicate == len(rows) - len(kept)


@pytest.mark.parametrize(
    ("date", "iso"),
    [
        ("2017-01-22", "2017-01-22"),
        ("2017-1-2", "2017-01-02"),
        (" 2017/01/22 ", "2017-01-22"),
        ("2017.1.22", "2017-01-22"),
        ("2017年1月22日", "2017-01-22"),
        ("2017年12月31日 08:00", "2017-12-31"),
        ("2017-01-22 10:20:30", "2017-01-22"),
        ("2017-01-22T10:20:30+08:00", "2017-01-22"),
        ("20170122", "2017-01-22"),
        ("2017-02-30", "2017-02-30"),
        ("2017-13-01", "2017-13-01"),
        ("yesterday", "yesterday"),
        ("1485043200", "1485043200"),
        ("2017-01-223", "2017-01-223"),
        ("", None),
        ("  ", None),
    ],
)
def test_dates_become_iso_where_they_are_dates(write, date, iso):
    assert read_reviews(write(f"text,star,date\n好,5,{date}\n")).table["date"].to_pylist() == [iso]


@pytest.mark.parametrize(
    ("likes", "number"),
    [("12", 12), (" 3 ", 3), ("1,234", 1234), ("5.0", 5), ("", None), ("-1", None), ("many", None), ("1.5", None)],
)
def test_likes_are_counts_or_unknown(write, likes, number):
    path = write(f'text,star,likes\n好,5,"{likes}"\n')
    assert read_reviews(path).table["likes"].to_pylist() == [number]


def test_texts_and_films_are_cleaned(write):
    path = write("film,star,text\n 疯狂\u3000动物城 ,5,好看，真的&amp;ｏｋ！\n")
    assert read_reviews(path).table.select(["film", "text"]).to_pylist() == [
        {"film": "疯狂 动物城", "text": "好看，真的&ok！"}
    ]
    stripped = read_reviews(path, cleaning=CleaningSettings(strip_punctuation=True))
    assert stripped.table["text"].to_pylist() == ["好看 真的 ok"]


def test_stripping_can_empty_a_text(write):
    path = write("star,text\n5,！！！\n4,好\n")
    assert read_reviews(path).rows_kept == 2
    assert read_reviews(path, cleaning=CleaningSettings(strip_punctuation=True)).rejects["reason"].to_pylist() == [
        "no text"
    ]


def test_a_file_without_a_usable_row_is_an_error_that_shows_why(write):
    with pytest.raises(InputError, match=r"all 2 rows are rejected; the first, on line 2: star 9 is outside 1-5$"):
        read_reviews(write("text,star\n好,9\n,5\n"))
    with pytest.raises(InputError, match="has a header and no rows"):
        read_reviews(write("text,star\n"))


def test_rejects_are_safe_to_open_in_a_spreadsheet(write, tmp_path):
    cells = ["=1+1", "+1", "-1", "@x", '"\tx"', '"\rx"', "plain", "'=1"]
    path = write("text,star\n好,5\n" + "".join(f"差,{cell}\n" for cell in cells))
    write_rejects(tmp_path / "rejects.csv", read_reviews(path).rejects)
    with (tmp_path / "rejects.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["line", "row", "column", "reason", "value"]
    assert [row["value"] for row in rows] == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "'\rx", "plain", "'=1"]
    assert [row["line"] for row in rows] == [str(line) for line in range(3, 11)]


def test_no_rejects_are_a_file_with_a_header(write, tmp_path):
    write_rejects(tmp_path / "rejects.csv", read_reviews(write("text,star\n好,5\n")).rejects)
    assert (tmp_path / "rejects.csv").read_text(encoding="utf-8").split() == ["line,row,column,reason,value"]


def test_rejects_that_cannot_be_written_are_an_error(write, tmp_path):
    rejects = read_reviews(write("text,star\n好,5\n")).rejects
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="cannot write"):
        write_rejects(tmp_path / "file" / "rejects.csv", rejects)


def test_formulas_are_defused_and_nothing_else_is():
    column = pa.array(["=a", "a=b", "line\n=b", "", None])
    assert defuse_formulas(column).to_pylist() == ["'=a", "a=b", "line\n=b", "", None]


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "read", "duplicate"), [("dmsc_sample.csv", 42_262, 0), ("douban_crawl.csv", 35_506, 130)]
)
def test_real_files_are_kept_nearly_whole(shared_data, name, read, duplicate):
    reviews = read_reviews(shared_data / name)
    assert (reviews.rows_read, reviews.rows_rejected, reviews.rows_duplicate) == (read, 0, duplicate)
    assert reviews.rows_kept == read - duplicate
    assert reviews.table["rating"].null_count == 0
