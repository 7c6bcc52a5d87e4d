import numpy as np
import pyarrow as pa
import pytest

from toy import planted_reviews
from xingping.evaluation import Answers, baseline_answers, evaluate_answers, evaluate_films, predictions_table
from xingping.predictor import Ratings

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


def test_baselines_see_only_the_training_reviews():
    texts, ratings = planted_reviews(300, 0)
    unseen, true = planted_reviews(80, 1)
    answers = baseline_answers(texts, ratings, unseen)
    assert set(answers) == {"majority", "char_ngram", "char_ngram_median"}
    assert len(set(answers["majority"].rating.tolist())) == 1
    assert (answers["char_ngram"].rating == true).mean() > 0.9
