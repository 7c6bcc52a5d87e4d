import numpy as np
import pyarrow as pa
import pytest

from toy import planted_reviews
from xingping.answers import Ratings
from xingping.calibration import FilmMeans
from xingping.evaluation import (
    Answers,
    BaselineData,
    baseline_answers,
    evaluate_answers,
    evaluate_film_means,
    evaluate_films,
    evaluate_slices,
    measure_doubt,
    predictions_table,
)

TRUE = np.array([1, 3, 5, 5])
FILM = np.array(["甲", "乙", "乙", ""], dtype=object)
PROBA = np.array([[0.9, 0.1, 0, 0, 0], [0, 0.3, 0.4, 0.3, 0], [0, 0, 0.6, 0.2, 0.2], [0, 0, 0, 0, 1.0]])
CLASSES = Answers.of(Ratings(PROBA.argmax(1) + 1, PROBA @ np.arange(1, 6), PROBA))
REAL = Answers.of(Ratings(np.array([1, 3, 4, 5]), np.array([1.4, 3.2, 4.4, 4.9]), None))


def test_probabilities_bring_decisions_and_a_real_answer_brings_its_own_errors():
    classes, real = evaluate_answers(TRUE, CLASSES), evaluate_answers(TRUE, REAL)
    assert set(classes["decisions"]) == {"mode", "window", "median", "mean"}
    assert classes["mae"] == 0.5
    assert "nll" not in real
    assert real["mae"] == pytest.approx((0.4 + 0.2 + 0.6 + 0.1) / 4)


def test_films_are_measured_alone_the_most_reviewed_first():
    films = evaluate_films(FILM, TRUE, {"classification": CLASSES, "regression": REAL}, {"majority": CLASSES})
    assert list(films) == ["乙", "甲"]
    assert films["乙"]["n"] == 2
    assert films["乙"]["test"]["classification"]["accuracy"] == 0.5
    assert films["甲"]["baselines"]["majority"]["accuracy"] == 1


def test_the_predictions_table_has_a_row_a_review_and_no_column_twice():
    reviews = pa.table(
        {"row": [4, 5, 6, 7], "rating": pa.array(TRUE, pa.int8()), "film": FILM.tolist(), "text": ["…"] * 4}
    )
    table = predictions_table(reviews, {"classification": CLASSES, "regression": REAL}, {"char_ngram": CLASSES})
    assert table.column_names == [
        "row", "rating", "film", "p1", "p2", "p3", "p4", "p5", "classification_rating", "classification_expected",
        "regression_rating", "regression_expected", "char_ngram_rating",
    ]  # fmt: skip
    assert table["classification_expected"].to_pylist() == pytest.approx([1.1, 3.0, 3.6, 5.0])
    assert table["regression_expected"].to_pylist() == [1.4, 3.2, 4.4, 4.9]


def seen_by_baselines(texts):
    return BaselineData(
        texts, [" ".join(text) for text in texts], np.array([[len(text)] for text in texts], np.float32)
    )


def test_doubt_is_measured_by_reviews_and_by_films_against_every_baseline():
    film = np.array([0, 1, 1, 2], dtype=np.int32)
    baselines = {"majority": CLASSES, "majority_median": Answers(CLASSES.rating)}
    doubt = measure_doubt(TRUE, film, {"classification": CLASSES, "regression": REAL}, baselines)
    assert set(doubt["intervals"]["reviews"]) == {"classification", "regression", "majority"}
    accuracy = doubt["intervals"]["films"]["classification"]["accuracy"]
    assert accuracy["low"] <= accuracy["value"] == (CLASSES.rating == TRUE).mean() <= accuracy["high"]
    assert doubt["differences"]["reviews"]["classification"]["majority"]["nll"] == {"value": 0, "low": 0, "high": 0}
    assert "nll" not in doubt["differences"]["films"]["regression"]["majority"]
    one = measure_doubt(TRUE, np.zeros(4, dtype=np.int32), {"classification": CLASSES}, {})
    assert set(one["intervals"]) == {"reviews"}


