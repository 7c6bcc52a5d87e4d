"""Options of the command line, made from the settings: one line of help serves both."""

import inspect
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from xingping.config import EngineSettings, RunSettings, Settings, describe_invalid
from xingping.errors import SettingsError

__all__ = ["Out", "Quiet", "Run", "merge", "with_engine", "with_group", "with_settings"]

Run = Annotated[Path, typer.Argument(metavar="RUN", help="Run directory, as made by `xingping run`.")]
Out = Annotated[Path, typer.Option("--out", help="Run directory to make or go on with.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Say nothing but errors.")]

OPTIONS: dict[str, tuple[str, ...]] = {
    "text_column": ("columns", "text"),
    "rating_column": ("columns", "rating"),
    "movie_column": ("columns", "movie"),
    "date_column": ("columns", "date"),
    "likes_column": ("columns", "likes"),
    "user_column": ("columns", "user"),
    "strip_punctuation": ("cleaning", "strip_punctuation"),
    "user_dictionary": ("segmentation", "user_dictionary"),
    "stopwords": ("segmentation", "stopwords"),
    "split": ("split", "by"),
    "valid_share": ("split", "valid"),
    "test_share": ("split", "test"),
    "encoder": ("encoder", "name"),
    "layers": ("encoder", "layers"),
    "precision": ("encoder", "precision"),
    "runtime": ("encoder", "runtime"),
    "max_length": ("encoder", "max_length"),
    "feature_unit": ("features", "unit"),
    "feature_dtype": ("features", "dtype"),
    "tasks": ("tasks",),
    "layer_mix": ("head", "layer_mix"),
    "token_dim": ("head", "token_dim"),
    "token_dropout": ("head", "token_dropout"),
    "pooling": ("head", "pooling"),
    "n_hops": ("head", "n_hops"),
    "attention_dim": ("head", "attention_dim"),
    "penalty": ("head", "penalty"),
    "hidden_dim": ("head", "hidden_dim"),
    "dropout": ("head", "dropout"),
    "members": ("head", "members"),
    "ordinal": ("head", "ordinal"),
    "epochs": ("training", "epochs"),
    "patience": ("training", "patience"),
    "batch_size": ("training", "batch_size"),
    "learning_rate": ("training", "learning_rate"),
    "weight_decay": ("training", "weight_decay"),
    "classification_loss": ("training", "classification_loss"),
    "label_softness": ("training", "label_softness"),
    "focal_gamma": ("training", "focal_gamma"),
    "regression_loss": ("training", "regression_loss"),
    "class_weights": ("training", "class_weights"),
    "film_effects": ("training", "film_effects"),
    "joint": ("training", "joint"),
    "training_precision": ("training", "precision"),
    "finetune": ("finetuning", "mode"),
    "finetune_epochs": ("finetuning", "epochs"),
    "finetune_learning_rate": ("finetuning", "learning_rate"),
    "finetune_head_learning_rate": ("finetuning", "head_learning_rate"),
    "finetune_layer_decay": ("finetuning", "layer_decay"),
    "finetune_warm_up": ("finetuning", "warm_up"),
    "finetune_decay": ("finetuning", "decay"),
    "finetune_weight_decay": ("finetuning", "weight_decay"),
    "finetune_batch_size": ("finetuning", "batch_size"),
    "finetune_accumulation": ("finetuning", "accumulation"),
    "finetune_dropout": ("finetuning", "dropout"),
    "finetune_token_dropout": ("finetuning", "token_dropout"),
    "finetune_averaging": ("finetuning", "averaging"),
    "finetune_precision": ("finetuning", "precision"),
    "lora_rank": ("finetuning", "lora_rank"),
    "lora_alpha": ("finetuning", "lora_alpha"),
    "ngram_characters": ("ngrams", "characters"),
    "ngram_words": ("ngrams", "words"),
    "ngram_c": ("ngrams", "inverse_penalty"),
    "optimize": ("answers", "optimize"),
    "coverage": ("answers", "coverage"),
    "movie": ("movies",),
    "all_movies": ("all_movies",),
    "versus": ("versus",),
    "lang": ("language",),
    "seed": ("seed",),
}
"""Each option and the setting that it sets."""

Values = dict[str, Any]


