"""How long a training may be, and the learning rate as a function of the step alone, so that it can go on from any."""

import math
from typing import NamedTuple

from xingping.config import DecayShape, TrainingSettings

__all__ = ["TrainingLength", "one_cycle", "training_length", "warm_up_and_fall"]

EPOCHS, LEAST_STEPS = 8, 400
"""Most epochs of a training, unless they make fewer steps than that."""

PATIENCE = 1 / 4
"""Epochs without a gain that end a training, as a share of the most; two at least."""

WARM_UP = 0.05
"""Share of all steps over which the learning rate rises."""

FIRST, LAST = 1 / 25, 1 / 250_000
"""Rates of the first step and of the last, as shares of the peak."""

MOMENTA = (0.85, 0.95)
"""Momentum at the peak, and at both ends."""


class TrainingLength(NamedTuple):
    """Most epochs of a training, and how many without a gain end it."""

    epochs: int
    patience: int


def training_length(settings: TrainingSettings, reviews: int) -> TrainingLength:
    """Return how long a training of a head may be.

    Few reviews make an epoch of a step or two, and eight of those teach a head nothing: what the settings leave open
    grows with their scarcity.

    Parameters
    ----------
    settings
        See `TrainingSettings.epochs` and `patience`.
    reviews
        How many there are to train on, at least 1.
    """
    steps = -(-reviews // settings.batch_size)
    epochs = settings.epochs or max(EPOCHS, -(-LEAST_STEPS // steps))
    return TrainingLength(epochs, settings.patience or max(2, round(epochs * PATIENCE)))


def one_cycle(step: int, steps: int, peak: float) -> tuple[float, float]:
    """Return learning rate and momentum of a step of the 1cycle policy (Smith and Topin 2018, arXiv 1708.07120).

    The rate rises along a cosine from a low value to the peak and falls to nearly nothing; the momentum (beta1 of
    Adam) moves the other way. The values are those of `torch.optim.lr_scheduler.OneCycleLR` with `steps + 1` steps.

    Parameters
    ----------
    step
        0 is the first.
    steps
        Steps of the whole training.
    peak
        Highest rate.
    """
    turn = WARM_UP * (steps + 1) - 1
    low, high = MOMENTA
    if step <= turn:
        risen = step / turn if turn > 0 else 1.0
        return _cosine(peak * FIRST, peak, risen), _cosine(high, low, risen)
    fallen = (step - turn) / (steps - turn)
    return _cosine(peak, peak * LAST, fallen), _cosine(low, high, fallen)


def warm_up_and_fall(step: int, steps: int, warm_up: float, decay: DecayShape) -> float:
    """Return the learning rate of a step as a share of the peak: it rises along a line and falls to nearly nothing.

    Parameters
    ----------
    step
        0 is the first.
    steps
        Steps of the whole training.
    warm_up
        Share of the steps over which it rises, below 1.
    decay
        The shape of the fall.
    """
    rising = warm_up * steps
    if step + 1 < rising:
        return (step + 1) / rising
    left = min(1.0, (steps - step) / (steps - rising))
    return left if decay == "linear" else _cosine(0.0, 1.0, left)


def _cosine(start: float, end: float, share: float) -> float:
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
