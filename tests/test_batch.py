import csv
import gzip
import io
import json
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from toy import BAD, GOOD
from xingping import RatingPredictor
from xingping.batch import open_store, predict_file
from xingping.cli import run_command
from xingping.errors import InputError, OutputError, SettingsError

ROWS = [
    {"id": "7", "评论": f"片子里{GOOD}看过", "票": "-3"},
    {"id": "8", "评论": "", "票": "=cmd()"},
    {"id": "9", "评论": f"都{BAD}看过", "票": "@x"},
]


@pytest.fixture(scope="module")
def predictor(trained_run):
    return RatingPredictor.load(trained_run)


def write_csv(path, rows=ROWS):
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    return path


def read_csv(path, delimiter=","):
    data = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.DictReader(io.StringIO(data.decode("utf-8"), newline=""), delimiter=delimiter))


@pytest.mark.parametrize("name", ["out.csv", "out.tsv", "out.csv.gz"])
def test_rows_and_columns_are_kept_in_order_and_formulas_are_defused(predictor, tmp_path, name):
    summary = predict_file(predictor, write_csv(tmp_path / "in.csv"), tmp_path / name)
    rows = read_csv(tmp_path / name, "\t" if ".tsv" in name else ",")
    assert (summary.rows, summary.unrated) == (3, 1)
    assert [row["id"] for row in rows] == ["7", "8", "9"]
    assert [row["票"] for row in rows] == ["-3", "'=cmd()", "'@x"]
    assert [row["predicted_rating"] for row in rows] == ["5", "", "1"]
    assert [row["predicted_note"] for row in rows] == ["", "no text", ""]
    assert sum(float(rows[0][f"predicted_p{star}"]) for star in range(1, 6)) == pytest.approx(1, abs=1e-4)


def test_unreadable_records_stay_in_their_place(predictor, tmp_path):
    source = tmp_path / "in.csv"
    source.write_text(f"id,text\n1,{GOOD}\n2,a,b,c\n3,{BAD}\n", encoding="utf-8")
    assert predict_file(predictor, source, tmp_path / "out.csv").unrated == 1
    rows = read_csv(tmp_path / "out.csv")
    assert [row["id"] for row in rows] == ["1", "", "3"]
    assert rows[1]["text"] == "2,a,b,c"
    assert rows[1]["predicted_note"].startswith("line 3: ")


def test_parquet_keeps_its_types(predictor, tmp_path):
    table = pa.table({"text": [GOOD, None, BAD], "likes": pa.array([1, 2, 3], pa.int16())})
    pq.write_table(table, tmp_path / "in.parquet")
    predict_file(predictor, tmp_path / "in.parquet", tmp_path / "out.parquet")
    out = pq.read_table(tmp_path / "out.parquet")
    assert out.select(["text", "likes"]).equals(table)
    assert out["predicted_rating"].to_pylist() == [5, None, 1]


@pytest.fixture
def small_portions(monkeypatch):
    """Files are gone through in many portions."""
    monkeypatch.setattr("xingping.delimited.CHUNK", 256)
    monkeypatch.setattr("xingping.tables.BATCH", 5)
    monkeypatch.setattr("xingping.rated_file.BATCH", 5)
    monkeypatch.setattr("xingping.batch.PART_ROWS", 3)


def many_rows(n=60):
    return [{"id": str(i), "评论": f"第{i}次{GOOD if i % 3 else BAD}看过", "电影": f"片{i % 4}"} for i in range(n)]


