import csv
import gzip
import io
import json
import zipfile

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xingping import delimited, scanning
from xingping.records import SHOWN, unique_names
from xingping.sources import is_utf8
from xingping.tables import read_table

CELLS = st.lists(
    st.sampled_from(
        ["好", "a", ",", '"', '""', "\n", "\r\n", "\r", "\t", ";", "|", " ", "\0", "'", "\\", "5", "\u2028", "😀"]
    ),
    max_size=6,
).map("".join)
SAME_FILE = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)


@st.composite
def tables(draw):
    """A header, rows, and how the file is written."""
    width = draw(st.integers(1, 4))
    rows = draw(st.lists(st.lists(CELLS, min_size=width, max_size=width), max_size=12))
    # With LF line ends the csv module leaves a carriage return bare, and at the end of a line it is then lost.
    bare = not any("\r" in cell for row in rows for cell in row) and draw(st.booleans())
    return (
        [f"c{i}" for i in range(width)],
        rows,
        draw(st.sampled_from([",", "\t", ";", "|"])) if width > 1 else ",",
        draw(st.sampled_from(["\n", "\r\n"])),
        csv.QUOTE_MINIMAL if bare else csv.QUOTE_ALL,
        draw(st.booleans()),
    )


def written(header, rows, delimiter, end, quoting, last_end):
    """Write rows with the csv module; return the text and the physical line of each row."""
    text, lines = "", []
    for row in [header, *rows]:
        buffer = io.StringIO(newline="")
        csv.writer(buffer, delimiter=delimiter, lineterminator=end, quoting=quoting).writerow(row)
        lines.append(text.count("\n") + 1)
        text += buffer.getvalue()
    return text if last_end else text[: -len(end)], lines[1:]


def as_rows(table):
    return [list(row.values()) for row in table.to_pylist()]


@SAME_FILE
@given(tables(), st.integers(1, 60), st.integers(0, 3))
def test_what_the_csv_module_writes_is_read_back(tmp_path, monkeypatch, table, chunk, blank):
    header, rows, *dialect = table
    text, lines = written(header, rows, *dialect)
    text = dialect[1] * blank + text
    path = tmp_path / "table.csv"
    path.write_text(text, encoding="utf-8", newline="")
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    raw = read_table(path)
    assert raw.bad_lines == []
    assert raw.table.column_names == header
    assert as_rows(raw.table) == rows
    assert raw.line_numbers.tolist() == [line + blank for line in lines]
    assert raw.row_numbers.tolist() == list(range(1, len(rows) + 1))


@SAME_FILE
@given(
    st.lists(
        st.sampled_from(["1,a,b\n", '2,"x, y",b\n', '3,"two\nlines",b\r\n', '4,a "b" c,d\n', '5,"q ""r""",\n', "\n"]),
        max_size=12,
    ),
    st.lists(
        st.tuples(
            st.integers(0, 12),
            st.sampled_from(['6,"open,b\n', '7,"a" b,c\n', "8,few\n", "9,a,b,c\n", '10,"x"\n', '11,"x" ,y,"z\n']),
        ),
        max_size=4,
    ),
    st.integers(1, 60),
)
def test_a_broken_line_costs_itself_and_no_other(tmp_path, monkeypatch, good, broken, chunk):
    pieces = [(piece, True) for piece in good]
    for place, piece in broken:
        pieces.insert(min(place, len(pieces)), (piece, False))
    rows, lines, bad_lines, line, row = [], [], [], 2, 0
    for piece, is_good in pieces:
        if piece != "\n":
            row += 1
            if is_good:
                rows.append(next(csv.reader(io.StringIO(piece, newline=""))))
                lines.append(line)
            else:
                bad_lines.append((row, line))
        line += piece.count("\n")
    path = tmp_path / "table.csv"
    path.write_text("n,text,x\n" + "".join(piece for piece, _ in pieces), encoding="utf-8", newline="")
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    raw = read_table(path)
    assert as_rows(raw.table) == rows
    assert raw.line_numbers.tolist() == lines
    assert [(bad.row, bad.line) for bad in raw.bad_lines] == bad_lines
    assert raw.rows_read == len(rows) + len(bad_lines)
    assert sorted([*raw.row_numbers.tolist(), *(bad.row for bad in raw.bad_lines)]) == list(range(1, row + 1))


