"""Numbers and sentences of the report; every sentence that states a result is made from the numbers."""

from collections.abc import Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

__all__ = [
    "FEW_REVIEWS",
    "Measures",
    "baseline_name",
    "baseline_note",
    "best_first",
    "comparison",
    "confusion_finding",
    "count",
    "decision_finding",
    "distribution_finding",
    "exact_stars",
    "film_finding",
    "headline",
    "margin",
    "neighbour_finding",
    "ngram_kinds",
    "share",
    "standfirst",
    "task_name",
    "training_finding",
    "within_one_finding",
]

Measures = Mapping[str, Any]

FEW_REVIEWS = 30
"""Below this many test reviews a film's figures are rough."""

NEIGHBOURS = 10

BASELINES = {
    "majority": "always the commonest star",
    "char_ngram": "character n-grams",
    "char_ngram_median": "character n-grams, median rule",
    "word_ngram": "word n-grams",
    "fasttext": "fastText-like",
    "mean_features": "mean features, logistic regression",
}


def task_name(task: str) -> str:
    """Return what a task's model is called."""
    return f"{task} head"


def baseline_name(key: str) -> str:
    """Return what a baseline is called; an unknown one by its key."""
    return BASELINES.get(key, key.replace("_", " "))


def best_first(models: Mapping[str, Measures]) -> dict[str, Measures]:
    """Return models in the order of their shares of exact stars."""
    return dict(sorted(models.items(), key=lambda item: -item[1]["accuracy"]))


def share(value: float, digits: int = 1) -> str:
    """Write a share in per cent."""
    return f"{100 * value:.{digits}f}%"


def count(number: int, noun: str) -> str:
    """Write a number with its noun, in the plural where it is not one."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def headline(measures: Measures) -> str:
    """Return the headline of a page: how many of a hundred reviews are rated right."""
    exact, near = round(100 * measures["accuracy"]), round(100 * measures["accuracy_within_one"])
    return f"The right star for {exact} in 100 reviews, within one star for {near}"


def standfirst(test: Mapping[str, Measures]) -> str:
    """Return one sentence with both shares of each task's head."""
    n = next(iter(test.values()))["n"]
    results = [
        f"the {task_name(task)} names the exact star for {share(measures['accuracy'])} "
        f"and is within one star for {share(measures['accuracy_within_one'])}"
        for task, measures in test.items()
    ]
    return f"On {count(n, 'review')} that no model was trained on, {'; '.join(results)}."


def comparison(test: Mapping[str, Measures], baselines: Mapping[str, Measures]) -> str:
    """Set the best head against the best baseline in each of the two shares; "" where there is none."""
    if not baselines:
        return ""
    exact = _against("On exact stars", "accuracy", test, baselines)
    near = _against("within one star", "accuracy_within_one", test, baselines)
    return f"{exact}; {near}."


def baseline_note(trained_on: Mapping[str, int]) -> str:
    """Say on how many reviews the baselines were trained, where those were not all."""
    reviews, available = trained_on["reviews"], trained_on["of"]
    if reviews == available:
        return ""
    return f"The baselines were trained on {reviews:,} reviews drawn at random from the {available:,} of the training."


def _against(where: str, key: str, test: Mapping[str, Measures], baselines: Mapping[str, Measures]) -> str:
    task = max(test, key=lambda name: test[name][key])
    rival = max(baselines, key=lambda name: baselines[name][key])
    points = round(100 * (test[task][key] - baselines[rival][key]), 1)
    if points == 0:
        verdict = "is level with"
    else:
        unit = "point" if abs(points) == 1 else "points"
        verdict = f"is {abs(points):.1f} {unit} {'ahead of' if points > 0 else 'behind'}"
    return (
        f"{where}, the {task_name(task)} ({share(test[task][key])}) {verdict} the best baseline, "
        f"{baseline_name(rival)} ({share(baselines[rival][key])})"
    )


def margin(n: int) -> str:
    """Say how far a share of n reviews can be off by chance: the 95 % interval is widest at one half."""
    points = 100 * 1.96 * sqrt(0.25 / n)
    return (
        f"Shares of {count(n, 'review')} are uncertain by up to ±{points:.1f} points (95% interval), "
        "so smaller differences may be chance."
    )


