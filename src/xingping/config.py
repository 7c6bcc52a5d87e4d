"""Every setting, checked where it is made and saved with the run; unknown keys are refused.

The one line of help under each field serves the command line too (`help_of`).
"""

import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, field_validator

from xingping.errors import SettingsError

__all__ = [
    "AnswerSettings",
    "CleaningSettings",
    "ColumnSettings",
    "EncoderSettings",
    "EngineSettings",
    "ExportSettings",
    "FeatureSettings",
    "FinetuneSettings",
    "HeadSettings",
    "Language",
    "NgramSettings",
    "RunSettings",
    "SegmentationSettings",
    "ServeSettings",
    "Settings",
    "SplitSettings",
    "TrainingSettings",
    "describe_invalid",
    "help_of",
]

Language = Literal["en", "zh"]
Task = Literal["classification", "regression", "ordinal"]
Pooling = Literal["self_attention", "mean", "max", "cls"]
LayerMix = Literal["concat", "learned"]
OrdinalOutput = Literal["coral", "corn"]
ClassificationLoss = Literal["cross_entropy", "soft_labels", "focal", "emd"]
RegressionLoss = Literal["mse", "huber"]
Measure = Literal["accuracy", "within_one", "mae", "rmse"]
ClassWeights = Literal["none", "balanced"]
FilmEffectsUse = Literal["auto", "on", "off"]
Engine = Literal["local", "ray"]
ExportFormat = Literal["onnx", "hub"]
GraphPrecision = Literal["int8", "fp32"]
Precision = Literal["auto", "fp32", "bf16", "fp16", "int8"]
Runtime = Literal["auto", "torch", "onnx"]
TrainingPrecision = Literal["auto", "fp32", "bf16"]
DecayShape = Literal["linear", "cosine"]
FeatureUnit = Literal["token", "word"]
FeatureDtype = Literal["fp16", "int8"]
SplitBy = Literal["random", "film", "time", "user", "leave-one-film-out"]
SplitUnit = Literal["random", "film", "time", "user"]

S = TypeVar("S", bound="Settings")
T = TypeVar("T")

OneOrMore = Annotated[tuple[T, ...], BeforeValidator(lambda value: (value,) if isinstance(value, str) else value)]
"""Names in a tuple; one alone may stand for itself."""


class Settings(BaseModel):
    """Base of all settings: frozen, and strict about unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def parse(cls, values: dict[str, Any]) -> Self:
        """Make settings from a dictionary.

        Raises
        ------
        SettingsError
            A key is unknown or a value is out of range; the message names it.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            where, message = describe_invalid(error)
            raise SettingsError(f"setting {'.'.join(where) or cls.__name__}: {message}") from error


def describe_invalid(error: ValidationError) -> tuple[tuple[str, ...], str]:
    """Return which setting is the first that is wrong, by its names from the outside in, and what is wrong with it."""
    first = error.errors()[0]
    message = first["msg"].removeprefix("Value error, ")
    return tuple(part for part in first["loc"] if isinstance(part, str)), f"{message} (got {first['input']!r})"


def help_of(settings: type[Settings], field: str) -> str:
    """Return the one-line help of a field."""
    return settings.model_fields[field].description or ""


def _once(names: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(names)) != len(names):
        raise ValueError("each may be named once")
    return names


class ColumnSettings(Settings):
    """Which column of the table holds what; None means: recognise it by its name."""

    text: str | None = Field(None, description="Column with the review text.")
    rating: str | None = Field(None, description="Column with the stars: 1-5, 10-50, allstar40 or 力荐…很差.")
    movie: str | None = Field(None, description="Column with the film.")
    date: str | None = Field(None, description="Column with the date of the review.")
    likes: str | None = Field(None, description="Column with the number of likes.")
    user: str | None = Field(None, description="Column with the author.")


class CleaningSettings(Settings):
    """How a text is cleaned before it is encoded."""

    strip_punctuation: bool = Field(False, description="Remove punctuation before encoding too, as the article does.")


class SegmentationSettings(Settings):
    """How texts are cut into words."""

    user_dictionary: Path | None = Field(
        None, description="File with one word a line (names of films and actors), in jieba's format."
    )
    stopwords: Path | None = Field(None, description="File with one stopword a line, in place of the built-in list.")


