"""Numbers and sentences of the report; every sentence that states a result is made from the numbers."""

from collections.abc import Callable, Mapping, Sequence
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.neighbors import NearestNeighbors

from xingping.language import _, join_clauses, join_list, ngettext
from xingping.names import baseline_name, exact_stars, rule_name, task_name

__all__ = [
    "FEW_REVIEWS",
    "Measures",
    "baseline_name",
    "baseline_note",
    "best_first",
    "between",
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
    "with_interval",
    "within_one_finding",
]

Measures = Mapping[str, Any]

FEW_REVIEWS = 30
"""Below this many test reviews a film's figures are rough."""

NEIGHBOURS = 10

COUNTED: Mapping[str, Callable[[int], str]] = {
    "case": lambda n: ngettext("{n:,} case", "{n:,} cases", n),
    "epoch": lambda n: ngettext("{n:,} epoch", "{n:,} epochs", n),
    "film": lambda n: ngettext("{n:,} film", "{n:,} films", n),
    "hop": lambda n: ngettext("{n:,} hop", "{n:,} hops", n),
    "review": lambda n: ngettext("{n:,} review", "{n:,} reviews", n),
    "row": lambda n: ngettext("{n:,} row", "{n:,} rows", n),
    "star": lambda n: ngettext("{n:,} star", "{n:,} stars", n),
    "test review": lambda n: ngettext("{n:,} test review", "{n:,} test reviews", n),
    "text": lambda n: ngettext("{n:,} text", "{n:,} texts", n),
    "time": lambda n: ngettext("{n:,} time", "{n:,} times", n),
}
"""What `count` counts: in Chinese each has a measure word of its own."""


def best_first(models: Mapping[str, Measures]) -> dict[str, Measures]:
    """Return models in the order of their shares of exact stars."""
    return dict(sorted(models.items(), key=lambda item: -item[1]["accuracy"]))


def share(value: float, digits: int = 1) -> str:
    """Write a share in per cent."""
    return f"{100 * value:.{digits}f}%"


def count(number: int, noun: str) -> str:
    """Write a number with its noun, one of `COUNTED`, in the plural where it is not one."""
    return COUNTED[noun](number).format(n=number)


def between(low: str, high: str) -> str:
    """Write the ends of an interval."""
    return _("{low} to {high}").format(low=low, high=high)


def with_interval(value: str, low: str, high: str) -> str:
    """Write a value with its interval."""
    return _("{value} ({low} to {high})").format(value=value, low=low, high=high)


def best_shares(metrics: Mapping[str, Any], models: Mapping[str, Measures]) -> dict[str, Measures]:
    """Return `n` and both shares of some models, each by the rule that is best for it (`intervals.BEST_RULES`).

    Parameters
    ----------
    metrics
        `metrics.json`.
    models
        Measures of heads or baselines, by their own answers; they stand where there is no interval.
    """
    intervals = metrics["intervals"]["reviews"]
    return {
        name: {
            "n": measures["n"],
            **{
                share: intervals[name][share]["value"] if name in intervals else measures[share]
                for share in ("accuracy", "accuracy_within_one")
            },
        }
        for name, measures in models.items()
    }


def headline(measures: Measures) -> str:
    """Return the headline of a page: how many of a hundred reviews are rated right."""
    exact, near = round(100 * measures["accuracy"]), round(100 * measures["accuracy_within_one"])
    return _("The right star for {exact} in 100 reviews, within one star for {near}").format(exact=exact, near=near)


def standfirst(test: Mapping[str, Measures]) -> str:
    """Return one sentence with both shares of each task's head."""
    n = next(iter(test.values()))["n"]
    result = _("the {model} names the exact star for {exact} and is within one star for {near}")
    results = [
        result.format(
            model=task_name(task), exact=share(measures["accuracy"]), near=share(measures["accuracy_within_one"])
        )
        for task, measures in test.items()
    ]
    return ngettext(
        "On {n:,} review that no model was trained on, {results}.",
        "On {n:,} reviews that no model was trained on, {results}.",
        n,
    ).format(n=n, results=join_clauses(results))


