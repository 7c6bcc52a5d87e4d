"""What the processes of the store's tests do; they are started, killed and raced from there."""

import time
from pathlib import Path

from toy import ToyEncoder
from xingping.config import FeatureSettings
from xingping.features import FeatureStore

SHARD_TEXTS = 8


class SlowEncoder(ToyEncoder):
    """Takes some milliseconds a shard, so that a kill meets it at work."""

    def encode(self, texts, *, progress=None):
        time.sleep(0.004)
        return super().encode(texts, progress=progress)


def open_store(root, dtype="fp16", unit="token"):
    settings = FeatureSettings(dtype=dtype, unit=unit)
    return FeatureStore("toy", Path(root), settings=settings, shard_texts=SHARD_TEXTS)


def encode(root, texts, dtype="fp16", counts=None):
    """Encode texts; tell how many were encoded here."""
    encoder = SlowEncoder()
    done = open_store(root, dtype).encode(encoder, texts)
    if counts is not None:
        counts.put(done)


def write_one(root, texts):
    """Write one shard and hand its entry back, as a worker of a cluster does."""
    return open_store(root).write(texts, ToyEncoder().encode(texts))
