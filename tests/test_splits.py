from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xingping.config import SplitSettings
from xingping.errors import InputError
from xingping.splits import SPLITS, STARS, TEXT_KEY, divide_texts, film_ranks, hash_texts, split_reviews

DEFAULT = SplitSettings()


def column(values, kind=None):
    return pa.chunked_array([pa.array(values, kind)])


def split(texts, films, ratings, seed=0, shares=DEFAULT):
    result = split_reviews(column(texts), column(films), column(ratings, pa.int8()), shares, seed=seed)
    return result.to_pylist()


def reviews(n, seed=0):
    rng = np.random.default_rng(seed)
    texts = [f"评论{rng.integers(n)}" for _ in range(n)]
    films = rng.choice(["甲", "乙", "丙"], n).tolist()
    return texts, films, rng.integers(1, 6, n).tolist()


@settings(max_examples=40, deadline=None)
@example(60, 480)
@given(st.integers(30, 400), st.integers(0, 2**31 - 1))
def test_no_text_is_on_two_sides_and_row_order_does_not_matter(n, seed):
    texts, films, ratings = reviews(n)
    sides = split(texts, films, ratings, seed)
    of_text = defaultdict(set)
    for text, side in zip(texts, sides, strict=True):
        of_text[text].add(side)
    assert all(len(found) == 1 for found in of_text.values())
    assert set(sides) == set(SPLITS)
    order = np.random.default_rng(1).permutation(n)
    shuffled = split([texts[i] for i in order], [films[i] for i in order], [ratings[i] for i in order], seed)
    assert shuffled == [sides[i] for i in order]


def test_shares_hold_for_the_whole_and_for_each_star_and_film():
    rng = np.random.default_rng(3)
    n = 8000
    films = rng.choice(["甲", "乙"], n, p=[0.8, 0.2]).tolist()
    ratings = rng.choice([1, 2, 3, 4, 5], n, p=[0.1, 0.1, 0.2, 0.3, 0.3]).tolist()
    sides = split([f"{i}" for i in range(n)], films, ratings)
    assert Counter(sides)["test"] == pytest.approx(800, abs=8)
    for stratum, total in Counter(zip(films, ratings, strict=True)).items():
        inside = Counter(
            side for side, key in zip(sides, zip(films, ratings, strict=True), strict=True) if key == stratum
        )
        assert inside["test"] == pytest.approx(total / 10, abs=4)
        assert inside["valid"] == pytest.approx(total / 10, abs=4)


def test_the_seed_decides():
    data = reviews(500)
    assert split(*data, seed=5) == split(*data, seed=5)
    assert split(*data, seed=5) != split(*data, seed=6)


def test_other_shares():
    sides = Counter(
        split([str(i) for i in range(1000)], ["甲"] * 1000, [3] * 1000, shares=SplitSettings(valid=0.3, test=0.2))
    )
    assert sides["valid"] == pytest.approx(300, abs=3)
    assert sides["test"] == pytest.approx(200, abs=3)
    assert set(sides) == set(SPLITS)


def test_too_few_texts_to_divide():
    with pytest.raises(InputError, match="5 distinct texts"):
        split(["一", "二", "三", "四", "五"], ["甲"] * 5, [1, 2, 3, 4, 5])


def divide(texts, films, ratings, seed, parts):
    """Divide as `split` does, but part by part, each with the rows of a range of hashes."""
    keys = np.empty(len(texts), TEXT_KEY)
    keys["hash"] = hash_texts(pa.array(texts), seed)
    names = sorted(set(films))
    ranks = dict(zip(names, film_ranks(pa.array(names)).tolist(), strict=True))
    keys["stratum"] = np.array([ranks[film] for film in films]) * STARS + np.array(ratings)
    keys["place"] = np.arange(len(texts))
    keys = keys[np.random.default_rng(0).permutation(len(texts))]
    edges = np.array([number * 2**64 // parts for number in range(1, parts)], dtype=np.uint64)
    side = np.full(len(texts), -1, np.int8)
    where = np.searchsorted(edges, keys["hash"], side="right")
    counts = divide_texts(lambda number: keys[where == number], parts, side, DEFAULT, seed=seed)
    return [SPLITS[index] for index in side], counts


@settings(max_examples=40, deadline=None)
@given(st.integers(30, 400), st.integers(0, 2**31 - 1), st.integers(2, 40))
def test_part_by_part_gives_the_same(n, seed, parts):
    data = reviews(n, seed % 1000)
    sides, counts = divide(*data, seed, parts)
    assert sides == split(*data, seed)
    assert counts == [len({text for text, side in zip(data[0], sides, strict=True) if side == name}) for name in SPLITS]


@pytest.mark.parametrize("parts", [1, 7])
def test_no_side_is_left_empty_by_one_text_that_nearly_all_write(parts):
    texts = [str(min(number, 9)) for number in range(400)]
    filled = 0
    for seed in range(40):
        sides, counts = divide(texts, ["甲"] * 400, [3] * 400, seed, parts)
        assert min(counts) > 0
        assert sum(counts) == 10
        assert [len({t for t, s in zip(texts, sides, strict=True) if s == name}) for name in SPLITS] == counts
        filled += 1 in counts
    assert filled > 0
