"""Trying a runtime out: whether its states are as good as those of fp32, and how long it takes."""

import csv
import io
import time
from dataclasses import dataclass
from functools import cached_property
from importlib.resources import files

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from xingping.artifacts import fingerprint
from xingping.encoders.batching import equal_batches, gather_ids
from xingping.encoders.inference import features_of
from xingping.encoders.runtime import Runtime
from xingping.encoders.tokenization import TokenizedTexts, tokenize

__all__ = ["LEAST_COSINE", "Probe", "mean_cosine", "sample_texts"]

LEAST_COSINE = 0.999
"""Least mean cosine per token to fp32 for a runtime to be chosen on its own."""

SAMPLE, COLUMN = "sample_reviews.csv", "Comment"
TRIED_EVERY = 8
"""Of so many texts of the sample one is for trying out, the others for the scales of int8."""

SCALE_TOKENS, TRIED_TOKENS, SCALE_BUDGET = 8192, 1024, 512
REPEATS = 2
GOLDEN_RATIO = 0.6180339887498949


@dataclass(frozen=True)
class Probe:
    """The bundled sample of reviews, as one encoder's tokenizer sees it.

    Parameters
    ----------
    tokenizer
        The encoder's, with its truncation set.
    """

    tokenizer: Tokenizer

    @cached_property
    def key(self) -> str:
        """Digest of the texts and the tokenizer."""
        return fingerprint(sample_texts(), self.tokenizer.to_str(), SCALE_TOKENS, TRIED_TOKENS, TRIED_EVERY)

    @cached_property
    def for_scales(self) -> list[NDArray[np.int64]]:
        """Batches of ids of equal length that the scales of int8 are taken from."""
        texts = [text for number, text in enumerate(sample_texts()) if number % TRIED_EVERY]
        tokens = _some(self.tokenizer, texts, SCALE_TOKENS)
        return [
            gather_ids(tokens.ids, tokens.offsets, batch)[0] for batch in equal_batches(tokens.lengths, SCALE_BUDGET)
        ]

    @cached_property
    def tried(self) -> TokenizedTexts:
        """Other texts, to try runtimes out on."""
        return _some(self.tokenizer, sample_texts()[::TRIED_EVERY], TRIED_TOKENS)

    def run(self, runtime: Runtime) -> tuple[NDArray[np.float16], float]:
        """Return the vectors of the texts to try out, shape (tokens, dim), and the seconds they took, warmed up."""
        times = []
        for _ in range(1 + REPEATS):
            start = time.perf_counter()
            values = features_of(runtime, self.tried, None).values
            times.append(time.perf_counter() - start)
        return values, min(times[1:])


def mean_cosine(states: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Return the mean cosine between two lots of vectors, over all axes but the last; of two zero vectors, 1."""
    ours, theirs = states.astype(np.float64), reference.astype(np.float64)
    lengths = np.linalg.norm(ours, axis=-1) * np.linalg.norm(theirs, axis=-1)
    products = (ours * theirs).sum(axis=-1)
    same = np.where(lengths > 0, products / np.where(lengths > 0, lengths, 1), (ours == theirs).all(axis=-1))
    return float(same.mean())


def sample_texts() -> list[str]:
    """Return the distinct texts of the bundled sample of reviews."""
    content = (files("xingping") / "data" / SAMPLE).read_text(encoding="utf-8")
    return list(dict.fromkeys(row[COLUMN].strip() for row in csv.DictReader(io.StringIO(content))))


def _some(tokenizer: Tokenizer, texts: list[str], most: int) -> TokenizedTexts:
    """Tokenize texts from all over the sample, of about as many tokens as wanted."""
    lengths = tokenize(tokenizer, texts).lengths
    order = np.argsort(np.arange(len(lengths)) * GOLDEN_RATIO % 1)  # spread evenly, without chance
    chosen = order[: max(1, int(np.searchsorted(np.cumsum(lengths[order]), most)))]
    return tokenize(tokenizer, [texts[i] for i in chosen if lengths[i]])
