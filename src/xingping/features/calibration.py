"""Measuring what eight bits need: mean and deviation of each dimension, on texts that are the same everywhere."""

import csv
import io
from importlib.resources import files

from xingping.encoders import FrozenEncoder
from xingping.features.quantization import Scaling
from xingping.features.shards import StoreScaling
from xingping.segmentation import Segmenter
from xingping.word_pooling import pool_words

__all__ = ["measure_scaling"]

SAMPLE_TEXTS = 256


def measure_scaling(encoder: FrozenEncoder, segmenter: Segmenter | None) -> StoreScaling:
    """Measure an encoder's dimensions on reviews of the bundled sample.

    They are not the user's, so that a text's stored vectors do not depend on what else is stored.

    Parameters
    ----------
    encoder
        The encoder.
    segmenter
        Given where the store's unit is a word.
    """
    texts = _sample_texts()
    features = encoder.encode(texts)
    if segmenter is not None:
        features = pool_words(features, texts, segmenter)
    return StoreScaling(Scaling.measure(features.values), Scaling.measure(features.cls))


def _sample_texts() -> list[str]:
    table = files("xingping").joinpath("data/sample_reviews.csv").read_text(encoding="utf-8")
    texts = list(dict.fromkeys(row["Comment"].strip() for row in csv.DictReader(io.StringIO(table))))
    step = max(1, len(texts) // SAMPLE_TEXTS)
    return texts[::step][:SAMPLE_TEXTS]
