"""Ratings and their number over time, in bins that one can read."""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.estimates import Estimate, mean_estimate, star_deviation
from xingping.grouped_splits import NO_DAY, day_numbers

__all__ = ["Period", "Timeline", "ratings_over_time"]

MOST_PERIODS = 60

LEAST_REVIEWS = 5
"""Reviews a period, on average, that a finer bin must have."""


@dataclass(frozen=True, slots=True)
class Period:
    """A stretch of time: its first day, its name, its reviews, and their mean stars (None without any)."""

    start: str
    name: str
    n: int
    mean: Estimate | None


@dataclass(frozen=True)
class Timeline:
    """Ratings over time.

    Attributes
    ----------
    unit
        `week`, `month`, `quarter` or `year`; empty without dated reviews.
    periods
        In order and without gaps, at most 60.
    undated
        Reviews without a usable date, or of years far from the others.
    """

    unit: str = ""
    periods: tuple[Period, ...] = field(default=())
    undated: int = 0


def ratings_over_time(dates: Sequence[str | None], values: NDArray[np.float64]) -> Timeline:
    """Count reviews and average their stars by week, month, quarter or year.

    The unit is the finest with at most 60 periods from the first review to the last and five reviews in each on
    average, else the year. Of dates that span more than 60 years, those outside the 60 years with most
    reviews are taken for mistakes.

    Parameters
    ----------
    dates
        Of the reviews, such as 2016-03-04; None or anything else is undated.
    values
        (n,) stars, 1..5.
    """
    if not len(dates):
        return Timeline()
    days = day_numbers(pa.chunked_array([pa.array(dates, pa.string())])).astype(np.int64)
    dated = np.flatnonzero(days != NO_DAY)
    dated = dated[_plausible(days[dated])]
    if not dated.size:
        return Timeline(undated=len(dates))
    unit, numbers = _unit(days[dated])
    first, codes = int(numbers.min()), numbers - numbers.min()
    counts = np.bincount(codes)
    order = np.argsort(codes, kind="stable")
    parts = np.split(values[dated][order], np.cumsum(counts)[:-1])
    _, start, name = UNITS[unit]
    periods = [
        Period(start(first + at).isoformat(), name(start(first + at)), len(part), _mean(part))
        for at, part in enumerate(parts)
    ]
    return Timeline(unit, tuple(periods), len(dates) - dated.size)


def _mean(values: NDArray[np.float64]) -> Estimate | None:
    return mean_estimate(float(values.mean()), star_deviation(values), len(values)) if values.size else None


def _plausible(days: NDArray[np.int64]) -> NDArray[np.bool_]:
    years = _years(days)
    if not years.size or years.max() - years.min() < MOST_PERIODS:
        return np.ones(years.size, dtype=np.bool_)
    ordered = np.sort(years)
    within = np.searchsorted(ordered, ordered + MOST_PERIODS) - np.arange(years.size)
    first = ordered[np.argmax(within)]
    plausible: NDArray[np.bool_] = (years >= first) & (years < first + MOST_PERIODS)
    return plausible


def _unit(days: NDArray[np.int64]) -> tuple[str, NDArray[np.int64]]:
    for unit, (number, _, _) in UNITS.items():
        numbers = number(days)
        periods = int(numbers.max() - numbers.min()) + 1
        if periods <= MOST_PERIODS and len(days) >= LEAST_REVIEWS * periods:
            return unit, numbers
    return "year", _years(days)


def _months(days: NDArray[np.int64]) -> NDArray[np.int64]:
    """Count months from the year 0."""
    since = (days - EPOCH).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    return since + 12 * 1970


def _years(days: NDArray[np.int64]) -> NDArray[np.int64]:
    return _months(days) // 12


def _first_of(month: int) -> datetime.date:
    return datetime.date(month // 12, month % 12 + 1, 1)


EPOCH = datetime.date(1970, 1, 1).toordinal()

Unit = tuple[
    Callable[[NDArray[np.int64]], NDArray[np.int64]], Callable[[int], datetime.date], Callable[[datetime.date], str]
]

UNITS: dict[str, Unit] = {
    "week": (
        lambda days: (days - 1) // 7,  # day 1 was a Monday
        lambda week: datetime.date.fromordinal(7 * week + 1),
        lambda day: day.isoformat(),
    ),
    "month": (_months, _first_of, lambda day: f"{day.year:04}-{day.month:02}"),
    "quarter": (
        lambda days: _months(days) // 3,
        lambda quarter: _first_of(3 * quarter),
        lambda day: f"{day.year:04} Q{day.month // 3 + 1}",
    ),
    "year": (_years, lambda year: _first_of(12 * year), lambda day: f"{day.year:04}"),
}
"""Finest first: the number of the period of each day, the first day of a period, and its name."""
