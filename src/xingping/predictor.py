"""A trained model that rates text: what scores it, n-grams, and what makes one answer of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from numpy.typing import NDArray

from xingping.answers import Attention, Ratings
from xingping.artifacts import atomic_path, write_json
from xingping.bundles import copy_dictionary, find_bundle, load_scorer, portable_card, read_card
from xingping.calibration import Blend, FilmMeans, LinearBlend, PredictionSets
from xingping.cleaning import clean_text
from xingping.config import Measure, Task
from xingping.encoders import FrozenEncoder
from xingping.errors import InputError, RunDirectoryError, SettingsError
from xingping.features import FeatureStore, StoredFeatures
from xingping.graph_scorer import GraphScorer
from xingping.hub import fetch_model, send_model
from xingping.links import star_probabilities
from xingping.metrics import DecisionRule, decide, expected_rating, round_rating
from xingping.model_card import Calibration, ModelCard
from xingping.model_encoder import TUNED, load_encoder
from xingping.model_page import METRICS, PAGE, model_page, published_metrics
from xingping.ngrams import NgramModel
from xingping.ratings import NUM_CLASSES
from xingping.scorer import FeatureScorer, Scorer
from xingping.segmentation import Segmenter

if TYPE_CHECKING:
    from xingping.heads import RatingHead

__all__ = ["TUNED", "RatingPredictor", "load_encoder"]

RULES: dict[Measure, DecisionRule] = {"accuracy": "mode", "within_one": "window", "mae": "median", "rmse": "mean"}
"""The rule that is best for each measure, given the true probabilities."""

CHUNK_TEXTS = 4096
"""Texts that are scored at one time while rating."""


class RatingPredictor:
    """Rates texts with what scores them and n-grams beside it.

    Parameters
    ----------
    card
        What was trained, and on what.
    scorer
        A trained head on its encoder (`xingping.head_scorer`), or a graph of both (`xingping.graph_scorer`).
    ngrams
        The n-gram model, where the card has one.
    bundle
        Where it was loaded from.
    """

    def __init__(
        self, card: ModelCard, scorer: Scorer, *, ngrams: NgramModel | None = None, bundle: Path | None = None
    ) -> None:
        self.card = card
        self.bundle = bundle
        self.scorer = scorer
        self.ngrams = ngrams

    @classmethod
    def of_head(
        cls,
        card: ModelCard,
        head: "RatingHead",
        *,
        ngrams: NgramModel | None = None,
        encoder: FrozenEncoder | None = None,
    ) -> Self:
        """Make the predictor of a trained head; its encoder is loaded when first needed if None."""
        from xingping.head_scorer import HeadScorer

        return cls(card, HeadScorer(card, head, encoder=encoder), ngrams=ngrams)

    @classmethod
    def load(cls, path: str | Path, *, task: Task | None = None) -> Self:
        """Load a model bundle, an exported model, or the model of a run directory.

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
        SettingsError
            It cannot run here: it needs torch, which is not installed, or another processor.
        """
        folder = find_bundle(Path(path), task).resolve()
        card = read_card(folder)
        if task is not None and card.task != task:
            raise RunDirectoryError(f"{folder} holds a model for {card.task}; give the run that holds one for {task}")
        scorer = load_scorer(card, folder)
        ngrams = None
        if card.ngrams.enabled:
            ngrams = NgramModel.load(folder / "ngrams.safetensors", card.ngrams, Segmenter(card.segmentation))
        return cls(card, scorer, ngrams=ngrams, bundle=folder)

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        task: Task | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        cache_dir: str | Path | None = None,
        local_files_only: bool = False,
    ) -> Self:
        """Load a model from a folder, as `load` does, or from the Hugging Face hub.

        Parameters
        ----------
        name
            A folder, or a repository such as `name/model`.
        task
            As `load` takes it.
        revision, token, cache_dir, local_files_only
            As `huggingface_hub.snapshot_download` takes them.

        Raises
        ------
        RunDirectoryError
            The model cannot be had, or as `load`.
        """
        folder = fetch_model(
            str(name), revision=revision, token=token, cache_dir=cache_dir, local_files_only=local_files_only
        )
        return cls.load(folder, task=task)

    def save(self, folder: Path) -> None:
        """Write the bundle: what scores, `ngrams.safetensors` and `model.json`.

        Written to another place than it was loaded from, a bundle takes a fine-tuned encoder along.
        """
        self.scorer.save(folder)
        self._save_rest(folder, self.card)

    def save_pretrained(self, folder: str | Path, *, name: str = "") -> None:
        """Write the bundle with all that another machine may lack, and a page that describes it.

        Beside what `save` writes: an encoder of a local folder, the user dictionary, `README.md`, and as `metrics.json`
        the figures that are on it. Nothing of the reviews goes along: no text, no film, no author.

        Parameters
        ----------
        folder
            Made where there is none; what else lies in it stays.
        name
            What the page says that it is loaded by; by default the folder's name.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        target = Path(folder)
        card, metrics = portable_card(self.card), published_metrics(self.bundle, self.task)
        note = self.scorer.note if isinstance(self.scorer, GraphScorer) else None
        self.scorer.save(target, portable=True)
        copy_dictionary(self.card, target)
        if metrics is not None:
            write_json(target / METRICS, metrics)
        with atomic_path(target / PAGE) as temporary:
            temporary.write_text(model_page(card, metrics, note, name or target.name), encoding="utf-8")
        self._save_rest(target, card)

    def push_to_hub(
        self,
        repo_id: str,
        *,
        private: bool | None = None,
        token: str | bool | None = None,
        branch: str | None = None,
        create_pr: bool = False,
        commit_message: str = "Add a model of xingping",
    ) -> str:
        """Send the model to the Hugging Face hub, as `save_pretrained` writes it.

        Parameters
        ----------
        repo_id
            Such as `name/model`; made where there is none.
        private, token, branch, create_pr, commit_message
            As `huggingface_hub.HfApi` takes them.

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        OutputError
            The hub does not take it.
        """
        return send_model(
            lambda folder, name: self.save_pretrained(folder, name=name),
            repo_id,
            private=private,
            token=token,
            branch=branch,
            create_pr=create_pr,
            commit_message=commit_message,
        )

    def _save_rest(self, folder: Path, card: ModelCard) -> None:
        if self.ngrams is not None:
            self.ngrams.save(folder / "ngrams.safetensors")
        write_json(folder / "model.json", card.model_dump(mode="json"))

    @property
    def task(self) -> Task:
        """What the model predicts."""
        return self.card.task

    @property
    def has_features(self) -> bool:
        """Whether the model is a head on features, which gradients and training need, and not a graph of both."""
        return self.scorer.on_features is not None

    @property
    def head(self) -> "RatingHead":
        """The trained head.

        Raises
        ------
        SettingsError
            The model is an exported graph.
        """
        return self._on_features().head

    @property
    def encoder(self) -> FrozenEncoder:
        """The encoder, loaded on first use.

        Raises
        ------
        EncoderError
            The encoder cannot be loaded, or is not the one that the head was trained on.
        SettingsError
            The model is an exported graph.
        """
        return self._on_features().encoder

    def _on_features(self) -> FeatureScorer:
        scorer = self.scorer.on_features
        if scorer is None:
            raise SettingsError(
                f"the model in {self.bundle} is an exported graph, which gives ratings and attention but neither "
                "features nor gradients; use the run that it was exported from"
            )
        return scorer

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
            found = self.scorer.score(chunk, attention=attention, progress=progress)
            parts.append(self._ratings(self._parts(found.scores, chunk), found.attention))
        place = {text: index for index, text in enumerate(distinct)}
        return Ratings.join(parts).take([place[text] for text in cleaned])

    def look_up(self, store: FeatureStore) -> None:
        """Take features from a store from now on, where it has them; `FeatureScorer.look_up` says from which."""
        self._on_features().look_up(store)

    def encode(self, texts: Sequence[str]) -> StoredFeatures:
        """Return the features of raw texts, as `predict_features` and `vectors` take them.

        Raises
        ------
        SettingsError
            The model is an exported graph.
        """
        return self._on_features().encode(self.clean(texts))

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
        found = self._on_features().score_features(features, attention=attention)
        return self._ratings(self._parts(found.scores, texts), found.attention)

    def calibrate(
        self,
        features: StoredFeatures,
        texts: Sequence[str],
        ratings: NDArray[np.int64],
        film: NDArray[np.int32],
        *,
        new_films: bool = False,
    ) -> "RatingPredictor":
        """Return the predictor that has learned from the validation split how to weigh its parts and its doubt.

        Parameters
        ----------
        features, texts
            As `predict_features` takes them.
        ratings, film
            Their stars, (n,) 1..5, and the numbers of their films, -1 where none is named.
        new_films
            Whether these are films that the model has not seen: then what they teach is of so many films, however
            many reviews those have.
        """
        parts = self._parts(self._on_features().score_features(features).scores, texts)
        groups = film if new_films else None
        kind = LinearBlend if self.task == "regression" else Blend
        blend = kind.fit(parts, ratings, groups)
        answers, sets = blend(parts), None
        if self.task != "regression":
            unseen = Blend.cross_fitted(parts, ratings, groups) if len(ratings) > 1 else answers
            sets = PredictionSets.fit(unseen, ratings, self.card.answers.coverage)
            answers = expected_rating(answers)
        calibration = Calibration(blend=blend, sets=sets, films=FilmMeans.fit(answers, ratings, film))
        card = self.card.model_copy(update={"calibration": calibration})
        return RatingPredictor(card, self.scorer, ngrams=self.ngrams, bundle=self.bundle)

    def _parts(self, scores: NDArray[np.float32], texts: Sequence[str]) -> list[NDArray[np.float64]]:
        """Return what each part says: probabilities, (n, 5), or for regression ratings, (n,)."""
        probabilities = star_probabilities(self.task, self.card.head, scores)
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
        """Return the head's hidden vector of each text whose features are stored, (texts, head.vector_dim)."""
        return self._on_features().feature_vectors(features)

    def text_vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return the head's hidden vector of each raw text, (texts, vector_dim)."""
        return self.scorer.vectors(self.clean(texts))
