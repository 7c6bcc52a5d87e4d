"""Division: which side each row is on, from the files that the first pass left.

In memory stay one byte a row, the names of the films, and one part of the keys at a time.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.config import RunSettings
from xingping.errors import InputError
from xingping.grouped_splits import (
    AUTHOR_KEY,
    NO_DAY,
    assign_films,
    cut_days,
    day_numbers,
    divide_authors,
    settle_texts,
    sides_of_days,
)
from xingping.intake import Intake
from xingping.spilling import PARTS, read_part, read_spilled
from xingping.splits import SIDES, SPLITS, STARS, TEXT_KEY, UNUSED, divide_texts, film_ranks

__all__ = ["REPEATED", "Division", "divide"]

REPEATED = -1
"""Stands in place of a side for a row that repeats an earlier one."""


@dataclass(frozen=True)
class Division:
    """What `data_summary.json` says of a division.

    Attributes
    ----------
    distinct_texts
        Of each side, and of all.
    how
        Content of `split`; nothing where texts were dealt out at random.
    """

    distinct_texts: dict[str, int]
    how: dict[str, Any] = field(default_factory=dict)

    def sentence(self) -> str:
        """Say how reviews were divided by whole groups, and how many are on no side."""
        unused = self.how["unused"]
        why = ", ".join(f"{reason} {count:,}" for reason, count in unused.items())
        return f"split by {self.how['by']}, {sum(unused.values()):,} reviews unused ({why})"


def divide(intake: Intake, side: NDArray[np.int8], settings: RunSettings, path: Path) -> Division:
    """Replace the 0 of each row by its side.

    Parameters
    ----------
    intake
        What the first pass left.
    side : (rows,) int8
        0, or `REPEATED`; is filled with indices of `xingping.splits.SIDES`.
    settings
        Of the run.
    path
        The file, for messages.

    Raises
    ------
    InputError
        The rows cannot be divided in this way.
    """
    rows = _Rows(intake, side, settings)
    if settings.split.unit == "random":
        counts = divide_texts(rows.by_text, PARTS, side, settings.split, seed=settings.seed)
        return Division({**dict(zip(SPLITS, counts, strict=True)), "all": sum(counts)})
    try:
        how = {"film": rows.divide_films, "user": rows.divide_authors, "time": rows.divide_days}[settings.split.unit]()
        unknown = int((side == UNUSED).sum())
        texts = settle_texts(rows.by_text, PARTS, side)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    unused = {"text on another side": texts.moved}
    if settings.split.unit != "user":
        unused[f"{'date' if settings.split.unit == 'time' else 'film'} not known"] = unknown
    return Division(texts.distinct, {"by": settings.split.unit, **how, "unused": unused})


class _Rows:
    """The rows of an intake, found by their texts, authors or days."""

    def __init__(self, intake: Intake, side: NDArray[np.int8], settings: RunSettings) -> None:
        self.intake, self.side = intake, side
        self.split, self.seed = settings.split, settings.seed
        names = intake.films
        ranks = dict(zip(names, film_ranks(pa.array(names, pa.string())).tolist(), strict=True))
        self.films = sorted(names, key=lambda name: ranks[name])
        self.strata = [np.array([ranks[film] * STARS for film in each.films], np.int64) for each in intake.portions]

    def by_text(self, number: int) -> NDArray[np.void]:
        """Return the keys of one part of the rows by text."""
        files = [portion.text_keys for portion in self.intake.portions]
        keys = read_part(files, number, TEXT_KEY)
        for some, first, place in zip(keys, self.strata, self.intake.places, strict=False):
            film, star = np.divmod(some["stratum"], STARS)
            some["stratum"] = first[film] + star
            some["place"] += place
        return self._kept(keys)

    def by_author(self, number: int) -> NDArray[np.void]:
        """Return the keys of one part of the rows by author."""
        files = [portion.author_keys for portion in self.intake.portions if portion.author_keys is not None]
        keys = read_part(files, number, AUTHOR_KEY)
        for some, place in zip(keys, self.intake.places, strict=False):
            some["place"] += place
        return self._kept(keys)

    def _kept(self, keys: list[NDArray[np.void]]) -> NDArray[np.void]:
        joined = np.concatenate(keys)
        kept: NDArray[np.void] = joined[self.side[joined["place"]] != REPEATED]
        return kept

    def divide_films(self) -> dict[str, Any]:
        """Fill in the sides by film; return the films of each."""
        self._require("movie", known=any(self.films))
        reviews = np.zeros(len(self.films), dtype=np.int64)
        for number in range(PARTS):
            reviews += np.bincount(self.by_text(number)["stratum"] // STARS, minlength=len(self.films))
        of_film = assign_films(self.films, reviews, self.split, seed=self.seed)
        for number in range(PARTS):
            keys = self.by_text(number)
            self.side[keys["place"]] = of_film[keys["stratum"] // STARS]
        chosen = zip(self.films, of_film.tolist(), strict=True)
        named: dict[str, list[str]] = {name: [] for name in SPLITS}
        for film, index in chosen:
            if index != UNUSED:
                named[SIDES[index]].append(film)
        return {"films": named}

    def divide_authors(self) -> dict[str, Any]:
        """Fill in the sides by author; return the number of authors of each."""
        known = sum(portion.known_authors for portion in self.intake.portions)
        self._require("user", known=known > 0)
        counts = divide_authors(self.by_author, PARTS, self.side, self.split)
        return {"authors": dict(zip(SPLITS, counts, strict=True))}

    def divide_days(self) -> dict[str, Any]:
        """Fill in the sides by day; return the days that each begins and ends with."""
        reviews: dict[int, int] = {}
        for days, _ in self._days():
            for day, count in zip(*(array.tolist() for array in np.unique(days, return_counts=True)), strict=True):
                reviews[day] = reviews.get(day, 0) + count
        reviews.pop(NO_DAY, None)
        self._require("date", known=bool(reviews))
        known = np.array(sorted(reviews), dtype=np.int64)
        valid, test = cut_days(known, np.array([reviews[day] for day in known.tolist()], np.int64), self.split)
        for days, places in self._days():
            self.side[places] = sides_of_days(days, valid, test)
        spans = np.split(known, np.searchsorted(known, [valid, test]))
        dates = [[datetime.date.fromordinal(int(day)).isoformat() for day in (span[0], span[-1])] for span in spans]
        return {"days": dict(zip(SPLITS, dates, strict=True))}

    def _days(self) -> Iterator[tuple[NDArray[np.int32], NDArray[np.int64]]]:
        """Give the days of the kept rows of each portion, and their places."""
        for portion, (start, stop) in zip(self.intake.portions, pairwise(self.intake.places), strict=True):
            kept = np.flatnonzero(self.side[start:stop] != REPEATED)
            yield day_numbers(read_spilled(portion.reviews, ["date"])["date"])[kept], kept + start

    def _require(self, role: str, *, known: bool) -> None:
        """See that the rows have what they are divided by."""
        column = getattr(self.intake.columns, role)
        unit = self.split.unit
        if column is None:
            raise InputError(
                f"no {role} column is recognised, so reviews cannot be split by {unit}; --{role}-column can name it"
            )
        if not known:
            raise InputError(f"the column {column!r} holds no {role} at all, so reviews cannot be split by {unit}")