# A matrix product rounds by its number of rows, so the last figure that is written may be another one.
ROUNDING = {"predicted_expected": 2e-4} | {f"predicted_p{star}": 2e-6 for star in range(1, 6)}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_portions_give_what_the_whole_file_gives(predictor, tmp_path, suffix, monkeypatch):
    source = tmp_path / f"in{suffix}"
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(many_rows()), source)
    elif suffix == ".csv":
        write_csv(source, many_rows())
    else:
        rows = [row | ({"late": "x"} if int(row["id"]) > 50 else {}) for row in many_rows()]
        source.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    predict_file(predictor, source, tmp_path / "whole.csv")
    monkeypatch.setattr("xingping.delimited.CHUNK", 256)
    monkeypatch.setattr("xingping.tables.BATCH", 5)
    monkeypatch.setattr("xingping.rated_file.BATCH", 5)
    monkeypatch.setattr("xingping.batch.PART_ROWS", 3)
    predict_file(predictor, source, tmp_path / "portions.csv")
    portions, whole = read_csv(tmp_path / "portions.csv"), read_csv(tmp_path / "whole.csv")
    assert [row["id"] for row in portions] == [str(i) for i in range(60)]
    for one, other in zip(portions, whole, strict=True):
        for column, off in ROUNDING.items():
            assert float(one.pop(column)) == pytest.approx(float(other.pop(column)), abs=off), (one["id"], column)
        assert one == other


@pytest.mark.usefixtures("small_portions")
def test_an_interrupted_prediction_goes_on_where_it_was(predictor, tmp_path):
    source = write_csv(tmp_path / "in.csv", many_rows())
    predict_file(predictor, source, tmp_path / "whole.csv", films=tmp_path / "whole-films.csv")
    calls = []

    def rate(texts, *, progress=None):
        if len(calls) == 4:
            raise KeyboardInterrupt
        calls.append(texts)
        return predictor.predict(texts)

    with pytest.raises(KeyboardInterrupt):
        predict_file(predictor, source, tmp_path / "out.csv", rate=rate)
    assert not (tmp_path / "out.csv").exists()
    again = []

    def rest(texts, *, progress=None):
        again.append(texts)
        return predictor.predict(texts)

    summary = predict_file(predictor, source, tmp_path / "out.csv", rate=rest, films=tmp_path / "films.csv")
    assert summary.rows == 60
    assert sum(map(len, calls + again)) == 60
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert (tmp_path / "films.csv").read_bytes() == (tmp_path / "whole-films.csv").read_bytes()
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("small_portions")
def test_parts_of_another_file_or_model_are_not_taken(predictor, tmp_path):
    source = write_csv(tmp_path / "in.csv", many_rows())

    def interrupted(texts, *, progress=None):
        if any("第30次" in text for text in texts):
            raise KeyboardInterrupt
        return predictor.predict(texts)

    with pytest.raises(KeyboardInterrupt):
        predict_file(predictor, source, tmp_path / "out.csv", rate=interrupted)
    write_csv(source, [row | {"评论": BAD} for row in many_rows()])
    predict_file(predictor, source, tmp_path / "out.csv")
    assert {row["predicted_rating"] for row in read_csv(tmp_path / "out.csv")} == {"1"}
    assert not list(tmp_path.glob(".*"))


@pytest.mark.usefixtures("small_portions")
def test_unreadable_records_of_later_portions_have_their_lines(predictor, tmp_path):
    source = tmp_path / "in.csv"
    lines = ["id,text", *(f"{i},{GOOD}看过" for i in range(40))]
    lines[31] = "31,a,b,c"
    source.write_text("\n".join(lines) + "\n", encoding="utf-8")
    assert predict_file(predictor, source, tmp_path / "out.csv").rows == 40
    (bad,) = [row for row in read_csv(tmp_path / "out.csv") if row["predicted_note"]]
    assert (bad["text"], bad["predicted_note"][:9]) == ("31,a,b,c", "line 32: ")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_table_without_rows_keeps_its_columns(predictor, tmp_path, suffix):
    pq.write_table(pa.table({"text": pa.array([], pa.string())}), tmp_path / "in.parquet")
    out = tmp_path / f"out{suffix}"
    assert predict_file(predictor, tmp_path / "in.parquet", out).rows == 0
    if suffix == ".csv":
        assert out.read_text(encoding="utf-8").startswith('"text","predicted_rating","predicted_expected"')


