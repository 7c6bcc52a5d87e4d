"""Token vectors averaged over words: fewer vectors a text, and a span that a reader understands."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xingping.encoders import TokenFeatures
from xingping.segmentation import Segmenter

__all__ = ["Overlaps", "find_overlaps", "pool_words"]

TEXTS_AT_A_TIME = 256
"""Texts whose vectors are copied in 32 bits at a time."""


def pool_words(features: TokenFeatures, texts: Sequence[str], segmenter: Segmenter) -> TokenFeatures:
    """Average token vectors over the pieces that the segmenter cuts, punctuation too.

    A piece gets the mean of the tokens that overlap it, so a token across two pieces counts for both. A token that
    stands for no character belongs to the piece at its place. A piece without tokens, such as a space or what was cut
    off for length, is left out.

    Parameters
    ----------
    features
        Of the texts.
    texts
        As they were encoded.
    segmenter
        Cuts them.

    Returns
    -------
    TokenFeatures
        One vector a piece, and its span; the [CLS] vectors stay.
    """
    lengths = []
    values: list[NDArray[np.float16]] = [np.zeros((0, features.values.shape[1]), np.float16)]
    spans: list[NDArray[np.int32]] = [np.zeros((0, 2), np.int32)]
    for start in range(0, len(texts), TEXTS_AT_A_TIME):
        part = texts[start : start + TEXTS_AT_A_TIME]
        first, last = features.offsets[[start, start + len(part)]]
        counts = np.diff(features.offsets[start : start + len(part) + 1])
        pooled = _pool(features.values[first:last], features.spans[first:last], counts, part, segmenter)
        values.append(pooled[0])
        spans.append(pooled[1])
        lengths.append(pooled[2])
    return TokenFeatures(
        values=np.concatenate(values),
        offsets=np.concatenate([[0], np.cumsum(np.concatenate([*lengths, np.zeros(0, np.int64)]))]).astype(np.int64),
        spans=np.concatenate(spans),
        cls=features.cls,
        n_truncated=features.n_truncated,
    )


class Overlaps(NamedTuple):
    """Which tokens belong to which pieces of some texts, text after text.

    Attributes
    ----------
    token, piece
        (pairs,) numbers of a token and of a piece that overlap; the tokens ascend, and so do the pieces of a text.
    spans
        (pieces, 2) half-open character spans of the pieces that have tokens.
    counts
        (texts,) pieces of each text.
    """

    token: NDArray[np.int64]
    piece: NDArray[np.int64]
    spans: NDArray[np.int32]
    counts: NDArray[np.int64]


def find_overlaps(
    spans: NDArray[np.int32], counts: NDArray[np.int64], texts: Sequence[str], segmenter: Segmenter
) -> Overlaps:
    """Cut texts and find the tokens of each piece, as `pool_words` says.

    Parameters
    ----------
    spans
        (tokens, 2) half-open character spans, text after text.
    counts
        (texts,) tokens of each text.
    texts
        As they were tokenized.
    segmenter
        Cuts them.
    """
    cut = [segmenter.pieces(text) for text in texts]
    cut = [pieces if len(pieces) else np.zeros((1, 2), np.int32) for pieces in cut]  # a token may have no characters
    bases = np.cumsum([0, *(len(text) + 1 for text in texts)])[:-1]  # the texts side by side, a gap between them
    n_pieces = np.array([len(pieces) for pieces in cut], dtype=np.int64)
    ends = np.cumsum(n_pieces)
    pieces = np.concatenate(cut) if cut else np.zeros((0, 2), np.int32)
    piece_starts = pieces[:, 0] + np.repeat(bases, n_pieces)
    text_of_token = np.repeat(np.arange(len(texts)), counts)
    token_starts = spans[:, 0] + bases[text_of_token]
    token_ends = np.maximum(spans[:, 1], spans[:, 0] + 1) + bases[text_of_token]
    # Pieces follow each other without a gap, so a token overlaps those from the one with its first character to the
    # one with its last.
    lowest, highest = (ends - n_pieces)[text_of_token], ends[text_of_token] - 1
    first = np.clip(np.searchsorted(piece_starts, token_starts, side="right") - 1, lowest, highest)
    last = np.clip(np.searchsorted(piece_starts, token_ends, side="left") - 1, first, highest)
    repeats = last - first + 1
    token = np.repeat(np.arange(len(spans)), repeats)
    piece = np.repeat(first, repeats) + np.arange(len(token)) - np.repeat(np.cumsum(repeats) - repeats, repeats)
    found, places = np.unique(piece, return_inverse=True)
    text_of_piece = np.repeat(np.arange(len(texts)), n_pieces)
    return Overlaps(token, places, pieces[found], np.bincount(text_of_piece[found], minlength=len(texts)))


def _pool(
    values: NDArray[np.float16],
    spans: NDArray[np.int32],
    counts: NDArray[np.int64],
    texts: Sequence[str],
    segmenter: Segmenter,
) -> tuple[NDArray[np.float16], NDArray[np.int32], NDArray[np.int64]]:
    """Return the vectors of the pieces of some texts, their spans, and the number of each text's pieces."""
    overlaps = find_overlaps(spans, counts, texts, segmenter)
    if not len(overlaps.spans):
        return values[:0], overlaps.spans, overlaps.counts
    order = np.argsort(overlaps.piece, kind="stable")
    sizes = np.bincount(overlaps.piece)
    starts = np.cumsum(sizes) - sizes
    sums = np.add.reduceat(values[overlaps.token[order]].astype(np.float32), starts, axis=0)  # (pieces, dim)
    means = (sums / sizes[:, None]).astype(np.float16)
    return means, overlaps.spans, overlaps.counts
