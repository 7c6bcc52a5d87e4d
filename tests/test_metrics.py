import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn import metrics as reference

from xingping.metrics import (
    confusion_matrix,
    decide,
    expected_calibration_error,
    expected_rating,
    rating_metrics,
    round_rating,
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
