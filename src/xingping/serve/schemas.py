"""What goes in and comes out over HTTP; OpenAPI is made from it."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from xingping.answers import Ratings
from xingping.config import ServeSettings
from xingping.explanation import Explanation

__all__ = [
    "TABLE_EXAMPLE",
    "ExplainedText",
    "Explanations",
    "FilmMean",
    "Model",
    "ProblemBody",
    "Rating",
    "RatingList",
    "Requests",
    "Similar",
    "State",
    "StudyState",
    "TableState",
    "explanations",
    "ratings",
]

EXAMPLE = ["哭了三次，值得二刷！", "画面很美，但是故事太弱了"]

TABLE_EXAMPLE = "电影,评论\n长河,哭了三次，值得二刷！\n长河,画面很美\n"

RATING_EXAMPLE = {
    "rating": 5, "expected": 4.61, "probabilities": [0.01, 0.01, 0.05, 0.22, 0.71], "set": [4, 5],
}  # fmt: skip

WORD_EXAMPLE = {
    "word": "二刷", "start": 7, "end": 9, "weight": 0.41, "effect": 0.32, "gradient": 0.29, "hops": [0.44, 0.36],
}  # fmt: skip

EXPLAINED_EXAMPLE = {
    "text": EXAMPLE[0], "rating": 5, "expected": 4.61, "probability": 0.71, "words": [WORD_EXAMPLE], "outside": 0.02,
    "outside_hops": [0.02, 0.02], "outside_effect": 0.01, "outside_gradient": 0.01, "baseline": 3.4,
}  # fmt: skip

REVIEW_EXAMPLE = {"text": "看哭了，一定要再看一遍", "film": "长河", "rating": 5, "similarity": 0.93}

TABLE_STATE_EXAMPLE = {
    "id": "0f3b9c1c6d0e4d0f8a0c5c1e7c2b9a51", "state": "done", "done": 71, "total": 71, "rows": 2, "unrated": 0,
    "message": None, "films": [{"film": "长河", "reviews": 2, "mean": 4.2, "low": 3.1, "high": 5.0}],
    "study": "done", "study_message": None, "film": "长河",
}  # fmt: skip

MODEL_EXAMPLE = {
    "task": "classification", "encoder": "bundled", "precision": "int8", "layers": [9, 11], "version": "0.1.0",
    "coverage": 0.9, "similar": True, "test": {"n": 10000, "accuracy": 0.57},
}  # fmt: skip

PROBLEM_EXAMPLE = {
    "error": {"code": "queue_full", "message": "too many requests wait; try again later", "request_id": "a1b2"}
}

State = Literal["waiting", "working", "done", "failed"]
StudyState = Literal["none", "waiting", "working", "done", "failed"]


def _like(example: dict[str, Any]) -> ConfigDict:
    """Return the settings of a body with an example."""
    return ConfigDict(extra="forbid", json_schema_extra={"examples": [example]})


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Rating(_Body):
    """The rating of one text."""

    rating: int = Field(ge=1, le=5, description="Stars.")
    expected: float = Field(ge=1, le=5, description="The rating as a real number.")
    probabilities: list[float] | None = Field(description="Of 1 to 5 stars; null where the model gives none.")
    set: list[int] | None = Field(
        description="Stars that hold the true one as often as the model was asked to; null where there are none."
    )


class RatingList(_Body):
    """The ratings of the texts, in their order."""

    model_config = _like({"task": "classification", "ratings": [RATING_EXAMPLE]})

    task: str
    ratings: list[Rating]


class WordEffect(_Body):
    """A word of a text."""

    word: str
    start: int = Field(description="Where it begins in the text, in characters.")
    end: int
    weight: float = Field(description="Its share of the attention on words.")
    effect: float | None = Field(
        description="The expected rating less that without the word, in stars; null in a text beyond 200 characters."
    )
    gradient: float | None = Field(description="Its part of the expected rating by integrated gradients, in stars.")
    hops: list[float] = Field(description="Its share of all the attention of each hop.")


class ExplainedText(_Body):
    """The rating of one text and what it rests on."""

    text: str = Field(description="As it was cleaned; the words' places are in it.")
    rating: int = Field(ge=1, le=5)
    expected: float
    probability: float | None = Field(description="Of the rating.")
    words: list[WordEffect]
    outside: float = Field(description="Share of the attention that fell on no word.")
    outside_hops: list[float] = Field(description="The same of each hop.")
    outside_effect: float | None = Field(description="The expected rating less that of the words alone, in stars.")
    outside_gradient: float | None = Field(description="Stars that integrated gradients give to no word.")
    baseline: float | None = Field(description="The expected rating from which integrated gradients start.")


class Explanations(_Body):
    """The explanations of the texts, in their order."""

    model_config = _like({"task": "classification", "explanations": [EXPLAINED_EXAMPLE]})

    task: str
    explanations: list[ExplainedText]


class SimilarReview(_Body):
    """A review of the training split."""

    text: str
    film: str
    rating: int = Field(ge=1, le=5, description="By its author.")
    similarity: float = Field(description="Cosine of the model's vectors.")


class Similar(_Body):
    """For each text the reviews most like it, as the model sees them, the nearest first."""

    model_config = _like({"similar": [[REVIEW_EXAMPLE]]})

    similar: list[list[SimilarReview]]


class Model(_Body):
    """What is served."""

    model_config = _like(MODEL_EXAMPLE)

    task: str
    encoder: str
    precision: str
    layers: list[int]
    version: str = Field(description="Of xingping, which trained it.")
    coverage: float | None = Field(description="How often a prediction set is to hold the true star.")
    similar: bool = Field(description="Whether there are reviews for /v1/similar; an export may have none.")
    test: dict[str, Any] | None = Field(description="Measures on the run's test split, where they are at hand.")


class FilmMean(_Body):
    """The mean rating of a film's reviews in a table, with an interval of 95 %."""

    film: str
    reviews: int
    mean: float
    low: float
    high: float