def with_settings(*groups: str) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of some groups of settings.

    The command takes a parameter `values`: the given options as nested settings, for `merge`. What a run keeps can be
    taken back: a switch by its `--no-` form, the names of films by an empty one.

    Parameters
    ----------
    groups
        Fields of `RunSettings`.
    """
    chosen = {option: path for option, path in OPTIONS.items() if path[0] in groups}

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(**arguments: Any) -> None:  # noqa: ANN401 - typer checks them
            values: Values = {}
            for option, path in chosen.items():
                given = arguments.pop(option)
                if given is None or given == []:
                    continue
                target = values
                for part in path[:-1]:
                    target = target.setdefault(part, {})
                target[path[-1]] = _parse(given, _field(path))
            command(**arguments, values=values)

        signature = inspect.signature(command)
        own = [parameter for name, parameter in signature.parameters.items() if name != "values"]
        added = [_parameter(option, path) for option, path in chosen.items()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *added]]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return wrapper

    return decorate


def with_engine(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of `EngineSettings`, which it takes as a parameter `engine`.

    The wrapped command raises SettingsError where an option of Ray is given without `--engine ray`.
    """

    @wraps(command)
    def checked(**arguments: Any) -> None:  # noqa: ANN401 - typer checks them
        engine = arguments["engine"]
        if engine.engine != "ray" and (engine.ray_address or engine.workers):
            raise SettingsError("--ray-address and --workers are of a Ray cluster; add --engine ray")
        command(**arguments)

    return with_group("engine", EngineSettings)(checked)


def with_group(name: str, settings: type[Settings]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command an option for each field of some settings, which it takes together as a parameter.

    Parameters
    ----------
    name
        Of the parameter.
    settings
        The options have the names of its fields.
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapper(**arguments: Any) -> None:  # noqa: ANN401 - typer checks them
            given = {field: arguments.pop(field) for field in settings.model_fields}
            values = {field: value for field, value in given.items() if value is not None}
            command(**arguments, **{name: settings.parse(values)})

        signature = inspect.signature(command)
        own = [parameter for parameter in signature.parameters.values() if parameter.name != name]
        added = [_group_parameter(field, info) for field, info in settings.model_fields.items()]
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in [*own, *added]]
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect reads it
        wrapper.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
        return wrapper

    return decorate


def _group_parameter(name: str, field: FieldInfo) -> inspect.Parameter:
    help_text = field.description or ""
    if field.default not in (None, "local") and field.default is not False:
        help_text += f" [default: {field.default}]"
    return inspect.Parameter(
        name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[
            _plain_type(field.annotation) | None,
            typer.Option(f"--{name.replace('_', '-')}", help=help_text, show_default=False),
        ],
    )


def merge(settings: RunSettings, values: Values) -> RunSettings:
    """Return settings with the given options in the place of some.

    Raises
    ------
    SettingsError
        A value is out of range.
    """
    merged = settings.model_dump()
    for name, value in values.items():
        merged[name] = merged[name] | value if isinstance(value, dict) else value
    try:
        return RunSettings.model_validate(merged)
    except ValidationError as error:
        where, message = describe_invalid(error)
        option = next((name for name, path in OPTIONS.items() if path == where), None)
        named = f"setting {'.'.join(where)}" if option is None else f"--{option.replace('_', '-')}"
        raise SettingsError(f"{named}: {message}") from error


def _field(path: tuple[str, ...]) -> FieldInfo:
    settings: type[Settings] = RunSettings
    for part in path[:-1]:
        annotation = settings.model_fields[part].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, Settings)):
            raise TypeError(f"{part} is no group of settings")
        settings = annotation
    return settings.model_fields[path[-1]]


def _parameter(option: str, path: tuple[str, ...]) -> inspect.Parameter:
    field = _field(path)
    kind = _plain_type(field.annotation)
    help_text = field.description or ""
    default = field.default
    if default not in (None, (), False):
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        help_text += f" [default: {shown}]"
    name = option.replace("_", "-")
    flag = f"--{name}/--no-{name}" if kind is bool else f"--{name}"
    optional = list[str] | None if path == ("movies",) else kind | None
    return inspect.Parameter(
        option,
        inspect.Parameter.KEYWORD_ONLY,
        default=None,
        annotation=Annotated[optional, typer.Option(flag, help=help_text, show_default=False)],
    )


def _plain_type(annotation: Any) -> Any:  # noqa: ANN401 - a type form
    if get_origin(annotation) in (Union, UnionType):
        annotation = next(part for part in get_args(annotation) if part is not type(None))
    return annotation if annotation in (int, float, bool, Path) else str


def _parse(given: Any, field: FieldInfo) -> Any:  # noqa: ANN401 - a value of the setting's type
    if isinstance(given, Path):
        return given.resolve()
    if isinstance(given, list):
        return tuple(part for part in given if part)
    if given == "" and type(None) in get_args(field.annotation):
        return None
    if isinstance(given, str) and "tuple" in str(field.annotation):
        return tuple(part.strip() for part in given.split(",") if part.strip())
    return given
