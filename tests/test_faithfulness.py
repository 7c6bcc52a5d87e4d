import numpy as np
import pytest

from toy import BAD, FILLER, GOOD, planted_reviews
from xingping import RatingPredictor, explain
from xingping.answers import Ratings
from xingping.explanation import METHODS, Explanation, WordWeight
from xingping.faithfulness import BINS, LEAST_WORDS, compare_orders, importances, measure_faithfulness
from xingping.moving_words import LEAST_REVIEWS, find_moving_words
from xingping.segmentation import Segmenter

SEGMENTER = Segmenter()


@pytest.fixture(scope="module")
def predictor(trained_run):
    return RatingPredictor.load(trained_run)


def rate(texts, *, stars=False):
    """Rate like one who reads nothing but the planted word."""
    good = np.array(["妙" in text for text in texts])
    proba = np.where(good[:, None], [0.05, 0.05, 0.05, 0.05, 0.8], 0.2)
    expected = proba @ np.arange(1, 6)
    return Ratings(np.where(good, 5, 3), expected, None if stars else proba)


def planted(n=60, *, stars=False):
    """Explanations of reviews of ten words of one character, one of them the planted one."""
    rng, found = np.random.default_rng(0), []
    for _ in range(n):
        text = "".join(rng.permutation([*FILLER[:9], "妙"]))
        words = tuple(WordWeight(character, at, at + 1, 0.1) for at, character in enumerate(text))
        found.append(Explanation(text, 5, 4.5, None if stars else 0.8, words, 0.0, baseline=3.0))
    return found


@pytest.mark.parametrize("stars", [False, True])
def test_words_that_decide_are_told_from_random_ones_and_from_the_last(stars):
    explanations, rng = planted(stars=stars), np.random.default_rng(1)
    true = [np.array([word.word == "妙" for word in one.words], dtype=float) for one in explanations]
    orders = {
        "true": true,
        "random order": [rng.random(10) for _ in explanations],
        "turned round": [-of_review for of_review in true],
        "says nothing": [np.zeros(10) for _ in explanations],
    }
    unit = "stars" if stars else "probability"
    found = compare_orders(lambda texts: rate(texts, stars=stars), explanations, orders, unit=unit)
    assert found["unit"] == unit
    methods, whole = found["methods"], 1.5 if stars else 0.6
    assert methods["true"]["verdict"] == "better"
    assert methods["true"]["comprehensiveness"]["value"] == pytest.approx(whole, abs=1e-9)
    assert methods["true"]["sufficiency"]["value"] == pytest.approx(0, abs=1e-9)
    assert methods["turned round"]["verdict"] == "worse"
    for name in ("random order", "says nothing"):
        assert methods[name]["verdict"] == "no better"
        for measure in ("comprehensiveness", "sufficiency"):
            assert methods[name][measure]["value"] == pytest.approx(found["random"][measure]["value"], abs=0.1 * whole)
    for name, figures in methods.items():
        assert len(figures["by_bin"]["sufficiency"]) == len(BINS)
        difference = figures["beyond_random"]["sufficiency"]["value"]
        assert difference == pytest.approx(figures["sufficiency"]["value"] - found["random"]["sufficiency"]["value"]), (
            name
        )
    assert compare_orders(lambda texts: rate(texts, stars=stars), explanations, orders, unit=unit) == found


def test_signed_methods_speak_for_the_side_where_the_rating_ended():
    words = (WordWeight("好", 0, 1, 0.5, effect=0.4, gradient=0.3), WordWeight("烂", 1, 2, 0.5, effect=-1, gradient=-2))
    low = Explanation("好烂", 2, 2.0, 0.5, words, 0.0, baseline=3.0)
    high = Explanation("好烂", 4, 4.0, 0.5, words, 0.0, baseline=3.0)
    found = importances([low, high])
    assert [of_review.tolist() for of_review in found["occlusion"]] == [[-0.4, 1], [0.4, -1]]
    assert [of_review.tolist() for of_review in found["gradients"]] == [[-0.3, 2], [0.3, -2]]
    silent = Explanation("好烂", 4, 4.0, 0.5, (WordWeight("好", 0, 1, 0.0, effect=0.4, gradient=0.3),), 0.0)
    assert set(importances([silent])) == {"occlusion", "gradients"}


