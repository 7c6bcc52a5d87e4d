import numpy as np
import pytest

from toy import planted_reviews
from xingping.baselines import MOST_REVIEWS, CharNgramBaseline, MajorityBaseline, sample_for_baselines


def test_majority_answers_with_the_shares():
    proba = MajorityBaseline().fit(np.array([4, 4, 4, 1])).predict_proba(3)
    assert proba.tolist() == [[0.25, 0, 0, 0.75, 0]] * 3


def test_ngrams_learn_a_planted_word_and_never_predict_an_unseen_star():
    texts, ratings = planted_reviews(400, 0)
    unseen, true = planted_reviews(100, 1)
    proba = CharNgramBaseline().fit(texts, ratings).predict_proba([*unseen, ""])
    assert (proba[:-1].argmax(1) + 1 == true).mean() > 0.95
    assert not proba[:, [1, 3]].any()
    assert proba.sum(1) == pytest.approx(1)


def test_one_star_only_is_that_star():
    proba = CharNgramBaseline().fit(["好", "妙"], np.array([5, 5])).predict_proba(["坏"])
    assert proba.tolist() == [[0, 0, 0, 0, 1]]


def test_texts_without_common_ngrams_still_train():
    model = CharNgramBaseline().fit(["甲", "乙"], np.array([1, 5]))
    assert model.predict_proba(["乙"])[0].argmax() == 4


def test_baselines_of_a_large_file_see_a_sample():
    assert sample_for_baselines(5, seed=0).tolist() == [0, 1, 2, 3, 4]
    chosen = sample_for_baselines(3 * MOST_REVIEWS, seed=0)
    assert len(set(chosen.tolist())) == MOST_REVIEWS
    assert (np.diff(chosen) > 0).all()
    assert abs(chosen.mean() / MOST_REVIEWS - 1.5) < 0.01
    np.testing.assert_array_equal(chosen, sample_for_baselines(3 * MOST_REVIEWS, seed=0))
