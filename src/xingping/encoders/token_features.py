"""What a frozen encoder gives: one vector per token, texts of any length side by side."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["TokenFeatures"]


@dataclass(frozen=True, eq=False)
class TokenFeatures:
    """Token vectors of a list of texts, ragged: nothing is padded, special tokens are left out.

    Attributes
    ----------
    values : ndarray of float16, shape (tokens, dim)
        Vectors of all tokens, text after text.
    offsets : ndarray of int64, shape (texts + 1,)
        The tokens of text `i` are the rows `offsets[i]` to `offsets[i + 1]`; a text without tokens (an
        empty review) has none.
    spans : ndarray of int32, shape (tokens, 2)
        Half-open range of characters of each token within its own text. A token that stands for no
        character has an empty range.
    cls : ndarray of float16, shape (texts, dim)
        Vector of the first special token ([CLS] or <s>) of each text. Where the tokenizer adds none: of the
        first token, and zeros for a text without tokens.
    n_truncated : int
        Number of texts that were longer than the encoder's `max_length` and were cut.
    """

    values: NDArray[np.float16]
    offsets: NDArray[np.int64]
    spans: NDArray[np.int32]
    cls: NDArray[np.float16]
    n_truncated: int = 0

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self.offsets) - 1

    def __getitem__(self, index: int) -> NDArray[np.float16]:
        """Return the token vectors of one text, shape (its tokens, dim), as a view; -1 is the last text."""
        first, last = self._rows(index)
        return self.values[first:last]

    def spans_of(self, index: int) -> NDArray[np.int32]:
        """Return the character spans of one text's tokens, shape (its tokens, 2), as a view."""
        first, last = self._rows(index)
        return self.spans[first:last]

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Number of tokens of each text, shape (texts,)."""
        return np.diff(self.offsets)

    @property
    def dim(self) -> int:
        """Width of a vector."""
        width: int = self.values.shape[1]
        return width

    def _rows(self, index: int) -> tuple[int, int]:
        position = index + len(self) if index < 0 else index
        if not 0 <= position < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        return int(self.offsets[position]), int(self.offsets[position + 1])
