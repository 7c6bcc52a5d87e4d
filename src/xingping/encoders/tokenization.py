"""Texts to tokens: ids for the model, character spans for those who explain it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

__all__ = ["TokenizedTexts", "count_content", "tokenize"]

CHUNK = 4096
LONE_SURROGATE = re.compile("[\ud800-\udfff]")
SPACE_MARKS = frozenset({"▁", "Ġ"})


@dataclass(frozen=True, eq=False)
class TokenizedTexts:
    """Tokens of a list of texts, text after text, special tokens included.

    Attributes
    ----------
    ids : ndarray of int32, shape (tokens,)
        Ids in the model's vocabulary.
    is_special : ndarray of bool, shape (tokens,)
        Whether the tokenizer added the token; a text that spells one out has an ordinary token.
    spans : ndarray of int32, shape (tokens, 2)
        Half-open range of characters, without the white space at its start.
    offsets : ndarray of int64, shape (texts + 1,)
        Where each text's tokens start.
    n_truncated : int
        Number of texts that were cut.
    """

    ids: NDArray[np.int32]
    is_special: NDArray[np.bool_]
    spans: NDArray[np.int32]
    offsets: NDArray[np.int64]
    n_truncated: int

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text, shape (texts,)."""
        return np.diff(self.offsets)


def tokenize(tokenizer: Tokenizer, texts: Sequence[str]) -> TokenizedTexts:
    """Tokenize texts with a tokenizer that has its truncation set.

    Half a surrogate pair, which no encoder can take, counts as one unknown character.
    """
    ids: list[NDArray[np.int32]] = [np.zeros(0, np.int32)]
    special: list[NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
    spans: list[NDArray[np.int32]] = [np.zeros((0, 2), np.int32)]
    lengths: list[int] = []
    n_truncated = 0
    for start in range(0, len(texts), CHUNK):  # encodings are large, so few of them live at a time
        chunk = [LONE_SURROGATE.sub("\ufffd", text) for text in texts[start : start + CHUNK]]
        for text, encoding in zip(chunk, tokenizer.encode_batch(chunk), strict=True):
            ids.append(np.array(encoding.ids, dtype=np.int32))
            special.append(np.array(encoding.special_tokens_mask, dtype=np.bool_))
            spans.append(np.array(_spans(text, encoding), dtype=np.int32).reshape(-1, 2))
            lengths.append(len(encoding.ids))
            n_truncated += bool(encoding.overflowing)
    return TokenizedTexts(
        ids=np.concatenate(ids),
        is_special=np.concatenate(special),
        spans=np.concatenate(spans),
        offsets=np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)]).astype(np.int64),
        n_truncated=n_truncated,
    )


def count_content(tokenizer: Tokenizer, texts: Sequence[str]) -> NDArray[np.int64]:
    """Return the number of tokens of each text, those that the tokenizer adds left out, shape (texts,)."""
    counts = np.zeros(len(texts), dtype=np.int64)
    for start in range(0, len(texts), CHUNK):
        chunk = [LONE_SURROGATE.sub("\ufffd", text) for text in texts[start : start + CHUNK]]
        encodings = tokenizer.encode_batch_fast(chunk)  # without the places of the tokens
        counts[start : start + CHUNK] = [
            len(encoding.ids) - sum(encoding.special_tokens_mask) for encoding in encodings
        ]
    return counts


def _spans(text: str, encoding: Encoding) -> list[tuple[int, int]]:
    spans: list[tuple[int, int]] = list(encoding.offsets)
    for i, (token, (start, end)) in enumerate(zip(encoding.tokens, spans, strict=True)):
        if token in SPACE_MARKS and i + 1 < len(spans) and spans[i + 1][0] == start < spans[i + 1][1]:
            spans[i] = (start, start)  # put before the text by the tokenizer: it stands for no character
            continue
        first = start
        while first < end - 1 and text[first].isspace():
            first += 1
        spans[i] = (first, end)
    return spans
