"""A trained model that rates text: a frozen encoder, a head, n-grams, and what makes one answer of them."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from xingping.answers import NOWHERE, Attention, Ratings
from xingping.artifacts import atomic_folder, atomic_path, read_json, write_json
from xingping.calibration import Blend, FilmMeans, LinearBlend, PredictionSets
from xingping.cleaning import clean_text
from xingping.config import EncoderSettings, Measure, Task
from xingping.encoders import FrozenEncoder, TokenFeatures
from xingping.errors import EncoderError, InputError, RunDirectoryError
from xingping.features import FeatureStore, StoredFeatures, find_or_encode
from xingping.heads import RatingHead
from xingping.metrics import DecisionRule, decide, expected_rating, round_rating
from xingping.model_card import MODEL_FORMAT, Calibration, ModelCard
from xingping.ngrams import NgramModel
from xingping.ratings import NUM_CLASSES
from xingping.scoring import head_outputs, head_scores
from xingping.segmentation import Segmenter
from xingping.word_pooling import pool_words

__all__ = ["RatingPredictor"]

BUNDLED_LAYERS = (9, 11)
"""Layers of the bundled encoder that rated best on validation; its last one was trained for whole sentences."""

RULES: dict[Measure, DecisionRule] = {"accuracy": "mode", "within_one": "window", "mae": "median", "rmse": "mean"}
"""The rule that is best for each measure, given the true probabilities."""

TUNED = "encoder"
"""Folder of a fine-tuned encoder: in the run directory, where all models share it, or in a bundle of its own."""

CHUNK_TEXTS = 4096
"""Texts whose features are in memory at one time while rating."""


class RatingPredictor:
    """Rates texts with a trained head on an encoder, and n-grams beside it.

    Parameters
    ----------
    card
        What was trained, and on what.
    head
        The trained head.
    ngrams
        The n-gram model, where the card has one.
    encoder
        Loaded when first needed if None.
    bundle
        Where it was loaded from.
    """

    def __init__(
        self,
        card: ModelCard,
        head: RatingHead,
        *,
        ngrams: NgramModel | None = None,
        encoder: FrozenEncoder | None = None,
        bundle: Path | None = None,
    ) -> None:
        self.card = card
        self.bundle = bundle
        self.head = head.eval()
        self.ngrams = ngrams
        self._encoder = encoder
        self._segmenter: Segmenter | None = None
        self._store: FeatureStore | None = None

    @classmethod
    def load(cls, path: str | Path, *, task: Task | None = None) -> "RatingPredictor":
        """Load a model bundle, or the model of a run directory.

        Parameters
        ----------
        path
            A folder with `model.json`, or a run directory.
        task
            Which model of a run directory; by default classification where there is one.

        Raises
        ------
        RunDirectoryError
            There is no such model, or another version wrote it.
        """
        folder = _bundle(Path(path), task).resolve()
        values = read_json(folder / "model.json")
        found = values.get("format") if isinstance(values, dict) else None
        if found != MODEL_FORMAT:
            raise RunDirectoryError(
                f"{folder / 'model.json'} is of format {found}, this xingping reads format {MODEL_FORMAT}; train again"
            )
        card = ModelCard.parse(values)
        head = RatingHead(card.dim, card.head, (card.task,), len(card.encoder.layers or (-1,)))
        weights = folder / "head.safetensors"
        try:
            head.load_state_dict(load_file(weights))
        except (OSError, SafetensorError, RuntimeError) as error:
            reason = str(error).splitlines()[0]
            raise RunDirectoryError(f"cannot load {weights}: {reason}; train the model again") from error
        if not card.ngrams.enabled:
            return cls(card, head, bundle=folder)
        ngrams = NgramModel.load(folder / "ngrams.safetensors", card.ngrams, Segmenter(card.segmentation))
        return cls(card, head, ngrams=ngrams, bundle=folder)

    def save(self, folder: Path) -> None:
        """Write the bundle: `head.safetensors`, `ngrams.safetensors` and `model.json`.

        Written to another place than it was loaded from, a bundle takes a fine-tuned encoder along.
        """
        tuned = self.tuned_folder
        if tuned is not None and self.bundle != folder.resolve():
            with atomic_folder(folder / TUNED) as temporary:
                shutil.copytree(tuned, temporary, dirs_exist_ok=True)
        with atomic_path(folder / "head.safetensors") as temporary:
            save_file({name: value.contiguous() for name, value in self.head.state_dict().items()}, temporary)
        if self.ngrams is not None:
            self.ngrams.save(folder / "ngrams.safetensors")
        write_json(folder / "model.json", self.card.model_dump(mode="json"))

    def __getstate__(self) -> dict[str, Any]:
        """Return all but the encoder, which another process loads again."""
        return self.__dict__ | {"_encoder": None}

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.card.task

    @property
    def encoder(self) -> FrozenEncoder:
        """The encoder, loaded on first use.

        Raises
        ------
        EncoderError
            The encoder cannot be loaded, or is not the one that the head was trained on.
        """
        if self._encoder is None:
            self._encoder = load_encoder(self.card.encoder, self.tuned_folder)
            if self._encoder.fingerprint != self.card.encoder_fingerprint:
                name = self.card.encoder.name
                self._encoder = None
                raise EncoderError(
                    f"the encoder {name} is not the one this model was trained on (other weights, tokenizer or "
                    "precision); restore it, or train again"
                )
        return self._encoder

    @property
    def film_means(self) -> FilmMeans:
        """How a film's mean rating follows from predictions, with an interval.

        Raises
        ------
        RunDirectoryError
            The model has not learned from a validation split.
        """
        if self.card.calibration is None:
            raise RunDirectoryError("this model has seen no validation split, which says how far means can be trusted")
        return self.card.calibration.films

    @property
    def tuned_folder(self) -> Path | None:
        """Folder of the fine-tuned encoder; None where the encoder is frozen.

        Raises
        ------
        EncoderError
            It is not there.
        """
        if not self.card.finetuning.enabled or self.bundle is None:
            return None
        for folder in (self.bundle / TUNED, self.bundle.parent.parent / TUNED):
            if (folder / "config.json").is_file():
                return folder
        raise EncoderError(
            f"the model in {self.bundle} has a fine-tuned encoder, which is not with it; copy the folder {TUNED} of "
            f"its run directory to {self.bundle / TUNED}"
        )

    def clean(self, texts: Sequence[str]) -> list[str]:
        """Clean texts as the training texts were.

        Raises
        ------
        InputError
            `texts` is one string instead of a sequence of them.
        """
        if isinstance(texts, str):
            raise InputError("a list of texts is needed, got one string; write [text]")
        return [clean_text(text, self.card.cleaning) for text in texts]

    def predict(
        self, texts: Sequence[str], *, attention: bool = False, progress: Callable[[int], None] | None = None
    ) -> Ratings:
        """Rate texts; they are cleaned as the training texts were.

        Parameters
        ----------
        texts
            Raw texts. An empty one gets what the head says of no words at all.
        attention
            Whether to say where the head looked.
        progress
            Called with the number of distinct texts encoded since the last call.

        Raises
        ------
        InputError
            `texts` is one string instead of a sequence of them.
        """
        cleaned = self.clean(texts)
        distinct = list(dict.fromkeys(cleaned))
        parts = []
        for start in range(0, max(1, len(distinct)), CHUNK_TEXTS):
            chunk = distinct[start : start + CHUNK_TEXTS]
            features = StoredFeatures.of(self._encode(chunk, progress))
            parts.append(self.predict_features(features, chunk, attention=attention))
        place = {text: index for index, text in enumerate(distinct)}
        return Ratings.join(parts).take([place[text] for text in cleaned])

    def look_up(self, store: FeatureStore) -> None:
        """Take features from a store from now on, where it has them.

        One that keeps 8 bits is left alone: its vectors are not quite those of the encoder, and a rating must not
        depend on whether a text happens to be stored.
        """
        if store.layout.dtype == "fp16":
            self._store = store

    def encode(self, texts: Sequence[str]) -> StoredFeatures:
        """Return the features of raw texts, as `predict_features` and `vectors` take them."""
        cleaned = self.clean(texts)
        place = {text: index for index, text in enumerate(dict.fromkeys(cleaned))}
        features = StoredFeatures.of(self._encode(list(place), None))
        return features if len(place) == len(cleaned) else features.take([place[text] for text in cleaned])

    def _encode(self, texts: list[str], progress: Callable[[int], None] | None) -> TokenFeatures:
        """Return features of distinct cleaned texts in the unit that the head was trained on, stored or new."""
        if self._store is None:
            return self._compute(texts, progress)
        report = progress or (lambda _count: None)

        def compute(missing: list[str]) -> TokenFeatures:
            report(len(texts) - len(missing))
            return self._compute(missing, progress)

        return find_or_encode(self._store, texts, compute)

    def _compute(self, texts: list[str], progress: Callable[[int], None] | None) -> TokenFeatures:
        features = self.encoder.encode(texts, progress=progress)
        if self.card.features.unit == "token":
            return features
        self._segmenter = self._segmenter or Segmenter(self.card.segmentation)
        return pool_words(features, texts, self._segmenter)

    def predict_features(self, features: StoredFeatures, texts: Sequence[str], *, attention: bool = False) -> Ratings:
        """Rate texts whose features are stored.

        Parameters
        ----------
        features
            Of the texts.
        texts
            Cleaned texts, as they were encoded.
        attention
            Whether to say where the head looked.
        """
        scores = np.zeros((len(features), self.head.n_scores), dtype=np.float32)
        looked: list[Attention] | None = [NOWHERE] * len(features) if attention and self.head.attends else None
        for indices, output in head_outputs(self.head, features):
            scores[indices] = output.answer.numpy()
            if looked is not None and output.attention is not None:
                for index, weights in zip(indices.tolist(), output.attention.numpy(), strict=True):
                    spans = features.spans(index)
                    looked[index] = Attention(weights[:, : len(spans)], spans)
        return self._ratings(self._parts(scores, texts), None if looked is None else tuple(looked))

    def calibrate(
        self, features: StoredFeatures, texts: Sequence[str], ratings: NDArray[np.int64], film: NDArray[np.int32]
    ) -> "RatingPredictor":
        """Return the predictor that has learned from the validation split how to weigh its parts and its doubt.

        Parameters
        ----------
        features, texts
            As `predict_features` takes them.
        ratings, film
            Their stars, (n,) 1..5, and the numbers of their films.
        """
        parts = self._parts(head_scores(self.head, features), texts)
        blend = LinearBlend.fit(parts, ratings) if self.task == "regression" else Blend.fit(parts, ratings)
        answers, sets = blend(parts), None
        if self.task != "regression":
            sets = PredictionSets.fit(answers, ratings, self.card.answers.coverage)
            answers = expected_rating(answers)
        calibration = Calibration(blend=blend, sets=sets, films=FilmMeans.fit(answers, ratings, film))
        card = self.card.model_copy(update={"calibration": calibration})
        return RatingPredictor(card, self.head, ngrams=self.ngrams, encoder=self._encoder, bundle=self.bundle)

    def _parts(self, scores: NDArray[np.float32], texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return what each part says: probabilities, (n, 5), or for regression ratings, (n,)."""
        probabilities = self.head.output(self.task).probabilities(scores)
        parts = [scores[:, 0].astype(np.float64) if probabilities is None else probabilities]
        if self.ngrams is not None:
            of_ngrams = self.ngrams.predict_proba(texts)
            parts.append(expected_rating(of_ngrams) if probabilities is None else of_ngrams)
        return parts

    def _ratings(self, parts: list[NDArray[np.float64]], looked: tuple[Attention, ...] | None) -> Ratings:
        calibration = self.card.calibration
        answers = parts[0] if calibration is None else calibration.blend(parts)
        if self.task == "regression":
            expected = answers.clip(1, NUM_CLASSES)
            return Ratings(round_rating(expected), expected, None, None, looked)
        sets = None if calibration is None or calibration.sets is None else calibration.sets(answers)
        rating = decide(answers, RULES[self.card.answers.optimize])
        return Ratings(rating, expected_rating(answers), answers, sets, looked)

    def vectors(self, features: StoredFeatures) -> NDArray[np.float32]:
        """Return the head's hidden vector of each text, (texts, head.vector_dim)."""
        vectors = np.zeros((len(features), self.head.vector_dim), dtype=np.float32)
        for indices, output in head_outputs(self.head, features):
            vectors[indices] = output.vector.numpy()
        return vectors


def load_encoder(settings: EncoderSettings, folder: Path | None = None) -> FrozenEncoder:
    """Load the encoder that settings name, or that lies in a folder, with its best layers where they name none."""
    layers = settings.layers or (BUNDLED_LAYERS if settings.name == "bundled" else (-1,))
    return FrozenEncoder.load(
        settings.name if folder is None else str(folder),
        precision=settings.precision,
        runtime=settings.runtime,
        layers=layers,
        max_length=settings.max_length,
        device="cpu" if settings.runtime == "onnx" else None,  # a head of a CPU's features is served on one
    )


def _bundle(path: Path, task: Task | None) -> Path:
    if (path / "model.json").is_file():
        return path
    models = path / "models"
    tasks = [task] if task else get_args(Task)
    for name in tasks:
        if (models / name / "model.json").is_file():
            return models / name
    wanted = f"{task} model" if task else "model"
    raise RunDirectoryError(f"{path} holds no {wanted}; train one with: xingping run DATA --out {path}")