def test_slices_are_measured_where_they_have_reviews():
    texts = ["好", "不好", "虽然长但是不错", "8分"]
    slices = evaluate_slices(texts, TRUE, {"classification": CLASSES, "regression": REAL})
    assert slices["length 0-10"]["n"] == 4
    assert slices["negation"]["n"] == 1  # 不错 is praise
    assert slices["star 1"]["classification"] == {"accuracy": 1.0, "accuracy_within_one": 1.0, "mae": 0.0}
    assert "star 2" not in slices


def test_the_weakest_films_with_enough_reviews_are_slices_too():
    film = np.array(["好懂"] * 40 + ["难懂"] * 20 + ["更难"] * 25 + ["太少"] * 19 + [""] * 30, dtype=object)
    true = np.full(len(film), 3)
    guess = true.copy()
    guess[film == "难懂"] += 1
    guess[np.isin(film, ["更难", "太少", ""])] += 2
    slices = evaluate_slices(["影"] * len(film), true, {"classification": Answers(guess)}, film)
    assert [name for name in slices if name.startswith("film")] == ["film 更难"], "the error of all is above 1"
    assert slices["film 更难"] == {
        "n": 25, "classification": {"accuracy": 0.0, "accuracy_within_one": 0.0, "mae": 2.0}
    }  # fmt: skip
    assert not any("film" in name for name in evaluate_slices(["影"] * len(film), true, {"c": Answers(guess)}))


def test_no_more_than_a_few_films_are_called_weak():
    film = np.repeat(np.array([f"片{number:02}" for number in range(12)], dtype=object), 20)
    true = np.full(len(film), 1)
    expected = 1 + np.repeat(np.arange(12) / 4, 20)
    answers = Answers(np.ones(len(film), dtype=np.int64), expected)
    named = list(evaluate_slices(["影"] * len(film), true, {"regression": answers}, film))
    assert named[-5:] == [f"film 片{number}" for number in (11, 10, "09", "08", "07")]


def test_two_models_with_probabilities_have_columns_of_their_own():
    reviews = pa.table({"row": [4, 5, 6, 7], "rating": pa.array(TRUE, pa.int8()), "film": FILM.tolist()})
    names = predictions_table(
        reviews, {"classification": CLASSES, "ordinal": CLASSES}, {"char_ngram": CLASSES}
    ).column_names
    assert len(names) == len(set(names))
    assert {"p1", "ordinal_p1", "ordinal_rating"} <= set(names)


def test_baselines_see_only_the_training_reviews():
    texts, ratings = planted_reviews(300, 0)
    unseen, true = planted_reviews(80, 1)
    answers = baseline_answers(seen_by_baselines(texts), ratings, seen_by_baselines(unseen))
    assert set(answers) == {
        "majority", "char_ngram", "char_ngram_median", "word_ngram", "fasttext", "mean_features",
    }  # fmt: skip
    assert len(set(answers["majority"].rating.tolist())) == 1
    assert (answers["char_ngram"].rating == true).mean() > 0.9


def test_film_means_are_beside_the_true_ones():
    film = np.array(["甲", "乙", "甲", "", "甲"], dtype=object)
    means = FilmMeans(bias=0.1, within=0.0, between=0.01, films=5)
    measured = evaluate_film_means(film, np.array([5, 1, 4, 3, 3]), np.array([4.0, 3.0, 4.0, 1.0, 3.7]), means)
    assert list(measured["films"]) == ["甲", "乙"]
    wanted = {"n": 3, "true": 4.0, "predicted": 4.0, "low": 3.804, "high": 4.196}
    assert measured["films"]["甲"] == pytest.approx(wanted)
    assert measured["coverage"] == 0.5  # 乙 is predicted 3.1