def comparison(test: Mapping[str, Measures], baselines: Mapping[str, Measures]) -> str:
    """Set the best head against the best baseline in each of the two shares; "" where there is none."""
    if not baselines:
        return ""
    return _("On exact stars, {exact}; within one star, {near}.").format(
        exact=_against("accuracy", test, baselines), near=_against("accuracy_within_one", test, baselines)
    )


def baseline_note(trained_on: Mapping[str, int]) -> str:
    """Say on how many reviews the baselines were trained, where those were not all."""
    reviews, available = trained_on["reviews"], trained_on["of"]
    if reviews == available:
        return ""
    return _(
        "The baselines were trained on {reviews:,} reviews drawn at random from the {available:,} of the training."
    ).format(reviews=reviews, available=available)


def _against(key: str, test: Mapping[str, Measures], baselines: Mapping[str, Measures]) -> str:
    task = max(test, key=lambda name: test[name][key])
    best = max(baselines, key=lambda name: baselines[name][key])
    points = round(100 * (test[task][key] - baselines[best][key]), 1)
    number = 1 if abs(points) == 1 else 2
    if points == 0:
        message = _("the {model} ({own}) is level with the best baseline, {rival} ({other})")
    elif points > 0:
        message = ngettext(
            "the {model} ({own}) is {points:.1f} point ahead of the best baseline, {rival} ({other})",
            "the {model} ({own}) is {points:.1f} points ahead of the best baseline, {rival} ({other})",
            number,
        )
    else:
        message = ngettext(
            "the {model} ({own}) is {points:.1f} point behind the best baseline, {rival} ({other})",
            "the {model} ({own}) is {points:.1f} points behind the best baseline, {rival} ({other})",
            number,
        )
    return message.format(
        model=task_name(task),
        own=share(test[task][key]),
        points=abs(points),
        rival=baseline_name(best),
        other=share(baselines[best][key]),
    )


def margin(n: int) -> str:
    """Say how far a share of n reviews can be off by chance: the 95 % interval is widest at one half."""
    points = 100 * 1.96 * sqrt(0.25 / n)
    return ngettext(
        "Shares of {n:,} review are uncertain by up to ±{points:.1f} points (95% interval), "
        "so smaller differences may be chance.",
        "Shares of {n:,} reviews are uncertain by up to ±{points:.1f} points (95% interval), "
        "so smaller differences may be chance.",
        n,
    ).format(n=n, points=points)


def confusion_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say which star is recognised best, and which is most often taken for another."""
    counts = np.asarray(confusion)
    shares = _row_shares(counts)
    seen = np.flatnonzero(counts.sum(axis=1))
    best = int(seen[np.argmax(np.diag(shares)[seen])])
    known = {"best": exact_stars(best + 1), "right": share(shares[best, best], 0)}
    wrong = shares * (1 - np.eye(len(counts)))
    row, column = map(int, np.unravel_index(np.argmax(wrong), wrong.shape))
    if wrong[row, column] == 0:
        return _("Recognised best: {best} ({right} exactly right). No star is taken for another.").format(**known)
    return _(
        "Recognised best: {best} ({right} exactly right). Most often mistaken: {true}, rated {given} in {wrong} of "
        "the cases."
    ).format(**known, true=exact_stars(row + 1), given=exact_stars(column + 1), wrong=share(wrong[row, column], 0))


def within_one_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say for which star the predictions are most often more than one star off."""
    counts = np.asarray(confusion)
    row, column = np.indices(counts.shape)
    far = np.where(np.abs(row - column) > 1, counts, 0).sum(axis=1)
    total = share(far.sum() / counts.sum())
    rates = far / np.maximum(counts.sum(axis=1), 1)
    if not far.any():
        return _("No prediction is more than one star off.")
    worst = int(np.argmax(rates))
    return _(
        "{total} of the predictions are more than one star off; of the reviews with {stars} it is {worst}."
    ).format(total=total, stars=exact_stars(worst + 1), worst=share(rates[worst]))


