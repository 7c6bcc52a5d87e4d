"""Learning curves: how good a model is for how many labelled reviews, beside linear models on n-grams.

Labels cost; the encoder has read much text before it sees any. Whether that pays is a question of how many there are.

A number of labels counts all that a person would have to give: four of five are trained on, and a fifth is the
validation that early stopping and the weighing of the parts need, but never more than the run's validation split has.
Both come from those splits of the run, so with all labels the model is trained as the run's own is. The n-gram
baselines need no validation and are trained on all of the labels, or on `baselines.MOST_REVIEWS` where there are more.
Every curve is of nested samples, stratified by star: more labels are the same ones and others. What is measured is the
run's test split, always whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xingping.artifacts import fingerprint, read_json, write_json
from xingping.baselines import MOST_REVIEWS, NgramBaseline, sample_reviews
from xingping.config import Task
from xingping.errors import RunDirectoryError, SettingsError
from xingping.evaluation import Answers
from xingping.fitting import EncodedReviews
from xingping.metrics import decide
from xingping.progress import Progress

__all__ = [
    "BASELINES",
    "FEWEST",
    "MEASURES",
    "Labels",
    "choose_sizes",
    "describe_lead",
    "draw_labels",
    "find_leads",
    "stratified_order",
    "trace_learning_curve",
]

FEWEST = 10
"""Labels that make a curve at least: eight to train on, two to validate by."""

VALID_SHARE = 0.2

MEASURES = ("accuracy", "accuracy_within_one", "mae", "rmse")

BASELINES = {"char_ngram": "char", "word_ngram": "word"}

Lead = Literal["ahead", "level", "behind"]

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Labels:
    """Indices of the reviews whose stars are known, ascending: those trained on, and those validated by."""

    train: Indices
    valid: Indices

    @property
    def all(self) -> Indices:
        """Both, ascending."""
        return np.sort(np.concatenate([self.train, self.valid]))


def trace_learning_curve(
    data: EncodedReviews,
    task: Task,
    sizes: Sequence[int | None],
    seeds: int,
    folder: Path,
    *,
    key: str,
    progress: Progress,
) -> dict[str, Any]:
    """Train the model and the n-gram baselines on more and more labels, and measure them on the test split.

    Parameters
    ----------
    data
        The reviews.
    task
        What is predicted.
    sizes
        Numbers of labels; None: all. Without any: 50, 100, 200, 500, 1000 and so on, and all.
    seeds
        How often each is drawn and trained, at least 1; the seeds follow that of the run.
    folder
        Where the measures of each training are kept; what is there already is not done again.
    key
        Of all that decides them, but for the size, the seed and the task.
    progress
        Who watches.

    Returns
    -------
    dict
        The content of `learning_curve.json`: `task`; `test`, the reviews that were measured; `seeds`; `points`, each
        with `labels, train, valid, baselines` (the labels that the baselines were trained on) and `measures`, `{name:
        {measure: {"mean", "sd", "values"}}}` (`sd` is None of one seed); and `leads`, what `describe_lead` says, by
        model and measure, of the points whose baselines have all labels. Names are `model` (as `xingping train` makes
        it), `head` (without the n-grams beside it), `char_ngram` and `word_ngram`. Each measure is taken by the rule
        that is best for it (`intervals.BEST_RULES`).

    Raises
    ------
    SettingsError
        There are not that many labels, or fewer than `FEWEST` are asked for.
    """
    curve = _Curve(data, task, folder, key)
    chosen = choose_sizes(sizes, len(curve.train) + len(curve.valid))
    first = data.settings.seed
    jobs = [(size, seed) for size in chosen for seed in range(first, first + seeds)]
    trained: dict[int, list[dict[str, Any]]] = {size: [] for size in chosen}
    with progress.bar("learning curve", sum(size for size, _ in jobs), "labels") as advance:
        for size, seed in jobs:
            trained[size].append(curve.point(size, seed))
            advance(size)
            shares = {name: of_name["accuracy"] for name, of_name in trained[size][-1]["measures"].items()}
            shown = ", ".join(f"{name} {share:.3f}" for name, share in shares.items())
            progress.say(f"learning curve: {size:,} labels, seed {seed}: exact {shown}")
    points = [_point(size, trained[size]) for size in chosen]
    equal = [point for point in points if point["baselines"] == point["labels"]]
    models = [name for name in points[0]["measures"] if name not in BASELINES]
    return {
        "task": task,
        "test": len(curve.test),
        "seeds": seeds,
        "points": points,
        "leads": {
            model: {name: describe_lead(chosen[: len(equal)], find_leads(equal, model, name)) for name in MEASURES}
            for model in models
        },
    }


def choose_sizes(sizes: Sequence[int | None], most: int) -> list[int]:
    """Return numbers of labels, ascending; `sizes` and what is raised are as in `trace_learning_curve`.

    Parameters
    ----------
    sizes
        See there.
    most
        Labels there are.
    """
    usual = [digit * 10**power for power in range(1, 10) for digit in (1, 2, 5)]
    wanted = [most if size is None else size for size in sizes] or [
        *(size for size in usual if 50 <= size < most), most
    ]  # fmt: skip
    for size in wanted:
        if not FEWEST <= size <= most:
            raise SettingsError(
                f"--sizes: numbers of labels are from {FEWEST} to {most:,}, the reviews of training and validation, "
                f"or all; got {size:,}"
            )
    return sorted(set(wanted))


def stratified_order(ratings: NDArray[np.int64], seed: int) -> NDArray[np.int64]:
    """Return an order of reviews of which every beginning has the stars in about the shares of the whole.

    Parameters
    ----------
    ratings
        (n,) 1..5.
    seed
        Another seed gives another order.
    """
    rng = np.random.default_rng(seed)
    place = np.empty(len(ratings))
    for star in np.unique(ratings):
        where = np.flatnonzero(ratings == star)
        place[rng.permutation(where)] = (np.arange(len(where)) + rng.random()) / len(where)
    return np.argsort(place, kind="stable")


def draw_labels(train: Indices, valid: Indices, size: int) -> Labels:
    """Take the first reviews of both splits, a fifth of them of validation as long as it has so many.

    Parameters
    ----------
    train, valid
        Reviews in the order in which they are drawn.
    size
        How many, at most those of both.
    """
    n_valid = max(min(round(size * VALID_SHARE), len(valid)), size - len(train))
    return Labels(np.sort(train[: size - n_valid]), np.sort(valid[:n_valid]))


class _Curve:
    """The trainings of one curve, and what they share."""

    def __init__(self, data: EncodedReviews, task: Task, folder: Path, key: str) -> None:
        self.data, self.task, self.folder, self.key = data, task, folder, key
        self.train, self.valid, self.test = map(data.reviews.indices, ("train", "valid", "test"))

    def point(self, size: int, seed: int) -> dict[str, Any]:
        """Return what a number of labels and a seed give; trained unless it is there."""
        key = fingerprint(self.key, self.task, size, seed)
        path = self.folder / f"labels-{size}-seed-{seed}.json"
        try:
            point: dict[str, Any] = read_json(path)
            if point["key"] == key:
                return point
        except (RunDirectoryError, KeyError, TypeError):
            pass
        ratings = self.data.reviews.ratings
        train, valid = (of[stratified_order(ratings(of), seed)] for of in (self.train, self.valid))
        labels = draw_labels(train, valid, size)
        true = ratings(self.test)
        seen = labels.all[sample_reviews(size, most=MOST_REVIEWS, seed=self.data.settings.seed)]
        answers = self._models(labels, seed, path.with_suffix(".checkpoint")) | self._baselines(seen)
        measures = {name: _measures(true, of_name) for name, of_name in answers.items()}
        parts = {"train": len(labels.train), "valid": len(labels.valid), "baselines": len(seen)}
        point = {"key": key, **parts, "measures": measures}
        write_json(path, point)
        return point

    def _models(self, labels: Labels, seed: int, checkpoint: Path) -> dict[str, Answers]:
        """Train a head; return the answers of the whole model, and of the head alone."""
        data = self.data
        model = data.fit(self.task, labels.train, labels.valid, seed=seed, checkpoint=checkpoint)
        if model.ngrams is None:
            return {"head": data.rate(model, self.test)}
        head = data.calibrated(self.task, model.head, None, labels.valid)
        return {"model": data.rate(model, self.test), "head": data.rate(head, self.test)}

    def _baselines(self, seen: Indices) -> dict[str, Answers]:
        data = self.data
        ratings = data.reviews.ratings(seen)
        chars = NgramBaseline("char").fit(data.texts(seen), ratings).predict_proba(data.texts(self.test))
        words = NgramBaseline("word").fit(data.words(seen), ratings).predict_proba(data.words(self.test))
        answers = zip(BASELINES, (chars, words), strict=True)
        return {name: Answers(decide(proba, "mode"), probabilities=proba) for name, proba in answers}


def _measures(true: NDArray[np.int64], answers: Answers) -> dict[str, float]:
    means = {name: float(values.mean()) for name, values in answers.values(true).items() if name in MEASURES}
    return {**means, "rmse": float(np.sqrt(means["rmse"]))}


def _point(size: int, trained: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put the seeds of a number of labels together."""
    measures: dict[str, dict[str, Any]] = {}
    for name in trained[0]["measures"]:
        of_name = {measure: [each["measures"][name][measure] for each in trained] for measure in MEASURES}
        measures[name] = {measure: _spread(values) for measure, values in of_name.items()}
    return {
        "labels": size,
        **{name: trained[0][name] for name in ("train", "valid", "baselines")},
        "measures": measures,
    }


