"""Folders that hold one model: finding them, what is in them, and what of it depends on the machine."""

import shutil
from pathlib import Path
from typing import get_args

from xingping.artifacts import atomic_path, read_json
from xingping.config import Task
from xingping.encoders.folders import is_local
from xingping.errors import RunDirectoryError, SettingsError
from xingping.graph_scorer import NOTE, GraphScorer
from xingping.model_card import MODEL_FORMAT, ModelCard
from xingping.scorer import Scorer

__all__ = ["copy_dictionary", "find_bundle", "load_scorer", "portable_card", "read_card"]

DICTIONARY = "user_dictionary.txt"
"""Name of the user dictionary in a bundle that was made for other machines."""


def find_bundle(path: Path, task: Task | None) -> Path:
    """Return the folder of a model: the one given, or that of a task of a run directory, by default the first.

    Raises
    ------
    RunDirectoryError
        There is none.
    """
    if (path / "model.json").is_file():
        return path
    models = path / "models"
    tasks = [task] if task else get_args(Task)
    for name in tasks:
        if (models / name / "model.json").is_file():
            return models / name
    wanted = f"{task} model" if task else "model"
    raise RunDirectoryError(f"{path} holds no {wanted}; train one with: xingping run DATA --out {path}")


def read_card(folder: Path) -> ModelCard:
    """Read `model.json`; a user dictionary that lies in the bundle gets its whole path.

    Raises
    ------
    RunDirectoryError
        It is missing, or another version wrote it.
    """
    values = read_json(folder / "model.json")
    found = values.get("format") if isinstance(values, dict) else None
    if found != MODEL_FORMAT:
        raise RunDirectoryError(
            f"{folder / 'model.json'} is of format {found}, this xingping reads format {MODEL_FORMAT}; train again"
        )
    card = ModelCard.parse(values)
    dictionary = card.segmentation.user_dictionary
    if dictionary is None or dictionary.is_absolute():
        return card
    segmentation = card.segmentation.model_copy(update={"user_dictionary": folder / dictionary.name})
    return card.model_copy(update={"segmentation": segmentation})


def load_scorer(card: ModelCard, folder: Path) -> Scorer:
    """Load what scores texts from a bundle: a graph where there is one, or else a head, which needs torch.

    Raises
    ------
    RunDirectoryError
        A file is missing or damaged.
    SettingsError
        It cannot run here: it needs torch, which is not installed, or another processor.
    """
    if (folder / NOTE).is_file():
        return GraphScorer.load(card, folder)
    try:
        from xingping.head_scorer import HeadScorer
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] not in ("torch", "transformers"):
            raise
        raise SettingsError(
            f"the model in {folder} runs in {error.name}, which is not installed here; install it, or give a model "
            "that was exported where it is: xingping export RUN"
        ) from error
    return HeadScorer.load(card, folder)


def portable_card(card: ModelCard) -> ModelCard:
    """Return a card without places of this machine."""
    dictionary = None if card.segmentation.user_dictionary is None else Path(DICTIONARY)
    segmentation = card.segmentation.model_copy(update={"user_dictionary": dictionary, "stopwords": None})
    encoder = card.encoder
    if is_local(encoder.name):
        encoder = encoder.model_copy(update={"name": Path(encoder.name).expanduser().resolve().name})
    return card.model_copy(update={"segmentation": segmentation, "encoder": encoder})


def copy_dictionary(card: ModelCard, folder: Path) -> None:
    """Copy the user dictionary, where there is one, to where a portable card has it."""
    dictionary = card.segmentation.user_dictionary
    if dictionary is not None and dictionary.resolve() != (folder / DICTIONARY).resolve():
        with atomic_path(folder / DICTIONARY) as temporary:
            shutil.copyfile(dictionary, temporary)
