"""Which texts make a batch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

__all__ = ["equal_batches", "gather_ids", "padded_batches"]


def padded_batches(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield the texts in batches of like length, the longest first, none of more tokens than the budget.

    A text longer than the budget is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count


def equal_batches(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield the texts in batches of one length each, the longest first, none of more tokens than the budget.

    Nothing is padded, and what is computed for a text does not depend on the texts beside it. A text longer
    than the budget is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    ends = np.flatnonzero(np.diff(lengths[order])) + 1
    for group in np.split(order, ends) if len(order) else ():
        most = max(1, budget // int(lengths[group[0]]))
        yield from np.array_split(group, -(-len(group) // most))


def gather_ids(
    ids: NDArray[np.int32], offsets: NDArray[np.int64], batch: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.bool_], NDArray[np.int64]]:
    """Put the tokens of a batch side by side.

    Parameters
    ----------
    ids
        Ids of all texts, shape (tokens,).
    offsets
        Where each text's tokens start, shape (texts + 1,).
    batch
        The texts of the batch.

    Returns
    -------
    padded
        Ids, shape (batch, length of the longest), zero behind the end of a text.
    is_token
        Which of them are tokens, of the same shape.
    places
        Where they are in `ids`, text after text.
    """
    lengths = offsets[batch + 1] - offsets[batch]
    is_token = np.arange(lengths.max()) < lengths[:, None]  # (batch, length)
    places = (offsets[batch][:, None] + np.arange(is_token.shape[1]))[is_token]
    padded = np.zeros(is_token.shape, dtype=np.int64)
    padded[is_token] = ids[places]
    return padded, is_token, places
