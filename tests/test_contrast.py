from math import log, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingping.contrast import distinctive_words, distinctive_words_of, log_odds

counts = st.lists(st.tuples(st.integers(0, 500), st.integers(0, 500)), min_size=2, max_size=30).map(np.array)


def test_log_odds_by_hand():
    delta, z = log_odds([8, 2], [3, 7], [1.0, 3.0])
    expected = log(9 / 5) - log(4 / 10)
    assert delta == pytest.approx([expected, -expected])
    assert z[0] == pytest.approx(expected / sqrt(1 / 9 + 1 / 4))


@given(counts)
def test_exchanging_the_groups_changes_the_signs(both):
    prior = both.sum(axis=1) + 0.5
    there, back = log_odds(both[:, 0], both[:, 1], prior), log_odds(both[:, 1], both[:, 0], prior)
    for one, other in zip(there, back, strict=True):
        np.testing.assert_allclose(one, -other, atol=1e-12)


@given(counts, st.integers(1, 9))
def test_words_of_equal_shares_score_nothing(both, times):
    first = both[:, 0] + 1
    delta, _ = log_odds(first, first * times, first.astype(float))
    np.testing.assert_allclose(delta, 0, atol=1e-9)


def test_planted_words_come_first_and_common_ones_nowhere():
    rng = np.random.default_rng(0)
    words = [f"词{number:03}" for number in range(200)]
    shares = 1 / np.arange(1, 201)  # as words have it: a few are everywhere
    first, second = (rng.multinomial(4000, shares / shares.sum()) for _ in range(2))
    first[[50, 80]] += (60, 40)
    second[[60, 90]] += (60, 40)
    assert [word.word for word in distinctive_words(words, first, second)[:2]] == ["词050", "词080"]
    assert [word.word for word in distinctive_words(words, second, first)[:2]] == ["词060", "词090"]
    assert "词000" not in {word.word for word in distinctive_words(words, first, second)}
    top = distinctive_words(words, first, second)[0]
    assert (top.count, top.other) == (first[50], second[50])


def test_the_prior_shrinks_rare_words():
    # 稀有 is only in the first group, but seldom; 常见 is often in both, twice as often in the first.
    words, first, second = ["常见", "稀有", "其他"], np.array([400, 3, 5000]), np.array([200, 0, 5000])
    ranked = distinctive_words(words, first, second, least_z=-9)
    assert [word.word for word in ranked][:2] == ["常见", "稀有"]
    weak, strong = (
        next(word for word in distinctive_words(words, first, second, strength=strength, least_z=-9)
             if word.word == "稀有")
        for strength in (10, 10_000)
    )  # fmt: skip
    assert weak.log_odds > 3 * strong.log_odds > 0


def test_what_may_be_chance_is_left_out():
    assert distinctive_words(["甲", "乙"], np.array([11, 9]), np.array([10, 10])) == []
    assert distinctive_words(["甲", "乙"], np.array([2, 500]), np.array([0, 500]), least_z=0) == []


def test_ties_are_in_the_order_of_the_code_points():
    found = distinctive_words(["丙", "乙", "丁"], np.array([50, 50, 50]), np.array([5, 5, 500]))
    assert [word.word for word in found] == ["丙", "乙"] == sorted(["乙", "丙"])


def test_groups_without_words_have_nothing_to_tell_apart():
    nothing = np.zeros(2, dtype=int)
    assert distinctive_words(["甲", "乙"], np.array([9, 9]), nothing) == []
    assert distinctive_words(["甲", "乙"], nothing, np.array([9, 9])) == []
    assert distinctive_words([], np.array([], dtype=int), np.array([], dtype=int)) == []
    assert distinctive_words(["甲"], np.array([9]), np.array([3])) == []


def test_a_prior_of_nothing_is_refused():
    with pytest.raises(ValueError, match="above 0"):
        log_odds([1, 2], [2, 1], [0, 1])


def test_counts_by_word_are_aligned():
    found = distinctive_words_of({"海": 40, "船": 100}, {"船": 100, "猫": 40})
    assert [(word.word, word.count, word.other) for word in found] == [("海", 40, 0)]