def test_nested_columns_are_written_as_json_where_they_must(predictor, tmp_path):
    table = pa.table({"text": [GOOD], "tags": [["a", "b"]], "at": [{"x": 1}]})
    pq.write_table(table, tmp_path / "in.parquet")
    predict_file(predictor, tmp_path / "in.parquet", tmp_path / "out.csv")
    (row,) = read_csv(tmp_path / "out.csv")
    assert (json.loads(row["tags"]), json.loads(row["at"])) == (["a", "b"], {"x": 1})
    predict_file(predictor, tmp_path / "in.parquet", tmp_path / "out.parquet")
    assert pq.read_table(tmp_path / "out.parquet").select(table.column_names).equals(table)


def test_json_lines_and_a_second_prediction_over_the_first(predictor, tmp_path):
    predict_file(predictor, write_csv(tmp_path / "in.csv"), tmp_path / "one.jsonl")
    predict_file(predictor, tmp_path / "one.jsonl", tmp_path / "two.jsonl.gz")
    with gzip.open(tmp_path / "two.jsonl.gz", "rt", encoding="utf-8") as file:
        rows = [json.loads(line) for line in file]
    assert [row["predicted_rating"] for row in rows] == [5, None, 1]
    assert [row["评论"] for row in rows] == [row["评论"] for row in ROWS]


@pytest.mark.usefixtures("small_portions")
@pytest.mark.parametrize("is_array", [False, True])
def test_json_keeps_the_values_that_it_had(predictor, tmp_path, is_array):
    records = [
        {
            "text": f"{number}{GOOD}",
            "n": number,
            "x": 1.5,
            "tags": ["a", {"b": None}],
            "ok": True,
            "predicted_note": "old",
        }
        for number in range(20)
    ]
    records[7] = {"n": 10**30, "text": None, "late": "\ud800"}
    source = tmp_path / ("in.json" if is_array else "in.jsonl")
    lines = [json.dumps(record) for record in records]
    if is_array:
        source.write_text("[" + ",\n".join(lines) + "]", encoding="utf-8")
    else:
        lines[3] = '{"text": broken'
        source.write_text("\n".join(lines) + "\n\n", encoding="utf-8")
    assert predict_file(predictor, source, tmp_path / "out.jsonl").rows == 20
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    for number, (row, record) in enumerate(zip(rows, records, strict=True)):
        own = {name: value for name, value in row.items() if not name.startswith("predicted_")}
        if number == 3 and not is_array:
            assert own == {"text": '{"text": broken'}
            assert row["predicted_note"].startswith("line 4: not valid JSON")
        elif number == 7:
            assert own == {"n": 10**30, "text": None, "late": "?"}
            assert row["predicted_note"] == "no text"
        else:
            record.pop("predicted_note")
            assert own == record
            assert (row["predicted_rating"] in range(1, 6), row["predicted_note"]) == (True, "")


def test_what_cannot_be_read_or_written_is_told_before_rating(predictor, tmp_path):
    source = write_csv(tmp_path / "in.csv")
    with pytest.raises(OutputError, match=r"out\.xlsx: cannot tell the format"):
        predict_file(predictor, source, tmp_path / "out.xlsx")
    with pytest.raises(InputError, match="does not exist"):
        predict_file(predictor, tmp_path / "nothing.csv", tmp_path / "out.csv")
    other = write_csv(tmp_path / "other.csv", [{"a": "1", "b": "2"}])
    with pytest.raises(InputError, match="--text-column"):
        predict_file(predictor, other, tmp_path / "out.csv")


def test_films_get_a_mean_with_an_interval(predictor, tmp_path):
    several = (("甲", BAD, 8), ("=乙", GOOD, 12))
    rows = [{"电影": film, "评论": f"{i}{word}看过"} for film, word, n in several for i in range(n)]
    rows += [{"电影": "", "评论": GOOD}, {"电影": "丙", "评论": ""}]
    source = write_csv(tmp_path / "in.csv", rows)
    predict_file(predictor, source, tmp_path / "out.csv", films=tmp_path / "films.csv")
    films = read_csv(tmp_path / "films.csv")
    assert [(row["film"], row["reviews"]) for row in films] == [("'=乙", "12"), ("甲", "8")]
    rated = read_csv(tmp_path / "out.csv")
    for row, first, last in ((films[0], 8, 20), (films[1], 0, 8)):
        expected = [float(one["predicted_expected"]) for one in rated[first:last]]
        mean = sum(expected) / len(expected) + predictor.film_means.bias
        assert float(row["mean"]) == pytest.approx(min(5, max(1, mean)), abs=1e-3)
        assert 1 <= float(row["low"]) <= float(row["mean"]) <= float(row["high"]) <= 5


