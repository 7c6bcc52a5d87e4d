"""How good the models of a run are on a rated file that it has not seen."""

from pathlib import Path
from typing import Any, get_args

import numpy as np

from xingping.batch import open_store
from xingping.config import ColumnSettings, Task
from xingping.errors import RunDirectoryError
from xingping.evaluation import Answers, evaluate_answers
from xingping.features import StoredFeatures
from xingping.predictor import RatingPredictor
from xingping.progress import Progress, Silent
from xingping.reviews import read_reviews

__all__ = ["evaluate_file"]


def evaluate_file(
    run: Path, source: Path, columns: ColumnSettings | None = None, *, progress: Progress | None = None
) -> dict[str, dict[str, Any]]:
    """Rate a file that a run has not seen, with each of its models, and measure.

    Returns
    -------
    dict
        `{task: M}` with M as `metrics.rating_metrics` gives it.

    Raises
    ------
    InputError
        The file cannot be read or has no usable row.
    RunDirectoryError
        The run has no trained model.
    """
    progress = progress or Silent()
    tasks = [task for task in get_args(Task) if (run / "models" / task / "model.json").is_file()]
    if not tasks:
        raise RunDirectoryError(f"{run} holds no trained model; run: xingping train {run}")
    predictors = [RatingPredictor.load(run, task=task) for task in tasks]
    reviews = read_reviews(source, columns or ColumnSettings(), predictors[0].card.cleaning)
    progress.say(
        f"{source.name}: {reviews.rows_read:,} rows read = {reviews.rows_kept:,} kept + "
        f"{reviews.rows_rejected:,} rejected + {reviews.rows_duplicate:,} duplicate"
    )
    texts = reviews.table["text"].to_pylist()
    true = reviews.table["rating"].to_numpy().astype(np.int64)
    features = _stored_features(predictors[0], texts, progress)
    return {
        predictor.task: evaluate_answers(true, Answers.of(predictor.predict_features(features, texts)))
        for predictor in predictors
    }


def _stored_features(predictor: RatingPredictor, texts: list[str], progress: Progress) -> StoredFeatures:
    """Return features of cleaned texts from the store, encoding what is not there."""
    store = open_store(predictor)
    missing = store.missing(texts)
    if missing:
        with progress.bar("encode", len(missing), "texts") as advance:
            store.encode(predictor.encoder, missing, progress=advance)
    return store.view(texts)
