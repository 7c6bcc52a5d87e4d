"""What each stage does, from the files of the stages before it to its own."""

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xingping.artifacts import RunDirectory, write_json, write_table
from xingping.config import RunSettings, Task
from xingping.encoders import FrozenEncoder
from xingping.errors import InputError, RunDirectoryError
from xingping.evaluation import Answers, baseline_answers, evaluate_answers, evaluate_films, predictions_table
from xingping.explanation import explain_examples
from xingping.features import FeatureStore, StoredFeatures
from xingping.predictor import MODEL_FORMAT, ModelCard, RatingPredictor, load_encoder
from xingping.progress import Progress
from xingping.projection import project_reviews, sample_for_projection
from xingping.report import check_movies, write_report
from xingping.reviews import Reviews, read_reviews, write_rejects
from xingping.segmentation import Segmenter
from xingping.splits import SPLITS, split_reviews
from xingping.summary import summarise
from xingping.training import LabelledFeatures, train_head

__all__ = ["StageWork"]


class StageWork:
    """The work of each stage of one run, and what the stages share while they follow each other.

    Parameters
    ----------
    run
        The run directory.
    settings
        Of the run.
    data
        The source, as `run.json` has it.
    progress
        Who watches.
    """

    def __init__(self, run: RunDirectory, settings: RunSettings, data: dict[str, Any], progress: Progress) -> None:
        self.run = run
        self.settings = settings
        self.data = data
        self.progress = progress

    def prepare(self) -> None:
        """Read, check, clean, segment and split the data."""
        settings = self.settings
        path = Path(self.data["path"])
        self.progress.say(f"prepare: reading {path.name}")
        reviews = read_reviews(path, settings.columns, settings.cleaning)
        table = reviews.table
        stars = table["rating"].unique().to_pylist()
        if len(stars) == 1:
            raise InputError(f"{path}: all {table.num_rows:,} reviews have {stars[0]} stars; two ratings are needed")
        split = split_reviews(table["text"], table["film"], table["rating"], settings.split, seed=settings.seed)
        words = self._segment(table)
        table = table.append_column("split", split).append_column("words", words)
        write_rejects(self.run.file("rejects.csv"), reviews.rejects)
        write_table(self.run.file("reviews.parquet"), table)
        write_json(self.run.file("data_summary.json"), {"source": self._source(reviews), **summarise(reviews, table)})
        self.progress.say(
            f"prepare: {reviews.rows_read:,} rows read = {reviews.rows_kept:,} kept + "
            f"{reviews.rows_rejected:,} rejected + {reviews.rows_duplicate:,} duplicate"
        )

    def _segment(self, table: pa.Table) -> pa.Array:
        films = table["film"].unique().to_pylist()
        segmenter = Segmenter(self.settings.segmentation, extra_words=films)
        texts = table["text"].to_pylist()
        with self.progress.bar("prepare: words", len(texts), "reviews") as advance:
            words = segmenter.words(texts)
            advance(len(texts))
        return pa.array(words, pa.list_(pa.string()))

    def _source(self, reviews: Reviews) -> dict[str, Any]:
        kept = {name: self.data[name] for name in ("name", "sha256")}
        return {**kept, "encoding": reviews.encoding, "format": reviews.format}

    def encode(self) -> None:
        """Encode every text that the store does not hold."""
        check_movies(self.reviews, self.settings.movies)
        encoder = load_encoder(self.settings.encoder)
        self._encoder = encoder
        self.run.update(encoder={**encoder.describe(), "fingerprint": encoder.fingerprint})
        features = self._features(self.reviews["text"].to_pylist())
        self.progress.say(
            f"encode: {len(features):,} reviews, {int(features.lengths.sum()):,} tokens of {features.dim} dimensions "
            f"({encoder.name}, {encoder.precision})"
        )
        self._encoder = None  # its memory is better used by the stages that follow

    def train(self) -> None:
        """Train a head for each task."""
        train, valid = self._labelled("train"), self._labelled("valid")
        settings = self.settings
        for task in settings.tasks:
            total = settings.training.epochs * len(train.ratings)
            with self.progress.bar(f"train: {task}", total, "reviews") as advance:
                trained = train_head(
                    task, train, valid, settings.head, settings.training, seed=settings.seed, progress=advance
                )
            folder = self.run.file(f"models/{task}")
            write_json(folder / "history.json", trained.history())
            card = ModelCard(
                format=MODEL_FORMAT,
                task=task,
                encoder=settings.encoder,
                encoder_fingerprint=self.run.record["encoder"]["fingerprint"],
                dim=train.features.dim,
                head=settings.head,
                cleaning=settings.cleaning,
                segmentation=settings.segmentation,
            )
            RatingPredictor(card, trained.head).save(folder)
            best = trained.epochs[trained.best_epoch - 1]
            self.progress.say(
                f"train: {task}, best epoch {trained.best_epoch} of {len(trained.epochs)}: validation accuracy "
                f"{best.valid_accuracy:.3f}, within one {best.valid_accuracy_within_one:.3f}"
            )

    def evaluate(self) -> None:
        """Measure on the test split, and make what the report shows."""
        test = self._rows("test")
        features = self._features(test["text"].to_pylist())
        true = _ratings(test)
        models: dict[str, Answers] = {
            task: Answers.of(self._predictor(task).predict_features(features)) for task in self.settings.tasks
        }
        self.progress.say("evaluate: baselines")
        train = self._rows("train")
        baselines = baseline_answers(train["text"].to_pylist(), _ratings(train), test["text"].to_pylist())
        write_json(
            self.run.file("metrics.json"),
            {
                "test": {task: evaluate_answers(true, answers) for task, answers in models.items()},
                "valid": self._validate(),
                "baselines": {name: evaluate_answers(true, answers) for name, answers in baselines.items()},
                "films": evaluate_films(_films(test), true, models, baselines),
            },
        )
        write_table(self.run.file("predictions.parquet"), predictions_table(test, models, baselines))
        self.progress.say("evaluate: highlighted words")
        predictor = self._predictor(self.settings.tasks[0])
        segmenter = Segmenter(self.settings.segmentation, extra_words=test["film"].unique().to_pylist())
        write_json(self.run.file("explanations.json"), explain_examples(predictor, test, features, segmenter))
        self.progress.say("evaluate: t-SNE")
        sample = sample_for_projection(self.reviews, seed=self.settings.seed)
        features = self._features(sample["text"].to_pylist())
        vectors = {"": predictor.vectors(features), "frozen_": features.means()}
        write_table(self.run.file("projection.parquet"), project_reviews(sample, vectors, seed=self.settings.seed))

    def _validate(self) -> dict[str, Any]:
        valid = self._labelled("valid")
        return {
            task: evaluate_answers(valid.ratings, Answers.of(self._predictor(task).predict_features(valid.features)))
            for task in self.settings.tasks
        }

    def report(self) -> None:
        """Write the page and its figures."""
        self.progress.say("report: figures and page")
        write_report(self.run.path, self.settings.movies)

    @cached_property
    def reviews(self) -> pa.Table:
        """The prepared reviews."""
        path = self.run.file("reviews.parquet")
        if not path.is_file():
            raise RunDirectoryError(f"{path} is missing; run: xingping prepare DATA --out {self.run.path}")
        return pq.read_table(path)

    _encoder: FrozenEncoder | None = None
    _store: FeatureStore | None = None  # one for all stages: each maps its files anew

    def _features(self, texts: list[str]) -> StoredFeatures:
        """Return stored features of reviews, encoding first what is not stored (any more)."""
        key = self.run.record["encoder"]["fingerprint"]
        if self._store is None or self._store.fingerprint != key:
            self._store = FeatureStore(key)
        store = self._store
        if store.missing(texts):
            # All at once, whatever is asked for: the last digits of a vector depend on the batch it was in.
            everything = self.reviews["text"].to_pylist()
            self._encoder = self._encoder or load_encoder(self.settings.encoder)
            with self.progress.bar("encode", len(store.missing(everything)), "texts") as advance:
                store.encode(self._encoder, everything, progress=advance)
        return store.view(texts)

    def _rows(self, split: str) -> pa.Table:
        codes = self.reviews["split"].combine_chunks()
        names = codes.dictionary.to_pylist() if isinstance(codes, pa.DictionaryArray) else list(SPLITS)
        return self.reviews.filter(pa.compute.equal(codes.indices, names.index(split)))

    def _labelled(self, split: str) -> LabelledFeatures:
        rows = self._rows(split)
        return LabelledFeatures(self._features(rows["text"].to_pylist()), _ratings(rows))

    def _predictor(self, task: Task) -> RatingPredictor:
        return RatingPredictor.load(self.run.path, task=task)


def _ratings(rows: pa.Table) -> NDArray[np.int64]:
    return np.asarray(rows["rating"].to_numpy(), dtype=np.int64)


def _films(rows: pa.Table) -> NDArray[np.object_]:
    return np.asarray(rows["film"].to_pylist(), dtype=object)
