"""An encoder of a few lines for tests of what comes behind encoders."""

from hashlib import blake2b

import numpy as np

from xingping.encoders import TokenFeatures

DIM = 16


def character_vector(character, dim=DIM):
    seed = int.from_bytes(blake2b(character.encode(), digest_size=4).digest(), "little")
    return np.random.default_rng(seed).normal(size=dim).astype(np.float16)


class ToyEncoder:
    """One token a character that is no space, with a fixed random vector each."""

    fingerprint = "toy"
    dim = DIM

    def __init__(self):
        self.encoded = []

    def count_tokens(self, texts):
        return np.array([sum(not character.isspace() for character in text) for text in texts], dtype=np.int64)

    def encode(self, texts, *, progress=None):
        self.encoded += texts
        spans, values, offsets = [], [], [0]
        for text in texts:
            for place, character in enumerate(text):
                if not character.isspace():
                    spans.append((place, place + 1))
                    values.append(character_vector(character))
            offsets.append(len(values))
        cls = [np.full(DIM, len(text), dtype=np.float16) for text in texts]
        if progress:
            progress(len(texts))
        return TokenFeatures(
            values=np.array(values, dtype=np.float16).reshape(-1, DIM),
            offsets=np.array(offsets, dtype=np.int64),
            spans=np.array(spans, dtype=np.int32).reshape(-1, 2),
            cls=np.array(cls, dtype=np.float16).reshape(-1, DIM),
        )


GOOD, BAD, FILLER = "妙妙妙", "烂烂烂", "片子里的人和事都看过了"


def planted_reviews(n, seed=0):
    """Texts of filler with one telling word, and the rating that it decides."""
    rng = np.random.default_rng(seed)
    ratings = rng.choice([1, 3, 5], n)
    telling = {1: BAD, 3: "", 5: GOOD}
    texts = []
    for number, rating in enumerate(ratings):
        filler = rng.permutation(list(FILLER))[: rng.integers(3, 11)].tolist()
        filler.insert(rng.integers(len(filler) + 1), telling[int(rating)])
        texts.append("".join(filler) + str(number))
    return texts, ratings.astype(np.int64)
