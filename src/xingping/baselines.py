"""What a user would pick instead: always the commonest star, linear models on n-grams, fastText, plain features."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import scipy.sparse as sp
import torch
from numpy.typing import NDArray
from sklearn.feature_extraction.text import HashingVectorizer, TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from torch.nn import functional as F

from xingping.ratings import NUM_CLASSES, to_classes

__all__ = [
    "MOST_REVIEWS",
    "FastTextBaseline",
    "MajorityBaseline",
    "MeanFeaturesBaseline",
    "NgramBaseline",
    "sample_reviews",
]

MOST_REVIEWS = 200_000
"""Training reviews that the baselines see; beyond, n-grams outgrow the memory and the patience of a laptop."""


def sample_reviews(n: int, *, most: int, seed: int) -> NDArray[np.int64]:
    """Choose which of n training reviews a model sees: all, or a random `most` of them, ascending."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


class MajorityBaseline:
    """Answers with the shares of the training ratings, whatever the text; its mode is the commonest star."""

    def __init__(self) -> None:
        self._shares = np.full(NUM_CLASSES, 1 / NUM_CLASSES)

    def fit(self, ratings: NDArray[np.int64]) -> "MajorityBaseline":
        """Count the training ratings, (n,) 1..5."""
        self._shares = np.bincount(to_classes(ratings), minlength=NUM_CLASSES) / len(ratings)
        return self

    def predict_proba(self, n: int) -> NDArray[np.float64]:
        """Return the same probabilities n times, (n, 5)."""
        return np.tile(self._shares, (n, 1))


class NgramBaseline:
    """Logistic regression on TF-IDF of n-grams, multinomial, L2 with C = 1.

    Terms of fewer than two reviews are dropped and term frequencies are logarithmic. Training with Newton's
    method gives the optimum of L-BFGS in a tenth of its time here.

    Parameters
    ----------
    analyzer
        `char` for 1- to 3-grams of characters; `word` for 1- and 2-grams of what white space divides.
    """

    def __init__(self, analyzer: Literal["char", "word"] = "char") -> None:
        self._vectorizer = TfidfVectorizer(
            analyzer=analyzer,
            ngram_range=(1, 3) if analyzer == "char" else (1, 2),
            token_pattern=None if analyzer == "char" else r"\S+",
            min_df=2,
            sublinear_tf=True,
            dtype=np.float32,
        )
        self._model: LogisticRegression | None = None
        self._only: int = 0

    def fit(self, texts: Sequence[str], ratings: NDArray[np.int64]) -> "NgramBaseline":
        """Fit on training texts and their ratings, (n,) 1..5; with one star only, that star is the answer."""
        self._only = int(ratings[0])
        try:
            features = self._vectorizer.fit_transform(texts)
        except ValueError:  # no n-gram occurs in two reviews
            self._vectorizer.min_df = 1
            features = self._vectorizer.fit_transform([*texts[:-1], texts[-1] or "空"])  # of empty texts alone, too
        if (ratings != self._only).any():
            self._model = LogisticRegression(C=1.0, solver="newton-cg", max_iter=100).fit(features, ratings)
        return self

    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return probabilities, (n, 5); 0 for a star that training never saw."""
        return _probabilities(self._model, self._only, self._vectorizer.transform(texts))


class MeanFeaturesBaseline:
    """Logistic regression on the mean of a review's frozen vectors, each dimension standardised, L2 with C = 0.01.

    What most would do first with a frozen encoder.
    """

    def __init__(self) -> None:
        self._mean, self._deviation = np.zeros(0, np.float32), np.ones(0, np.float32)
        self._model: LogisticRegression | None = None
        self._only: int = 0

    def fit(self, means: NDArray[np.float32], ratings: NDArray[np.int64]) -> "MeanFeaturesBaseline":
        """Fit on the mean vectors, (n, dim), and the ratings, (n,) 1..5, of training reviews."""
        self._only = int(ratings[0])
        self._mean, self._deviation = means.mean(axis=0), np.maximum(means.std(axis=0), 1e-4)
        if (ratings != self._only).any():
            self._model = LogisticRegression(C=0.01, max_iter=300).fit(self._scaled(means), ratings)
        return self

    def predict_proba(self, means: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return probabilities, (n, 5), of mean vectors, (n, dim); 0 for a star that training never saw."""
        return _probabilities(self._model, self._only, self._scaled(means))

    def _scaled(self, means: NDArray[np.float32]) -> NDArray[np.float32]:
        scaled: NDArray[np.float32] = (means - self._mean) / self._deviation
        return scaled