class SplitSettings(Settings):
    """How reviews are divided into train, valid and test."""

    by: SplitBy = Field(
        "random",
        description="random, or by whole groups: film, user, time (the newest are test); leave-one-film-out: by film, "
        "and then a model for each film that has seen only the others.",
    )
    valid: float = Field(0.1, gt=0, lt=0.5, description="Share of the reviews kept for early stopping.")
    test: float = Field(0.1, gt=0, lt=0.5, description="Share of the reviews kept for the final measurement.")

    @property
    def unit(self) -> SplitUnit:
        """What is whole on one side, `random` standing for a text alone."""
        return "film" if self.by == "leave-one-film-out" else self.by


class EncoderSettings(Settings):
    """Which frozen encoder, and which of its states."""

    name: str = Field("bundled", min_length=1, description="bundled, a local folder, or a Hugging Face id.")
    layers: tuple[int, ...] | None = Field(
        None,
        min_length=1,
        description="Layers whose states are put side by side, such as 9,11; -1 is the last. "
        "By default 9,11 of the bundled encoder and the last of any other.",
    )
    precision: Precision = Field(
        "auto", description="auto (the fastest that is as good as fp32), fp32, bf16, fp16 (on a GPU) or int8."
    )
    runtime: Runtime = Field("auto", description="What computes: auto, torch or onnx (ONNX Runtime).")
    max_length: int = Field(256, ge=8, le=8192, description="Tokens of a review that are encoded; the rest is cut off.")


class FeatureSettings(Settings):
    """What the feature store keeps of each text."""

    unit: FeatureUnit = Field("token", description="token, or word: the mean over each word that jieba cuts.")
    dtype: FeatureDtype = Field("fp16", description="fp16, or int8 with a scale a vector: half the size.")


class HeadSettings(Settings):
    """The network on top of the frozen features; symbols as in Lin et al. 2017 (arXiv 1703.03130)."""

    layer_mix: LayerMix = Field(
        "concat", description="Several layers side by side (concat), or one mix of them with learned weights (learned)."
    )
    token_dim: int = Field(
        384, ge=0, le=8192, description="Width of a layer on each token before pooling (with ReLU); 0 for none."
    )
    token_dropout: float = Field(0.2, ge=0, lt=1, description="Dropout of the tokens' dimensions before that layer.")
    pooling: OneOrMore[Pooling] = Field(
        ("self_attention",), min_length=1, description="self_attention, mean, max, cls; several are put side by side."
    )
    n_hops: int = Field(8, ge=1, le=128, description="Attention hops (r in the paper).")
    attention_dim: int = Field(128, ge=1, le=4096, description="Width of the attention layer (d_a).")
    penalty: float = Field(0.003, ge=0, description="Weight of the penalty ||AA'-I||² that keeps hops apart.")
    hidden_dim: int = Field(256, ge=1, le=8192, description="Width of the hidden layer.")
    dropout: float = Field(0.5, ge=0, lt=1, description="Dropout before and after the hidden layer.")
    members: int = Field(2, ge=1, le=32, description="Networks that differ by chance alone and answer together.")
    ordinal: OrdinalOutput = Field("corn", description="Output of the task ordinal: coral or corn.")

    _pooling_once = field_validator("pooling")(_once)


class TrainingSettings(Settings):
    """How a head is trained."""

    epochs: int | None = Field(
        None,
        ge=1,
        le=1000,
        description="Most passes over the training reviews; by default 8, or as many as make 400 steps.",
    )
    patience: int | None = Field(
        None,
        ge=1,
        description="Epochs without a better validation loss before stopping; by default a quarter of all, at least 2.",
    )
    batch_size: int = Field(64, ge=1, le=65536, description="Reviews a step.")
    learning_rate: float = Field(5e-4, gt=0, le=1, description="Peak learning rate of AdamW.")
    weight_decay: float = Field(1e-2, ge=0, description="Weight decay of AdamW.")
    classification_loss: OneOrMore[ClassificationLoss] = Field(
        ("cross_entropy",),
        min_length=1,
        description="cross_entropy, soft_labels, focal, emd (of the distribution); several are added up.",
    )
    label_softness: float = Field(0.5, gt=0, description="Soft labels: exp(-distance²/this) of other stars.")
    focal_gamma: float = Field(2.0, ge=0, description="Focal loss: how little sure answers count.")
    regression_loss: RegressionLoss = Field("mse", description="mse (squared error), or huber (linear beyond a star).")
    class_weights: ClassWeights = Field("none", description="none, or balanced: every star counts as much in all.")
    film_effects: FilmEffectsUse = Field(
        "auto",
        description="Take out of training how each film is usually rated, so that new films are rated by what their "
        "texts say: on, off, or auto (with --split film or leave-one-film-out; in crossvalidate off).",
    )
    joint: bool = Field(False, description="Train all tasks as one network with an output for each.")
    precision: TrainingPrecision = Field(
        "auto",
        description="Number type of the head's matrix products in training: auto, fp32 or bf16; "
        "auto is bf16 where the hardware multiplies it.",
    )

    _loss_once = field_validator("classification_loss")(_once)


