import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from scipy import stats
from sklearn import metrics as reference

from xingping.metrics import (
    confusion_matrix,
    decide,
    expected_calibration_error,
    expected_rating,
    rating_metrics,
    reliability_bins,
    round_rating,
    wilson_interval,
)

ratings = hnp.arrays(np.int64, st.shared(st.integers(1, 60), key="n"), elements=st.integers(1, 5))


@given(ratings, ratings)
def test_measures_agree_with_scikit_learn(true, predicted):
    measures = rating_metrics(true, predicted)
    stars = [1, 2, 3, 4, 5]
    assert measures["confusion"] == reference.confusion_matrix(true, predicted, labels=stars).tolist()
    assert measures["accuracy"] == pytest.approx(reference.accuracy_score(true, predicted))
    assert measures["mae"] == pytest.approx(reference.mean_absolute_error(true, predicted))
    assert measures["rmse"] == pytest.approx(reference.root_mean_squared_error(true, predicted))
    present = sorted(set(true) | set(predicted))
    assert measures["macro_f1"] == pytest.approx(reference.f1_score(true, predicted, labels=present, average="macro"))
    assert measures["accuracy_within_one"] == np.mean(np.abs(true - predicted) <= 1)
    if len(set(true) | set(predicted)) > 1:
        kappa = reference.cohen_kappa_score(true, predicted, labels=stars, weights="quadratic")
        assert measures["quadratic_weighted_kappa"] == pytest.approx(kappa)


def test_expected_ratings_decide_the_errors_but_not_the_hits():
    measures = rating_metrics([1, 5], [1, 4], expected=[1.25, 4.25])
    assert (measures["mae"], measures["accuracy"]) == (0.5, 0.5)
    assert measures["rmse"] == pytest.approx(np.sqrt((0.25**2 + 0.75**2) / 2))


def test_each_rule_is_best_for_its_measure():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(5, 0.6), size=4000)
    true = np.array([rng.choice(5, p=row) for row in probabilities]) + 1
    decisions = rating_metrics(true, decide(probabilities, "mode"), probabilities=probabilities)["decisions"]
    for measure, rule, best in [
        ("accuracy", "mode", max),
        ("accuracy_within_one", "window", max),
        ("mae", "median", min),
        ("rmse", "mean", min),
    ]:
        assert best(decisions, key=lambda name: decisions[name][measure]) == rule


def test_rules_by_hand():
    probabilities = np.array([[0.4, 0.0, 0.0, 0.3, 0.3]])
    assert decide(probabilities, "mode") == [1]
    assert decide(probabilities, "window") == [4]
    assert decide(probabilities, "median") == [4]
    assert decide(probabilities, "mean") == [3]
    assert expected_rating(probabilities) == pytest.approx([3.1])
    assert round_rating([0.2, 2.5, 3.49, 7.0]).tolist() == [1, 3, 3, 5]


def test_calibration_error_is_zero_for_honest_and_large_for_boastful_confidence():
    honest = np.tile([0.6, 0.4, 0, 0, 0], (10, 1))
    true = np.array([1] * 6 + [2] * 4)
    assert expected_calibration_error(true, honest) == pytest.approx(0)
    assert expected_calibration_error(true, np.tile([1.0, 0, 0, 0, 0], (10, 1))) == pytest.approx(0.4)


def test_likelihood_is_of_the_true_star():
    measures = rating_metrics([1, 2], [1, 1], probabilities=[[0.5, 0.5, 0, 0, 0], [0.75, 0.25, 0, 0, 0]])
    assert measures["nll"] == pytest.approx(-(np.log(0.5) + np.log(0.25)) / 2)


def test_one_star_everywhere_is_no_agreement_beyond_chance():
    measures = rating_metrics([4, 4], [4, 4])
    assert (measures["accuracy"], measures["quadratic_weighted_kappa"], measures["macro_f1"]) == (1, 0, 1)


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match="0 true ratings"):
        rating_metrics([], [])


def test_confusion_has_true_ratings_in_rows():
    assert confusion_matrix(np.array([2]), np.array([5]))[1, 4] == 1


def test_reliability_says_how_often_predictions_of_like_confidence_are_right():
    sure, unsure = [0, 0, 0, 0.05, 0.95], [0.5, 0.3, 0.2, 0, 0]
    probabilities = np.array([sure] * 10 + [unsure] * 4)
    true = np.array([5] * 9 + [1] + [1, 1, 2, 3])
    low, high = reliability_bins(true, probabilities)
    assert (low["n"], low["confidence"], low["accuracy"]) == (4, 0.5, 0.5)
    assert (high["n"], high["confidence"], high["accuracy"]) == pytest.approx((10, 0.95, 0.9))
    assert 0 < low["low"] < 0.5 < low["high"] < 1
    near = reliability_bins(true, probabilities, within_one=True)
    # The star with most on it and its neighbours is 5 for the sure ones, and 2 for the others: all of 1, 2 and 3.
    assert [each["n"] for each in near] == [14]
    assert near[0]["confidence"] == pytest.approx(1)
    assert near[0]["accuracy"] == pytest.approx(13 / 14)


def test_the_gaps_of_the_reliability_bins_make_the_calibration_error():
    rng = np.random.default_rng(0)
    probabilities = rng.dirichlet(np.full(5, 0.5), size=500).astype(np.float32)
    true = rng.integers(1, 6, 500)
    measures = rating_metrics(true, decide(probabilities, "mode"), probabilities=probabilities)
    bins = measures["reliability"]
    assert sum(each["n"] for each in bins) == 500
    gap = sum(each["n"] * abs(each["confidence"] - each["accuracy"]) for each in bins) / 500
    assert gap == pytest.approx(measures["ece"])
    assert sum(each["n"] for each in measures["reliability_within_one"]) == 500
    assert all(each["low"] <= each["accuracy"] <= each["high"] for each in bins + measures["reliability_within_one"])


def test_no_reviews_have_no_reliability():
    assert reliability_bins(np.zeros(0, dtype=np.int64), np.zeros((0, 5))) == []


@given(st.integers(1, 300), st.floats(0, 1))
def test_the_interval_of_a_share_is_wilsons(n, share):
    hits = round(share * n)
    low, high = wilson_interval(hits, n)
    known = stats.binomtest(hits, n).proportion_ci(0.95, method="wilson")
    assert (float(low), float(high)) == pytest.approx((known.low, known.high), abs=1e-9)


def test_nothing_counted_may_be_any_share():
    low, high = wilson_interval([0], [0])
    assert (low.tolist(), high.tolist()) == ([0], [1])
