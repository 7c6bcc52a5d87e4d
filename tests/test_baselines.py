import numpy as np
import pytest

from toy import planted_reviews
from xingping.baselines import FastTextBaseline, MajorityBaseline, MeanFeaturesBaseline, NgramBaseline, sample_reviews


def test_majority_answers_with_the_shares():
    proba = MajorityBaseline().fit(np.array([4, 4, 4, 1])).predict_proba(3)
    assert proba.tolist() == [[0.25, 0, 0, 0.75, 0]] * 3


def test_ngrams_learn_a_planted_word_and_never_predict_an_unseen_star():
    texts, ratings = planted_reviews(400, 0)
    unseen, true = planted_reviews(100, 1)
    proba = NgramBaseline().fit(texts, ratings).predict_proba([*unseen, ""])
    assert (proba[:-1].argmax(1) + 1 == true).mean() > 0.95
    assert not proba[:, [1, 3]].any()
    assert proba.sum(1) == pytest.approx(1)


def test_one_star_only_is_that_star():
    proba = NgramBaseline().fit(["好", "妙"], np.array([5, 5])).predict_proba(["坏"])
    assert proba.tolist() == [[0, 0, 0, 0, 1]]


def test_texts_without_common_ngrams_still_train():
    model = NgramBaseline().fit(["甲", "乙"], np.array([1, 5]))
    assert model.predict_proba(["乙"])[0].argmax() == 4


def test_baselines_of_a_large_file_see_a_sample():
    assert sample_reviews(5, most=5, seed=0).tolist() == [0, 1, 2, 3, 4]
    chosen = sample_reviews(30_000, most=10_000, seed=0)
    assert len(set(chosen.tolist())) == 10_000
    assert (np.diff(chosen) > 0).all()
    assert abs(chosen.mean() / 10_000 - 1.5) < 0.03
    np.testing.assert_array_equal(chosen, sample_reviews(30_000, most=10_000, seed=0))


def test_word_ngrams_see_what_white_space_divides():
    model = NgramBaseline("word").fit(["好 电影", "坏 电影"] * 4, np.array([5, 1] * 4))
    assert model.predict_proba(["电影 好", "坏"]).argmax(1).tolist() == [4, 0]


def test_mean_features_learn_a_direction():
    rng = np.random.default_rng(0)
    ratings = rng.choice([1, 4], 200)
    means = rng.normal(size=(200, 3)).astype(np.float32)
    means[:, 1] += 100 + 3 * (ratings == 4)
    proba = MeanFeaturesBaseline().fit(means[:150], ratings[:150]).predict_proba(means[150:])
    assert (proba.argmax(1) + 1 == ratings[150:]).mean() > 0.85
    assert proba.sum(1) == pytest.approx(1)
    assert MeanFeaturesBaseline().fit(means[:2], np.array([3, 3])).predict_proba(means[:1]).tolist() == [
        [0, 0, 1, 0, 0]
    ]


def test_fasttext_learns_a_planted_word_and_agrees_with_itself():
    texts, ratings = planted_reviews(800, 0)
    unseen, true = planted_reviews(100, 1)
    first, second = (FastTextBaseline(seed=1).fit(texts, ratings).predict_proba([*unseen, ""]) for _ in range(2))
    assert (first[:-1].argmax(1) + 1 == true).mean() > 0.9
    assert first.sum(1) == pytest.approx(1)
    np.testing.assert_array_equal(first, second)
