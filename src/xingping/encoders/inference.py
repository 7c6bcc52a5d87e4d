"""From tokens to features: batches computed by a runtime's workers, each put in its place."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from xingping.encoders.batching import equal_batches, gather_ids, padded_batches
from xingping.encoders.runtime import Runtime
from xingping.encoders.token_features import TokenFeatures
from xingping.encoders.tokenization import TokenizedTexts

__all__ = ["features_of", "run_batches"]


def features_of(runtime: Runtime, tokens: TokenizedTexts, progress: Callable[[int], None] | None) -> TokenFeatures:
    """Encode tokenized texts.

    Parameters
    ----------
    runtime
        What computes.
    tokens
        The texts.
    progress
        Called, in this thread, with the number of texts done since the last call.

    Raises
    ------
    EncoderError
        The model gave a value that is no number.
    """
    content = ~tokens.is_special
    before = np.concatenate([[0], np.cumsum(content)]).astype(np.int64)
    offsets = before[tokens.offsets]  # the tokens of text i that are not special start there among all that are not
    values = np.empty((int(offsets[-1]), runtime.dim), dtype=np.float16)
    cls = np.zeros((len(tokens.lengths), runtime.dim), dtype=np.float16)

    def encode(batch: NDArray[np.int64]) -> int:
        ids, is_token, places = gather_ids(tokens.ids, tokens.offsets, batch)
        states = runtime.states(ids, tokens.lengths[batch])  # (batch, length, dim)
        is_special = np.zeros(is_token.shape, dtype=np.bool_)
        is_special[is_token] = tokens.is_special[places]
        values[before[places[content[places]]]] = states[is_token & ~is_special]
        cls[batch] = states[np.arange(len(batch)), is_special.argmax(axis=1)]
        return len(batch)

    filled = np.flatnonzero(tokens.lengths)  # a text without even special tokens needs no model
    group = padded_batches if runtime.pads else equal_batches
    batches = [filled[chosen] for chosen in group(tokens.lengths[filled], runtime.budget)]
    batches.sort(key=lambda batch: -int(tokens.lengths[batch].sum()))  # so that the workers end together
    if progress is not None:
        progress(len(cls) - len(filled))
    run_batches(encode, batches, runtime.workers, progress)
    return TokenFeatures(values, offsets, tokens.spans[content], cls, tokens.n_truncated)


def run_batches(
    work: Callable[[NDArray[np.int64]], int],
    batches: list[NDArray[np.int64]],
    workers: int,
    progress: Callable[[int], None] | None,
) -> None:
    """Do some work on batches, several at a time.

    Parameters
    ----------
    work
        Takes the texts of a batch and returns how many they were; any thread calls it.
    batches
        Begun in this order.
    workers
        Threads.
    progress
        Called, in this thread, with what each batch returned.
    """
    report = progress if progress is not None else _ignore
    if workers == 1 or len(batches) <= 1:
        for batch in batches:
            report(work(batch))
        return
    pool = ThreadPoolExecutor(workers, thread_name_prefix="encode")
    try:
        for count in pool.map(work, batches):
            report(count)
    finally:
        pool.shutdown(cancel_futures=True)  # after an error or Ctrl-C, batches not yet begun are not begun


def _ignore(count: int) -> None:
    """Report progress to nobody."""
