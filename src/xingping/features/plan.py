"""Which texts are to be encoded, and which of them make up a shard."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from xingping.features.keys import Keys, text_keys
from xingping.features.manifest import ShardEntry
from xingping.features.shards import shard_name
from xingping.texts import TextBatches

__all__ = ["Chunk", "EncodingPlan"]


class Chunk(NamedTuple):
    """Texts that make up one shard."""

    texts: list[str]
    keys: Keys
    name: str


class EncodingPlan:
    """Distinct texts without features, in order of appearance, cut into shards.

    Parameters
    ----------
    batches
        All texts.
    wanted
        Which of them are to be encoded, (texts,).
    keys
        Of those, (wanted texts, 2).
    size
        Texts a shard.
    damaged
        Shards that must be written anew. Where their texts follow each other, they make up the same shard as before,
        whatever is missing beside them.
    """

    def __init__(
        self,
        batches: TextBatches,
        wanted: NDArray[np.bool_],
        keys: Keys,
        *,
        size: int,
        damaged: Iterable[ShardEntry] = (),
    ) -> None:
        self.keys = keys
        self._batches = batches
        self._wanted = wanted
        self._ends = _ends(keys, size, damaged)

    def __len__(self) -> int:
        """Return the number of texts to encode."""
        return len(self.keys)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Texts of each shard, (shards,)."""
        return np.diff(self._ends, prepend=0)

    def texts(self) -> Iterator[str]:
        """Yield the texts to encode."""
        start = 0
        for batch in self._batches:
            wanted = self._wanted[start : start + len(batch)]
            start += len(batch)
            for place in np.flatnonzero(wanted).tolist():
                yield batch[place]

    def sample(self, size: int, longest: int) -> tuple[list[str], int]:
        """Return up to `size` of the texts, evenly spaced, and the characters of all, at most `longest` of each."""
        chosen = np.zeros(len(self), dtype=np.bool_)
        if size:
            chosen[np.linspace(0, len(self) - 1, min(size, len(self))).astype(np.int64)] = True
        texts, characters = [], 0
        for text, is_chosen in zip(self.texts(), chosen.tolist(), strict=True):
            characters += min(len(text), longest)
            if is_chosen:
                texts.append(text)
        return texts, characters

    def chunks(self) -> Iterator[Chunk]:
        """Yield the shards to write, each with its texts."""
        texts = self.texts()
        for size in self.sizes.tolist():
            chunk = [next(texts) for _ in range(size)]
            keys = text_keys(chunk)
            yield Chunk(chunk, keys, shard_name(keys))


def _ends(keys: Keys, size: int, damaged: Iterable[ShardEntry]) -> NDArray[np.int64]:
    """Return where each shard ends among the texts to encode."""
    fixed: list[tuple[int, int]] = []
    for entry in damaged:
        first = np.frombuffer(bytes.fromhex(entry.first), dtype="<u8")
        starts = np.flatnonzero((keys == first).all(axis=1)).tolist() if len(first) else []
        ranges = [(start, start + entry.texts) for start in starts]
        fixed += [(start, end) for start, end in ranges if shard_name(keys[start:end]) == entry.name]
    ends: list[int] = []
    at = 0
    for start, end in [*sorted(fixed), (len(keys), len(keys))]:
        if start < at:
            continue  # two damaged shards with a text in common: the first of them is restored
        ends += [*range(at + size, start, size), *([start] if start > at else []), *([end] if end > start else [])]
        at = end
    return np.array(ends, dtype=np.int64)
