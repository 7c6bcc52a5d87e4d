"""How far figures of a test split may be off by chance: bootstrap intervals, and paired differences.

Efron and Tibshirani 1993, "An Introduction to the Bootstrap", percentile intervals. Drawing whole films in the place
of reviews says what other films would do that the model knows as well as these, and is wider where films differ. Only
after a split by film, where it knows none of them, is that what to expect of films that it has not seen.

The calibration error adds up sizes of gaps, so chance alone makes it larger: each draw has the chance of the test split
and its own. Its interval is therefore mirrored at the value (the basic bootstrap of Davison and Hinkley 1997, 5.2).
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from xingping.metrics import DecisionRule, calibration_gaps, decide, expected_rating, round_rating
from xingping.ratings import to_classes

__all__ = ["BEST_RULES", "Bootstrap", "review_values"]

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 1000

LEVELS = (2.5, 97.5)
"""Percentiles of the ends of an interval of 95 %."""

BEST_RULES: dict[str, DecisionRule] = {"accuracy": "mode", "accuracy_within_one": "window", "mae": "median"}
"""The rule that each measure of probabilities is taken by here."""


def review_values(
    true: Ints, *, expected: Floats | None = None, probabilities: Floats | None = None
) -> dict[str, Floats]:
    """Return what each review adds to each measure, (n,) each but `ece`.

    Of probabilities each measure is taken by the rule that is best for it; of real-valued ratings, exact and within
    one are of the rounded ones, and the errors are theirs.

    Parameters
    ----------
    true
        (n,) 1..5.
    expected
        (n,) real-valued ratings; not needed with probabilities.
    probabilities
        (n, 5).

    Returns
    -------
    dict
        `accuracy, accuracy_within_one, mae, rmse` (its square here) and, of probabilities, `nll` and `ece`: the latter
        (n, bins), whose means' sizes add up to the measure.
    """
    if probabilities is None:
        if expected is None:
            raise ValueError("neither real-valued ratings nor probabilities are given")
        whole = dict.fromkeys(BEST_RULES, round_rating(expected))
        error = expected - true
        mae = np.abs(error)
    else:
        whole = {name: decide(probabilities, rule) for name, rule in BEST_RULES.items()}
        error = expected_rating(probabilities) - true
        mae = np.abs(whole["mae"] - true).astype(np.float64)
    values: dict[str, Floats] = {
        "accuracy": (whole["accuracy"] == true).astype(np.float64),
        "accuracy_within_one": (np.abs(whole["accuracy_within_one"] - true) <= 1).astype(np.float64),
        "mae": mae,
        "rmse": error**2,
    }
    if probabilities is not None:
        values["nll"] = -np.log(probabilities[np.arange(len(true)), to_classes(true)].clip(1e-12))
        values["ece"] = calibration_gaps(true, probabilities)
    return values


class Bootstrap:
    """Samples, with replacement, of the reviews that several models rated; all models see the same samples.

    Parameters
    ----------
    values
        From `review_values`, of each model by its name.
    groups
        (n,) numbers of the groups, such as films, that are drawn whole; None draws reviews.
    seed
        Of the draws.
    """

    def __init__(
        self, values: Mapping[str, Mapping[str, Floats]], *, groups: NDArray[np.integer] | None = None, seed: int = 0
    ) -> None:
        tables = {(model, name): part for model, of_model in values.items() for name, part in of_model.items()}
        widths = [1 if part.ndim == 1 else part.shape[1] for part in tables.values()]
        self._columns = dict(zip(tables, np.split(np.arange(sum(widths)), np.cumsum(widths)[:-1]), strict=True))
        table = np.column_stack(list(tables.values()))
        self._figures = self._as_figures(table.mean(axis=0)[None])
        sizes = np.ones(len(table))
        if groups is not None:
            _, codes = np.unique(groups, return_inverse=True)
            sizes = np.bincount(codes).astype(np.float64)
            table = np.column_stack([np.bincount(codes, weights=column) for column in table.T])
        rng, n = np.random.default_rng(seed), len(table)
        means = np.empty((DRAWS, table.shape[1]))
        for draw in range(DRAWS):
            counts = np.bincount(rng.integers(0, n, n), minlength=n)
            means[draw] = counts @ table / (counts @ sizes)
        self._draws = self._as_figures(means)

    def _as_figures(self, means: Floats) -> dict[tuple[str, str], Floats]:
        """Return each measure of each model, (draws,), of the means of all columns, (draws, columns)."""
        return {(model, name): _figure(name, means[:, at]) for (model, name), at in self._columns.items()}

    def interval(self, model: str) -> dict[str, dict[str, float]]:
        """Return the measures of a model, each as `{"value", "low", "high"}`."""
        return {
            measure: _ends(self._figures[name, measure][0], self._draws[name, measure], mirrored=measure == "ece")
            for name, measure in self._columns
            if name == model
        }

    def difference(self, model: str, other: str) -> dict[str, dict[str, float]]:
        """Return the measures of a model less those of another, each as `{"value", "low", "high"}`.

        Measures that only one has are left out. For `mae, rmse, nll, ece` lower is better.
        """
        return {
            measure: _ends(
                self._figures[name, measure][0] - self._figures[other, measure][0],
                self._draws[name, measure] - self._draws[other, measure],
            )
            for name, measure in self._columns
            if name == model and (other, measure) in self._figures
        }


def _figure(measure: str, means: Floats) -> Floats:
    """Return a measure, (draws,), of the means of its columns, (draws, columns)."""
    figure: Floats = np.abs(means).sum(axis=1) if measure == "ece" else means[:, 0]
    return np.sqrt(figure) if measure == "rmse" else figure


def _ends(value: float, draws: Floats, *, mirrored: bool = False) -> dict[str, float]:
    low, high = np.percentile(draws, LEVELS)
    if mirrored:
        low, high = max(0.0, 2 * value - high), max(0.0, 2 * value - low)
    return {"value": float(value), "low": float(low), "high": float(high)}
