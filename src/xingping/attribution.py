"""How far each character of a text moves its expected rating: integrated gradients through the whole model.

Sundararajan, Taly and Yan 2017, arXiv 1703.01365. The path runs straight from a baseline to the text: from average
tokens (zeros, once the head has standardised them) to its own, and from no n-gram at all to its TF-IDF row. What is
integrated is the gradient of the expected rating, head, n-grams and blend together, so that the parts add up to the
expected rating less that at the baseline.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xingping.answers import spread
from xingping.batches import FeatureBatch
from xingping.calibration import SMALLEST, LinearBlend
from xingping.epochs import Portion, load_portions, rating_order
from xingping.features import StoredFeatures
from xingping.ngrams import NgramShares
from xingping.predictor import RatingPredictor
from xingping.ratings import NUM_CLASSES, RATINGS

__all__ = ["COMPLETENESS", "STEPS", "Attribution", "integrated_gradients", "spread"]

STEPS = 16
"""Points of the path at which gradients are taken, those of Gauss and Legendre's quadrature."""

COMPLETENESS = 0.02
"""Stars that the parts of one text may be off in sum; a text that is further off gets a finer path."""

REFINEMENTS = (4, 16)
"""How much finer. The kinks of a network, and the ends of the scale in regression, are where quadrature errs."""

BATCH_SIZE = 32
"""Texts whose gradients are in memory at one time."""


@dataclass(frozen=True)
class Attribution:
    """What moves the expected rating of one text, in stars.

    Attributes
    ----------
    at_character
        (characters,) of the cleaned text.
    elsewhere
        Of what stands for no character: the [CLS] vector where the head pools it, and tokens without a span.
    baseline
        The expected rating at the baseline, which is the same for all texts of a model.
    """

    at_character: NDArray[np.float64]
    elsewhere: float
    baseline: float

    @property
    def total(self) -> float:
        """All of it: the expected rating less that at the baseline, to about `COMPLETENESS`."""
        return float(self.at_character.sum() + self.elsewhere)


def integrated_gradients(
    predictor: RatingPredictor, features: StoredFeatures, texts: Sequence[str], *, steps: int = STEPS
) -> list[Attribution]:
    """Share the expected rating of texts out to their characters.

    Parameters
    ----------
    predictor
        Any; where it does not attend and where it has several members too.
    features, texts
        As `RatingPredictor.predict_features` takes them.
    steps
        Points of the path; where the parts miss their sum by more than `COMPLETENESS`, more.
    """
    predictor.head.eval()
    device = predictor.head.device
    loader = predictor.head.loader()

    def load(portion: Portion) -> tuple[NDArray[np.int64], FeatureBatch]:
        return portion.indices, loader.load(features, portion.indices)

    found: list[Attribution | None] = [None] * len(features)
    for indices, batch in load_portions(rating_order(features, BATCH_SIZE), load, features, ahead=False):
        chosen = [texts[index] for index in indices]
        parts = _batch(predictor, batch.to(device), [features.spans(int(index)) for index in indices], chosen, steps)
        for index, attribution in zip(indices.tolist(), parts, strict=True):
            found[index] = attribution
    return [attribution for attribution in found if attribution is not None]


def _batch(
    predictor: RatingPredictor,
    batch: FeatureBatch,
    spans: Sequence[NDArray[np.int32]],
    texts: Sequence[str],
    steps: int,
) -> list[Attribution]:
    shares = None if predictor.ngrams is None else predictor.ngrams.shares(texts)
    scores = _ngram_scores(shares, len(texts))
    parts = _integrate(predictor, batch, scores, steps)
    for factor in REFINEMENTS:
        rows = np.flatnonzero(np.abs(parts.gap(scores)) > COMPLETENESS)
        if len(rows):
            chosen = torch.from_numpy(rows).to(batch.mask.device)
            finer = _integrate(predictor, FeatureBatch(*(part[chosen] for part in batch)), scores[rows], steps * factor)
            parts.put(rows, finer)
    found = []
    for number, (text, of_text) in enumerate(zip(texts, spans, strict=True)):
        amounts = parts.tokens[number, : len(of_text)]
        characters = spread(of_text, amounts, len(text))
        elsewhere = float(parts.cls[number] + amounts[of_text[:, 0] >= of_text[:, 1]].sum())
        if shares is not None:
            own = shares.text == number
            characters = characters + spread(shares.spans[own], shares.scores[own] @ parts.ngrams[number], len(text))
        found.append(Attribution(characters, elsewhere, parts.baseline))
    return found