def test_films_need_a_column_of_films(predictor, tmp_path):
    with pytest.raises(InputError, match="--movie-column"):
        predict_file(predictor, write_csv(tmp_path / "in.csv"), tmp_path / "out.csv", films=tmp_path / "films.csv")
    assert list(tmp_path.iterdir()) == [tmp_path / "in.csv"]


WORKER = Path(__file__).with_name("predict_worker.py")


@pytest.mark.parametrize(("suffix", "method"), [(".csv.gz", []), (".parquet", ["gradients"])])
def test_a_prediction_that_is_killed_again_and_again_ends_with_the_same_bytes(trained_run, tmp_path, suffix, method):
    rows = many_rows(400)
    if suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / "in.parquet", row_group_size=150)
    else:
        (tmp_path / "in.csv.gz").write_bytes(gzip.compress(write_csv(tmp_path / "in.csv", rows).read_bytes()))
    kept = sorted(path.name for path in tmp_path.iterdir())

    def start(name):
        folder = tmp_path / name
        paths = [trained_run, tmp_path / f"in{suffix}", folder / f"out{suffix}", folder / "films.csv"]
        return subprocess.Popen([sys.executable, WORKER, *paths, *method], stderr=subprocess.PIPE, text=True)

    whole = start("whole")
    for parts in (3, 9, 15):
        killed = start("killed")
        while killed.poll() is None and len(list(tmp_path.glob("killed/.out*.parts/*.arrow"))) < parts:
            time.sleep(0.01)
        killed.send_signal(signal.SIGKILL)
        assert killed.wait() == -signal.SIGKILL, killed.stderr.read()
        killed.stderr.close()
        assert not (tmp_path / "killed" / f"out{suffix}").exists()
    last = start("killed")
    for process in (whole, last):
        _, errors = process.communicate(timeout=300)
        assert process.returncode == 0, errors
    for name in (f"out{suffix}", "films.csv"):
        assert (tmp_path / "killed" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert sorted(path.name for path in (tmp_path / "killed").iterdir()) == ["films.csv", f"out{suffix}"]
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == kept


@pytest.mark.parametrize(
    ("method", "value"), [("gradients", "gradient"), ("occlusion", "effect"), ("attention", "weight")]
)
def test_words_are_added_on_demand(predictor, tmp_path, method, value):
    source = write_csv(tmp_path / "in.csv", [*ROWS, ROWS[0]])
    predict_file(predictor, source, tmp_path / "plain.jsonl")
    predict_file(predictor, source, tmp_path / "out.jsonl", explain=method)
    plain, rows = ([json.loads(line) for line in (tmp_path / name).read_text("utf-8").splitlines()]
                   for name in ("plain.jsonl", "out.jsonl"))  # fmt: skip
    words = [row.pop("predicted_words") for row in rows]
    assert rows == plain
    assert words[1] is None
    assert words[3] == words[0]
    assert "".join(word["word"] for word in words[0]) == ROWS[0]["评论"]
    assert set(words[0][0]) == {"word", value}
    telling = max(words[0], key=lambda word: word[value])
    assert telling["word"] in GOOD
    if value != "weight":
        assert min(word[value] for word in words[2]) < 0


def test_words_are_json_in_a_cell_and_objects_in_parquet(predictor, tmp_path):
    source = write_csv(tmp_path / "in.csv")
    predict_file(predictor, source, tmp_path / "out.csv", explain="attention")
    predict_file(predictor, source, tmp_path / "out.parquet", explain="attention")
    told = [
        json.loads(row["predicted_words"]) if row["predicted_words"] else None for row in read_csv(tmp_path / "out.csv")
    ]
    assert pq.read_table(tmp_path / "out.parquet")["predicted_words"].to_pylist() == told


def test_words_and_features_are_of_the_model_on_this_machine(predictor, tmp_path):
    source = write_csv(tmp_path / "in.csv")
    for options in ({"explain": "gradients"}, {"keep_features": True}):
        with pytest.raises(SettingsError, match="this machine"):
            predict_file(predictor, source, tmp_path / "out.csv", rate=predictor.predict, **options)


@pytest.fixture
def counted(trained_run, isolated_cache, monkeypatch):
    """Give a new predictor with an empty store, and the texts that it has encoded so far."""
    predictor, seen = RatingPredictor.load(trained_run), []
    encode = type(predictor.encoder).encode

    def count(encoder, texts, **options):
        seen.extend(texts)
        return encode(encoder, texts, **options)

    monkeypatch.setattr(type(predictor.encoder), "encode", count)
    return predictor, seen


def test_features_that_are_stored_are_not_made_again_and_give_the_same_bytes(counted, tmp_path):
    predictor, seen = counted
    source = write_csv(tmp_path / "in.csv", many_rows())
    predict_file(predictor, source, tmp_path / "new.csv", explain="gradients")
    assert len(seen) == 60
    store = open_store(predictor)
    assert store.missing(seen) == seen  # a prediction keeps nothing unless it is told to
    store.encode(predictor.encoder, seen[10:40:3])
    seen.clear()
    predict_file(predictor, source, tmp_path / "some.csv", explain="gradients")
    assert len(seen) == 50
    predict_file(predictor, source, tmp_path / "kept.csv", explain="gradients", keep_features=True)
    seen.clear()
    predict_file(predictor, source, tmp_path / "all.csv", explain="gradients")
    assert seen == []
    assert len({(tmp_path / f"{name}.csv").read_bytes() for name in ("new", "some", "kept", "all")}) == 1


@pytest.mark.usefixtures("small_portions")
def test_progress_moves_within_a_portion_and_ends_at_the_whole(predictor, tmp_path):
    told = []

    class Watcher:
        def say(self, line):
            pass

        @contextmanager
        def bar(self, what, total, unit):
            told.append(total)
            yield told.append

    source = write_csv(tmp_path / "in.csv", many_rows())
    predict_file(predictor, source, tmp_path / "out.csv", progress=Watcher())
    total, *steps = told
    assert sum(steps) == total
    assert len(steps) >= 20
    assert min(steps) > 0


def test_what_is_of_tables_is_refused_for_texts_and_clusters(trained_run, tmp_path, capsys):
    table = ["--input", str(tmp_path / "in.csv"), "--output", str(tmp_path / "out.csv")]
    for arguments, message in (
        ([GOOD, "--explain"], "xingping explain"),
        ([*table, "--method", "attention"], "add --explain"),
        ([*table, "--explain", "--method", "magic"], "choose from attention, occlusion, gradients"),
        ([*table, "--explain", "--engine", "ray"], "one machine"),
    ):
        assert run_command(["predict", str(trained_run), *arguments]) == 2
        assert message in " ".join(capsys.readouterr().err.split())


def test_the_command_writes_words(trained_run, tmp_path):
    source = write_csv(tmp_path / "in.csv")
    out = tmp_path / "out.jsonl"
    arguments = ["predict", str(trained_run), "--input", str(source), "--output", str(out), "--explain", "--quiet"]
    assert run_command(arguments) == 0
    first = json.loads(out.read_text("utf-8").splitlines()[0])
    assert max(first["predicted_words"], key=lambda word: word["gradient"])["word"] in GOOD


def test_a_table_of_too_many_columns_is_refused(predictor, tmp_path):
    (tmp_path / "in.csv").write_text("a," * 10_000 + "text\n", encoding="utf-8")
    with pytest.raises(InputError, match="10,001 columns"):
        predict_file(predictor, tmp_path / "in.csv", tmp_path / "out.csv")
