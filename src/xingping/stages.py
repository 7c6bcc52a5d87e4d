"""What each stage does, from the files of the stages before it to its own."""

import shutil
from collections.abc import Callable
from functools import cached_property, partial
from pathlib import Path
from typing import Any, get_args

from xingping.artifacts import RunDirectory, write_json
from xingping.assessment import assess_run
from xingping.baselines import sample_reviews
from xingping.checkpoints import remove_checkpoint
from xingping.config import EncoderSettings, EngineSettings, RunSettings, Task
from xingping.crossvalidation import crossvalidate
from xingping.encoders import FrozenEncoder
from xingping.end_to_end import LabelledTexts
from xingping.errors import SettingsError
from xingping.features import FeatureStore, StoredFeatures
from xingping.finetuning import finetune
from xingping.fitting import EncodedReviews, fit_ngrams
from xingping.language import _, speaking
from xingping.learning_curve import trace_learning_curve
from xingping.names import task_label
from xingping.neighbours import MOST_REVIEWS as MOST_NEIGHBOURS
from xingping.neighbours import Neighbours
from xingping.ngrams import NgramModel
from xingping.plots import learning_curves, save_figure
from xingping.predictor import TUNED, load_encoder
from xingping.preparation import prepare
from xingping.prepared import PreparedReviews
from xingping.progress import Progress
from xingping.report import find_films, write_report
from xingping.schedule import training_length
from xingping.segmentation import Segmenter
from xingping.texts import TextBatches
from xingping.training import LabelledFeatures, TrainedHead, train_head
from xingping.unfreezing import TrainableEncoder

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
        if summary["rows_rejected"]:
            reasons = ", ".join(f"{reason} ({n:,})" for reason, n in summary["rejected_by_reason"].items())
            self.progress.say(f"prepare: rejected: {reasons}; each with its line in {self.run.file('rejects.csv')}")

    def encode(self) -> None:
        """Encode every text that the store does not hold; where the encoder is fine-tuned, it encodes afterwards."""
        asked_for = [*self.settings.movies, *([self.settings.versus] if self.settings.versus else [])]
        find_films(self.reviews.film_counts(), asked_for)
        encoder = load_encoder(self.settings.encoder)
        self._encoder = encoder
        self.run.update(encoder={**encoder.describe(), "fingerprint": encoder.fingerprint}, tuned_encoder=None)
        if self.settings.finetuning.enabled:
            self.progress.say("encode: nothing yet, the encoder is fine-tuned first")
            return
        features = self.features
        self.progress.say(
            f"encode: {len(features):,} reviews, {int(features.lengths.sum()):,} {self.settings.features.unit}s of "
            f"{features.dim} dimensions ({encoder.name}, {encoder.runtime}, {encoder.precision})"
        )
        self._encoder = None  # its memory is better used by the stages that follow

    def train(self) -> None:
        """Train a head for each task, or one for all, and the n-grams; then learn from validation to weigh them.

        With `--finetune` one network for all tasks is trained, encoder and head.
        """
        settings = self.settings
        if settings.finetuning.enabled:
            self.progress.say(f"train: the encoder too (--finetune {settings.finetuning.mode})")
        self.run.update(tuned_encoder=None)
        self._remove_other_models()
        if settings.ngrams.enabled:
            self.progress.say("train: n-grams")
        ngrams = fit_ngrams(self.reviews, settings, self.reviews.indices("train"))
        if settings.finetuning.enabled:
            self._finetune(ngrams)
            return
        jobs = [settings.tasks] if settings.training.joint else [(task,) for task in settings.tasks]
        for tasks in jobs:
            reviews = len(self.reviews.indices("train"))
            total = training_length(settings.training, reviews).epochs * reviews
            checkpoint = self.run.file(f"models/{tasks[0]}") / "checkpoint"
            with self.progress.bar(f"train: {', '.join(tasks)}", total, "reviews") as advance:
                trained = self._train(tasks, checkpoint, advance)
            self._save_models(tasks, trained, ngrams)

    def _remove_other_models(self) -> None:
        """Remove models of tasks that the run does not have any more, so that nobody takes them for its own."""
        for task in set(get_args(Task)) - set(self.settings.tasks):
            shutil.rmtree(self.run.file(f"models/{task}"), ignore_errors=True)

    @cached_property
    def trainable(self) -> TrainableEncoder:
        """The encoder that is fine-tuned, not loaded yet; what cannot be trained of it is refused here."""
        return TrainableEncoder(self.settings.encoder, self.settings.finetuning)

    def _finetune(self, ngrams: NgramModel | None) -> None:
        """Train the encoder and a head for all tasks, and keep the encoder in the run directory."""
        settings, checkpoint, trainable = self.settings, self.run.file("models/finetuning"), self.trainable
        total = settings.finetuning.epochs * len(self.reviews.indices("train"))
        with self.progress.bar("train: encoder and head", total, "reviews") as advance:
            trained = finetune(
                settings.tasks,
                trainable,
                self._labelled_texts("train"),
                self._labelled_texts("valid"),
                settings.head,
                settings.training,
                seed=settings.seed,
                checkpoint=checkpoint,
                progress=advance,
            )
        trainable.save(self.run.file(TUNED))
        del self.trainable
        chosen = settings.encoder.model_copy(update={"layers": trainable.layers})
        self._encoder = encoder = load_encoder(chosen, self.run.file(TUNED))
        described = {**encoder.describe(), "name": settings.encoder.name, "tuned": settings.finetuning.mode}
        self.run.update(tuned_encoder=described)
        self._save_models(settings.tasks, trained, ngrams)
        self._encoder = None
        remove_checkpoint(checkpoint)

    def _labelled_texts(self, split: str) -> LabelledTexts:
        indices = self.reviews.indices(split)
        texts = self.reviews.table(indices, ["text"])["text"].to_pylist()
        film = self.reviews.named_films(indices) if self.settings.takes_film_effects else None
        return LabelledTexts(texts, self.reviews.ratings(indices), film)

    def tune(self, task: Task, seconds: float, trials: int | None) -> RunSettings:
        """Search for a better head, and return the settings with the winner's."""
        try:
            from xingping.tuning import tune_head
        except ModuleNotFoundError as error:
            raise SettingsError("xingping tune needs Optuna; run: pip install 'xingping[tune]'") from error
        settings = self.settings
        found = tune_head(
            task,
            self._labelled("train"),
            self._labelled("valid"),
            settings.head,
            settings.training,
            seed=settings.seed,
            seconds=seconds,
            journal=self.run.file("tuning/journal.log"),
            trials=trials,
            on_trial=self.progress.say,
        )
        self.progress.say(
            f"tune: {found.trials} trials ({found.pruned} given up); validation loss {found.first_loss:.4f} -> "
            f"{found.valid_loss:.4f}"
        )
        return settings.model_copy(update={"head": found.head, "training": found.training})

    def crossvalidate(self, task: Task, folds: int | None, key: str) -> None:
        """Train and measure a model for each fold of films."""
        record = crossvalidate(
            self._encoded, task, folds, self.run.file("cross_validation"), key=key, progress=self.progress
        )
        write_json(self.run.file("cross_validation.json"), record)

    def learning_curve(self, task: Task, sizes: tuple[int | None, ...], seeds: int, key: str) -> None:
        """Train and measure models on few labels and on more."""
        record = trace_learning_curve(
            self._encoded, task, sizes, seeds, self.run.file("learning_curve"), key=key, progress=self.progress
        )
        with speaking(self.settings.language):
            title = _("Test split, {task}").format(task=task_label(task))
            save_figure(learning_curves(record["points"], title), self.run.path, "learning_curve")
        write_json(self.run.file("learning_curve.json"), record)

    @property
    def _encoded(self) -> EncodedReviews:
        fingerprint = self._used_encoder["fingerprint"]
        return EncodedReviews(self.reviews, self.features, self.settings, self._resolved_encoder(), fingerprint)

    def _save_models(self, tasks: tuple[Task, ...], trained: TrainedHead, ngrams: NgramModel | None) -> None:
        best = trained.epochs[trained.best_epoch - 1]
        self.progress.say(
            f"train: {', '.join(tasks)}, best epoch {trained.best_epoch} of {len(trained.epochs)}: validation "
            f"accuracy {best.valid_accuracy:.3f}, within one {best.valid_accuracy_within_one:.3f}"
        )
        for task in tasks:
            self._save_model(task, trained, ngrams)

    def _save_model(self, task: Task, trained: TrainedHead, ngrams: NgramModel | None) -> None:
        folder = self.run.file(f"models/{task}")
        predictor = self._encoded.calibrated(task, trained.head.only(task), ngrams, self.reviews.indices("valid"))
        write_json(folder / "history.json", trained.history())
        train = self.reviews.indices("train")
        kept = train[sample_reviews(len(train), most=MOST_NEIGHBOURS, seed=self.settings.seed)]
        reviews = self.reviews.table(kept, ["text", "film", "rating"])
        Neighbours.build(predictor, self.features.take(kept), reviews).save(folder / "neighbours.parquet")
        predictor.save(folder)

    def _train(self, tasks: tuple[Task, ...], checkpoint: Path, advance: Callable[[int], None]) -> TrainedHead:
        settings = self.settings
        if self.engine.engine == "ray":
            from xingping.scale import stored_splits, train_on_ray

            return train_on_ray(
                tasks,
                partial(
                    stored_splits,
                    self.run.file("reviews.parquet"),
                    self._store,
                    self._n_layers,
                    film_effects=settings.takes_film_effects,
                ),
                settings.head,
                settings.training,
                seed=settings.seed,
                folder=checkpoint.parent,
                engine=self.engine,
                checkpoint=checkpoint,
                progress=advance,
            )
        return train_head(
            tasks,
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
        assess_run(self.run, self._encoded, self.progress)

    def report(self) -> None:
        """Write the page and its figures."""
        self.progress.say("report: figures and page")
        settings = self.settings
        with speaking(settings.language):
            write_report(self.run.path, settings.movies, all_movies=settings.all_movies, versus=settings.versus)

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
            tuned = self.run.file(TUNED) if "tuned" in self._used_encoder else None
            self._encoder = self._encoder or load_encoder(self._resolved_encoder(), tuned)
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
        return FeatureStore(self._used_encoder["fingerprint"], settings=settings.features, segmenter=segmenter)

    _encoder: FrozenEncoder | None = None

    @property
    def _used_encoder(self) -> dict[str, Any]:
        """What `run.json` says of the encoder whose features the models see."""
        record = self.run.record
        used: dict[str, Any] = record.get("tuned_encoder") or record["encoder"]
        return used

    def _resolved_encoder(self) -> EncoderSettings:
        """Return the settings of the encoder that was used, with nothing left to choose anew."""
        used = self._used_encoder
        names = ("layers", "precision", "runtime", "max_length")
        return EncoderSettings.parse({"name": self.settings.encoder.name, **{name: used[name] for name in names}})

    @property
    def _n_layers(self) -> int:
        return len(self._used_encoder["layers"])

    def _labelled(self, split: str) -> LabelledFeatures:
        return self._encoded.labelled(self.reviews.indices(split))
