import numpy as np
import pytest

from xingping.estimates import Estimate, difference_estimate, mean_estimate, star_deviation


def test_of_many_reviews_the_deviation_is_the_ordinary_one():
    values = np.random.default_rng(0).integers(1, 6, 5000).astype(float)
    assert star_deviation(values) == pytest.approx(values.std(ddof=1), rel=1e-3)


def test_few_equal_stars_are_not_certain():
    widths = []
    for n in (1, 2, 20, 200):
        known = mean_estimate(5.0, star_deviation(np.full(n, 5.0)), n)
        assert known.high == 5.0
        widths.append(known.high - known.low)
    assert widths == sorted(widths, reverse=True)
    assert widths[0] > 3
    assert widths[-1] < 0.05


def test_an_interval_ends_at_the_last_star():
    assert mean_estimate(1.2, 2.0, 1) == Estimate(1.2, 1, 5)


def test_intervals_hold_the_mean_in_95_of_100_draws():
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(1000):
        values = rng.choice([1, 2, 3, 4, 5], 40, p=[0.1, 0.1, 0.2, 0.3, 0.3]).astype(float)
        known = mean_estimate(float(values.mean()), star_deviation(values), len(values))
        held += known.low <= 3.6 <= known.high
    assert 925 <= held <= 975


def test_variances_of_a_difference_add_up():
    known = difference_estimate(-0.5, 0.03, 0.01)
    assert (known.low, known.high) == pytest.approx((-0.5 - 1.96 * 0.2, -0.5 + 1.96 * 0.2))
