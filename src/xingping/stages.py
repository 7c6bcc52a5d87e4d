"""What each stage does, from the files of the stages before it to its own."""

from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from xingping.artifacts import RunDirectory, write_json, write_table
from xingping.baselines import sample_for_baselines
from xingping.config import EncoderSettings, EngineSettings, RunSettings, Task
from xingping.encoders import FrozenEncoder
from xingping.evaluation import Answers, baseline_answers, evaluate_answers, evaluate_films, predictions_table
from xingping.explanation import explain_examples
from xingping.features import FeatureStore, StoredFeatures
from xingping.predictor import MODEL_FORMAT, ModelCard, RatingPredictor, load_encoder
from xingping.preparation import prepare
from xingping.prepared import PreparedReviews
from xingping.progress import Progress
from xingping.projection import project_reviews, sample_for_projection
from xingping.report import find_films, write_report
from xingping.segmentation import Segmenter
from xingping.splits import SPLITS
from xingping.texts import TextBatches
from xingping.training import LabelledFeatures, TrainedHead, train_head

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
    engine
        What computes.
    progress
        Who watches.
    """

    def __init__(
        self,
        run: RunDirectory,
        settings: RunSettings,
        data: dict[str, Any],
        engine: EngineSettings,
        progress: Progress,
    ) -> None:
        self.run = run
        self.settings = settings
        self.data = data
        self.engine = engine
        self.progress = progress

    def prepare(self) -> None:
        """Read, check, clean, segment and split the data."""
        path = Path(self.data["path"])
        self.progress.say(f"prepare: reading {path.name}")
        source = {name: self.data[name] for name in ("name", "sha256")}
        summary = prepare(path, self.settings, self.run.path, source, progress=self.progress)
        self.progress.say(
            f"prepare: {summary['rows_read']:,} rows read = {summary['rows_kept']:,} kept + "
            f"{summary['rows_rejected']:,} rejected + {summary['rows_duplicate']:,} duplicate"
        )

    def encode(self) -> None:
        """Encode every text that the store does not hold."""
        find_films(self.reviews.film_counts(), self.settings.movies)
        encoder = load_encoder(self.settings.encoder)
        self._encoder = encoder
        self.run.update(encoder={**encoder.describe(), "fingerprint": encoder.fingerprint})
        features = self.features
        self.progress.say(
            f"encode: {len(features):,} reviews, {int(features.lengths.sum()):,} {self.settings.features.unit}s of "
            f"{features.dim} dimensions ({encoder.name}, {encoder.runtime}, {encoder.precision})"
        )
        self._encoder = None  # its memory is better used by the stages that follow

    def train(self) -> None:
        """Train a head for each task."""
        settings, features = self.settings, self.features
        for task in settings.tasks:
            folder = self.run.file(f"models/{task}")
            total = settings.training.epochs * len(self.reviews.indices("train"))
            with self.progress.bar(f"train: {task}", total, "reviews") as advance:
                trained = self._train(task, folder / "checkpoint", advance)
            write_json(folder / "history.json", trained.history())
            card = ModelCard(
                format=MODEL_FORMAT,
                task=task,
                encoder=self._resolved_encoder(),
                encoder_fingerprint=self.run.record["encoder"]["fingerprint"],
                features=settings.features,
                dim=features.dim,
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

    def _train(self, task: Task, checkpoint: Path, advance: Callable[[int], None]) -> TrainedHead:
        settings = self.settings
        if self.engine.engine == "ray":
            from xingping.scale import stored_splits, train_on_ray

            return train_on_ray(
                task,
                partial(stored_splits, self.run.file("reviews.parquet"), self._store),
                settings.head,
                settings.training,
                seed=settings.seed,
                folder=checkpoint.parent,
                engine=self.engine,
                checkpoint=checkpoint,
                progress=advance,
            )
        return train_head(
            task,
            self._labelled("train"),
            self._labelled("valid"),
            settings.head,
            settings.training,
            seed=settings.seed,
            checkpoint=checkpoint,
            progress=advance,
        )

    def evaluate(self) -> None:
        """Measure on the test split, and make what the report shows."""
        reviews, indices = self.reviews, self.reviews.indices("test")
        features = self.features.take(indices)
        test = reviews.table(indices, ["row", "text", "film", "rating"])
        true, films = reviews.ratings(indices), reviews.film_names(indices)
        models: dict[str, Answers] = {
            task: Answers.of(self._predictor(task).predict_features(features)) for task in self.settings.tasks
        }
        self.progress.say("evaluate: baselines")
        baselines, trained_on = self._baselines(test["text"].to_pylist())
        write_json(
            self.run.file("metrics.json"),
            {
                "test": {task: evaluate_answers(true, answers) for task, answers in models.items()},
                "valid": self._validate(),
                "baselines": {name: evaluate_answers(true, answers) for name, answers in baselines.items()},
                "baselines_trained_on": trained_on,
                "films": evaluate_films(films, true, models, baselines),
            },
        )
        write_table(self.run.file("predictions.parquet"), predictions_table(test, models, baselines))
        self.progress.say("evaluate: highlighted words")
        predictor = self._predictor(self.settings.tasks[0])
        segmenter = Segmenter(self.settings.segmentation, extra_words=sorted(set(films)))
        write_json(self.run.file("explanations.json"), explain_examples(predictor, test, features, segmenter))
        self.progress.say("evaluate: t-SNE")
        self._project(predictor)

    def _baselines(self, texts: list[str]) -> tuple[dict[str, Answers], dict[str, int]]:
        """Let the baselines rate texts, and say on how many of the training reviews they were trained."""
        train = self.reviews.indices("train")
        seen = train[sample_for_baselines(len(train), seed=self.settings.seed)]
        train_texts = self.reviews.table(seen, ["text"])["text"].to_pylist()
        answers = baseline_answers(train_texts, self.reviews.ratings(seen), texts)
        return answers, {"reviews": len(seen), "of": len(train)}

    def _project(self, predictor: RatingPredictor) -> None:
        seed = self.settings.seed
        is_test = self.reviews.split == SPLITS.index("test")
        indices = sample_for_projection(is_test, self.reviews.film, seed=seed)
        features = self.features.take(indices)
        vectors = {"": predictor.vectors(features), "frozen_": features.means()}
        sample = self.reviews.table(indices, ["row", "split", "film", "rating"])
        write_table(self.run.file("projection.parquet"), project_reviews(sample, vectors, seed=seed))

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
    def reviews(self) -> PreparedReviews:
        """The prepared reviews."""
        return PreparedReviews.open(self.run.file("reviews.parquet"))

    @cached_property
    def features(self) -> StoredFeatures:
        """Stored features of all reviews, in their order; what is not stored (any more) is encoded first.

        All at once, whatever a stage needs: the texts of a shard are then those of an undisturbed run.
        """
        store, texts = self._store, self.reviews.texts
        missing = store.count_missing(texts)
        if missing:
            self._encoder = self._encoder or load_encoder(self._resolved_encoder())
            forecast = store.forecast(self._encoder, texts)
            self.progress.say(f"encode: {forecast}")
            forecast.check()
            with self.progress.bar("encode", missing, "texts") as advance:
                self._encode(store, self._encoder, texts, advance)
        return store.view(texts)

    def _encode(
        self, store: FeatureStore, encoder: FrozenEncoder, texts: TextBatches, advance: Callable[[int], None]
    ) -> None:
        if self.engine.engine == "ray":
            from xingping.scale import encode_on_ray

            encode_on_ray(store, encoder, texts, engine=self.engine, progress=advance)
        else:
            store.encode(encoder, texts, progress=advance)

    @property
    def _store(self) -> FeatureStore:
        settings = self.settings
        segmenter = Segmenter(settings.segmentation) if settings.features.unit == "word" else None
        return FeatureStore(self.run.record["encoder"]["fingerprint"], settings=settings.features, segmenter=segmenter)

    _encoder: FrozenEncoder | None = None

    def _resolved_encoder(self) -> EncoderSettings:
        """Return the settings of the encoder that was used, with nothing left to choose anew."""
        used = self.run.record["encoder"]
        names = ("layers", "precision", "runtime", "max_length")
        return EncoderSettings.parse({"name": self.settings.encoder.name, **{name: used[name] for name in names}})

    def _labelled(self, split: str) -> LabelledFeatures:
        indices = self.reviews.indices(split)
        return LabelledFeatures(self.features.take(indices), self.reviews.ratings(indices))

    def _predictor(self, task: Task) -> RatingPredictor:
        return RatingPredictor.load(self.run.path, task=task)
