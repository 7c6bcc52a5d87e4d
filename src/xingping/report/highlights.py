"""Reviews with their words shaded by what a rating rests on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xingping.language import _
from xingping.names import method_name
from xingping.report.content import share

__all__ = ["Highlight", "Piece", "highlights", "shade_measures"]

KEYS = {"attention": "weight", "effect": "effect", "gradient": "gradient"}
"""Names of the shades in the page, and what `explanations.json` calls them."""


@dataclass(frozen=True)
class Piece:
    """A stretch of a review: a word, or what lies between words, without shades.

    Attributes
    ----------
    text
        As it stands in the review.
    shades
        By measure, -1..1, relative to the strongest word of the review.
    note
        The measures in words.
    """

    text: str
    shades: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class Highlight:
    """A review to show."""

    film: str
    rating: int
    predicted: int
    probability: float | None
    pieces: list[Piece]


def shade_measures(examples: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the measures that the examples have, by which a reader may shade words, and their names."""
    names = {
        "attention": method_name("attention"),
        "effect": method_name("occlusion"),
        "gradient": method_name("gradients"),
    }
    words = [word for example in examples for word in example["words"]]
    return {key: name for key, name in names.items() if any(word.get(KEYS[key]) for word in words)}


def highlights(examples: Sequence[Mapping[str, Any]]) -> dict[int, list[Highlight]]:
    """Return reviews by true star, five first; stars without a review are left out.

    Parameters
    ----------
    examples
        Entries of `explanations.json`.
    """
    by_star: dict[int, list[Highlight]] = {star: [] for star in range(5, 0, -1)}
    for example in examples:
        by_star[example["rating"]].append(
            Highlight(
                example["film"],
                example["rating"],
                example["predicted"],
                example["probability"],
                _pieces(example["text"], example["words"]),
            )
        )
    return {star: reviews for star, reviews in by_star.items() if reviews}


def _pieces(text: str, words: Sequence[Mapping[str, Any]]) -> list[Piece]:
    """Cut a text at its words; the pieces always rejoin to the text. The strongest word has shade 1 or -1."""
    strongest = {name: max((abs(word.get(key) or 0.0) for word in words), default=0.0) for name, key in KEYS.items()}
    pieces, position = [], 0
    for word in sorted(words, key=lambda entry: entry["start"]):
        start, end = max(word["start"], position), word["end"]
        if start > position:
            pieces.append(Piece(text[position:start]))
        if end > start:
            shades = {name: (word.get(KEYS[name]) or 0.0) / most for name, most in strongest.items() if most > 0}
            pieces.append(Piece(text[start:end], shades, _note(word)))
            position = end
    if position < len(text):
        pieces.append(Piece(text[position:]))
    return pieces


def _note(word: Mapping[str, Any]) -> str:
    """Write the measures of a word."""
    parts = []
    if word.get("weight"):
        parts.append(_("attention {share}").format(share=share(word["weight"])))
    if word.get("effect") is not None:
        parts.append(_("effect {stars} stars").format(stars=f"{word['effect']:+.2f}"))
    if word.get("gradient") is not None:
        parts.append(_("gradients {stars} stars").format(stars=f"{word['gradient']:+.2f}"))
    return " · ".join(parts)
