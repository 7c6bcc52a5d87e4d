import numpy as np
import pytest

from xingping.calibration import UNKNOWN_FILMS, Blend, FilmMeans, LinearBlend, PredictionSets
from xingping.metrics import expected_calibration_error, negative_log_likelihood

N = 20_000


def softmax(scores):
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def world():
    """True logits, and stars drawn from their probabilities."""
    rng = np.random.default_rng(0)
    scores = rng.normal(0, 1.5, (N, 5))
    cumulative = softmax(scores).cumsum(axis=1)
    return scores, (rng.random((N, 1)) > cumulative).sum(axis=1).clip(max=4) + 1


def test_an_overconfident_part_is_cooled_to_the_truth(world):
    scores, true = world
    hot = softmax(3 * scores)
    blend = Blend.fit([hot[: N // 2]], true[: N // 2])
    assert blend.weights[0] == pytest.approx(1 / 3, abs=0.02)
    assert np.abs(blend.bias).max() < 0.05
    held_out, answers = true[N // 2 :], blend([hot[N // 2 :]])
    assert expected_calibration_error(held_out, hot[N // 2 :]) > 0.15
    assert expected_calibration_error(held_out, answers) < 0.02
    assert negative_log_likelihood(held_out, answers) < negative_log_likelihood(held_out, hot[N // 2 :])


def test_a_bias_for_a_star_is_undone(world):
    scores, true = world
    kind = softmax(scores + np.array([0, 0, 0, 0, 1.0]))
    bias = np.array(Blend.fit([kind], true).bias)
    np.testing.assert_allclose(bias - bias.mean(), [0.2, 0.2, 0.2, 0.2, -0.8], atol=0.06)


def test_two_parts_that_see_different_things_are_both_used_and_noise_is_not(world):
    scores, true = world
    rng = np.random.default_rng(1)
    split = rng.normal(0, 1.0, scores.shape)
    first, second, noise = (
        softmax(scores / 2 + split),
        softmax(scores / 2 - split),
        softmax(rng.normal(size=scores.shape)),
    )
    blend = Blend.fit([first, second, noise], true)
    assert blend.weights[:2] == pytest.approx((1, 1), abs=0.05)
    assert abs(blend.weights[2]) < 0.05
    alone = Blend.fit([first], true)
    assert (
        negative_log_likelihood(true, blend([first, second, noise]))
        < negative_log_likelihood(true, alone([first])) - 0.05
    )


def test_few_reviews_are_not_taken_for_more_than_they_are(world, monkeypatch):
    scores, true = world
    parts = [softmax(scores / 2), softmax(np.roll(scores, 1, axis=1) / 2)]

    def loss_of_few(n):
        draws = [slice(start, start + n) for start in range(0, 40 * n, n)]
        blends = [Blend.fit([part[some] for part in parts], true[some]) for some in draws]
        return np.mean([negative_log_likelihood(true, blend(parts)) for blend in blends])

    few, many = loss_of_few(10), loss_of_few(400)
    monkeypatch.setattr("xingping.calibration.PULL", 0.01)
    assert few < loss_of_few(10) - 0.1
    assert many == pytest.approx(loss_of_few(400), abs=0.01)


def films_of_their_own(seed):
    """Six films, one of them large, that the parts rate too high by an amount of their own."""
    rng = np.random.default_rng(seed)
    film = np.repeat(np.arange(6), [3000, 100, 100, 100, 100, 100]).astype(np.int32)
    scores = rng.normal(0, 1.5, (len(film), 5))
    true = (rng.random((len(film), 1)) > softmax(scores).cumsum(axis=1)).sum(axis=1).clip(max=4) + 1
    kindness = rng.normal(0, 0.7, 6)[film, None] * np.arange(-2, 3)
    return [softmax(scores + kindness)], true, film


def test_what_one_large_film_teaches_is_not_taken_for_a_law():
    by_film, by_review = [], []
    for seed in range(40):
        (parts, true, film), (new_parts, new_true, new_film) = films_of_their_own(seed), films_of_their_own(seed + 100)
        for losses, blend in (
            (by_film, Blend.fit(parts, true, film)),
            (by_review, Blend.fit(parts, true)),
        ):
            answers = blend(new_parts)
            losses += [negative_log_likelihood(new_true[new_film == of], answers[new_film == of]) for of in range(6)]
    gain = np.array(by_review) - np.array(by_film)
    assert gain.mean() > 3 * gain.std() / len(gain) ** 0.5


def test_answers_to_a_film_are_of_a_blend_that_has_not_seen_it():
    parts, true, film = films_of_their_own(0)
    answers = Blend.cross_fitted(parts, true, film)
    for of in range(5):  # the sixth shares its fold with the first
        others = film % 5 != of
        blend = Blend.fit([parts[0][others]], true[others], film[others])
        np.testing.assert_array_equal(answers[film == of], blend([parts[0][film == of]]))
    one = np.zeros(len(true), dtype=np.int32)
    np.testing.assert_array_equal(Blend.cross_fitted(parts, true, one), Blend.fit(parts, true, one)(parts))


def test_a_real_number_too_is_pulled_to_the_mean_of_the_parts_by_few_films():
    rng = np.random.default_rng(0)
    true = rng.integers(1, 6, 5000)
    parts = [true + rng.normal(0, 0.5, 5000) + 1, true + rng.normal(0, 0.5, 5000) + 1]
    answers = [LinearBlend.fit(parts, true, film)(parts).mean() for film in (None, np.arange(5000) % 4)]
    assert answers[0] == pytest.approx(true.mean(), abs=1e-2)
    assert answers[1] == pytest.approx(true.mean() + 0.5, abs=1e-2)


def test_a_star_that_one_part_rules_out_stays_possible():
    part = np.array([[0.0, 0.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0, 0.0]] * 10)
    answers = Blend.fit([part], np.array([4, 1] * 10))([part])
    assert np.isfinite(answers).all()
    assert (answers > 0).all()
    assert answers.sum(axis=1) == pytest.approx(1)


def test_real_numbers_are_weighed_by_least_squares():
    rng = np.random.default_rng(0)
    true = rng.integers(1, 6, 5000)
    good, poor = true + rng.normal(0, 0.5, 5000) + 1, rng.normal(3, 1, 5000)
    blend = LinearBlend.fit([good, poor], true)
    by_hand, *_ = np.linalg.lstsq(np.column_stack([good, poor, np.ones(5000)]), true, rcond=None)
    np.testing.assert_allclose([*blend.weights, blend.bias], by_hand, atol=0.01)
    assert blend([good, poor]).mean() == pytest.approx(true.mean(), abs=1e-3)


@pytest.mark.parametrize("coverage", [0.8, 0.9, 0.95])
def test_sets_hold_the_true_star_as_often_as_asked_even_for_a_bad_model(world, coverage):
    scores, true = world
    for probabilities in (softmax(scores), softmax(5 * scores), softmax(np.roll(scores, 1, axis=1))):
        sets = PredictionSets.fit(probabilities[: N // 2], true[: N // 2], coverage)
        measured = sets.measure(probabilities[N // 2 :], true[N // 2 :])
        assert measured["coverage"] == pytest.approx(coverage, abs=0.015)
        assert sum(measured["sizes"]) == pytest.approx(1)
        assert 1 <= measured["mean_size"] <= 5


def test_better_probabilities_give_smaller_sets_and_no_set_is_empty(world):
    scores, true = world
    sizes = [PredictionSets.fit(softmax(k * scores), true)(softmax(k * scores)).sum(axis=1) for k in (1, 0.0)]
    assert sizes[0].mean() < sizes[1].mean()
    assert min(size.min() for size in sizes) >= 1


def test_few_reviews_give_sets_of_all_stars():
    sets = PredictionSets.fit(np.full((5, 5), 0.2), np.array([1, 2, 3, 4, 5]), 0.9)
    assert sets(np.array([[0.9, 0.1, 0, 0, 0]])).all()


def test_a_films_interval_knows_what_its_reviews_share():
    rng = np.random.default_rng(0)
    film = np.repeat(np.arange(60), 200)
    expected = rng.uniform(2, 4, len(film))
    shared = rng.normal(0.1, 0.2, 90)
    true = expected + shared[film] + rng.normal(0, 0.8, len(film))
    means = FilmMeans.fit(expected, true, film)
    assert means.films == 60
    assert np.sqrt(means.between) == pytest.approx(0.2, abs=0.05)
    assert np.sqrt(means.within) == pytest.approx(0.8, abs=0.02)
    hits = 0
    for number in range(60, 90):  # films that were not seen
        predicted = rng.uniform(2, 4, 300)
        truth = (predicted + shared[number]).mean()
        mean, low, high = means.interval(float(predicted.mean()), len(predicted))
        assert low < mean < high
        hits += low <= truth <= high
    assert hits >= 26


def test_one_film_alone_says_nothing_of_what_films_share():
    means = FilmMeans.fit(np.array([3.0, 4.0, 5.0]), np.array([3, 4, 4]), np.zeros(3, dtype=np.int32))
    assert means.between == UNKNOWN_FILMS
    assert means.bias == pytest.approx(-1 / 3)
    _, low, high = means.interval(3.0, 1_000_000)
    assert high - low == pytest.approx(2 * 1.96 * np.sqrt(UNKNOWN_FILMS), abs=0.01)


def test_reviews_without_a_film_are_no_film():
    rng = np.random.default_rng(0)
    film = np.repeat(np.array([0, 1, 2, -1]), 500)
    expected = rng.uniform(2, 4, len(film))
    true = expected + np.array([0.3, -0.3, 0.0, 2.0])[film] + rng.normal(0, 0.5, len(film))
    means = FilmMeans.fit(expected, true, film)
    assert means.films == 3
    assert np.sqrt(means.between) == pytest.approx(0.3, abs=0.05)
    assert means.bias == pytest.approx(0.5, abs=0.05)


def test_sets_of_few_reviews_hold_the_true_star_too(world):
    scores, true = world
    parts = [softmax(3 * scores), softmax(np.roll(scores, 1, axis=1))]
    coverages = []
    for start in range(0, 6000, 60):
        some, held_out = slice(start, start + 30), slice(start + 30, start + 60)
        seen = [part[some] for part in parts]
        sets = PredictionSets.fit(Blend.cross_fitted(seen, true[some]), true[some])
        answers = Blend.fit(seen, true[some])([part[held_out] for part in parts])
        coverages.append(sets.measure(answers, true[held_out])["coverage"])
    assert 0.885 < np.mean(coverages) < 0.94


def test_a_round_number_of_reviews_may_be_left_out():
    of_true = np.linspace(0.1, 0.9, 9)  # a tenth of nine and one more is one
    probabilities = np.column_stack([of_true, *[(1 - of_true) / 4] * 4])
    assert PredictionSets.fit(probabilities, np.ones(9, dtype=int)).threshold == pytest.approx(0.1)