def distribution_finding(confusion: Sequence[Sequence[int]]) -> str:
    """Say which star is given far too often or too seldom."""
    counts = np.asarray(confusion)
    true, predicted = counts.sum(axis=1) / counts.sum(), counts.sum(axis=0) / counts.sum()
    gap = predicted - true
    most = int(np.argmax(np.abs(gap)))
    if round(100 * gap[most], 1) == 0:
        return _("Each star is given as often as it is true.")
    if gap[most] > 0:
        message = _("The largest gap: {stars} is given to {given} of the reviews, more often than it is true ({true}).")
    else:
        message = _("The largest gap: {stars} is given to {given} of the reviews, less often than it is true ({true}).")
    return message.format(stars=exact_stars(most + 1), given=share(predicted[most]), true=share(true[most]))


def decision_finding(decisions: Mapping[str, Measures]) -> str:
    """Say which rule is best for which measure."""
    exact = max(decisions, key=lambda rule: decisions[rule]["accuracy"])
    near = max(decisions, key=lambda rule: decisions[rule]["accuracy_within_one"])
    error = min(decisions, key=lambda rule: decisions[rule]["mae"])
    return _(
        "Best for exact stars here: {exact} ({exact_share}). Best within one star: {near} ({near_share}). "
        "Smallest mean error: {smallest} ({error:.3f} stars)."
    ).format(
        exact=rule_name(exact),
        exact_share=share(decisions[exact]["accuracy"]),
        near=rule_name(near),
        near_share=share(decisions[near]["accuracy_within_one"]),
        smallest=rule_name(error),
        error=decisions[error]["mae"],
    )


def film_finding(means: Mapping[str, Any]) -> str:
    """Say how well the means of films are told from texts alone; "" without films."""
    films = means["films"]
    if not films:
        return ""
    errors = [abs(film["predicted"] - film["true"]) for film in films.values()]
    return ngettext(
        "The predicted mean is {error:.2f} stars off on average, and the true one lies in its interval for {covered} "
        "of {n:,} film.",
        "The predicted mean is {error:.2f} stars off on average, and the true one lies in its interval for {covered} "
        "of {n:,} films.",
        len(films),
    ).format(error=sum(errors) / len(errors), covered=share(means["coverage"], 0), n=len(films))


def training_finding(history: Mapping[str, Any]) -> str:
    """Say which epoch was kept, and how it did on the validation reviews."""
    epochs, best = history["epochs"], history["best_epoch"]
    kept = next(record for record in epochs if record["epoch"] == best)
    return _(
        "Epoch {best} of {epochs} was kept: validation loss {loss:.3f}, {exact} exact, {near} within one star."
    ).format(
        best=best,
        epochs=len(epochs),
        loss=kept["valid_loss"],
        exact=share(kept["valid_accuracy"]),
        near=share(kept["valid_accuracy_within_one"]),
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
    return _(
        "Of a review's {neighbours} nearest neighbours, {before} share its star on the encoder's map and {after} on "
        "the trained head's; by chance it would be {chance}."
    ).format(neighbours=NEIGHBOURS, before=share(before, 0), after=share(after, 0), chance=share(chance, 0))


def ngram_kinds(settings: Mapping[str, Any]) -> str:
    """Name the n-grams beside the head, or ""."""
    kinds = {"characters": _("characters up to {n}"), "words": _("words up to {n}")}
    return join_list(message.format(n=settings[what]) for what, message in kinds.items() if settings[what])


def _agreement(points: NDArray[np.float64], ratings: NDArray[np.int64]) -> float:
    nearest = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(points).kneighbors(return_distance=False)
    return float((ratings[nearest] == ratings[:, None]).mean())


def _row_shares(counts: NDArray[np.int64]) -> NDArray[np.float64]:
    shares: NDArray[np.float64] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    return shares
