"""The stage evaluate: all measures of a run's models on its test split, and what the report shows of them."""

from collections.abc import Mapping
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xingping.answers import Ratings
from xingping.artifacts import RunDirectory, write_json, write_table
from xingping.baselines import MOST_REVIEWS, sample_reviews
from xingping.behaviour import run_behaviour_tests
from xingping.config import Task
from xingping.evaluation import (
    Answers,
    BaselineData,
    baseline_answers,
    evaluate_answers,
    evaluate_film_means,
    evaluate_films,
    evaluate_slices,
    measure_doubt,
    predictions_table,
)
from xingping.examples import explain_examples
from xingping.faithfulness import measure_faithfulness
from xingping.features import StoredFeatures
from xingping.fitting import EncodedReviews
from xingping.label_noise import equal_text_ceiling, suspect_labels
from xingping.moving_words import find_moving_words
from xingping.predictor import RatingPredictor
from xingping.progress import Progress
from xingping.projection import ReviewMap, project_reviews, sample_for_projection
from xingping.segmentation import Segmenter
from xingping.splits import SPLITS, UNUSED

__all__ = ["assess_run"]

CHANGED_REVIEWS = 200
"""Test reviews that behavioural tests change."""


def assess_run(run: RunDirectory, data: EncodedReviews, progress: Progress) -> None:
    """Measure the models of a run on its test split, and write what the report shows.

    That is `metrics.json`, `predictions.parquet`, `explanations.json`, `projection.parquet` and
    `review_map.safetensors`.

    Parameters
    ----------
    run
        With trained models.
    data
        Its reviews and their features.
    progress
        Who watches.
    """
    _Assessment(run, data, progress).write()


