import numpy as np
import pytest

from xingping.label_noise import equal_text_ceiling, suspect_labels


def test_the_ceiling_by_hand():
    texts = ["好", "好", "好", "一般", "一般", "独一无二"]
    ceiling = equal_text_ceiling(texts, np.array([5, 5, 4, 3, 1, 2]))
    assert (ceiling["texts"], ceiling["reviews"]) == (2, 5)
    assert ceiling["best"] == pytest.approx((2 + 1) / 5)
    assert ceiling["agreement"] == pytest.approx((3 * (2 / 6) + 2 * 0) / 5)
    assert ceiling["best_within_one"] == pytest.approx((3 + 2) / 5)  # 2 stars is within one of 3 and 1
    assert ceiling["agreement_within_one"] == pytest.approx((3 * 1 + 2 * 0) / 5)


def test_without_equal_texts_there_is_no_ceiling():
    assert equal_text_ceiling(["甲", "乙"], np.array([1, 5]))["best"] is None


def test_the_bounds_hold_the_best_possible_accuracy():
    rng = np.random.default_rng(0)
    shares = rng.dirichlet(np.ones(5), 300)  # of 300 texts
    which = rng.integers(0, 300, 4000)
    stars = np.array([rng.choice(5, p=shares[text]) for text in which]) + 1
    ceiling = equal_text_ceiling([str(text) for text in which], stars)
    possible = shares.max(axis=1).mean()
    assert ceiling["agreement"] < possible < ceiling["best"]


def test_flipped_stars_are_found_first():
    rng = np.random.default_rng(0)
    true = rng.integers(1, 6, 1000)
    scores = 3.0 * np.eye(5)[true - 1] + rng.normal(0, 0.5, (1000, 5))
    probabilities = np.exp(scores) / np.exp(scores).sum(axis=1, keepdims=True)
    given = true.copy()
    flipped = np.flatnonzero(true == 5)[:20]
    given[flipped] = 1
    found = suspect_labels(probabilities, given)
    assert len(found) >= 8  # a star counts as claimed from its average on, so about half of them
    assert np.isin(found, flipped).mean() > 0.9


def test_a_neighbouring_star_is_no_suspect():
    probabilities = np.array([[0.01, 0.01, 0.02, 0.06, 0.9]] * 4 + [[0.02, 0.02, 0.02, 0.9, 0.04]] * 4)
    assert suspect_labels(probabilities, np.array([5, 5, 5, 4, 4, 4, 4, 1])).tolist() == [7]
