"""Features of texts from a store where it has them, encoded where it has not: the bytes are the same either way."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xingping.encoders import TokenFeatures
from xingping.features.store import FeatureStore
from xingping.features.stored import StoredFeatures

__all__ = ["find_or_encode"]


def find_or_encode(
    store: FeatureStore, texts: Sequence[str], encode: Callable[[list[str]], TokenFeatures]
) -> TokenFeatures:
    """Return the features of distinct texts, in their order and in memory.

    Parameters
    ----------
    store
        One that keeps 16 bits; it is read and not written. What is damaged in it counts as missing.
    texts
        Cleaned, each once.
    encode
        Gives the features of those that are missing, in the store's unit.
    """
    missing = store.missing(texts)
    if len(missing) == len(texts):
        return encode(missing)
    absent = set(missing)
    known = np.array([text not in absent for text in texts], dtype=np.bool_)
    stored = store.view([text for text in texts if text not in absent])
    found = _copy(stored)
    return found if not missing else _merge(found, encode(missing), known)


def _copy(stored: StoredFeatures) -> TokenFeatures:
    """Copy features out of the store, and let its pages go."""
    packed = stored.packed(np.arange(len(stored)))
    spans = [stored.spans(index) for index in range(len(stored))]
    features = TokenFeatures(
        values=packed.values.astype(np.float16, copy=False),
        offsets=np.concatenate([[0], np.cumsum(packed.lengths)]).astype(np.int64),
        spans=np.concatenate(spans).astype(np.int32, copy=False),
        cls=packed.cls.astype(np.float16, copy=False),
    )
    stored.release(stored.shards)
    return features


def _merge(found: TokenFeatures, fresh: TokenFeatures, known: NDArray[np.bool_]) -> TokenFeatures:
    """Put features of two kinds of texts in one order; `known`, (texts,), says which are `found`."""
    lengths = np.empty(len(known), dtype=np.int64)
    lengths[known], lengths[~known] = found.lengths, fresh.lengths
    rows = np.repeat(known, lengths)  # (tokens,)
    return TokenFeatures(
        values=_interleave(found.values, fresh.values, rows),
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        spans=_interleave(found.spans, fresh.spans, rows),
        cls=_interleave(found.cls, fresh.cls, known),
        n_truncated=fresh.n_truncated,
    )


def _interleave(first: NDArray[Any], second: NDArray[Any], of_first: NDArray[np.bool_]) -> NDArray[Any]:
    merged: NDArray[Any] = np.empty((len(of_first), first.shape[1]), dtype=first.dtype)
    merged[of_first], merged[~of_first] = first, second
    return merged
