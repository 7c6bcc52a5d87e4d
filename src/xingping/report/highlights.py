"""Reviews with their words shaded by attention."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

__all__ = ["Highlight", "Piece", "highlights"]


@dataclass(frozen=True)
class Piece:
    """A stretch of a review: a word with its weight and shade (0..1), or what lies between words, without."""

    text: str
    weight: float | None = None
    shade: float = 0.0


@dataclass(frozen=True)
class Highlight:
    """A review to show."""

    film: str
    rating: int
    predicted: int
    probability: float | None
    pieces: list[Piece]


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
    """Cut a text at its words; the pieces always rejoin to the text. The heaviest word has shade 1."""
    heaviest = max((word["weight"] for word in words), default=0.0)
    pieces, position = [], 0
    for word in sorted(words, key=lambda entry: entry["start"]):
        start, end = max(word["start"], position), word["end"]
        if start > position:
            pieces.append(Piece(text[position:start]))
        if end > start:
            weight = word["weight"]
            pieces.append(Piece(text[start:end], weight, weight / heaviest if heaviest > 0 else 0.0))
            position = end
    if position < len(text):
        pieces.append(Piece(text[position:]))
    return pieces
