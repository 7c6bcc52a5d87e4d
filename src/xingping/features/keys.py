"""Keys of texts, and where each key is stored: sorted arrays, some tens of bytes a text."""

from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

__all__ = ["KEY_BYTES", "KeyIndex", "Keys", "is_first", "text_keys"]

KEY_BYTES = 16

Keys = NDArray[np.uint64]
"""128 bits a text as two words, (texts, 2)."""


def text_keys(texts: Sequence[str]) -> Keys:
    """Return the keys of texts: 128 bits of BLAKE2b each, shape (texts, 2)."""
    digests = b"".join(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=KEY_BYTES).digest() for text in texts)
    return keys_of(digests)


def keys_of(digests: bytes) -> Keys:
    """Return keys, (n, 2), of their bytes end to end."""
    return np.frombuffer(digests, dtype="<u8").reshape(-1, 2)


def is_first(keys: Keys) -> NDArray[np.bool_]:
    """Say of each key whether no earlier one is equal, shape (n,)."""
    order = np.lexsort((keys[:, 1], keys[:, 0]))  # stable: equal keys stay in order of appearance
    first = np.ones(len(keys), dtype=np.bool_)
    first[order[1:]] = (keys[order[1:]] != keys[order[:-1]]).any(axis=1)
    return first


class KeyIndex:
    """Finds the place of a key.

    Parameters
    ----------
    keys
        (n, 2); key `i` is at place `i`. Of equal ones the first counts.
    """

    def __init__(self, keys: Keys) -> None:
        order = np.lexsort((keys[:, 1], keys[:, 0]))
        self._high = keys[order, 0]
        self._low = keys[order, 1]
        self._places = order.astype(np.int32 if len(keys) < 2**31 else np.int64)

    def __len__(self) -> int:
        return len(self._places)

    def find(self, keys: Keys) -> NDArray[np.int64]:
        """Return the place of each key, (n,); -1 for one that is not there."""
        found = np.full(len(keys), -1, dtype=np.int64)
        open_ = np.arange(len(keys))
        at = np.searchsorted(self._high, keys[:, 0])
        while len(open_):  # a second turn only where two keys share their first 64 bits
            inside = at < len(self._high)
            open_, at = open_[inside], at[inside]
            same_high = self._high[at] == keys[open_, 0]
            same = same_high & (self._low[at] == keys[open_, 1])
            found[open_[same]] = self._places[at[same]]
            go_on = same_high & ~same
            open_, at = open_[go_on], at[go_on] + 1
        return found
