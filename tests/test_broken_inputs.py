"""Files as they come in real life: each is either read with every record accounted for, or refused in one line."""

import gzip
import io
import os
import re
import zipfile
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xingping.config import RunSettings
from xingping.errors import InputError
from xingping.intake import Reading
from xingping.preparation import prepare
from xingping.progress import Silent
from xingping.records import BAD_BYTES
from xingping.reviews import read_reviews, write_rejects
from xingping.spilling import read_spilled
from xingping.tables import open_table
from xingping.workers import Workers

H = "film,star,text\n"
UNCLOSED = "a quote is opened and never closed"
GARBAGE = "text after a closing quote"


def parquet(columns):
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def archive(*members, method=zipfile.ZIP_DEFLATED):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as file:
        for name, content in members:
            file.writestr(name, content)
    return buffer.getvalue()


def encrypted(content):
    """Set the flag that says a member needs a password."""
    return content.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01").replace(
        b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01"
    )


GOOD = (H + "甲,5,好看\n甲,4,不错\n").encode()
GOOD_PARQUET = parquet({"text": ["好", "差"], "star": [5, 1]})
JSON_LINE = '{"text": "好", "star": 5}\n'


@dataclass
class Read:
    """What reading must give: rows kept, duplicates, and (line, reason) of each reject."""

    kept: int
    rejects: list = field(default_factory=list)
    duplicate: int = 0
    texts: list | None = None
    encoding: str | None = None


@dataclass
class Refused:
    """What the one-line message must say."""

    message: str