class FinetuneSettings(Settings):
    """Whether and how the encoder is trained along with the head.

    Losses and class weights are those of `TrainingSettings`, the rest of which is of heads on frozen features.
    """

    mode: str = Field(
        "none",
        description="What of the encoder is trained: none, lora (low-rank updates), full, or top-N: the last N layers, "
        "such as top-4.",
    )
    epochs: int = Field(4, ge=1, le=1000, description="Passes over the training reviews.")
    learning_rate: float | None = Field(
        None, gt=0, le=1, description="Peak learning rate of the last layer; by default 1e-4, with lora 5e-4."
    )
    head_learning_rate: float = Field(1e-3, gt=0, le=1, description="Peak learning rate of the head.")
    layer_decay: float = Field(
        0.9, gt=0, le=1, description="Learning rate of a layer, as a share of that of the layer behind it."
    )
    warm_up: float = Field(0.1, ge=0, lt=1, description="Share of all steps over which the learning rates rise.")
    decay: DecayShape = Field("linear", description="How the learning rates fall afterwards: linear or cosine.")
    weight_decay: float = Field(
        1e-2, ge=0, description="Weight decay of AdamW; biases and norms of the encoder have none."
    )
    batch_size: int = Field(32, ge=1, le=65536, description="Reviews a step.")
    accumulation: int = Field(
        1, ge=1, le=65536, description="Parts that a step's reviews are computed in; each has a length of its own."
    )
    dropout: float = Field(0.1, ge=0, lt=1, description="Dropout inside the encoder.")
    token_dropout: float = Field(
        0.15, ge=0, lt=1, description="Share of a review's tokens that a step leaves out; at least one stays."
    )
    averaging: float = Field(
        0.25, ge=0, le=1, description="Share of all steps at the end over which the weights are averaged."
    )
    lora_rank: int = Field(16, ge=1, le=4096, description="Rank of the updates of lora.")
    lora_alpha: int = Field(32, ge=1, description="Scale of the updates of lora: this divided by the rank.")
    precision: TrainingPrecision = Field(
        "auto", description="Number type of the matrix products: auto, fp32 or bf16; as in training."
    )

    @field_validator("mode")
    @classmethod
    def _known_mode(cls, mode: str) -> str:
        if not re.fullmatch(r"none|lora|full|top-[1-9][0-9]*", mode):
            raise ValueError("choose none, lora, full or top-N, such as top-4")
        return mode

    @property
    def enabled(self) -> bool:
        """Whether anything of the encoder is trained."""
        return self.mode != "none"

    @property
    def top(self) -> int | None:
        """N of top-N."""
        return int(self.mode.removeprefix("top-")) if self.mode.startswith("top-") else None

    @property
    def peak_rate(self) -> float:
        """Learning rate of the last layer, the default filled in."""
        return self.learning_rate or (5e-4 if self.mode == "lora" else 1e-4)


class NgramSettings(Settings):
    """The linear model on n-grams that a model has beside its head; without any n-gram, it has none."""

    characters: int = Field(4, ge=0, le=8, description="Longest n-gram of characters; 0 for none.")
    words: int = Field(2, ge=0, le=4, description="Longest n-gram of words; 0 for none.")
    inverse_penalty: float = Field(2.0, gt=0, description="C of the logistic regression on n-grams.")

    @property
    def enabled(self) -> bool:
        """Whether there is such a model."""
        return self.characters + self.words > 0


class AnswerSettings(Settings):
    """How probabilities become answers."""

    optimize: Measure = Field(
        "accuracy", description="What the rating is chosen for: accuracy (mode), within_one, mae (median), rmse (mean)."
    )
    coverage: float = Field(0.9, gt=0.5, lt=1, description="How often a prediction set is to hold the true star.")