def _ngram_scores(shares: NgramShares | None, texts: int) -> NDArray[np.float64]:
    """Return what the n-grams of each text add to the scores of the stars, (texts, 5)."""
    scores = np.zeros((texts, NUM_CLASSES))
    if shares is not None:
        np.add.at(scores, shares.text, shares.scores)
    return scores


class _Parts(NamedTuple):
    """Integrals of the gradients of a batch."""

    tokens: NDArray[np.float64]  # (batch, tokens) stars
    cls: NDArray[np.float64]  # (batch,) stars
    ngrams: NDArray[np.float64]  # (batch, 5) stars for each unit that n-grams add to the score of a star
    expected: NDArray[np.float64]  # (batch,) at the end of the path
    baseline: float  # at its beginning

    def gap(self, ngram_scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return by how many stars the parts of each text miss their sum, (batch,)."""
        found = self.tokens.sum(axis=1) + self.cls + (ngram_scores * self.ngrams).sum(axis=1)
        gap: NDArray[np.float64] = self.expected - self.baseline - found
        return gap

    def put(self, rows: NDArray[np.int64], finer: "_Parts") -> None:
        """Take better integrals of some of the texts."""
        self.tokens[rows], self.cls[rows], self.ngrams[rows] = finer.tokens, finer.cls, finer.ngrams


def _integrate(
    predictor: RatingPredictor, batch: FeatureBatch, ngram_scores: NDArray[np.float64], steps: int
) -> _Parts:
    """Integrate gradients of the expected rating along the path; n-grams add `ngram_scores`, (batch, 5), at its end."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    ends = batch.values, batch.cls, torch.from_numpy(ngram_scores).to(batch.values.device)
    sums = [torch.zeros_like(end) for end in ends]
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        here = [(float(point) * end).requires_grad_() for end in ends]
        with torch.enable_grad():
            expected = _expected(predictor, FeatureBatch(here[0], batch.mask, here[1]), here[2])
            # A head that does not pool [CLS] has no gradient there, one without n-grams none for their scores.
            gradients = torch.autograd.grad(expected.sum(), here, allow_unused=True)
        for total, gradient in zip(sums, gradients, strict=True):
            if gradient is not None:
                total.add_(gradient, alpha=float(weight))
    with torch.no_grad():
        end = _expected(predictor, batch, ends[2]).cpu().numpy()
        start = FeatureBatch(torch.zeros_like(ends[0][:1]), batch.mask[:1], torch.zeros_like(ends[1][:1]))
        baseline = float(_expected(predictor, start, torch.zeros_like(ends[2][:1])))
    tokens = (sums[0] * ends[0]).sum(dim=2).double().cpu().numpy()  # (batch, tokens)
    cls = (sums[1] * ends[1]).sum(dim=1).double().cpu().numpy()
    return _Parts(tokens, cls, sums[2].cpu().numpy(), end, baseline)


def _expected(predictor: RatingPredictor, batch: FeatureBatch, ngram_scores: Tensor) -> Tensor:
    """Return the expected rating of a batch, (batch,), as `RatingPredictor` has it, so that gradients go through."""
    scores = predictor.head(batch).answer.double()  # (batch, n_scores)
    stars = torch.tensor(RATINGS, dtype=torch.float64, device=scores.device)
    probabilities = predictor.head.output(predictor.task).traced_probabilities(scores)
    parts = [scores[:, 0] if probabilities is None else probabilities]
    if predictor.ngrams is not None:
        bias = torch.from_numpy(predictor.ngrams.bias).to(scores.device)
        of_ngrams = torch.softmax(ngram_scores + bias, dim=1)  # (batch, 5)
        parts.append(of_ngrams @ stars if probabilities is None else of_ngrams)
    calibration = predictor.card.calibration
    if calibration is None:
        answers = parts[0]
    elif isinstance(calibration.blend, LinearBlend):
        answers = sum((weight * part for weight, part in zip(calibration.blend.weights, parts, strict=True)),
                      start=torch.full_like(parts[0], calibration.blend.bias))  # fmt: skip
    else:
        blend = calibration.blend
        bias = torch.tensor(blend.bias, dtype=torch.float64, device=scores.device)
        logs = [weight * part.clamp(min=SMALLEST).log() for weight, part in zip(blend.weights, parts, strict=True)]
        answers = torch.softmax(torch.stack(logs).sum(dim=0) + bias, dim=1)
    return answers.clamp(1, NUM_CLASSES) if probabilities is None else answers @ stars
