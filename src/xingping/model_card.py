"""What a model bundle says of itself: what it was trained on, and what its validation split taught."""

from importlib.metadata import version

from xingping.calibration import Blend, FilmMeans, LinearBlend, PredictionSets
from xingping.config import (
    AnswerSettings,
    CleaningSettings,
    EncoderSettings,
    FeatureSettings,
    FinetuneSettings,
    HeadSettings,
    NgramSettings,
    SegmentationSettings,
    Settings,
    Task,
)

__all__ = ["MODEL_FORMAT", "Calibration", "ModelCard"]

MODEL_FORMAT = 4


class Calibration(Settings):
    """What the validation split taught.

    Attributes
    ----------
    blend
        Of the head and the n-grams: of probabilities, or for regression of ratings.
    sets
        None for regression.
    films
        How far a film's mean can be trusted.
    """

    blend: Blend | LinearBlend
    sets: PredictionSets | None
    films: FilmMeans


class ModelCard(Settings):
    """What a bundle's `model.json` holds.

    `encoder` leaves nothing to be chosen: its layers, precision and runtime are those that were used, so that the
    same encoder is loaded where `auto` would choose another. With `finetuning` it is the one that was tuned; it lies
    in the run directory that the bundle is of, or in the bundle itself, and `encoder.name` is what it was tuned from.
    """

    format: int
    task: Task
    encoder: EncoderSettings
    encoder_fingerprint: str
    finetuning: FinetuneSettings = FinetuneSettings()
    features: FeatureSettings = FeatureSettings()
    dim: int
    head: HeadSettings
    cleaning: CleaningSettings
    segmentation: SegmentationSettings
    ngrams: NgramSettings
    answers: AnswerSettings
    calibration: Calibration | None = None
    version: str = version("xingping")