class EngineSettings(Settings):
    """What computes the costly stages; it decides how long they take and not what they give, so no run keeps it."""

    engine: Engine = Field("local", description="local, or ray: encode, train and rate tables on a Ray cluster.")
    ray_address: str | None = Field(
        None,
        min_length=1,
        description="The cluster: HOST:PORT, or auto on one of its nodes. Without it, Ray runs on this machine alone.",
    )
    workers: int | None = Field(
        None, ge=1, le=65536, description="Ray workers; by default one for each GPU, or else for each node."
    )


class ServeSettings(Settings):
    """How a model is served over HTTP."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on; 0.0.0.0 for all of the machine's.")
    port: int = Field(8000, ge=0, le=65535, description="Port to listen on; 0 for any that is free.")
    batch_tokens: int = Field(
        4096, ge=0, le=1 << 20, description="Tokens of waiting requests that are rated together; 0 rates each alone."
    )
    queue_tokens: int = Field(
        200_000, ge=1, description="Tokens that may wait; a request beyond gets 503 and when to try again."
    )
    deadline: float = Field(30.0, gt=0, le=3600, description="Seconds after which a request is given up with 503.")
    request_seconds: float = Field(20.0, gt=0, le=3600, description="Seconds a client has to send a request; then 408.")
    max_texts: int = Field(256, ge=1, le=100_000, description="Texts a request may hold.")
    max_characters: int = Field(20_000, ge=1, description="Characters a text may have.")
    max_body: int = Field(4 << 20, ge=1024, description="Bytes a request's body may have.")
    max_table: int = Field(64 << 20, ge=1024, description="Bytes a table may have that is sent to be rated.")
    api_keys: Path | None = Field(None, description="File with a key a line; requests then need one of them.")
    rate_limit: int | None = Field(None, ge=1, description="Requests a minute of each key, or of each address.")


class ExportSettings(Settings):
    """What a model is exported to."""

    format: ExportFormat = Field(
        "onnx",
        description="onnx: encoder and head as one graph, which rates without torch. hub: the model as it is, with all "
        "that another machine may lack, as the Hugging Face hub keeps it.",
    )
    precision: GraphPrecision = Field(
        "int8", description="Number type of the graph's matrix products: int8, or fp32, which is larger and slower."
    )
    tolerance: float = Field(
        0.005,
        ge=0,
        le=1,
        description="Most of the sample reviews, as a share, that the graph may rate otherwise than the run.",
    )
    with_reviews: bool = Field(
        False,
        description="Take along the training reviews that the service shows as similar. They are other people's words.",
    )


class RunSettings(Settings):
    """Everything that decides the result of a run, apart from the data and the machine."""

    columns: ColumnSettings = ColumnSettings()
    cleaning: CleaningSettings = CleaningSettings()
    segmentation: SegmentationSettings = SegmentationSettings()
    split: SplitSettings = SplitSettings()
    encoder: EncoderSettings = EncoderSettings()
    features: FeatureSettings = FeatureSettings()
    head: HeadSettings = HeadSettings()
    training: TrainingSettings = TrainingSettings()
    finetuning: FinetuneSettings = FinetuneSettings()
    ngrams: NgramSettings = NgramSettings()
    answers: AnswerSettings = AnswerSettings()
    tasks: tuple[Task, ...] = Field(
        ("classification", "regression"),
        min_length=1,
        description="Comma-separated: classification,regression,ordinal.",
    )
    movies: tuple[str, ...] = Field(
        (), description='Film to add a case study of; may be repeated. A run keeps its films; "" takes them back.'
    )
    all_movies: bool = Field(False, description="Also write a page for each film, and an index of them.")
    versus: str | None = Field(
        None, min_length=1, description='Film to compare the films of --movie with; "" takes it back.'
    )
    language: Language = Field("en", description="Language of the report: en, or zh (Chinese).")
    seed: int = Field(0, ge=0, lt=2**31, description="Seed of the split and of the training.")

    _tasks_once = field_validator("tasks")(_once)

    @property
    def takes_film_effects(self) -> bool:
        """Whether training takes out how each film is usually rated."""
        use = self.training.film_effects
        return self.split.unit == "film" if use == "auto" else use == "on"
