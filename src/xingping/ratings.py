"""Ratings: the one place where they are parsed, and turned from 1-5 outside to 0-4 inside.

A rating is a whole number of stars from 1 to 5 wherever a user can see it. Models count classes from 0.
"""

import re
import unicodedata

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

__all__ = [
    "NUM_CLASSES",
    "RATINGS",
    "looks_like_ten_points",
    "parse_rating",
    "parse_ratings",
    "rating_problems",
    "scale_hints",
    "to_classes",
    "to_ratings",
]

RATINGS = (1, 2, 3, 4, 5)
"""Every rating, lowest first."""

NUM_CLASSES = len(RATINGS)
"""How many classes a rating model tells apart."""

_WORDS = {
    "很差": 1, "较差": 2, "还行": 3, "推荐": 4, "力荐": 5,
    "較差": 2, "還行": 3, "推薦": 4, "力薦": 5,
}  # fmt: skip
_NUMBER = re.compile(r"([1-5])(?:\.0*)?\s*(?:颗?星|stars?)?")
_TENS = re.compile(r"(?:allstar)?([1-5])0(?:\.0*)?(?:\s*rating)?")
_SYMBOLS = re.compile(r"(★{1,5})☆*")
_TELLING = frozenset({6, 7, 8, 9, 10, 20, 30, 40, 50})
_ANY_NUMBER = re.compile(r"[-+]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]+)")


def parse_rating(value: str | None) -> int | None:
    """Read one rating.

    Parameters
    ----------
    value
        1 to 5 (also ``5.0``, ``４``, ``4星``, ``★★★★☆``), 10 to 50 in tens, ``allstar40`` or ``allstar40
        rating``, or one of 很差, 较差, 还行, 推荐, 力荐.

    Returns
    -------
    int or None
        1 to 5, or None for anything else: a rating is never rounded or guessed.
    """
    if not value:
        return None
    text = unicodedata.normalize("NFKC", value).strip().casefold()
    if text in _WORDS:
        return _WORDS[text]
    if match := _NUMBER.fullmatch(text) or _TENS.fullmatch(text):
        return int(match[1])
    if (match := _SYMBOLS.fullmatch(text)) and len(text) <= NUM_CLASSES:
        return len(match[1])
    return None


def parse_ratings(column: pa.Array | pa.ChunkedArray, *, ten_points: bool | None = None) -> pa.Array:
    """Read a column of ratings.

    Each distinct value is read once, so the time grows with the rows only through Arrow's kernels.

    Parameters
    ----------
    column : (n,)
        Strings, or numbers, in any form that `parse_rating` takes.
    ten_points
        Whether the scale counts to ten, where the column is a part of a longer one; None: this column tells.

    Returns
    -------
    pyarrow.Array : (n,) int8
        1 to 5; null where the value is missing or unusable. Where the column looks like a scale of 1 to 10,
        10 is unusable too: it would become one star.
    """
    codes, values = _distinct(column)
    ratings = [parse_rating(value) for value in values]
    if looks_like_ten_points(_hints(values)) if ten_points is None else ten_points:
        tens = [_number(value) == 10 for value in values]
        ratings = [None if ten else rating for ten, rating in zip(tens, ratings, strict=True)]
    return pa.array(ratings, pa.int8()).take(codes)


def scale_hints(column: pa.Array | pa.ChunkedArray) -> frozenset[int]:
    """Return the numbers in a column that tell which scale its ratings have; those of parts can be joined."""
    return _hints(_distinct(column)[1])


def looks_like_ten_points(hints: frozenset[int]) -> bool:
    """Say whether hints are of a scale of 1 to 10: of 6, 7, 8 or 9, and of 10 but none of 20 to 50."""
    return 10 in hints and not hints.isdisjoint({6, 7, 8, 9}) and hints.isdisjoint({20, 30, 40, 50})


def rating_problems(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    """Say for each value why `parse_ratings` could not use it.

    Parameters
    ----------
    column : (n,)
        Values for which `parse_ratings` gave null.

    Returns
    -------
    pyarrow.Array : (n,) string
        Such as ``no star``, ``star 0 is outside 1-5`` or ``star 3.7 is not a whole star``.
    """
    codes, values = _distinct(column)
    return pa.array([_problem(value) for value in values], pa.string()).take(codes)


def to_classes(ratings: NDArray[np.integer]) -> NDArray[np.int64]:
    """Turn ratings 1 to 5 into classes 0 to 4.

    Raises
    ------
    ValueError
        A rating is outside 1 to 5.
    """
    classes: NDArray[np.int64] = np.asarray(ratings, dtype=np.int64) - 1
    _check_range(classes, "rating", 1)
    return classes


def to_ratings(classes: NDArray[np.integer]) -> NDArray[np.int64]:
    """Turn classes 0 to 4 into ratings 1 to 5.

    Raises
    ------
    ValueError
        A class is outside 0 to 4.
    """
    whole: NDArray[np.int64] = np.asarray(classes, dtype=np.int64)
    _check_range(whole, "class", 0)
    return whole + 1


def _check_range(classes: NDArray[np.int64], what: str, lowest: int) -> None:
    if classes.size and (classes.min() < 0 or classes.max() >= NUM_CLASSES):
        bad = classes[(classes < 0) | (classes >= NUM_CLASSES)].flat[0] + lowest
        raise ValueError(f"{what} {bad} is outside {lowest}-{lowest + NUM_CLASSES - 1}")


def _distinct(column: pa.Array | pa.ChunkedArray) -> tuple[pa.Array, list[str | None]]:
    """Give a code for each value, and the distinct values as strings."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    if not pa.types.is_string(column.type):
        column = pc.cast(column, pa.string())
    encoded = pc.dictionary_encode(column, null_encoding="encode")
    return encoded.indices, encoded.dictionary.to_pylist()


def _number(value: str | None) -> float | None:
    text = unicodedata.normalize("NFKC", value or "").strip()
    return float(text) if _ANY_NUMBER.fullmatch(text) else None


def _hints(values: list[str | None]) -> frozenset[int]:
    return frozenset(int(number) for number in map(_number, values) if number in _TELLING)


def _problem(value: str | None) -> str:
    shown = " ".join((value or "").split())[:20]
    if not shown:
        return "no star"
    number = _number(value)
    if number is None or number in RATINGS:
        return f"star {shown} is not understood"
    if number == 10:
        return "star 10 is outside 1-5: the column looks like a scale of 1-10"
    if 1 < number < NUM_CLASSES:
        return f"star {shown} is not a whole star"
    return f"star {shown} is outside 1-5"