def _spread(values: list[float]) -> dict[str, Any]:
    sd = float(np.std(values, ddof=1)) if len(values) > 1 else None
    return {"mean": float(np.mean(values)), "sd": sd, "values": values}


def find_leads(points: Sequence[Mapping[str, Any]], model: str, measure: str) -> list[Lead]:
    """Say for each number of labels whether a model is ahead of the better of the n-gram baselines.

    It is ahead, or behind, where it is so with every seed; else they are level. One seed tells no lead from chance.

    Parameters
    ----------
    points
        Of `learning_curve.json`.
    model
        `model` or `head`.
    measure
        One of `MEASURES`.
    """
    sign = -1 if measure in ("mae", "rmse") else 1
    leads: list[Lead] = []
    for point in points:
        values = {name: sign * np.array(of_name[measure]["values"]) for name, of_name in point["measures"].items()}
        gap = values[model] - np.max([values[name] for name in BASELINES], axis=0)
        leads.append("ahead" if (gap > 0).all() else "behind" if (gap < 0).all() else "level")
    return leads


def describe_lead(labels: Sequence[int], leads: Sequence[Lead]) -> str:
    """Say in a sentence with how many labels a model is ahead, and where it stops or starts winning.

    Parameters
    ----------
    labels
        (n,) ascending, n at least 1.
    leads
        (n,) of `find_leads`.
    """
    if not leads:
        return "no size at which the baselines were trained on all labels"
    stretches, turns, before = [], [], None
    for lead, group in groupby(zip(leads, labels, strict=True), key=lambda pair: pair[0]):
        sizes = [size for _, size in group]
        first, last = f"{sizes[0]:,}", f"{sizes[-1]:,}"
        stretches.append(f"{lead} with {first}" + (f" to {last}" if len(sizes) > 1 else ""))
        if before is not None and "ahead" in (before, lead):
            turns.append(f"{'starts' if lead == 'ahead' else 'stops'} winning at {first}")
        before = lead
    return ", ".join(stretches) + " labels" + "".join(f"; {turn}" for turn in turns)
