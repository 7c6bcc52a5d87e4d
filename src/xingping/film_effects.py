"""What each film adds to the scores of its reviews while a network is trained, learned along with it.

The reviews of a film have its stars in common. A network that is trained on films rated very differently learns to
tell which film a text is of, and then rates a new film like the one that it resembles. Here each film has an offset of
its own for every score: a random intercept (Laird and Ware 1982, doi:10.2307/2529876; with neural networks Simchoni
and Rosset 2023, arXiv 2206.03314), normal around 0 and estimated by its mode with the weights (penalised
quasi-likelihood: Breslow and Clayton 1993, doi:10.1080/01621459.1993.10594284). What a film has beyond its texts goes
there, so the network has less to gain from telling films. A new film has no offset.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

__all__ = ["EFFECTS", "RATE", "FilmEffects"]

EFFECTS = "film_effects"
"""Name of the offsets among the weights that are trained."""

VARIANCE = 1.0
"""Of the offsets of films around 0, in the squared units of the scores: a deviation of e in odds, or of a star."""

RATE = 0.02
"""Peak learning rate: they have to be there before the network has learned films by their words."""


class FilmEffects(nn.Module):
    """Offsets of the scores of training reviews, one row a film.

    Parameters
    ----------
    film
        (n,) numbers of the films of the training reviews, from 0; -1 where none is named, which has no offset.
    n_scores
        Scores of a review.
    """

    def __init__(self, film: NDArray[np.int32], n_scores: int) -> None:
        super().__init__()
        self.reviews = len(film)
        self.offsets = nn.Parameter(torch.zeros(int(film.max(initial=-1)) + 1, n_scores))

    def forward(self, film: Tensor) -> Tensor:
        """Return the offsets of reviews of these films, (batch,) numbers; (batch, n_scores)."""
        known = nn.functional.pad(self.offsets, (0, 0, 0, 1))  # the last row, of -1, is 0
        return known[film]

    def penalty(self, share: float) -> Tensor:
        """Return what large offsets add to the loss of a step, in its units; of it the share that this process has."""
        return self.offsets.square().sum() * (share / (2 * VARIANCE * self.reviews))
