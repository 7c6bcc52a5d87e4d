"""Kinds of reviews, to see where a model is weak: length, star, script, negation, contrast, a score in the text."""

import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from xingping.ratings import RATINGS
from xingping.script import to_simplified

__all__ = ["find_slices", "is_traditional"]

LENGTHS = ((0, 10), (11, 30), (31, 80), (81, None))
"""Characters of a review, first and last; the site allows 140, later 350."""

NEGATION = re.compile(
    r"不(?![过過但仅僅错錯禁由])|[没沒]|(?<![特分区區个個级級类類性差告离離辨送久])[别別](?![人的离離于於重墅具致扭])"
    r"|[无無](?![聊论論数數疑比敌敵]|间道|間道)|未(?![来來婚])|莫(?=[要怪让])|勿"
)
"""Words that negate; 不过, 特别, 无聊 and 未来 hold such a character and negate nothing, 不错 is praise."""

CONTRAST = re.compile(r"(?<!不)但(?!愿|願)|虽然|雖然|虽|雖|尽管|儘管|不过|不過|可是|然而|只是|却|卻|可惜")

SCORE = re.compile(
    r"(?<![\d.:/年月第])(?:10|[0-9])(?:\.\d)?\s*(?:分(?![钟鐘之部手開开享析明])|/\s*(?:5|10)(?!\d)|[颗顆]?星)"
    r"|[★☆]|[一二两兩三四五六七八九十](?:[颗顆]星|星(?:半|$|[，。,.!！推]))|满分|滿分"
)
"""A score that the author names: 8分, 3.5/5, 四星, ★★★."""


def find_slices(texts: Sequence[str], ratings: NDArray[np.int64]) -> dict[str, NDArray[np.bool_]]:
    """Say of each slice which reviews are in it; a review is in many.

    Parameters
    ----------
    texts
        Cleaned texts.
    ratings
        (n,) true stars, 1..5.

    Returns
    -------
    dict
        `{name: (n,) bool}`; such as `length 11-30`, `star 4`, `traditional characters`, `negation`, `contrast`,
        `names a score`.
    """
    lengths = np.array([len(text) for text in texts])
    slices: dict[str, NDArray[np.bool_]] = {}
    for first, last in LENGTHS:
        name = f"length {first}-{last}" if last else f"length {first} and more"
        slices[name] = (lengths >= first) & (lengths <= (last or lengths.max(initial=0)))
    for star in RATINGS:
        slices[f"star {star}"] = ratings == star
    slices["traditional characters"] = np.array([is_traditional(text) for text in texts], dtype=np.bool_)
    for name, pattern in (("negation", NEGATION), ("contrast", CONTRAST), ("names a score", SCORE)):
        slices[name] = np.array([pattern.search(text) is not None for text in texts], dtype=np.bool_)
    return slices


def is_traditional(text: str) -> bool:
    """Say whether a text holds characters that only the traditional script writes so (OpenCC's tables)."""
    return to_simplified(text) != text
