"""Train, valid and test by whole groups, films, authors or days, and still no text on two sides.

Such a split says what a model is worth where it is used: on a film, by an author, at a time that it has not seen.

People write the same about different films (好看). Were such a text on two sides, the model would be tested on what
it was trained on; so it belongs to one of them, and its reviews elsewhere are on no side: they are `unused`. **Test
goes before valid, and valid before train.** The test side then keeps every review of its groups, and so the mix of
short and long, common and rare texts that an unseen film has; would the side of the first review or the training side
win, test would lose the short and common texts, which are easier or harder than others, and be data of another kind.
Training pays: it lacks some of the commonest texts, so figures are, if anything, a little too low.

A review whose film or day is not known might belong to any side's, and is unused as well. One whose author is not
known stands for itself.
"""

import datetime
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.config import SplitSettings
from xingping.errors import InputError
from xingping.splits import SIDES, SPLITS, UNUSED, SideCounts, check_texts, hash_texts, move_groups

__all__ = [
    "AUTHOR_KEY",
    "NO_DAY",
    "TextCounts",
    "assign_films",
    "author_keys",
    "cut_days",
    "day_numbers",
    "divide_authors",
    "settle_texts",
    "sides_of_days",
]

AUTHOR_KEY = np.dtype([("hash", "<u8"), ("place", "<i8")])
"""A row by the hash of its author, and where it is."""

NO_DAY = 0
"""Stands for what is no date; the first of January of the year 1 is 1."""

TRAIN, VALID, TEST = range(len(SPLITS))

_DATE = re.compile(r"\d{4}-\d\d-\d\d")

Part = Callable[[int], NDArray[np.void]]


def assign_films(
    films: Sequence[str], reviews: NDArray[np.int64], settings: SplitSettings, *, seed: int
) -> NDArray[np.int8]:
    """Assign whole films to sides.

    In the order of a hash of name and seed, each film goes to valid or test, whichever has more room, if that brings
    the side nearer to its share of the reviews, and else to train; so a film of more than twice a share is trained on.
    A side that stays empty takes over the smallest film of the side with the most films.

    Parameters
    ----------
    films
        Distinct names; "" where the film is not known.
    reviews
        (films,) how many reviews each has, at least 1.
    settings
        The shares.
    seed
        Another seed gives another order.

    Returns
    -------
    ndarray
        (films,) int8, index of `SIDES`; `unused` for "".

    Raises
    ------
    InputError
        There are fewer than three films.
    """
    hashes = hash_texts(pa.array(films, pa.string()), seed)
    order = [film for film in np.argsort(hashes, kind="stable").tolist() if films[film]]
    if len(order) < len(SPLITS):
        raise InputError(f"a split by film needs at least {len(SPLITS)} films, there {_are(len(order), 'film')}")
    side = np.full(len(films), UNUSED, dtype=np.int8)
    side[order] = TRAIN
    total = reviews[order].sum()
    room = np.array([0.0, settings.valid * total, settings.test * total])
    for film in order:
        roomier = VALID if room[VALID] > room[TEST] else TEST
        if reviews[film] < 2 * room[roomier]:
            side[film] = roomier
            room[roomier] -= reviews[film]
    for empty in range(len(SPLITS)):
        if not (side == empty).any():
            largest = np.bincount(side[order]).argmax()
            side[min((film for film in order if side[film] == largest), key=lambda film: int(reviews[film]))] = empty
    return side


def author_keys(user: pa.Array, texts: NDArray[np.void], seed: int) -> NDArray[np.void]:
    """Return the keys of rows by their authors.

    Parameters
    ----------
    user
        (n,) string, "" where the author is not known. Such a review is an author's of its own; those with one text
        count as one author's, since they are to be on one side anyway.
    texts
        (n,) `xingping.splits.TEXT_KEY`, the keys of the same rows by text.
    seed
        Another seed gives another order.

    Returns
    -------
    (n,) `AUTHOR_KEY`
    """
    encoded = user.dictionary_encode()
    codes = encoded.indices.to_numpy(zero_copy_only=False)
    keys = np.empty(len(user), AUTHOR_KEY)
    keys["hash"] = hash_texts(encoded.dictionary, seed)[codes]
    known = np.array([bool(name) for name in encoded.dictionary.to_pylist()], dtype=np.bool_)[codes]
    keys["hash"][~known] = texts["hash"][~known]
    keys["place"] = texts["place"]
    return keys


def divide_authors(part: Part, parts: int, side: NDArray[np.int8], settings: SplitSettings) -> list[int]:
    """Assign rows to sides by author, part by part, with memory for one part at a time.

    The shares are cut from all reviews in the order of the hashes of their authors, so they hold to within an author.

    Parameters
    ----------
    part
        Gives the rows of a part, (n,) `AUTHOR_KEY`; otherwise as `xingping.splits.divide_texts` takes it.
    parts
        How many there are.
    side : (rows,) int8
        Is filled at the places of all rows with an index of `SPLITS`.
    settings
        The shares.

    Returns
    -------
    list of int
        Authors of each side; each has at least one.

    Raises
    ------
    InputError
        There are fewer than three authors.
    """
    total = sum(part(number).size for number in range(parts))
    ends = np.array([1 - settings.test - settings.valid, 1 - settings.test]) * total
    sides, before = SideCounts(), 0
    for number in range(parts):
        keys = part(number)
        order, starts = _runs(keys["hash"])
        weight = np.diff(starts, append=keys.size)
        middle = before + starts + weight / 2
        found = np.searchsorted(ends, middle, side="right").astype(np.int8)
        side[keys["place"][order]] = np.repeat(found, weight)
        sides.add(found, keys["hash"][order][starts])
        before += keys.size
    if sum(sides.counts) < len(SPLITS):
        raise InputError(
            f"a split by user needs at least {len(SPLITS)} authors, there {_are(sum(sides.counts), 'author')}"
        )
    move_groups(part, parts, side, sides.fill_empty())
    return sides.counts


