"""What goes in and comes out over HTTP; OpenAPI is made from it."""

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, create_model

from xingping.answers import Ratings
from xingping.config import ServeSettings
from xingping.explanation import Explanation

__all__ = [
    "Explanations",
    "FilmMean",
    "Model",
    "ProblemBody",
    "Rating",
    "RatingList",
    "Requests",
    "Similar",
    "explanations",
    "ratings",
]

EXAMPLE = ["哭了三次，值得二刷！", "画面很美，但是故事太弱了"]


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

    task: str
    ratings: list[Rating]


class WordEffect(_Body):
    """A word of a text."""

    word: str
    start: int = Field(description="Where it begins in the text, in characters.")
    end: int
    weight: float = Field(description="Its share of the attention on words.")
    effect: float | None = Field(description="The expected rating less that without the word, in stars.")
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

    similar: list[list[SimilarReview]]


class Model(_Body):
    """What is served."""

    task: str
    encoder: str
    precision: str
    layers: list[int]
    version: str = Field(description="Of xingping, which trained it.")
    coverage: float | None = Field(description="How often a prediction set is to hold the true star.")
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

    id: str
    state: str = Field(description="waiting, working, done or failed.")
    done: int = Field(description="Of `total`, in bytes or rows of the table.")
    total: int
    rows: int = Field(description="Rows of the table, once it is done.")
    unrated: int = Field(description="Rows without a text.")
    message: str | None = Field(description="Why it failed.")
    films: list[FilmMean] | None = Field(description="Where the table names films, once it is done.")


class ProblemDetail(_Body):
    """What went wrong."""

    code: str = Field(description="Stable name of the error.")
    message: str = Field(description="For people.")
    request_id: str


class ProblemBody(_Body):
    """The body of every error."""

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
