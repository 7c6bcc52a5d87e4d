from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from xingping.config import SplitSettings
from xingping.errors import InputError
from xingping.splits import SPLITS, split_reviews

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
