"""Reviews of the test split that the report explains word by word."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.explanation import Explanation, add_effects, add_gradients, explain_ratings
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter

__all__ = ["choose_examples", "explain_examples"]

EXAMPLE_LENGTHS = (12, 90)
"""Characters of a review worth showing: enough to say something, short enough to read."""

EXAMPLES_PER_STAR = 3

FILMS_WITH_EXAMPLES = 60
"""Films, the most reviewed first, whose highlighted reviews are kept for a case study."""

DIGITS = 4
"""Decimals of the figures that are kept of each word: a report has thousands of them."""


def explain_examples(
    predictor: RatingPredictor, test: pa.Table, features: StoredFeatures, segmenter: Segmenter
) -> dict[str, Any]:
    """Explain well-chosen reviews of the test split, overall and of each film.

    Parameters
    ----------
    predictor
        Rates and attends.
    test
        The test reviews, with `row, text, film, rating`.
    features
        Of the same reviews.
    segmenter
        Finds the words.

    Returns
    -------
    dict
        The content of `explanations.json`: `{"overall": [entry], "films": {film: [entry]}}`, where an entry has
        `row, text, film, rating, predicted, expected, probability, baseline, words`, and what fell on no word:
        `outside, outside_hops, outside_effect, outside_gradient` (`Explanation`). A word is `word, start, end, weight,
        effect, gradient, hops` (`WordWeight`).
    """
    ratings = predictor.predict_features(features, test["text"].to_pylist())
    if ratings.probabilities is None:
        confidence = -np.abs(ratings.expected - ratings.rating)
    else:
        confidence = ratings.probabilities.max(axis=1)
    true = np.asarray(test["rating"].to_numpy(), dtype=np.int64)
    reviews = test.select(["row", "text", "film", "rating"]).to_pylist()
    groups = {"": np.arange(len(reviews))} | _rows_of_films(test)
    chosen = {}
    for name, rows in groups.items():
        texts = [reviews[row]["text"] for row in rows]
        picked = choose_examples(texts, true[rows], ratings.rating[rows], confidence[rows], per_star=EXAMPLES_PER_STAR)
        chosen[name] = rows[picked].tolist()
    wanted = sorted({row for rows in chosen.values() for row in rows})
    texts = [reviews[row]["text"] for row in wanted]
    looked = predictor.predict_features(features.take(wanted), texts, attention=True)
    explained = add_effects(predictor, explain_ratings(texts, looked, segmenter))
    explanations = add_gradients(predictor, features.take(wanted), explained)
    entries = {
        row: {**reviews[row], **_entry(explanation)} for row, explanation in zip(wanted, explanations, strict=True)
    }
    shown = {name: [entries[row] for row in rows] for name, rows in chosen.items()}
    return {"overall": shown.pop(""), "films": shown}


def _entry(explanation: Explanation) -> dict[str, Any]:
    """Return what is kept of an explanation; the text and the true rating are there already."""
    entry = explanation.to_dict()
    entry["predicted"] = entry.pop("rating")
    del entry["text"]
    for word in entry["words"]:
        word.update(gradient=round(word["gradient"], DIGITS), hops=[round(hop, DIGITS) for hop in word["hops"]])
    return entry | {"outside_hops": [round(hop, DIGITS) for hop in entry["outside_hops"]]}


def _rows_of_films(test: pa.Table) -> dict[str, NDArray[np.int64]]:
    """Return the rows of each of the most reviewed films."""
    film = np.asarray(test["film"].to_pylist(), dtype=str)
    names, counts = np.unique(film[film != ""], return_counts=True)
    most = names[np.lexsort((names, -counts))][:FILMS_WITH_EXAMPLES]
    return {str(name): np.flatnonzero(film == name) for name in most}


def choose_examples(
    texts: Sequence[str],
    true: NDArray[np.int64],
    predicted: NDArray[np.int64],
    confidence: NDArray[np.float64],
    *,
    per_star: int,
) -> list[int]:
    """Choose reviews to show, for each star from 5 down to 1.

    Of each star: the surest right answers of readable length, and last the surest wrong one, since a report
    that shows only successes misleads.

    Parameters
    ----------
    texts, true, predicted
        The reviews, (n,) each.
    confidence
        (n,) higher is surer.
    per_star
        Reviews of each star at most, the wrong one among them.
    """
    lengths = np.array([len(text) for text in texts])
    readable = (lengths >= EXAMPLE_LENGTHS[0]) & (lengths <= EXAMPLE_LENGTHS[1])
    chosen: list[int] = []
    for star in (5, 4, 3, 2, 1):
        order = np.lexsort((lengths, -confidence))
        of_star = [i for i in order if true[i] == star and readable[i]] or [i for i in order if true[i] == star]
        right = [i for i in of_star if predicted[i] == star]
        wrong = [i for i in of_star if predicted[i] != star][:1]
        seen: set[str] = set()
        for index in right[: max(0, per_star - len(wrong))] + wrong:
            if texts[index] not in seen:
                seen.add(texts[index])
                chosen.append(int(index))
    return chosen