CASES = {
    # quotes
    "quote never closed mid-file": (
        H + '甲,5,"断了\n甲,4,不错\n甲,3,"一，二, 三"\n甲,2,差\n',
        Read(3, [(2, UNCLOSED)], texts=["不错", "一，二, 三", "差"]),
    ),
    "quote never closed at the end": (H + '甲,5,好\n甲,4,"断了\n', Read(1, [(3, UNCLOSED)])),
    "quote never closed in the last lines": (
        H + '甲,5,好\n甲,4,"断了\n甲,3,还行\n甲,2,差',
        Read(3, [(3, UNCLOSED)], texts=["好", "还行", "差"]),
    ),
    "two quotes never closed": (
        H + '甲,5,"断\n甲,4,不错\n甲,3,"又断\n甲,2,差\n',
        Read(2, [(2, UNCLOSED), (4, UNCLOSED)], texts=["不错", "差"]),
    ),
    "unclosed quote swallows a field mark": (
        H + '甲,5,"好\n甲,4,",不错"\n甲,3,差\n',
        Read(2, [(2, UNCLOSED)], texts=[",不错", "差"]),
    ),
    "text after a closing quote": (H + '甲,5,"好"看\n甲,4,不错\n', Read(1, [(2, GARBAGE)])),
    "quotes inside plain text": (
        H + '甲,5,他说"好看"了\n甲,4,5" 屏幕\n',
        Read(2, texts=['他说"好看"了', '5" 屏幕']),
    ),
    "line ends inside quotes": (
        H + '甲,5,"一\n\n二\r\n三"\n甲,0,差\n',
        Read(1, [(6, "star 0 is outside 1-5")], texts=["一 二 三"]),
    ),
    "header never closes its quote": ('"film,star,text\n甲,5,好\n', Refused("quotes of the header are broken")),
    # fields
    "too few fields": (
        H + "甲,5\n甲,4,不错\n甲\n",
        Read(1, [(2, "2 fields, the header has 3"), (4, "1 field, the header has 3")]),
    ),
    "too many fields": (H + "甲,5,好,看\n甲,4,不错\n", Read(1, [(2, "4 fields, the header has 3")])),
    "quoted record with too few fields over two lines": (
        H + '甲,"好\n看"\n甲,4,不错\n',
        Read(1, [(2, "2 fields, the header has 3")], texts=["不错"]),
    ),
    "every row has a mark too many": (
        H + "甲,5,好,\n甲,4,不错,\n",
        Refused("all 2 rows are rejected.* line 2: 4 fields"),
    ),
    "blank lines": ("\n\r\n" + H + "\n\n甲,5,好\n\n甲,9,差\n\n\n", Read(1, [(8, "star 9 is outside 1-5")])),
    "last line has no end": (H + "甲,5,好\n甲,4,不错", Read(2)),
    # characters
    "zero bytes in a text": (H + "甲,5,好\0看\n甲,4,\0\n", Read(1, [(3, "no text")], texts=["好看"])),
    "text of control characters": (
        H + "甲,5,\x01\x02\x7f\u200b\n甲,4,好\x08\n",
        Read(1, [(2, "no text")], texts=["好"]),
    ),
    "carriage return inside a line": (H + "甲,5,好\r看\n甲,4,不错\n", Read(2, texts=["好 看", "不错"])),
    "carriage return inside a record with quotes": (
        H + '"甲\n",5,好\r看\n甲,4,不错\n',
        Read(2, texts=["好 看", "不错"]),
    ),
    "lines end with a carriage return": ("film,star,text\r甲,5,好\r甲,4,不错\r", Read(2, texts=["好", "不错"])),
    "lines end with two carriage returns": (
        "film,star,text\r\r\n甲,5,好\r\r\n甲,4,不错\r\r\n",
        Read(2, texts=["好", "不错"]),
    ),
    "quoted lines end with two carriage returns": (
        '"film","star","text"\r\r\n"甲","5","好"\r\r\n"甲","4","不错"\r\r\n',
        Read(2, texts=["好", "不错"]),
    ),
    "line of one megabyte": (H + f"甲,5,{'很' * 400_000}\n甲,4,不错\n", Read(2)),
    "quoted line of three megabytes": (H + f'甲,5,"{"很" * 1_000_000},"\n甲,4,不错\n', Read(2)),
    "broken line of three megabytes": (H + f'甲,5,"{"很" * 1_000_000}\n甲,4,不错\n', Read(1, [(2, UNCLOSED)])),
    # encodings
    "some lines in another encoding": (
        GOOD + "甲,3,还行\n".encode("gb18030") + "甲,2,较差\n".encode(),
        Read(3, [(4, BAD_BYTES)], encoding="utf-8"),
    ),
    "stray bytes in a plain file": (
        b"film,star,text\na,5,good\na,4,\xff\xfe\na,3,fair\n",
        Read(2, [(3, BAD_BYTES)], encoding="utf-8"),
    ),
    "character cut in two": (GOOD + "甲,3,还行".encode()[:-1], Read(2, [(4, BAD_BYTES)])),
    "bad bytes in a record of two lines": (
        GOOD + '甲,3,"还\n'.encode() + b"\xe5" + '行"\n甲,2,差\n'.encode(),
        Read(3, [(4, BAD_BYTES)]),
    ),
    "GB18030": (GOOD.decode().encode("gb18030"), Read(2, encoding="gb18030", texts=["好看", "不错"])),
    "GB18030 with a bad byte": (
        GOOD.decode().encode("gb18030") + b"\xbc\xd7,3,\xff\n" + "甲,2,差\n".encode("gb18030"),
        Read(3, [(4, BAD_BYTES)], encoding="gb18030"),
    ),
    "UTF-16 with a mark": (GOOD.decode().encode("utf-16"), Read(2, encoding="utf-16")),
    "UTF-16 without a mark": (GOOD.decode().encode("utf-16-le"), Read(2, encoding="utf-16-le", texts=["好看", "不错"])),
    "UTF-16 with half a pair": (
        ("\ufeff" + GOOD.decode()).encode("utf-16-le") + "甲,3,".encode("utf-16-le") + b"\x3d\xd8" + b"\n\0",
        Read(2, [(4, BAD_BYTES)], encoding="utf-16"),
    ),
    "UTF-16 cut in two": (GOOD.decode().encode("utf-16")[:-1], Refused("not valid utf-16.*save it as UTF-8")),
    # headers
    "header only": (H, Refused("a header and no rows")),
    "header without line end": (H.strip(), Refused("a header and no rows")),
    "no header": ("甲,5,好看\n甲,4,不错\n", Refused("no text column.*'甲', '5', '好看'.*--text-column")),
    "no rating column": ("film,text\n甲,好\n", Refused("no rating column.*'film', 'text'.*--rating-column")),
    "header with a mark and spaces": (
        b"\xef\xbb\xbf" + " Film , STAR ,Text \n甲,5,好\n".encode(),
        Read(1, encoding="utf-8-sig"),
    ),
    "header not in the file's encoding": (b"film,star,t\xffxt\n" + GOOD * 3, Refused("header is not UTF-8")),
    "repeated column": ("text,text,star\n好,差,5\n", Read(1, texts=["好"])),
    "nameless columns": (",text,star,\n1,好,5,x\n", Read(1, texts=["好"])),
    # stars
    "unusable stars": (
        H
        + "".join(
            f"甲,{star},好看{i}\n" for i, star in enumerate(["0", "6", "3.7", "nan", "inf", "-1", "五星", "", "3"])
        ),
        Read(
            1,
            [
                (2, "star 0 is outside 1-5"),
                (3, "star 6 is outside 1-5"),
                (4, "star 3.7 is not a whole star"),
                (5, "star nan is not understood"),
                (6, "star inf is not understood"),
                (7, "star -1 is outside 1-5"),
                (8, "star 五星 is not understood"),
                (9, "no star"),
            ],
        ),
    ),
    "all rows unusable": (
        H + "甲,x,好\n甲,,差\n",
        Refused("all 2 rows are rejected.* line 2: star x is not understood"),
    ),
    "stars are a formula": (H + "甲,=1+4,好\n甲,4,不错\n", Read(1, [(2, "star =1+4 is not understood")])),
    "repeated rows": (
        "film,user,star,text\n" + "甲,a,5,好\n" * 3 + "甲,,5,好\n" * 2,
        Read(3, duplicate=2),
    ),
    # whole files
    "empty": (b"", Refused("is empty")),
    "only a byte order mark": (b"\xef\xbb\xbf", Refused("is empty")),
    "only a UTF-16 mark": (b"\xff\xfe", Refused("is empty")),
    "only blank lines": (b"\n\r\n\n", Refused("is empty")),
    "a picture": (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 9, Refused("PNG image.*save the reviews as CSV")),
    "random bytes": (bytes((i * i * 7 + i * 13) % 256 for i in range(9000)), Refused("binary file|unknown encoding")),
    "zero bytes only": (bytes(5000), Refused("binary file")),
    "an old Excel workbook": (b"\xd0\xcf\x11\xe0" + bytes(600), Refused("Excel workbook.*CSV")),
    "an Excel workbook": (
        archive(("[Content_Types].xml", "x"), ("xl/workbook.xml", "x")),
        Refused("Excel workbook.*CSV"),
    ),
    "corrupt.parquet": (GOOD_PARQUET[:40] + bytes(20) + GOOD_PARQUET[60:], Refused("damaged Parquet")),
    "truncated.parquet": (GOOD_PARQUET[:-9], Refused("damaged Parquet")),
    "not.parquet": (GOOD, Refused("no Parquet file")),
    "typed.parquet": (
        parquet({"star": pa.array([5, None, 0, 4], pa.int32()), "text": ["好", "差", "中", None]}),
        Read(1, [(2, "no star"), (3, "star 0 is outside 1-5"), (4, "no text")], encoding="binary"),
    ),
    "floats.parquet": (
        parquet({"star": [5.0, 3.7, float("nan")], "text": ["好", "差", "中"]}),
        Read(1, [(2, "star 3.7 is not a whole star"), (3, "star nan is not understood")]),
    ),
    # packed
    "whole.csv.gz": (gzip.compress(GOOD), Read(2)),
    "truncated.csv.gz": (gzip.compress(GOOD * 100)[:-20], Refused("damaged or cut short")),
    "not.csv.gz": (GOOD, Refused("no .gz file")),
    "nothing.csv.gz": (gzip.compress(b""), Refused("is empty")),
    "bomb.csv.gz": (gzip.compress(bytes(80 << 20), 9), Refused("unpacks to over 64 MB")),
    "bomb.zip": (archive(("a.csv", bytes(80 << 20))), Refused("unpacks to over 64 MB")),
    "two files.zip": (archive(("a.csv", GOOD), ("b.csv", GOOD)), Refused(r"holds 2 files \(a.csv, b.csv\)")),
    "no file.zip": (archive(), Refused(r"holds 0 files \(nothing\)")),
    "path tricks.zip": (archive(("../../escaped.csv", GOOD)), Read(2)),
    "damaged.zip": (
        archive(("a.csv", GOOD), method=zipfile.ZIP_STORED).replace(b"5,", b"4,"),
        Refused("damaged or unsupported zip"),
    ),
    "truncated.zip": (archive(("a.csv", GOOD))[:-30], Refused("damaged or unsupported zip")),
    "password.zip": (encrypted(archive(("a.csv", GOOD))), Refused("password")),
    "not.zip": (GOOD, Refused("no .zip file")),
    "nested.zip": (archive(("a.zip", archive(("b.zip", archive(("c.csv", GOOD)))))), Refused("packed more than twice")),
    # JSON
    "broken.jsonl": (
        JSON_LINE + '{"text": "断\n\n' + JSON_LINE + "nonsense\n",
        Read(
            2,
            [
                (2, "not valid JSON at character 10: Unterminated string starting at"),
                (5, "not valid JSON at character 1: Expecting value"),
            ],
        ),
    ),
    "other values.jsonl": (
        JSON_LINE + '[1]\n"x"\nnull\n3\n{}\n',
        Read(1, [(line, "not an object with values") for line in range(2, 7)]),
    ),
    "nested values.jsonl": (
        JSON_LINE + '{"text": "好", "star": {"value": 5}}\n{"text": null, "star": 3}\n',
        Read(1, [(2, 'star {"value": 5} is not understood'), (3, "no text")]),
    ),
    "bad bytes.jsonl": (JSON_LINE.encode() + b'{"text": "\xff", "star": 5}\n', Read(1, [(2, BAD_BYTES)])),
    "too deep.jsonl": (
        JSON_LINE + "[" * 200_000 + "\n",
        Read(1, [(2, "not valid JSON: a number is too long or the nesting too deep")]),
    ),
    "broken.json": ('[{"text": "好", "star": 5},\n{"text": ]', Refused("line 2: not valid JSON")),
    "unfinished.json": ('[{"text": "好", "star": 5},', Refused("line 1: not valid JSON")),
    "empty array.json": ("[]", Refused("no text column")),
}


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_accounted_for_or_refused(tmp_path, name):
    content, expected = CASES[name]
    folder = tmp_path / "in" / "here"
    folder.mkdir(parents=True)
    path = folder / (name if re.search(r"\.\w+$", name) else f"{name}.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    if isinstance(expected, Refused):
        with pytest.raises(InputError, match=expected.message) as error:
            read_reviews(path)
        assert str(path) in str(error.value)
        assert "\n" not in str(error.value)
        assert len(str(error.value)) < len(str(path)) + 300
    else:
        reviews = read_reviews(path)
        assert (
            list(zip(*(reviews.rejects[key].to_pylist() for key in ("line", "reason")), strict=True))
            == expected.rejects
        )
        assert (reviews.rows_kept, reviews.rows_duplicate) == (expected.kept, expected.duplicate)
        assert reviews.rows_read == reviews.rows_kept + reviews.rows_rejected + reviews.rows_duplicate
        assert expected.texts is None or reviews.table["text"].to_pylist() == expected.texts
        assert expected.encoding in (None, reviews.encoding)
        write_rejects(tmp_path / "rejects.csv", reviews.rejects)
        (tmp_path / "rejects.csv").unlink()
    assert [found for found in tmp_path.rglob("*") if found.is_file()] == [path]


@pytest.mark.parametrize("name", CASES)
def test_a_broken_file_is_the_same_portion_by_portion(tmp_path, name):
    content, expected = CASES[name]
    path = tmp_path / (name if re.search(r"\.\w+$", name) else f"{name}.csv")
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    if isinstance(expected, Refused):
        with pytest.raises(InputError, match=expected.message) as error:
            prepare(path, RunSettings(), scratch, {}, progress=Silent(), portion_bytes=len(content) // 4 + 7)
        assert "\n" not in str(error.value)
        assert list(scratch.iterdir()) == []
        return
    reading = Reading(open_table(path, scratch), RunSettings(), scratch, Workers(1), Silent())
    intake = reading.intake(len(content) // 4 + 7)
    reviews = read_reviews(path)
    rejects = [row for table in intake.rejects() for row in table.to_pylist()]
    assert rejects == reviews.rejects.to_pylist()
    assert intake.rows == reviews.rows_read
    assert intake.places[-1] == reviews.rows_kept + reviews.rows_duplicate
    if reviews.rows_duplicate == 0:
        texts = [text for portion in intake.portions for text in read_spilled(portion.reviews)["text"].to_pylist()]
        assert texts == reviews.table["text"].to_pylist()


def test_there_are_many_of_them():
    assert len(CASES) >= 30


@pytest.mark.parametrize(
    ("name", "message"),
    [("missing.csv", "does not exist"), (".", "is a folder"), ("no/such/folder.csv", "does not exist")],
)
def test_what_is_no_file_is_refused(tmp_path, name, message):
    with pytest.raises(InputError, match=message) as error:
        read_reviews(tmp_path / name)
    assert str(tmp_path) in str(error.value)


def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    with pytest.raises(InputError, match="not a regular file"):
        read_reviews(tmp_path / "pipe.csv")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path):
    path = tmp_path / "secret.csv"
    path.write_bytes(GOOD)
    path.chmod(0)
    with pytest.raises(InputError, match=r"cannot read .*secret\.csv: Permission denied"):
        read_reviews(path)


def test_a_read_error_is_refused(tmp_path, monkeypatch):
    path = tmp_path / "a.csv"
    path.write_bytes(GOOD)

    def fail(*args, depth):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr("xingping.sources._recognise", fail)
    with pytest.raises(InputError, match=r"cannot read .*a\.csv: Input/output error"):
        read_reviews(path)