class TableState(_Body):
    """How far a table is."""

    model_config = _like(TABLE_STATE_EXAMPLE)

    id: str
    state: State
    done: int = Field(description="Of `total`, in bytes or rows of the table.")
    total: int
    rows: int = Field(description="Rows of the table, once it is done.")
    unrated: int = Field(description="Rows without a text.")
    message: str | None = Field(None, description="Why it failed.")
    films: list[FilmMean] | None = Field(
        description="Where the table names films, once it is done: the 500 most reviewed."
    )
    study: StudyState = Field(description="Of the case study, which follows the ratings; none where none is wanted.")
    study_message: str | None = Field(None, description="Why there is no case study.")
    film: str | None = Field(description="Whose case study it is: the most reviewed film, or the file.")


class ProblemDetail(_Body):
    """What went wrong."""

    code: str = Field(description="Stable name of the error.")
    message: str = Field(description="For people.")
    request_id: str


class ProblemBody(_Body):
    """The body of every error."""

    model_config = _like(PROBLEM_EXAMPLE)

    error: ProblemDetail


class Requests:
    """The bodies of requests, with the limits of one server.

    Parameters
    ----------
    settings
        Say how many texts, and how long.
    """

    def __init__(self, settings: ServeSettings) -> None:
        text = Annotated[str, Field(max_length=settings.max_characters), AfterValidator(_encodable)]
        texts = Field(min_length=1, max_length=settings.max_texts, examples=[EXAMPLE], description="Reviews.")
        kind = list[text]
        shared: dict[str, Any] = {"__base__": _Body, "texts": (kind, texts)}
        self.texts: Any = create_model("Texts", __doc__="Reviews to rate or explain.", **shared)
        count = (int, Field(5, ge=1, le=50, description="How many for each text."))
        self.similar: Any = create_model("SimilarTo", __doc__="Reviews to find others like.", n=count, **shared)


def ratings(found: Ratings) -> list[Rating]:
    """Return ratings as they are sent."""
    return [
        Rating(
            rating=int(found.rating[index]),
            expected=round(float(found.expected[index]), 4),
            probabilities=None if found.probabilities is None else found.probabilities[index].round(6).tolist(),
            set=None if found.sets is None else [star + 1 for star in range(5) if found.sets[index, star]],
        )
        for index in range(len(found))
    ]


def explanations(found: list[Explanation]) -> list[ExplainedText]:
    """Return explanations as they are sent."""
    return [ExplainedText.model_validate(explanation.to_dict()) for explanation in found]


def _encodable(text: str) -> str:
    """Refuse half of a surrogate pair: it is no character."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("a text holds half of a surrogate pair, which is no character") from None
    return text
