"""In which order stored features are read, and reading them ahead of the work on them.

A store may be larger than memory, so what is read is read in groups of shards, one group after the other, and the
pages of a group are given back when it is done.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from xingping.features import StoredFeatures

__all__ = ["Portion", "like_length", "load_portions", "rating_order", "sample_tokens", "slots", "training_order"]

GROUP_SHARDS = 16
"""Shards that are read together, in any order: some 65,000 texts."""

WINDOW_BATCHES = 50
"""Batches whose reviews are sorted by length together: little padding, and still shuffled."""

AHEAD = 4
"""Portions that are read before they are asked for."""

S = TypeVar("S")
T = TypeVar("T")


class Portion(NamedTuple):
    """One batch to read."""

    indices: NDArray[np.int64]
    done: NDArray[np.int32] | None = None  # shards that nothing behind this batch reads
    coming: NDArray[np.int32] | None = None  # shards of the next group, to be fetched from disk by now


def training_order(features: StoredFeatures, batch_size: int, rng: np.random.Generator) -> Iterator[Portion]:
    """Yield every text once, shuffled, in batches of similar length.

    Where the texts lie in more than `GROUP_SHARDS` shards, they are shuffled shard by shard, and then text by text
    within groups of that many. All batches but the last are full.
    """
    lengths = features.lengths
    left = np.zeros(0, dtype=np.int64)
    groups = list(_groups(features.shards, rng))
    for number, (group, done) in enumerate(groups, 1):
        pool = np.concatenate([left, group[rng.permutation(len(group))]])
        full = len(pool) if number == len(groups) else len(pool) // batch_size * batch_size
        pool, left = pool[:full], pool[full:]  # what fills no batch goes along with the next group
        batches = like_length(pool, lengths, batch_size, batch_size * WINDOW_BATCHES)
        coming = groups[number][1] if number < len(groups) else None
        yield from _portions([batches[place] for place in rng.permutation(len(batches))], done, coming)


def like_length(
    texts: NDArray[np.int64], lengths: NDArray[np.int64], batch_size: int, window: int
) -> list[NDArray[np.int64]]:
    """Cut texts into batches of similar length: sorted by length within windows of so many, and all but the last full.

    Parameters
    ----------
    texts
        Numbers of the texts, in the order in which windows take them.
    lengths
        Of all texts, by their numbers.
    batch_size
        Texts a batch.
    window
        Texts a window, a multiple of it.
    """
    batches: list[NDArray[np.int64]] = []
    for start in range(0, len(texts), window):
        part = texts[start : start + window]
        part = part[np.argsort(lengths[part], kind="stable")]
        batches += [part[at : at + batch_size] for at in range(0, len(part), batch_size)]
    return batches


def rating_order(features: StoredFeatures, batch_size: int) -> Iterator[Portion]:
    """Yield every text once, in batches of similar length, group of shards by group."""
    groups = list(_groups(features.shards))
    for number, (group, done) in enumerate(groups, 1):
        order = group[np.argsort(features.lengths[group], kind="stable")]
        coming = groups[number][1] if number < len(groups) else None
        yield from _portions([order[at : at + batch_size] for at in range(0, len(order), batch_size)], done, coming)


def sample_tokens(features: StoredFeatures, texts: int) -> NDArray[np.float32]:
    """Return the token vectors of about so many evenly spaced texts, (tokens, dim), shard by shard."""
    chosen = np.arange(0, len(features), max(1, len(features) // texts))
    shards = features.shards[chosen]
    larger = is_larger(features)
    parts = [np.zeros((0, features.dim), dtype=np.float32)]
    for shard in np.unique(shards).tolist():
        parts.append(features.packed(chosen[shards == shard]).values.astype(np.float32))
        if larger:
            features.release([shard])
    return np.concatenate(parts)


def is_larger(features: StoredFeatures) -> bool:
    """Say whether the texts lie in more shards than are read together, so that the store may not fit in memory."""
    return len(np.unique(features.shards)) > GROUP_SHARDS


def _groups(
    shards: NDArray[np.int32], rng: np.random.Generator | None = None
) -> Iterator[tuple[NDArray[np.int64], NDArray[np.int32] | None]]:
    """Yield the texts of each group of shards; and the shards, where there are several groups."""
    names = np.unique(shards)
    if len(names) <= GROUP_SHARDS:
        yield np.arange(len(shards)), None
        return
    by_shard = np.argsort(shards, kind="stable")
    borders = np.append(np.searchsorted(shards[by_shard], names), len(shards))
    places = np.arange(len(names)) if rng is None else rng.permutation(len(names))
    for start in range(0, len(places), GROUP_SHARDS):
        chosen = places[start : start + GROUP_SHARDS]
        texts = np.concatenate([by_shard[borders[place] : borders[place + 1]] for place in chosen])
        yield texts, names[chosen]


def _portions(
    batches: list[NDArray[np.int64]], done: NDArray[np.int32] | None, coming: NDArray[np.int32] | None
) -> Iterator[Portion]:
    """Yield the portions of a group; the shards of the next one come into memory one after the other meanwhile."""
    last = len(batches) - 1
    some = np.zeros(0, dtype=np.int32) if coming is None else coming
    borders = np.arange(len(batches) + 1) * len(some) // max(1, len(batches))
    for number, batch in enumerate(batches):
        now = some[borders[number] : borders[number + 1]]
        yield Portion(batch, done if number == last else None, now if len(now) else None)


def load_portions(
    portions: Iterator[Portion], load: Callable[[Portion], T], features: StoredFeatures, *, ahead: bool
) -> Iterator[T]:
    """Yield what `load` gives for each portion, in order, and give back the shards that are done.

    Parameters
    ----------
    portions
        What to read.
    load
        Copies a portion out of the store.
    features
        The store's view that the portions index.
    ahead
        Whether to load on another thread, `AHEAD` portions early: right where another device computes. Where the
        processor does, the two would only take the cores from each other.
    """

    def fetch_and_load(portion: Portion) -> tuple[Portion, T]:
        if portion.coming is not None:
            features.fetch(portion.coming)
        return portion, load(portion)

    for portion, loaded in read_ahead(portions, fetch_and_load) if ahead else map(fetch_and_load, portions):
        if portion.done is not None:
            features.release(portion.done)
        yield loaded


def slots(*, ahead: bool) -> int:
    """Return how many portions are held at one time at the most."""
    return AHEAD + 2 if ahead else 1


def read_ahead(items: Iterator[S], work: Callable[[S], T]) -> Iterator[T]:
    """Yield what `work` gives for each item, in order, done on another thread while earlier ones are used.

    At most `AHEAD` results wait to be asked for, beside the one in use and the one in the making.
    """
    waiting: deque[Future[T]] = deque()
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        try:
            for item in items:
                waiting.append(pool.submit(work, item))
                if len(waiting) > AHEAD:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