@SAME_FILE
@given(
    st.lists(st.sampled_from(["a", ",", '"', "\n", "\r", " ", "好", "\0"]), max_size=60).map("".join),
    st.integers(1, 40),
)
def test_any_text_is_accounted_for(tmp_path, monkeypatch, text, chunk):
    path = tmp_path / "table.csv"
    path.write_text("x" * 200 + ",y\n" + text, encoding="utf-8", newline="")
    monkeypatch.setattr(delimited, "CHUNK", chunk)
    raw = read_table(path)
    numbers = sorted([*raw.row_numbers.tolist(), *(bad.row for bad in raw.bad_lines)])
    assert numbers == list(range(1, raw.rows_read + 1))
    lines = [*raw.line_numbers.tolist(), *(bad.line for bad in raw.bad_lines)]
    assert len(set(lines)) == len(lines)
    assert all(2 <= line <= text.count("\n") + 2 for line in lines)
    monkeypatch.setattr(delimited, "CHUNK", 1 << 20)
    whole = read_table(path)
    assert whole.table.equals(raw.table)
    assert whole.bad_lines == raw.bad_lines


@pytest.mark.parametrize(
    ("encoding", "bom", "name"),
    [
        ("utf-8", b"", "utf-8"),
        ("utf-8", b"\xef\xbb\xbf", "utf-8-sig"),
        ("utf-16-le", b"\xff\xfe", "utf-16"),
        ("utf-16-be", b"\xfe\xff", "utf-16"),
        ("utf-16-le", b"", "utf-16-le"),
        ("utf-16-be", b"", "utf-16-be"),
        ("gb18030", b"", "gb18030"),
        ("gbk", b"", "gb18030"),
    ],
)
@pytest.mark.parametrize("header", ["片名,星级,短评", "film,star,comment"])
def test_every_encoding_gives_the_same_table(tmp_path, encoding, bom, name, header):
    text = f"{header}\r\n" + "".join(f'甲,{i % 5 + 1},"第{i}条，一般\n般。"\r\n' for i in range(50))
    path = tmp_path / "table.csv"
    path.write_bytes(bom + text.encode(encoding))
    raw = read_table(path)
    assert raw.encoding == name
    assert raw.table.column_names == header.split(",")
    assert as_rows(raw.table)[49] == ["甲", "5", "第49条，一般\n般。"]
    assert raw.line_numbers.tolist() == list(range(2, 102, 2))