def test_no_review_is_long_enough():
    assert compare_orders(rate, [], {}, unit="stars")["methods"] == {}


def test_probabilities_are_not_made_up():
    with pytest.raises(ValueError, match="ask in stars"):
        compare_orders(lambda texts: rate(texts, stars=True), planted(2), {}, unit="probability")


def test_latin_words_alone_do_not_run_together():
    words = tuple(WordWeight(word, at, at + len(word), 0.5) for word, at in [("good", 0), ("old", 5), ("片", 9)])
    seen = []

    def remember(texts):
        seen.extend(texts)
        return rate(texts)

    explanation = Explanation("good old，片", 3, 3.0, 0.2, words, 0.0, baseline=3.0)
    compare_orders(remember, [explanation], {"a": [np.array([3, 2, 1])]}, unit="probability")
    assert "good old" in seen
    assert " ，片" in seen


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_every_method_finds_the_planted_words_and_says_so(trained_run, task):
    predictor = RatingPredictor.load(trained_run, task=task)
    texts, ratings = planted_reviews(60, seed=3)
    telling = [text for text, rating in zip(texts, ratings, strict=True) if rating != 3]
    explanations = explain(predictor, telling[:20])
    for method, values in importances(explanations).items():
        hits = [
            explanation.words[int(np.argmax(of_review))].word[0] in GOOD + BAD
            for explanation, of_review in zip(explanations, values, strict=True)
        ]
        assert np.mean(hits) > 0.8, method
    found = measure_faithfulness(predictor, telling, predictor_segmenter(predictor), reviews=30)
    assert found["task"] == task
    assert found["unit"] == ("probability" if task == "classification" else "stars")
    assert (found["of"], found["least_words"]) == (len(telling), LEAST_WORDS)
    assert 0 < found["reviews"] <= 30
    assert set(found["methods"]) == set(METHODS)
    assert {figures["verdict"] for figures in found["methods"].values()} <= {"better", "partly"}
    assert found["methods"]["occlusion"]["verdict"] == "better"
    assert measure_faithfulness(predictor, telling, predictor_segmenter(predictor), reviews=30) == found
    assert measure_faithfulness(predictor, ["", "！", "好"], SEGMENTER)["reviews"] == 0


def predictor_segmenter(predictor):
    return Segmenter(predictor.card.segmentation)


def test_planted_words_move_ratings_most(predictor):
    texts, _ = planted_reviews(80, seed=4)
    found = find_moving_words(predictor, predictor.encode(texts), texts, SEGMENTER)
    assert found["up"][0]["word"] in GOOD
    assert found["down"][0]["word"] in BAD
    assert (found["reviews"], found["of"]) == (80, 80)
    for row in found["up"] + found["down"]:
        assert row["n"] >= LEAST_REVIEWS
        assert row["low"] <= row["effect"] <= row["high"]
        assert row["low"] > 0 or row["high"] < 0
    effects = [row["effect"] for row in found["up"]]
    assert effects == sorted(effects, reverse=True)
    sampled = find_moving_words(predictor, predictor.encode(texts), texts, SEGMENTER, reviews=30)
    assert (sampled["reviews"], sampled["of"]) == (30, 80)
    assert find_moving_words(predictor, predictor.encode([]), [], SEGMENTER)["up"] == []


def test_a_saved_model_explains_as_it_did(predictor, tmp_path):
    predictor.save(tmp_path / "bundle")
    loaded = RatingPredictor.load(tmp_path / "bundle")
    texts = [f"片子里的人{GOOD}看过了", "", "。。。"]
    assert explain(loaded, texts) == explain(predictor, texts)
