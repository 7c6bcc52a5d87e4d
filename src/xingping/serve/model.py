"""The model that is served, and the kinds of work it does; loaded and warmed up beside the running server."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xingping.artifacts import describe_versions, read_json
from xingping.config import Task
from xingping.errors import RunDirectoryError, XingpingError
from xingping.explanation import explain
from xingping.neighbours import Neighbour, Neighbours
from xingping.predictor import RatingPredictor
from xingping.segmentation import Segmenter
from xingping.serve.batching import Work
from xingping.serve.observation import log
from xingping.serve.packing import pack
from xingping.serve.problems import Problem
from xingping.serve.schemas import ExplainedText, Model, Rating, SimilarReview, explanations, ratings

__all__ = ["LoadedModel", "ModelLoader"]

EFFECT_CHARACTERS = 200
"""Of longer texts words are not left out one by one: the cost grows with the square of the length."""

GRADIENT_COST = 4
"""How much dearer attention and gradients are than a rating."""

WARM_UP = ("不错", "画面很美，但是故事太弱了，看完有点失望。" * 3)


class LoadedModel:
    """A predictor, and the kinds of work that requests ask for.

    Parameters
    ----------
    path
        A model bundle or a run directory.
    task
        Which model of a run directory.
    """

    def __init__(self, path: Path, task: Task | None) -> None:
        self.predictor = RatingPredictor.load(path, task=task)
        self._segmenter = Segmenter(self.predictor.card.segmentation)
        self._neighbours = Neighbours.load_beside(path, self.predictor.task)
        self.rate = Work("rate", self._rate)
        self.explain = Work("explain", self._explain, _explanation_cost)
        self.similar = Work("similar", self._similar)
        self.table = Work("table", lambda texts: pack(self.predictor.predict(texts)))
        self.description = self._describe(path)
        record = path / "run.json"
        self.versions: dict[str, str] = (
            read_json(record).get("versions") if record.is_file() else None
        ) or describe_versions()
        for text in WARM_UP:
            self._rate([text])

    @property
    def has_neighbours(self) -> bool:
        """Whether there are training reviews to compare with."""
        return self._neighbours is not None

    def _rate(self, texts: Sequence[str]) -> list[Rating]:
        return ratings(self.predictor.predict(texts))

    def _explain(self, texts: Sequence[str]) -> list[ExplainedText]:
        """Explain texts, the long ones without the effect of each word."""
        found: dict[int, ExplainedText] = {}
        for effects in (True, False):
            places = [place for place, text in enumerate(texts) if (len(text) <= EFFECT_CHARACTERS) == effects]
            if places:
                chosen = [texts[place] for place in places]
                explained = explanations(explain(self.predictor, chosen, self._segmenter, effects=effects))
                found |= zip(places, explained, strict=True)
        return [found[place] for place in range(len(texts))]

    def _similar(self, texts: Sequence[str]) -> list[list[SimilarReview]]:
        if self._neighbours is None:
            raise RunDirectoryError("no reviews to compare with")
        found = self._neighbours.find(self.predictor, texts)
        return [[_similar_review(neighbour) for neighbour in neighbours] for neighbours in found]

    def _describe(self, path: Path) -> Model:
        card = self.predictor.card
        metrics = path / "metrics.json"
        test: dict[str, Any] | None = None
        if metrics.is_file():
            measured = read_json(metrics)["test"].get(card.task, {})
            test = {name: value for name, value in measured.items() if isinstance(value, int | float)} or None
        sets = card.calibration.sets if card.calibration else None
        return Model(
            task=card.task,
            encoder=Path(card.encoder.name).name,
            precision=card.encoder.precision,
            layers=list(card.encoder.layers or ()),
            version=card.version,
            coverage=sets.coverage if sets else None,
            similar=self.has_neighbours,
            test=test,
        )


@dataclass
class ModelLoader:
    """Loads a model on a thread of its own, so that the server can say that it is not ready yet."""

    path: Path
    task: Task | None = None

    def __post_init__(self) -> None:
        self._model: LoadedModel | None = None
        self._failure = ""
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Begin to load; a second call changes nothing."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._load, name="model", daemon=True)
            self._thread.start()

    def wait(self) -> None:
        """Wait until the model is loaded.

        Raises
        ------
        RunDirectoryError
            It cannot be.
        """
        self.start()
        if self._thread is not None:
            self._thread.join()
        self.raise_failure()

    @property
    def failure(self) -> str:
        """Why the model cannot be loaded, or ""."""
        return self._failure

    def raise_failure(self) -> None:
        """Raise RunDirectoryError if the model cannot be loaded."""
        if self._failure:
            raise RunDirectoryError(self._failure)

    @property
    def model(self) -> LoadedModel:
        """The model.

        Raises
        ------
        Problem
            503: it is not loaded.
        """
        if self._model is None:
            if self._failure:
                raise Problem(503, "model_failed", "the model cannot be loaded; the server's log says why")
            raise Problem(503, "loading", "the model is being loaded; try again soon", {"Retry-After": "2"})
        return self._model

    def _load(self) -> None:
        try:
            self._model = LoadedModel(self.path, self.task)
        except XingpingError as error:
            self._failure = str(error)
        except Exception as error:
            self._failure = f"{type(error).__name__}: {error}"
        if self._model:
            log("ready")
        else:
            log("model_failed", reason=self._failure)


def _similar_review(neighbour: Neighbour) -> SimilarReview:
    return SimilarReview(
        text=neighbour.text,
        film=neighbour.film,
        rating=neighbour.rating,
        similarity=round(neighbour.similarity, 4),
    )


def _explanation_cost(text: str) -> int:
    """Return what it takes: of a short text each word is left out once, and a word has about two characters."""
    if len(text) <= EFFECT_CHARACTERS:
        return (len(text) // 2 + GRADIENT_COST) * len(text)
    return GRADIENT_COST * len(text)
