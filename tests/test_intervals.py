import numpy as np
import pytest

from xingping.intervals import Bootstrap, review_values
from xingping.metrics import rating_metrics

RNG = np.random.default_rng(0)
TRUE = RNG.integers(1, 6, 2000)
PROBABILITIES = RNG.dirichlet(np.ones(5), 2000)


def test_values_add_up_to_the_measures():
    values = review_values(TRUE, probabilities=PROBABILITIES)
    measures = rating_metrics(TRUE, PROBABILITIES.argmax(1) + 1, probabilities=PROBABILITIES)
    decisions = measures["decisions"]
    assert values["accuracy"].mean() == pytest.approx(measures["accuracy"])
    assert values["accuracy_within_one"].mean() == pytest.approx(decisions["window"]["accuracy_within_one"])
    assert values["mae"].mean() == pytest.approx(decisions["median"]["mae"])
    assert np.sqrt(values["rmse"].mean()) == pytest.approx(decisions["mean"]["rmse"])
    assert values["nll"].mean() == pytest.approx(measures["nll"])
    assert np.abs(values["ece"].mean(axis=0)).sum() == pytest.approx(measures["ece"])
    assert Bootstrap({"a": values}).interval("a")["ece"]["value"] == pytest.approx(measures["ece"])


def test_real_numbers_bring_their_own_errors_and_nothing_is_refused():
    values = review_values(np.array([1, 5]), expected=np.array([1.6, 4.0]))
    assert values["accuracy"].tolist() == [0, 0]
    assert values["accuracy_within_one"].tolist() == [1, 1]
    assert values["mae"].tolist() == pytest.approx([0.6, 1.0])
    assert "nll" not in values
    with pytest.raises(ValueError, match="neither"):
        review_values(TRUE)


def test_an_interval_is_as_wide_as_theory_says():
    values = {"accuracy": (np.arange(2000) % 2).astype(float)}
    interval = Bootstrap({"a": values}).interval("a")["accuracy"]
    assert interval["value"] == 0.5
    assert interval["high"] - interval["low"] == pytest.approx(2 * 1.96 * np.sqrt(0.25 / 2000), rel=0.1)
    assert Bootstrap({"a": values}).interval("a")["accuracy"] == interval


def test_the_interval_of_a_calibration_error_does_not_shut_out_the_truth():
    """Stars are drawn from the probabilities themselves, so the true error is 0; what is measured is chance alone."""
    shares = RNG.dirichlet(np.ones(5) / 2, 1000)
    true = (RNG.random((1000, 1)) > shares.cumsum(axis=1)).sum(axis=1).clip(max=4) + 1
    interval = Bootstrap({"a": review_values(true, probabilities=shares)}).interval("a")["ece"]
    assert 0 <= interval["low"] < 0.005
    assert interval["low"] < interval["value"] < 0.06
    assert interval["high"] < 0.06


def test_films_drawn_whole_give_a_wider_interval_where_films_differ():
    film = np.repeat(np.arange(20), 100)
    values = {"accuracy": (film % 2).astype(float)}
    by_review, by_film = (Bootstrap({"a": values}, groups=groups).interval("a")["accuracy"] for groups in (None, film))
    assert by_film["high"] - by_film["low"] > 5 * (by_review["high"] - by_review["low"])


def test_a_paired_difference_is_surer_than_two_intervals():
    hard = RNG.random(2000)
    first, second = {"accuracy": (hard < 0.60).astype(float)}, {"accuracy": (hard < 0.58).astype(float)}
    both = Bootstrap({"first": first, "second": second})
    difference = both.difference("first", "second")["accuracy"]
    assert difference["value"] == pytest.approx(first["accuracy"].mean() - second["accuracy"].mean())
    assert 0 < difference["low"] < difference["value"] < difference["high"]
    assert both.interval("first")["accuracy"]["low"] < both.interval("second")["accuracy"]["high"]
    same = both.difference("first", "first")["accuracy"]
    assert same == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_the_root_is_taken_of_squared_errors_only():
    values = review_values(np.array([1, 5, 3]), expected=np.array([3.0, 5.0, 3.0]))
    interval = Bootstrap({"a": values}).interval("a")
    assert interval["rmse"]["value"] == pytest.approx(np.sqrt(4 / 3))
    assert interval["mae"]["value"] == pytest.approx(2 / 3)


def test_measures_that_one_model_lacks_have_no_difference():
    real = review_values(TRUE, expected=TRUE + 0.2)
    classes = review_values(TRUE, probabilities=PROBABILITIES)
    both = Bootstrap({"real": real, "classes": classes})
    assert set(both.difference("classes", "real")) == set(real)
    assert "nll" in both.interval("classes")