class FastTextBaseline:
    """The mean of learned vectors of words and n-grams, and a softmax on it (Joulin et al. 2016, arXiv 1607.01759).

    As fastText's `-wordNgrams 2 -minn 1 -maxn 3`: single words, pairs of words, and up to three characters, in
    common buckets.

    Parameters
    ----------
    seed
        Of the first vectors and of the order of the reviews.
    """

    BUCKETS, DIM, EPOCHS, BATCH, RATE = 2**19, 64, 5, 32, 1e-2

    def __init__(self, *, seed: int = 0) -> None:
        self._seed = seed
        shared = {"n_features": self.BUCKETS, "norm": None, "alternate_sign": False, "dtype": np.float32}
        self._characters = HashingVectorizer(analyzer="char_wb", ngram_range=(1, 3), **shared)
        self._words = HashingVectorizer(token_pattern=r"\S+", ngram_range=(1, 2), **shared)
        self._vectors = torch.zeros(self.BUCKETS, self.DIM)
        self._output = torch.nn.Linear(self.DIM, NUM_CLASSES)

    def fit(self, texts: Sequence[str], ratings: NDArray[np.int64]) -> "FastTextBaseline":
        """Fit on training texts, their words divided by spaces, and their ratings, (n,) 1..5."""
        generator = torch.Generator().manual_seed(self._seed)
        vectors = torch.nn.EmbeddingBag(self.BUCKETS, self.DIM, mode="mean", sparse=True)
        with torch.no_grad():
            vectors.weight.uniform_(-1 / self.DIM, 1 / self.DIM, generator=generator)
            self._output.weight.zero_()
            shares = np.bincount(to_classes(ratings), minlength=NUM_CLASSES) + 1.0
            self._output.bias.copy_(torch.from_numpy(np.log(shares / shares.sum())))
        of_vectors = torch.optim.SparseAdam(vectors.parameters(), lr=self.RATE)
        of_output = torch.optim.Adam(self._output.parameters(), lr=self.RATE)
        rows, classes = self._count(texts), torch.from_numpy(to_classes(ratings))
        steps, step = self.EPOCHS * -(-len(texts) // self.BATCH), 0
        for _ in range(self.EPOCHS):
            order = torch.randperm(len(texts), generator=generator).numpy()
            for start in range(0, len(order), self.BATCH):
                chosen = order[start : start + self.BATCH]
                for group in (*of_vectors.param_groups, *of_output.param_groups):
                    group["lr"] = self.RATE * (1 - step / steps)
                loss = F.cross_entropy(self._output(vectors(*_bags(rows[chosen]))), classes[chosen])
                of_vectors.zero_grad()
                of_output.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it unannotated
                of_vectors.step()  # type: ignore[no-untyped-call]  # torch leaves SparseAdam.step unannotated
                of_output.step()
                step += 1
        self._vectors = vectors.weight.detach()
        return self

    @torch.inference_mode()
    def predict_proba(self, texts: Sequence[str]) -> NDArray[np.float64]:
        """Return probabilities, (n, 5)."""
        rows, parts = self._count(texts), []
        for start in range(0, len(texts), 8192):
            ids, offsets = _bags(rows[start : start + 8192])
            means = F.embedding_bag(ids, self._vectors, offsets, mode="mean")
            parts.append(torch.softmax(self._output(means).double(), dim=1).numpy())
        return np.concatenate([np.zeros((0, NUM_CLASSES)), *parts])

    def _count(self, texts: Sequence[str]) -> sp.csr_matrix:
        return (self._characters.transform(texts) + self._words.transform(texts)).tocsr()


def _bags(rows: sp.csr_matrix) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the columns of each row one after the other, and where each row's begin."""
    return torch.from_numpy(rows.indices.astype(np.int64)), torch.from_numpy(rows.indptr[:-1].astype(np.int64))


def _probabilities(
    model: LogisticRegression | None, only: int, features: sp.csr_matrix | NDArray[np.float32]
) -> NDArray[np.float64]:
    """Return a model's probabilities at the places of the stars that it knows; without a model, all of one star."""
    result = np.zeros((features.shape[0], NUM_CLASSES))
    if model is None:
        result[:, to_classes(np.array(only))] = 1.0
    else:
        result[:, to_classes(model.classes_)] = model.predict_proba(features)
    return result
