import csv
import errno
import gzip
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xingping import preparation
from xingping.cleaning import clean_text
from xingping.config import RunSettings
from xingping.errors import InputError, OutputError, XingpingError
from xingping.preparation import prepare
from xingping.progress import Silent
from xingping.reviews import read_reviews, write_rejects
from xingping.segmentation import Segmenter
from xingping.splits import SPLITS, split_reviews
from xingping.workers import Workers

FILES = ("data_summary.json", "rejects.csv", "reviews.parquet")
DEFAULT = RunSettings()
PIECES = ["好看", "难看", "疯狂动物城", "，", "！", "\n", '"', " ", "a", "5", "&amp;", "电影", "不错", "<br>", "😀"]


def some_rows(n, seed=0):
    """Reviews with rejects, repeats, quotes and line ends."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        text = "".join(rng.choice(PIECES, rng.integers(0, 14))) + (str(number // 3) if number % 4 else "")
        star = rng.choice(
            ["1", "2", "3", "4", "5", "5", "力荐", "0", ""], p=[0.1, 0.1, 0.2, 0.2, 0.2, 0.1, 0.04, 0.03, 0.03]
        )
        rows.append(
            [rng.choice(["疯狂动物城", "长城", ""]), rng.choice(["甲", "乙", ""]), "2016-03-04", star, text, number]
        )
        if number % 11 == 0:
            rows.append(list(rows[rng.integers(len(rows))]))
    return rows


def write_csv(path, rows):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["film", "user", "date", "star", "text", "likes"])
        writer.writerows(rows)
    return path


def run(path, folder, run_settings=DEFAULT, **options):
    folder.mkdir(exist_ok=True)
    return prepare(path, run_settings, folder, {"name": path.name}, progress=Silent(), **options)


def contents(folder):
    return {name: (folder / name).read_bytes() for name in FILES}


def in_memory(path, folder, run_settings=DEFAULT):
    """The table of reviews and the summary, made from everything at once."""
    reviews = read_reviews(path, run_settings.columns, run_settings.cleaning)
    table = reviews.table
    split = split_reviews(table["text"], table["film"], table["rating"], run_settings.split, seed=run_settings.seed)
    words = Segmenter(extra_words=table["film"].unique().to_pylist()).words(table["text"].to_pylist())
    table = table.append_column("split", split).append_column("words", pa.array(words, pa.list_(pa.string())))
    write_rejects(folder / "rejects.csv", reviews.rejects)
    rows = table.to_pylist()
    films = Counter(row["film"] for row in rows if row["film"])
    parts = {name: [row for row in rows if row["split"] == name] for name in SPLITS} | {"all": rows}
    summary = {
        "source": {"name": path.name, "encoding": reviews.encoding, "format": reviews.format},
        "columns": reviews.columns,
        "rows_read": reviews.rows_read,
        "rows_kept": reviews.rows_kept,
        "rows_rejected": reviews.rows_rejected,
        "rows_duplicate": reviews.rows_duplicate,
        "rejected_by_reason": dict(Counter(reviews.rejects["reason"].to_pylist()).most_common()),
        "splits": {
            name: {
                "reviews": len(part),
                "distinct_texts": len({row["text"] for row in part}),
                "words": sum(len(row["words"]) for row in part),
                "characters": sum(len(row["text"]) for row in part),
                "stars": stars(part),
            }
            for name, part in parts.items()
        },
        "films": {
            film: {
                "reviews": films[film],
                "mean_rating": pytest.approx(np.mean([row["rating"] for row in rows if row["film"] == film])),
                "stars": stars([row for row in rows if row["film"] == film]),
            }
            for film in sorted(films, key=lambda film: (-films[film], film))
        },
    }
    return table, summary


def stars(rows):
    return {str(star): sum(row["rating"] == star for row in rows) for star in range(1, 6)}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    return write_csv(tmp_path_factory.mktemp("data") / "reviews.csv", some_rows(700))


@pytest.fixture(scope="module")
def whole(file, tmp_path_factory):
    """The files made in this process with one portion."""
    folder = tmp_path_factory.mktemp("whole")
    run(file, folder, workers=1)
    return contents(folder)


def test_the_files_are_those_that_everything_at_once_gives(file, tmp_path):
    summary = run(file, tmp_path / "run")
    table, expected = in_memory(file, tmp_path)
    assert summary == expected
    assert list(summary["films"]) == list(expected["films"])
    assert summary["rows_duplicate"] > 0
    assert summary["rows_rejected"] > 0
    assert json.loads((tmp_path / "run" / "data_summary.json").read_text(encoding="utf-8")) == summary
    assert (tmp_path / "run" / "rejects.csv").read_bytes() == (tmp_path / "rejects.csv").read_bytes()
    written = pq.read_table(tmp_path / "run" / "reviews.parquet")
    assert written.schema == table.schema
    assert written.to_pylist() == table.to_pylist()
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == sorted(FILES)


@pytest.mark.parametrize(("workers", "portion_bytes"), [(1, 150), (1, 999), (2, 3000), (3, 20_000)])
def test_neither_workers_nor_portions_change_a_byte(file, whole, tmp_path, workers, portion_bytes):
    run(file, tmp_path, workers=workers, portion_bytes=portion_bytes)
    assert contents(tmp_path) == whole


def test_row_groups_are_filled_across_portions(file, whole, tmp_path, monkeypatch):
    monkeypatch.setattr(preparation, "ROWS", 100)
    run(file, tmp_path / "one", workers=1)
    run(file, tmp_path / "other", workers=2, portion_bytes=1500)
    assert contents(tmp_path / "one") == contents(tmp_path / "other")
    written = pq.ParquetFile(tmp_path / "one" / "reviews.parquet")
    sizes = [written.metadata.row_group(group).num_rows for group in range(written.num_row_groups)]
    assert set(sizes[:-1]) == {100}
    assert written.read().equals(pq.read_table(pa.BufferReader(whole["reviews.parquet"])))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.sampled_from(
            [
                '长城,甲,2016-03-04,5,"两\n行"\n', "长城,甲,2016-03-04,5,两 行\n", '长城,甲,,4,"断了\n',
                "长城,,,3,不错\n", '长城,乙,,0,"差\n"\n', "长城,乙\n", ",,,力荐,这部电影真的非常好看推荐大家\n",
                '疯狂动物城,"丙\n",,2,一般\n', "\n",
            ]
        ),
        max_size=25,
    ),
    st.integers(10, 120),
)  # fmt: skip
def test_any_portions_give_the_same(tmp_path_factory, lines, portion_bytes):
    folder = tmp_path_factory.mktemp("any")
    base = "".join(f"长城,戊,,{number % 5 + 1},第{number}条\n" for number in range(12))
    path = folder / "reviews.csv"
    path.write_text("film,user,date,star,text\n" + "".join(lines) + base, encoding="utf-8", newline="")
    run(path, folder / "one", workers=1)
    run(path, folder / "other", workers=1, portion_bytes=portion_bytes)
    assert contents(folder / "one") == contents(folder / "other")
    table, summary = in_memory(path, folder)
    assert json.loads((folder / "one" / "data_summary.json").read_text(encoding="utf-8")) == summary
    assert pq.read_table(folder / "one" / "reviews.parquet").to_pylist() == table.to_pylist()


def as_objects(rows):
    return [dict(zip(["film", "user", "date", "star", "text", "likes"], map(str, row), strict=True)) for row in rows]


@pytest.mark.parametrize("name", ["a.csv.gz", "a.jsonl", "a.jsonl.gz", "a.json", "a.parquet", "utf16.csv"])
def test_every_format_gives_the_same_reviews(file, whole, tmp_path, name):
    rows = some_rows(700)
    path = tmp_path / name
    if name.endswith("parquet"):
        pq.write_table(pa.Table.from_pylist(as_objects(rows)), path, row_group_size=130)
    elif name.endswith("json"):
        path.write_text(json.dumps(as_objects(rows), ensure_ascii=False), encoding="utf-8")
    else:
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in as_objects(rows))
        text = file.read_text(encoding="utf-8") if ".csv" in name else lines
        data = text.encode("utf-16" if "utf16" in name else "utf-8")
        path.write_bytes(gzip.compress(data) if name.endswith("gz") else data)
    run(path, tmp_path / "run", workers=2 if name == "a.jsonl" else 1, portion_bytes=5000)
    columns = ["row", "text", "film", "user", "date", "rating", "likes", "split", "words"]
    written = pq.read_table(tmp_path / "run" / "reviews.parquet", columns=columns)
    assert written.equals(pq.read_table(pa.BufferReader(whole["reviews.parquet"]), columns=columns))


@pytest.mark.parametrize("first", [{"text": "好", "star": 5}, {"id": 3}])
def test_columns_that_json_shows_late_are_found(tmp_path, monkeypatch, first):
    monkeypatch.setattr("xingping.intake.HEAD", 10)
    path = tmp_path / "a.jsonl"
    late = [{"text": f"第{number}条", "star": number % 5 + 1, "film": "长城"} for number in range(40)]
    path.write_text("".join(json.dumps(row) + "\n" for row in [first, *late]), encoding="utf-8")
    summary = run(path, tmp_path / "run", workers=1, portion_bytes=200)
    assert summary["columns"]["movie"] == "film"
    assert summary["films"]["长城"]["reviews"] == 40
    assert summary["rows_kept"] == (41 if "text" in first else 40)


@pytest.mark.parametrize(("others", "kept"), [(["7", "3"], False), (["7", "30"], True), (["4", "3"], True)])
def test_a_scale_of_ten_is_seen_whichever_portion_shows_it(tmp_path, others, kept):
    rows = [["长城", "甲", "", "10", f"第{number}条", 0] for number in range(3)]
    rows += [["长城", "乙", "", str(number % 5 + 1), f"后{number}条", 0] for number in range(30)]
    rows += [["长城", "乙", "", star, f"末{star}条", 0] for star in others]
    path = write_csv(tmp_path / "a.csv", rows)
    run(path, tmp_path / "run", workers=1, portion_bytes=100)
    texts = pq.read_table(tmp_path / "run" / "reviews.parquet")["text"].to_pylist()
    assert ("第0条" in texts) == kept
    assert texts == read_reviews(path).table["text"].to_pylist()


def test_settings_reach_the_other_processes(tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("妙不可言朱迪\n", encoding="utf-8")
    rows = [["长城", "甲", "", str(number % 5 + 1), f"妙不可言朱迪！{number}", 0] for number in range(30)]
    chosen = RunSettings.parse(
        {"segmentation": {"user_dictionary": dictionary}, "cleaning": {"strip_punctuation": True}, "seed": 7}
    )
    path = write_csv(tmp_path / "a.csv", rows)
    run(path, tmp_path / "run", chosen, workers=2, portion_bytes=300)
    first = pq.read_table(tmp_path / "run" / "reviews.parquet").to_pylist()[0]
    assert first["text"] == clean_text("妙不可言朱迪！0", chosen.cleaning)
    assert first["words"] == ["妙不可言朱迪", "0"]
    run(path, tmp_path / "other", RunSettings(cleaning=chosen.cleaning), workers=1)
    other = pq.read_table(tmp_path / "other" / "reviews.parquet")
    assert other["split"].to_pylist() != pq.read_table(tmp_path / "run" / "reviews.parquet")["split"].to_pylist()


@pytest.mark.parametrize("workers", [1, 2])
@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "has a header and no rows"),
        ("5,\n\n9,好\n" * 9, r"all 18 rows are rejected; the first, on line 2: no text$"),
        ("".join(f"4,第{i}条\n" for i in range(12)) + "4,第0条这是很长的一句话\n" * 2, "all 13 reviews have 4 stars"),
        ("".join(f"{i % 5 + 1},第{i % 9}条\n" for i in range(90)), "9 distinct texts cannot be divided"),
    ],
)
def test_what_cannot_be_learned_from_is_refused_and_nothing_is_left(tmp_path, body, message, workers):
    path = tmp_path / "a.csv"
    path.write_text("star,text\n" + body, encoding="utf-8")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "rejects.csv").write_text("of an earlier run")
    with pytest.raises(InputError, match=message):
        run(path, tmp_path / "run", workers=workers, portion_bytes=25)
    assert [found.name for found in (tmp_path / "run").iterdir()] == ["rejects.csv"]
    assert (tmp_path / "run" / "rejects.csv").read_text() == "of an earlier run"


@pytest.mark.parametrize("place", ["portions.spill_table", "row_groups.spill_table", "preparation.pq.ParquetWriter"])
def test_a_full_disk_is_one_clear_line_and_nothing_is_left(file, tmp_path, monkeypatch, place):
    def fail(*arguments, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(f"xingping.{place}", fail)
    with pytest.raises(OutputError, match=rf"cannot write into {tmp_path}: No space left on device; make room"):
        run(file, tmp_path, workers=1)
    assert list(tmp_path.iterdir()) == []


CHILD = """
import signal
import sys
from pathlib import Path
signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job begins without it
from xingping.config import RunSettings
from xingping.preparation import prepare
from xingping.progress import Silent
prepare(Path(sys.argv[1]), RunSettings(), Path(sys.argv[2]), {"name": "reviews.csv"}, progress=Silent(), workers=2,
        portion_bytes=int(sys.argv[3]))