class _Assessment:
    """The models of a run, and the reviews that they are measured on."""

    def __init__(self, run: RunDirectory, data: EncodedReviews, progress: Progress) -> None:
        self.run, self.data, self.progress = run, data, progress
        self.reviews, self.settings = data.reviews, data.settings
        self.predictors = {task: RatingPredictor.load(run.path, task=task) for task in self.settings.tasks}

    def write(self) -> None:
        """Measure, and write all files."""
        reviews, indices = self.reviews, self.reviews.indices("test")
        features = self.data.features.take(indices)
        test = reviews.table(indices, ["row", "text", "film", "rating"])
        texts = test["text"].to_pylist()
        true, films = reviews.ratings(indices), reviews.film_names(indices)
        self.progress.say(f"evaluate: rating {len(texts):,} test reviews")
        ratings = {task: each.predict_features(features, texts) for task, each in self.predictors.items()}
        models: dict[str, Answers] = {task: Answers.of(each) for task, each in ratings.items()}
        self.progress.say("evaluate: baselines")
        baselines, trained_on = self._baselines()
        self.progress.say("evaluate: intervals, slices, behaviour")
        first = self.predictors[self.settings.tasks[0]]
        believed = next((each.probabilities for each in ratings.values() if each.probabilities is not None), None)
        suspects = None if believed is None else suspect_labels(believed, true)
        segmenter = Segmenter(self.settings.segmentation, extra_words=sorted(set(films)))
        some = [texts[row] for row in sample_reviews(len(texts), most=CHANGED_REVIEWS, seed=self.settings.seed)]
        write_json(
            self.run.file("metrics.json"),
            {
                "test": {task: evaluate_answers(true, answers) for task, answers in models.items()},
                "valid": self._validate(),
                "baselines": {name: evaluate_answers(true, answers) for name, answers in baselines.items()},
                "baselines_trained_on": trained_on,
                **measure_doubt(true, reviews.film[indices], models, baselines, seed=self.settings.seed),
                "prediction_sets": _measure_sets(self.predictors, ratings, true),
                "slices": evaluate_slices(texts, true, models, films),
                "ceiling": equal_text_ceiling(chain.from_iterable(reviews.texts), reviews.rating.astype(np.int64)),
                "suspect_labels": None if suspects is None else {"n": len(suspects), "of": len(true)},
                "behaviour": run_behaviour_tests(lambda texts: first.predict(texts).expected, some),
                "films": evaluate_films(films, true, models, baselines),
                "film_means": {
                    task: evaluate_film_means(films, true, ratings[task].expected, each.film_means)
                    for task, each in self.predictors.items()
                },
                **self._explanations(first, features, texts, segmenter),
            },
        )
        predictions = predictions_table(test, models, baselines)
        if suspects is not None:
            rank = np.zeros(len(true), dtype=np.int32)
            rank[suspects] = np.arange(1, len(suspects) + 1)
            predictions = predictions.append_column("suspect_rank", pa.array(rank, mask=rank == 0))
        write_table(self.run.file("predictions.parquet"), predictions)
        self.progress.say("evaluate: highlighted words")
        write_json(self.run.file("explanations.json"), explain_examples(first, test, features, segmenter))
        self.progress.say("evaluate: t-SNE")
        self._project(first)

    def _explanations(
        self, predictor: RatingPredictor, features: StoredFeatures, texts: list[str], segmenter: Segmenter
    ) -> dict[str, Any]:
        """Return how far explanations can be trusted, and which words they say move ratings most."""
        self.progress.say("evaluate: explanations, and whether they are true")
        seed = self.settings.seed
        return {
            "faithfulness": measure_faithfulness(predictor, texts, segmenter, seed=seed),
            "moving_words": find_moving_words(predictor, features, texts, segmenter, seed=seed),
        }

    def _baselines(self) -> tuple[dict[str, Answers], dict[str, int]]:
        """Let the baselines rate the test split, and say on how many of the training reviews they were trained."""
        train = self.reviews.indices("train")
        seen = train[sample_reviews(len(train), most=MOST_REVIEWS, seed=self.settings.seed)]
        answers = baseline_answers(
            self._baseline_data(seen),
            self.reviews.ratings(seen),
            self._baseline_data(self.reviews.indices("test")),
            seed=self.settings.seed,
        )
        return answers, {"reviews": len(seen), "of": len(train)}

    def _baseline_data(self, indices: NDArray[np.int64]) -> BaselineData:
        means = None if self.settings.finetuning.enabled else self.data.features.take(indices).means()
        return BaselineData(self.data.texts(indices), self.data.words(indices), means)

    def _validate(self) -> dict[str, Any]:
        """Return the measures on the validation split."""
        indices = self.reviews.indices("valid")
        true = self.reviews.ratings(indices)
        return {
            task: evaluate_answers(true, self.data.rate(predictor, indices))
            for task, predictor in self.predictors.items()
        }

    def _project(self, predictor: RatingPredictor) -> None:
        """Put reviews on the two maps."""
        seed = self.settings.seed
        used = np.flatnonzero(self.reviews.split != UNUSED)
        is_test = self.reviews.split[used] == SPLITS.index("test")
        indices = used[sample_for_projection(is_test, self.reviews.film[used], seed=seed)]
        features = self.data.features.take(indices)
        vectors = {"": predictor.vectors(features), "frozen_": features.means()}
        sample = self.reviews.table(indices, ["row", "split", "film", "rating"])
        maps = {name: ReviewMap.fit(each, seed=seed) for name, each in vectors.items()}
        write_table(self.run.file("projection.parquet"), project_reviews(sample, maps))
        maps[""].save(self.run.path)


def _measure_sets(
    predictors: Mapping[Task, RatingPredictor], ratings: Mapping[Task, Ratings], true: NDArray[np.int64]
) -> dict[str, Any]:
    """Return how the prediction sets of each task do on the test split."""
    measured: dict[str, Any] = {}
    for task, predictor in predictors.items():
        calibration, probabilities = predictor.card.calibration, ratings[task].probabilities
        if calibration is not None and calibration.sets is not None and probabilities is not None:
            measured[task] = calibration.sets.measure(probabilities, true)
    return measured