def day_numbers(dates: pa.ChunkedArray) -> NDArray[np.int32]:
    """Return the number of each day, (n,), from texts such as 2016-03-04; `NO_DAY` for null and what is no date."""
    encoded = dates.combine_chunks().dictionary_encode()
    numbers = np.array([*map(_day_number, encoded.dictionary.to_pylist()), NO_DAY], dtype=np.int32)
    codes = encoded.indices.fill_null(len(numbers) - 1).to_numpy(zero_copy_only=False)
    found: NDArray[np.int32] = numbers[codes]
    return found


def cut_days(days: NDArray[np.int64], reviews: NDArray[np.int64], settings: SplitSettings) -> tuple[int, int]:
    """Find the first day of valid and that of test: the oldest reviews are train, the newest test.

    Parameters
    ----------
    days
        (n,) numbers of days, distinct and ascending.
    reviews
        (n,) reviews of each.
    settings
        The shares, which hold as well as whole days allow.

    Raises
    ------
    InputError
        There are fewer than three days.
    """
    if len(days) < len(SPLITS):
        raise InputError(f"a split by time needs reviews of {len(SPLITS)} days or more, there {_are(len(days), 'day')}")
    since = reviews[::-1].cumsum()[::-1]  # reviews of a day and of all after it
    test = 2 + int(np.abs(since[2:] - settings.test * since[0]).argmin())
    valid = 1 + int(np.abs(since[1:test] - since[test] - settings.valid * since[0]).argmin())
    return int(days[valid]), int(days[test])


def sides_of_days(days: NDArray[np.int32], valid: int, test: int) -> NDArray[np.int8]:
    """Return the side of reviews of some days, (n,) int8; `unused` where the day is not known."""
    side = np.searchsorted([valid, test], days, side="right").astype(np.int8)
    side[days == NO_DAY] = UNUSED
    return side


@dataclass(frozen=True)
class TextCounts:
    """What became of the texts.

    Attributes
    ----------
    distinct
        How many there are on each of `SIDES`, and in `all`; those of unused reviews may be on a side as well.
    moved
        Reviews that are unused since their text is on another side.
    """

    distinct: dict[str, int]
    moved: int


def settle_texts(part: Part, parts: int, side: NDArray[np.int8]) -> TextCounts:
    """Leave each text on one side: test before valid before train; its reviews elsewhere become unused.

    Parameters
    ----------
    part, parts
        As `xingping.splits.divide_texts` takes them.
    side : (rows,) int8
        Index of `SIDES` of each row; is changed.

    Raises
    ------
    InputError
        There are too few distinct texts, or a side has lost all of its own.
    """
    owners = np.zeros(len(SIDES), dtype=np.int64)  # texts whose reviews are all unused, then those of each side
    unused = moved = 0
    for number in range(parts):
        keys = part(number)
        if not keys.size:
            continue
        order, starts = _runs(keys["hash"])
        places = keys["place"][order]
        rank = side[places]
        rank[rank == UNUSED] = -1
        owner = np.maximum.reduceat(rank, starts)
        lost = rank != np.repeat(owner, np.diff(starts, append=keys.size))
        side[places[lost]] = UNUSED
        owners += np.bincount(owner + 1, minlength=len(SIDES))
        moved += int((lost & (rank >= 0)).sum())
        unused += int(np.maximum.reduceat(lost | (rank < 0), starts).sum())
    check_texts(int(owners.sum()))
    for name, count in zip(SPLITS, owners[1:].tolist(), strict=True):
        if not count:
            raise InputError(
                f"this split leaves nothing for {name}: each of its texts is on another side as well; "
                "choose other shares, another --seed or another --split"
            )
    counts = dict(zip(SPLITS, owners[1:].tolist(), strict=True))
    return TextCounts({**counts, SIDES[UNUSED]: unused, "all": int(owners.sum())}, moved)


def _runs(hashes: NDArray[np.uint64]) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the order in which hashes ascend, and where in it each distinct one begins."""
    order = np.argsort(hashes, kind="stable")
    ordered = hashes[order]
    return order, np.flatnonzero(np.diff(ordered, prepend=~ordered[:1]) != 0)


def _day_number(text: str) -> int:
    try:
        return datetime.date.fromisoformat(text).toordinal() if _DATE.fullmatch(text) else NO_DAY
    except ValueError:
        return NO_DAY


def _are(count: int, what: str) -> str:
    return f"is 1 {what}" if count == 1 else f"are {count} {what}s"