"""


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < end
        time.sleep(0.02)
    return value


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_run_leaves_no_process_and_what_it_leaves_on_disk_goes_with_the_next(file, whole, tmp_path, how):
    process = subprocess.Popen([sys.executable, "-c", CHILD, str(file), str(tmp_path), "60"], stderr=subprocess.DEVNULL)
    workers = wait_for(lambda: psutil.Process(process.pid).children() if process.poll() is None else [None])
    wait_for(lambda: any(tmp_path.glob(".preparing-*/reviews-*")) or process.poll() is not None)
    assert process.poll() is None
    process.send_signal(how)
    process.wait()
    wait_for(lambda: not any(worker.is_running() and worker.status() != "zombie" for worker in workers))
    assert not any((tmp_path / name).exists() for name in FILES)
    run(file, tmp_path, workers=1)
    assert contents(tmp_path) == whole
    assert sorted(found.name for found in tmp_path.iterdir()) == sorted(FILES)


def test_leftovers_in_use_stay(file, tmp_path):
    with preparation.scratch_folder(tmp_path) as used, preparation.scratch_folder(tmp_path) as other:
        assert used != other
        assert used.is_dir()
    assert list(tmp_path.iterdir()) == []


def test_a_killed_worker_is_an_error_and_no_deadlock():
    with Workers(2) as crew:
        os.kill(crew.processes[0], signal.SIGKILL)
        with pytest.raises(XingpingError, match="worker process ended with code -9"):
            list(crew.map(divmod, [(9, 4)] * 20))
    assert not any(psutil.pid_exists(process) for process in crew.processes)


def test_workers_give_results_in_order_and_raise_what_the_work_raises():
    with Workers(2) as crew:
        assert list(crew.map(divmod, [(number, 7) for number in range(50)])) == [divmod(n, 7) for n in range(50)]
        with pytest.raises(ZeroDivisionError):
            crew.call(divmod, 1, 0)
        assert crew.call(divmod, 9, 2) == (4, 1)
        with pytest.raises(InputError, match="one clear line"):
            crew.call(_refuse, "one clear line")


def _refuse(message):
    raise InputError(message)
