"""What a head says of stored features, however many: in float32, group of shards by group, in bounded memory."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray

from xingping.batches import FeatureBatch
from xingping.epochs import Portion, load_portions, rating_order, slots
from xingping.features import StoredFeatures
from xingping.heads import HeadOutput, RatingHead

__all__ = ["head_outputs", "head_scores"]

BATCH_SIZE = 256


def head_outputs(head: RatingHead, features: StoredFeatures) -> Iterator[tuple[NDArray[np.int64], HeadOutput]]:
    """Yield which texts, and what the head says of them without dropout; each text once, in the order of reading.

    Parameters
    ----------
    head
        On any device; the outputs are on the CPU.
    features
        Of the texts.
    """
    device = head.device
    ahead = device.type != "cpu"
    loader = head.loader(slots=slots(ahead=ahead))

    def load(portion: Portion) -> tuple[NDArray[np.int64], FeatureBatch]:
        return portion.indices, loader.load(features, portion.indices)

    for indices, batch in load_portions(rating_order(features, BATCH_SIZE), load, features, ahead=ahead):
        with torch.inference_mode():
            output: HeadOutput = head(batch.to(device))
            attention = None if output.attention is None else output.attention.cpu()
            yield indices, HeadOutput(output.scores.cpu(), output.vector.cpu(), attention)


def head_scores(head: RatingHead, features: StoredFeatures) -> NDArray[np.float32]:
    """Return the scores of n texts, (n, n_scores)."""
    scores = np.zeros((len(features), head.n_scores), dtype=np.float32)
    for indices, output in head_outputs(head, features):
        scores[indices] = output.answer.numpy()
    return scores