def confusion_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say which star is recognised best, and which is most often taken for another."""
    counts = np.asarray(confusion)
    shares = _row_shares(counts)
    seen = np.flatnonzero(counts.sum(axis=1))
    best = seen[np.argmax(np.diag(shares)[seen])]
    text = f"Recognised best: {exact_stars(best + 1)} ({share(shares[best, best], 0)} exactly right)"
    wrong = shares * (1 - np.eye(len(counts)))
    row, column = np.unravel_index(np.argmax(wrong), wrong.shape)
    if wrong[row, column] == 0:
        return f"{text}. No star is taken for another."
    return (
        f"{text}. Most often mistaken: {exact_stars(int(row) + 1)}, rated {int(column) + 1} "
        f"in {share(wrong[row, column], 0)} of the cases."
    )


def within_one_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say for which star the predictions are most often more than one star off."""
    counts = np.asarray(confusion)
    row, column = np.indices(counts.shape)
    far = np.where(np.abs(row - column) > 1, counts, 0).sum(axis=1)
    total = share(far.sum() / counts.sum())
    rates = far / np.maximum(counts.sum(axis=1), 1)
    if not far.any():
        return "No prediction is more than one star off."
    worst = int(np.argmax(rates))
    return (
        f"{total} of the predictions are more than one star off; "
        f"of the reviews with {exact_stars(worst + 1)} it is {share(rates[worst])}."
    )


def distribution_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say which star is given far too often or too seldom."""
    counts = np.asarray(confusion)
    true, predicted = counts.sum(axis=1) / counts.sum(), counts.sum(axis=0) / counts.sum()
    gap = predicted - true
    most = int(np.argmax(np.abs(gap)))
    if round(100 * gap[most], 1) == 0:
        return "Each star is given as often as it is true."
    return (
        f"The largest gap: {exact_stars(most + 1)} is given to {share(predicted[most])} of the reviews, "
        f"{'more' if gap[most] > 0 else 'less'} often than it is true ({share(true[most])})."
    )


def decision_finding(decisions: Mapping[str, Measures]) -> str:
    """Say which rule is best for which measure."""
    exact = max(decisions, key=lambda rule: decisions[rule]["accuracy"])
    near = max(decisions, key=lambda rule: decisions[rule]["accuracy_within_one"])
    error = min(decisions, key=lambda rule: decisions[rule]["mae"])
    return (
        f"Best for exact stars here: {exact} ({share(decisions[exact]['accuracy'])}). Best within one star: "
        f"{near} ({share(decisions[near]['accuracy_within_one'])}). Smallest mean error: "
        f"{error} ({decisions[error]['mae']:.3f} stars)."
    )


def film_finding(means: Mapping[str, Any]) -> str:
    """Say how well the means of films are told from texts alone; "" without films."""
    films = means["films"]
    if not films:
        return ""
    errors = [abs(film["predicted"] - film["true"]) for film in films.values()]
    return (
        f"The predicted mean is {sum(errors) / len(errors):.2f} stars off on average, and the true one lies in its "
        f"interval for {share(means['coverage'], 0)} of {count(len(films), 'film')}."
    )


def training_finding(history: Mapping[str, Any]) -> str:
    """Say which epoch was kept, and how it did on the validation reviews."""
    epochs, best = history["epochs"], history["best_epoch"]
    kept = next(record for record in epochs if record["epoch"] == best)
    return (
        f"Epoch {best} of {len(epochs)} was kept: validation loss {kept['valid_loss']:.3f}, "
        f"{share(kept['valid_accuracy'])} exact, {share(kept['valid_accuracy_within_one'])} within one star."
    )


def neighbour_finding(trained: NDArray[np.float64], frozen: NDArray[np.float64], ratings: NDArray[np.int64]) -> str:
    """Say how often neighbours on each map have the same star; "" where there are too few points to say.

    Parameters
    ----------
    trained, frozen
        (n, 2) places of the same reviews.
    ratings
        (n,) true stars.
    """
    if len(ratings) <= NEIGHBOURS:
        return ""
    before, after = (_agreement(points, ratings) for points in (frozen, trained))
    shares = np.bincount(ratings) / len(ratings)
    chance = float((shares**2).sum())
    return (
        f"Of a review's {NEIGHBOURS} nearest neighbours, {share(before, 0)} share its star on the "
        f"encoder's map and {share(after, 0)} on the trained head's; by chance it would be {share(chance, 0)}."
    )


def ngram_kinds(settings: Mapping[str, Any]) -> str:
    """Name the n-grams beside the head, or ""."""
    kinds = [f"{what} up to {settings[what]}" for what in ("characters", "words") if settings[what]]
    return ", ".join(kinds)


def exact_stars(rating: int) -> str:
    """Write a rating with its noun."""
    return f"{rating} star" if rating == 1 else f"{rating} stars"


def _agreement(points: NDArray[np.float64], ratings: NDArray[np.int64]) -> float:
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors(return_distance=False)
    return float((ratings[nearest] == ratings[:, None]).mean())


def _row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
