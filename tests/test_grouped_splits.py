import csv
import datetime
import json
from collections import Counter, defaultdict
from itertools import pairwise

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from xingping.config import RunSettings, SplitSettings
from xingping.errors import InputError
from xingping.grouped_splits import (
    AUTHOR_KEY,
    NO_DAY,
    assign_films,
    author_keys,
    cut_days,
    day_numbers,
    divide_authors,
    settle_texts,
    sides_of_days,
)
from xingping.preparation import prepare
from xingping.prepared import PreparedReviews
from xingping.progress import Silent
from xingping.splits import SIDES, SPLITS, TEXT_KEY, UNUSED, hash_texts

DEFAULT = SplitSettings()
FILES = ("data_summary.json", "rejects.csv", "reviews.parquet")
UNITS = ("film", "time", "user")
SIZES = st.lists(st.integers(1, 500), min_size=3, max_size=40)
SHARES = st.floats(0.02, 0.45)


def by_hash(keys, parts):
    """Give the rows of each part as files of keys would: those of a range of hashes, in no order."""
    edges = np.array([number * 2**64 // parts for number in range(1, parts)], dtype=np.uint64)
    keys = keys[np.random.default_rng(0).permutation(len(keys))]
    where = np.searchsorted(edges, keys["hash"], side="right")
    return lambda number: keys[where == number]


def text_keys(texts, seed=0):
    keys = np.zeros(len(texts), TEXT_KEY)
    keys["hash"], keys["place"] = hash_texts(pa.array(texts, pa.string()), seed), np.arange(len(texts))
    return keys


@settings(max_examples=100)
@given(SIZES, SHARES, SHARES, st.integers(0, 2**31 - 1))
@example([100, 100, 100, 100], 0.45, 0.45, 0)
def test_whole_films_go_to_sides_and_each_side_has_one(sizes, valid, test, seed):
    films = [f"片{number}" for number in range(len(sizes))]
    shares = SplitSettings(valid=valid, test=test)
    side = assign_films(films, np.array(sizes), shares, seed=seed)
    assert set(side.tolist()) == {0, 1, 2}
    order = np.random.default_rng(0).permutation(len(sizes))
    shuffled = assign_films([films[i] for i in order], np.array(sizes)[order], shares, seed=seed)
    assert shuffled.tolist() == side[order].tolist()


@given(st.integers(40, 300), st.integers(0, 2**31 - 1))
def test_many_films_hold_the_shares(n, seed):
    sizes = np.random.default_rng(seed).integers(50, 100, n)
    side = assign_films([f"片{number}" for number in range(n)], sizes, DEFAULT, seed=seed)
    for index in (1, 2):
        assert sizes[side == index].sum() == pytest.approx(sizes.sum() / 10, abs=100)


def test_two_large_films_are_trained_on_and_the_small_ones_shared():
    sizes = np.array([20_000, 80, 80, 20_000, 80, 80, 80, 80])
    side = assign_films(list("甲乙丙丁戊己庚辛"), sizes, DEFAULT, seed=0)
    assert side[[0, 3]].tolist() == [0, 0]
    assert Counter(side[sizes == 80].tolist()) == {1: 3, 2: 3}


def test_the_seed_decides_which_films_are_held_out():
    films, sizes = [f"片{number}" for number in range(30)], np.full(30, 10)
    held = {tuple(assign_films(films, sizes, DEFAULT, seed=seed).tolist()) for seed in range(5)}
    assert len(held) == 5


def test_a_film_that_is_not_known_is_on_no_side():
    side = assign_films(["甲", "", "乙", "丙"], np.array([5, 50, 5, 5]), DEFAULT, seed=0)
    assert side[1] == UNUSED
    assert sorted(side[[0, 2, 3]].tolist()) == [0, 1, 2]
    with pytest.raises(InputError, match="at least 3 films, there are 2 films"):
        assign_films(["甲", "", "乙"], np.array([5, 50, 5]), DEFAULT, seed=0)


def divided_by_author(users, texts, seed, parts, shares=DEFAULT):
    keys = author_keys(pa.array(users, pa.string()), text_keys(texts, seed), seed)
    assert keys.dtype == AUTHOR_KEY
    side = np.full(len(users), -1, dtype=np.int8)
    counts = divide_authors(by_hash(keys, parts), parts, side, shares)
    return side, counts


@settings(max_examples=50)
@given(st.integers(3, 300), st.integers(0, 2**31 - 1), st.integers(1, 20))
def test_whole_authors_go_to_sides_however_many_parts_there_are(n, seed, parts):
    rng = np.random.default_rng(seed)
    users = [f"u{rng.integers(max(n // 2, 1))}" for _ in range(n)] + ["甲", "乙", "丙"]
    texts = [f"第{number}条" for number in range(len(users))]
    side, counts = divided_by_author(users, texts, seed, parts)
    sides_of = defaultdict(set)
    for user, index in zip(users, side.tolist(), strict=True):
        sides_of[user].add(index)
    assert all(len(found) == 1 for found in sides_of.values())
    assert counts == [sum(found == {index} for found in sides_of.values()) for index in range(3)]
    assert min(counts) > 0
    order = rng.permutation(len(users))
    again, _ = divided_by_author([users[i] for i in order], [texts[i] for i in order], seed, 1)
    assert again.tolist() == side[order].tolist()


def test_shares_of_authors_hold_to_within_an_author():
    rng = np.random.default_rng(0)
    users = [f"u{number}" for number in range(2000) for _ in range(rng.integers(1, 8))]
    side, _ = divided_by_author(users, list(map(str, range(len(users)))), 3, 5, SplitSettings(valid=0.2, test=0.1))
    assert (side == 2).sum() == pytest.approx(len(users) / 10, abs=8)
    assert (side == 1).sum() == pytest.approx(len(users) / 5, abs=8)


def test_an_unknown_author_stands_for_one_review_or_for_all_with_one_text():
    texts = [f"第{number}条" for number in range(1000)] + ["好看"] * 50
    side, counts = divided_by_author([""] * 1050, texts, 0, 4)
    assert sum(counts) == 1001
    assert len(set(side[-50:].tolist())) == 1
    assert (side == 2).sum() == pytest.approx(105, abs=51)
    with pytest.raises(InputError, match="at least 3 authors, there is 1 author"):
        divided_by_author(["甲"] * 20, texts[:20], 0, 2)


def test_days_are_read_and_what_is_none_is_told():
    dates = pa.chunked_array([["2016-03-04", None, "昨天"], ["0001-01-01", "2016-W09-5", "20160304", "2016-02-30"]])
    march = datetime.date(2016, 3, 4).toordinal()
    assert day_numbers(dates).tolist() == [march, NO_DAY, NO_DAY, 1, NO_DAY, NO_DAY, NO_DAY]
    assert day_numbers(pa.chunked_array([pa.nulls(2, pa.string())])).tolist() == [NO_DAY, NO_DAY]


@settings(max_examples=100)
@given(SIZES, SHARES, SHARES)
def test_train_is_older_than_valid_and_that_than_test(sizes, valid, test):
    days, reviews = np.arange(len(sizes)) * 3 + 730_000, np.array(sizes)
    first_valid, first_test = cut_days(days, reviews, SplitSettings(valid=valid, test=test))
    side = sides_of_days(np.append(days, NO_DAY).astype(np.int32), first_valid, first_test)
    assert side[-1] == UNUSED
    assert set(side[:-1].tolist()) == {0, 1, 2}
    assert (np.diff(side[:-1]) >= 0).all()
    total = reviews.sum()
    tested, least = reviews[side[:-1] == 2].sum(), reviews[-1]
    assert tested <= max(test * total + reviews.max() / 2, least)
    if len(sizes) > 20:
        assert tested >= test * total - reviews.max()


def test_too_few_days():
    with pytest.raises(InputError, match=r"3 days or more, there is 1 day$"):
        cut_days(np.array([7]), np.array([100]), DEFAULT)


@settings(max_examples=100)
@given(st.lists(st.tuples(st.integers(0, 30), st.sampled_from(range(4))), min_size=60, max_size=200), st.integers(1, 9))
def test_a_text_is_of_test_before_valid_before_train(rows, parts):
    rows += [(100 + index, index % 3) for index in range(12)]  # so that no side is left without any
    texts, before = [f"文{text}" for text, _ in rows], np.array([side for _, side in rows], dtype=np.int8)
    side = before.copy()
    counts = settle_texts(by_hash(text_keys(texts), parts), parts, side)
    owner = {text: max((s for t, s in zip(texts, before, strict=True) if t == text and s != UNUSED), default=UNUSED)
             for text in texts}  # fmt: skip
    kept = [s if s == owner[text] else UNUSED for text, s in zip(texts, before.tolist(), strict=True)]
    assert side.tolist() == kept
    on_side = [{text for text, s in zip(texts, kept, strict=True) if s == index} for index in range(4)]
    assert counts.distinct == {**dict(zip(SIDES, map(len, on_side), strict=True)), "all": len(set(texts))}
    assert counts.moved == sum(a != b for a, b in zip(before.tolist(), kept, strict=True))


def test_a_side_that_loses_all_its_texts_is_an_error():
    texts = [f"文{number}" for number in range(20)]
    side = np.array([0] * 10 + [2] * 20 + [1] * 10, dtype=np.int8)
    keys = text_keys(texts[:10] + texts + texts[10:])
    with pytest.raises(InputError, match="leaves nothing for train: each of its texts is on another side as well"):
        settle_texts(lambda _number: keys, 1, side)
    with pytest.raises(InputError, match="3 distinct texts cannot be divided"):
        settle_texts(lambda _number: text_keys(["一", "二", "三"]), 1, np.array([0, 1, 2], dtype=np.int8))


def some_rows(n, seed):
    """Reviews of eight films by many authors on many days; some repeat, some short texts are of many, some lack all."""
    rng = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        text = rng.choice(["好看", "不错", "烂"]) if rng.random() < 0.2 else f"第{rng.integers(n)}条评论很长不是重复的"
        film = rng.choice([*"甲乙丙丁戊己庚辛", ""], p=[0.12] * 8 + [0.04])
        user = f"u{rng.integers(n // 3)}" if rng.random() < 0.9 else ""
        day = datetime.date(2015, 1, 1) + datetime.timedelta(days=int(rng.integers(400)))
        date = rng.choice([f"{day:%Y/%m/%d} 12:00", "", "昨天"], p=[0.94, 0.03, 0.03])
        rows.append([film, user, date, rng.integers(1, 6), text, number])
        if number % 17 == 0:
            rows.append(list(rows[rng.integers(len(rows))]))
    return rows


def write_csv(path, rows, columns=("film", "user", "date", "star", "text", "likes")):
    names = ["film", "user", "date", "star", "text", "likes"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(columns)
        writer.writerows([[row[names.index(name)] for name in columns] for row in rows])
    return path


def run(path, folder, by, **options):
    folder.mkdir(exist_ok=True, parents=True)
    chosen = RunSettings.parse({"split": {"by": by, "valid": 0.2, "test": 0.2}, "seed": options.pop("seed", 0)})
    summary = prepare(path, chosen, folder, {"name": path.name}, progress=Silent(), **options)
    return summary, pq.read_table(folder / "reviews.parquet").to_pylist()


GROUPS = {"film": "film", "time": "date", "user": "user"}


def check_division(by, summary, rows):
    """See that a division keeps all promises."""
    used = [row for row in rows if row["split"] != "unused"]
    for name in ("text", GROUPS[by]):
        sides = defaultdict(set)
        for row in used:
            sides[row[name]].add(row["split"])
        assert all(len(found) == 1 for key, found in sides.items() if key), name
    assert {row["split"] for row in used} == set(SPLITS)
    assert summary["rows_read"] == summary["rows_kept"] + summary["rows_rejected"] + summary["rows_duplicate"]
    assert summary["rows_kept"] == len(rows) == sum(summary["splits"][side]["reviews"] for side in SIDES)
    assert sum(summary["split"]["unused"].values()) == len(rows) - len(used)
    for side in SIDES:
        of_side = [row for row in rows if row["split"] == side]
        assert summary["splits"][side]["reviews"] == len(of_side)
        assert summary["splits"][side]["distinct_texts"] == len({row["text"] for row in of_side})
    assert summary["splits"]["all"]["distinct_texts"] == len({row["text"] for row in rows})


@pytest.mark.parametrize("by", UNITS)
def test_nothing_is_on_two_sides_and_every_row_is_counted(by, tmp_path):
    summary, rows = run(write_csv(tmp_path / "a.csv", some_rows(900, 1)), tmp_path / "run", by, workers=1)
    check_division(by, summary, rows)
    assert summary["split"]["by"] == by
    assert summary["splits"]["unused"]["reviews"] > 0
    assert summary["splits"]["test"]["reviews"] == pytest.approx(0.2 * len(rows), abs=0.08 * len(rows))
    of_test = [row["text"] for row in rows if row["split"] == "test"]
    assert {"好看", "不错", "烂"} <= set(of_test), "what all write stays in test"
    reviews = PreparedReviews.open(tmp_path / "run" / "reviews.parquet")
    assert [SIDES[side] for side in reviews.split] == [row["split"] for row in rows]
    if by == "time":
        dates = {side: [row["date"] for row in rows if row["split"] == side] for side in SPLITS}
        assert all(max(dates[older]) < min(dates[newer]) for older, newer in pairwise(SPLITS))
        assert summary["split"]["days"]["test"][1] == max(dates["test"])
        undated = [row for row in rows if row["date"] in (None, "昨天")]
        assert {row["split"] for row in undated} == {"unused"}
        assert summary["split"]["unused"]["date not known"] == len(undated)
    if by == "film":
        films = {row["film"] for row in rows if row["split"] == "test"}
        assert films == set(summary["split"]["films"]["test"])
        assert {row["split"] for row in rows if row["film"] in films} == {"test"}, "test has all of its films"
        assert {row["split"] for row in rows if not row["film"]} == {"unused"}
        assert not films & set(summary["split"]["films"]["train"])
    if by == "user":
        assert list(summary["split"]["unused"]) == ["text on another side"]


@pytest.mark.parametrize("by", UNITS)
@pytest.mark.parametrize(("workers", "portion_bytes"), [(1, 500), (2, 4000)])
def test_neither_workers_nor_portions_change_a_byte(by, tmp_path, workers, portion_bytes):
    path = write_csv(tmp_path / "a.csv", some_rows(400, 2))
    run(path, tmp_path / "one", by, workers=1)
    run(path, tmp_path / "other", by, workers=workers, portion_bytes=portion_bytes)
    for name in FILES:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


@pytest.mark.parametrize("by", UNITS)
@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31 - 1))
def test_the_order_of_the_rows_does_not_matter(tmp_path_factory, by, seed):
    folder = tmp_path_factory.mktemp("order")
    rows = some_rows(250, seed % 1000)
    summary, first = run(write_csv(folder / "a.csv", rows), folder / "one", by, workers=1, seed=seed)
    check_division(by, summary, first)
    order = np.random.default_rng(1).permutation(len(rows))
    _, second = run(write_csv(folder / "b.csv", [rows[i] for i in order]), folder / "two", by, workers=1, seed=seed)
    names = ("film", "user", "date", "rating", "text", "split")
    counted = [Counter(tuple(row[name] for name in names) for row in found) for found in (first, second)]
    assert counted[0] == counted[1]


def test_another_seed_holds_out_other_authors(tmp_path):
    path = write_csv(tmp_path / "a.csv", some_rows(300, 3))
    sides = [[row["split"] for row in run(path, tmp_path / str(seed), "user", seed=seed)[1]] for seed in (1, 2)]
    assert sides[0] != sides[1]


@pytest.mark.parametrize(
    ("by", "column", "message"),
    [
        ("film", "film", "no movie column .*, so reviews cannot be split by film; --movie-column can name it"),
        ("user", "user", "no user column .*, so reviews cannot be split by user; --user-column can name it"),
        ("time", "date", "no date column .*, so reviews cannot be split by time; --date-column can name it"),
    ],
)
def test_a_column_that_the_split_needs_is_asked_for(tmp_path, by, column, message):
    rows = some_rows(60, 4)
    columns = [name for name in ("film", "user", "date", "star", "text", "likes") if name != column]
    with pytest.raises(InputError, match=message):
        run(write_csv(tmp_path / "a.csv", rows, columns), tmp_path / "run", by)
    for row in rows:
        row[["film", "user", "date"].index(column)] = ""
    with pytest.raises(InputError, match=rf"the column '{column}' holds no \w+ at all"):
        run(write_csv(tmp_path / "a.csv", rows), tmp_path / "run", by)
    assert [path.name for path in (tmp_path / "run").iterdir()] == []


@pytest.mark.parametrize(
    ("by", "place", "value", "message"),
    [
        ("film", 0, "甲", "at least 3 films, there is 1 film"),
        ("user", 1, "一人", "at least 3 authors, there is 1 author"),
        ("time", 2, "2016-03-04", "3 days or more, there is 1 day"),
    ],
)
def test_one_group_cannot_be_divided(tmp_path, by, place, value, message):
    rows = some_rows(60, 5)
    for row in rows:
        row[place] = value
    with pytest.raises(InputError, match=rf"a\.csv: .*{message}"):
        run(write_csv(tmp_path / "a.csv", rows), tmp_path / "run", by)


def test_leave_one_film_out_prepares_as_a_split_by_film(tmp_path):
    path = write_csv(tmp_path / "a.csv", some_rows(200, 6))
    run(path, tmp_path / "film", "film")
    run(path, tmp_path / "all", "leave-one-film-out")
    for name in FILES:
        assert (tmp_path / "film" / name).read_bytes() == (tmp_path / "all" / name).read_bytes()


def test_a_random_split_has_no_review_that_is_unused(tmp_path):
    summary, rows = run(write_csv(tmp_path / "a.csv", some_rows(200, 7)), tmp_path / "run", "random")
    assert {row["split"] for row in rows} == set(SPLITS)
    assert list(summary["splits"]) == [*SPLITS, "all"]
    assert "split" not in json.loads((tmp_path / "run" / "data_summary.json").read_text(encoding="utf-8"))