@given(
    st.one_of(
        st.binary(max_size=12),
        st.lists(
            st.sampled_from(
                [b"a", "好".encode(), "😀".encode(), b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80", b"\xe5"]
            ),
            max_size=6,
        ).map(b"".join),
    )
)
def test_valid_utf8_is_what_python_can_decode(data):
    try:
        data.decode()
    except UnicodeDecodeError:
        assert not is_utf8(data)
    else:
        assert is_utf8(data)


def test_plain_ascii_is_utf8(tmp_path):
    path = tmp_path / "table.csv"
    path.write_bytes(b"text,star\ngood,5\n")
    assert read_table(path).encoding == "utf-8"


ROWS = [{"text": "好看", "star": "5", "empty": ""}, {"text": 'a,b\n"c"', "star": "1", "empty": ""}]


def as_csv(delimiter=","):
    buffer = io.StringIO(newline="")
    writer = csv.DictWriter(buffer, list(ROWS[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(ROWS)
    return buffer.getvalue().encode()


def as_parquet():
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer)
    return buffer.getvalue()


def zipped(content, name):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("__MACOSX/._junk.csv", b"junk")
        archive.writestr(f"folder/{name}", content)
        archive.writestr(".DS_Store", b"junk")
    return buffer.getvalue()


JSONL = "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()


@pytest.mark.parametrize(
    ("name", "content", "kind"),
    [
        ("a.csv", as_csv(), "csv"),
        ("a.CSV", as_csv(), "csv"),
        ("a", as_csv(), "csv"),
        ("a.txt", as_csv("\t"), "csv"),
        ("a.tsv", as_csv("\t"), "tsv"),
        ("a.csv", as_csv(";"), "csv"),
        ("a.csv", as_csv("|"), "csv"),
        ("a.jsonl", JSONL, "jsonl"),
        ("a.ndjson", JSONL, "ndjson"),
        ("a.txt", JSONL, "jsonl"),
        ("a.json", JSONL, "json"),
        ("a.json", json.dumps(ROWS, indent=2).encode(), "json"),
        ("a.jsonl", JSONL.decode().encode("utf-16"), "jsonl"),
        ("a.parquet", as_parquet(), "parquet"),
        ("misnamed.csv", as_parquet(), "parquet"),
        ("a.csv.gz", gzip.compress(as_csv(), mtime=0), "csv.gz"),
        ("a.jsonl.gz", gzip.compress(JSONL, mtime=0), "jsonl.gz"),
        ("a.gz", gzip.compress(as_csv(), mtime=0), "csv.gz"),
        ("a.zip", zipped(as_csv(), "a.csv"), "csv.zip"),
        ("a.zip", zipped(as_parquet(), "a.parquet"), "parquet.zip"),
        ("a.zip", zipped(gzip.compress(JSONL, mtime=0), "a.jsonl.gz"), "jsonl.gz.zip"),
    ],
)
def test_every_format_gives_the_same_table(tmp_path, name, content, kind):
    path = tmp_path / name
    path.write_bytes(content)
    raw = read_table(path)
    assert raw.format == kind
    assert raw.table.to_pylist() == ROWS
    assert raw.row_numbers.tolist() == [1, 2]
    assert raw.bad_lines == []


def test_temporary_files_go_where_they_are_told_and_vanish(tmp_path):
    path = tmp_path / "a.csv.gz"
    path.write_bytes(gzip.compress(as_csv()))
    folder = tmp_path / "scratch"
    folder.mkdir()
    assert read_table(path, folder).rows_read == 2
    assert list(folder.iterdir()) == []
    assert sorted(tmp_path.iterdir()) == [path, folder]


def test_json_values_become_cells(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"a": 5, "b": 3.5, "c": true}\n\n{"b": null, "d": {"x": [1, "二"]}, "a": "\\ud83d!"}\n')
    raw = read_table(path)
    assert raw.table.to_pylist() == [
        {"a": "5", "b": "3.5", "c": "true", "d": None},
        {"a": "\ufffd!", "b": None, "c": None, "d": '{"x": [1, "二"]}'},
    ]
    assert raw.line_numbers.tolist() == [1, 3]


def test_columns_that_appear_late_in_json_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr("xingping.json_records.BATCH", 2)
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"text": "t{i}"' + (', "late": 1' if i == 4 else "") + "}\n" for i in range(5)))
    assert read_table(path).table["late"].to_pylist() == [None, None, None, None, "1"]


def test_the_lines_of_a_json_array_are_where_its_objects_begin(tmp_path):
    path = tmp_path / "a.json"
    path.write_text('[\n  {"text": "a"},\n\n  {\n"text": "b"}, 3, {"text": "c"}]')
    raw = read_table(path)
    assert raw.line_numbers.tolist() == [2, 4, 5]
    assert [(bad.row, bad.line, bad.reason) for bad in raw.bad_lines] == [(3, 5, "not an object with values")]


def test_parquet_types_become_strings(tmp_path):
    import datetime

    table = pa.table({
        "int": pa.array([5, None], pa.int8()),
        "float": [4.0, 3.7],
        "date": [datetime.date(2017, 1, 22), None],
        "word": pa.array(["a", "b"]).dictionary_encode(),
        "large": pa.array(["a", "b"], pa.large_string()),
        "bytes": pa.array([b"\xff", "好".encode()]),
        "list": [[1], []],
    })  # fmt: skip
    pq.write_table(table, tmp_path / "a.parquet")
    raw = read_table(tmp_path / "a.parquet")
    assert set(raw.table.schema.types) == {pa.string()}
    assert raw.table.slice(0, 1).to_pylist() == [
        {"int": "5", "float": "4", "date": "2017-01-22", "word": "a", "large": "a", "bytes": "\ufffd", "list": "[1]"}
    ]
    assert raw.table["int"].to_pylist()[1] is None
    assert raw.encoding == "binary"


def test_column_names_are_made_unique():
    assert unique_names(["\ufefftext", " text ", "", "a\nb", "text_2", "text"]) == [
        "text", "text_2", "column_3", "a b", "text_2_2", "text_3",
    ]  # fmt: skip


def test_a_bad_line_names_its_column_and_shows_its_start(tmp_path):
    path = tmp_path / "a.csv"
    content = b'n,text,x\n1,"open,3\n2,"a"b,3\n3,few\n4,a,b,c\n"5,a,b\n6,\xff,b\n7,"a","b\n8,' + b"w" * 9000 + b"\n"
    path.write_bytes(content + b"9,fine,b\n")
    assert [(bad.line, bad.column, bad.text) for bad in read_table(path).bad_lines] == [
        (2, "text", '1,"open,3'),
        (3, "text", '2,"a"b,3'),
        (4, "x", "3,few"),
        (5, "", "4,a,b,c"),
        (6, "n", '"5,a,b'),
        (7, "text", "6,\ufffd,b"),
        (8, "x", '7,"a","b'),
        (9, "x", "8," + "w" * (SHOWN - 2)),
    ]


def test_a_record_longer_than_any_review_is_read_and_one_without_end_is_not(tmp_path):
    long = "\n".join(["字"] * (scanning.MAX_RECORD_LINES - 1))
    path = tmp_path / "a.csv"
    path.write_text(f'text,star\n"{long}",5\n"open\n' + "x,1\n" * scanning.MAX_RECORD_LINES + '",3\n', encoding="utf-8")
    raw = read_table(path)
    assert raw.table["text"][0].as_py() == long
    assert raw.table.num_rows == 1 + scanning.MAX_RECORD_LINES
    first, last = raw.bad_lines
    assert (first.line, first.reason) == (scanning.MAX_RECORD_LINES + 1, "a quote is opened and never closed")
    assert last.line == 2 * scanning.MAX_RECORD_LINES + 2


def test_a_field_of_many_megabytes_is_read(tmp_path):
    text = "很" * 4_000_000
    path = tmp_path / "a.csv"
    path.write_text(f'text,star\n{text},5\n"{text}",4\n', encoding="utf-8")
    raw = read_table(path)
    assert [len(value) for value in raw.table["text"].to_pylist()] == [4_000_000] * 2
    assert raw.table["star"].to_pylist() == ["5", "4"]


@pytest.mark.shared
@pytest.mark.parametrize(("name", "rows"), [("dmsc_sample.csv", 42_262), ("douban_crawl.csv", 35_506)])
def test_real_files_are_read_as_the_csv_module_reads_them(shared_data, name, rows):
    path = shared_data / name
    raw = read_table(path)
    assert raw.rows_read == rows
    assert raw.bad_lines == []
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.reader(file)
        assert next(reader) == raw.table.column_names
        columns = list(zip(*reader, strict=True))
    for number, values in enumerate(columns):
        assert raw.table.column(number).to_pylist() == list(values)
    assert np.all(np.diff(raw.line_numbers) > 0)
