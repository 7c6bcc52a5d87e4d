"""What the scores of a head mean: probabilities of the stars, whatever computed the scores.

A score is what the last layer of a network says before it is squashed. Classification has five, one a star; the
ordinal outputs have four, one a threshold; regression has the rating itself.
"""

import numpy as np
from numpy.typing import NDArray

from xingping.config import HeadSettings, Task
from xingping.ratings import NUM_CLASSES

__all__ = ["coral_probabilities", "corn_probabilities", "n_scores", "softmax_probabilities", "star_probabilities"]

Scores = NDArray[np.float32]
Probabilities = NDArray[np.float64]


def n_scores(task: Task) -> int:
    """Return how many scores a text gets."""
    return {"classification": NUM_CLASSES, "regression": 1, "ordinal": NUM_CLASSES - 1}[task]


def star_probabilities(task: Task, settings: HeadSettings, scores: Scores) -> Probabilities | None:
    """Return probabilities of the stars, (n, 5), rows sum to 1; None for regression, which has none.

    Parameters
    ----------
    task
        What the head predicts.
    settings
        Of the head; they say which ordinal output it has.
    scores
        (n, n_scores).
    """
    if task == "regression":
        return None
    if task == "classification":
        return softmax_probabilities(scores)
    return coral_probabilities(scores) if settings.ordinal == "coral" else corn_probabilities(scores)


def softmax_probabilities(scores: Scores) -> Probabilities:
    """Return the softmax, (n, 5), of logits, (n, 5)."""
    shifted = np.exp(scores - scores.max(axis=1, keepdims=True)).astype(np.float64)
    normalised: Probabilities = shifted / shifted.sum(axis=1, keepdims=True)
    return normalised


def coral_probabilities(scores: Scores) -> Probabilities:
    """Return probabilities of the stars, (n, 5), of logits of P(rating > k), (n, 4), made to fall with k."""
    return _between(np.minimum.accumulate(_sigmoid(scores), axis=1))


def corn_probabilities(scores: Scores) -> Probabilities:
    """Return probabilities of the stars, (n, 5), of logits of P(rating > k | rating > k - 1), (n, 4)."""
    return _between(_sigmoid(scores).cumprod(axis=1))


def _sigmoid(scores: Scores) -> Probabilities:
    numbers = scores.astype(np.float64)
    return np.exp(-np.logaddexp(0, -numbers))


def _between(above: Probabilities) -> Probabilities:
    """Turn P(rating > k), (n, 4) and falling with k, into P(rating = k), (n, 5)."""
    ends = np.pad(above, ((0, 0), (1, 1)), constant_values=((0, 0), (1, 0)))
    return ends[:, :-1] - ends[:, 1:]
