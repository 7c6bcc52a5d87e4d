"""Where an encoder comes from: the bundled one, a local folder, or the Hugging Face hub."""

import json
import logging
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import huggingface_hub
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.utils.tqdm import (
    are_progress_bars_disabled,
    disable_progress_bars,
    enable_progress_bars,
)

from xingping.encoders.bundled import bundled_folder
from xingping.errors import EncoderError

__all__ = ["BUNDLED", "copy_encoder", "find_folder", "is_local", "weight_files"]

logger = logging.getLogger(__name__)

BUNDLED = "bundled"
HUB_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)
HUB_FILES = ["*.json", "*.txt", "*.model", "model.safetensors", "model-*.safetensors"]
HUB_TIMEOUT = 5.0
TOKENIZER_FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
WEIGHTS, WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
LOCAL_FOLDER = "give a local folder with --encoder /path/to/folder"


def find_folder(name: str) -> Path:
    """Return the folder that holds an encoder's files, fetching them where they are not here yet.

    Parameters
    ----------
    name
        `bundled`, a local folder, or a Hugging Face id. A folder goes before an id of the same name.

    Raises
    ------
    EncoderError
        There is no such encoder, it cannot be fetched, or its files are not all there.
    OutputError
        The bundled encoder cannot be written to the cache folder.
    """
    if name == BUNDLED:
        return bundled_folder()
    folder = Path(name).expanduser()
    if folder.is_dir():
        _check_files(folder, name)
        return folder
    if folder.exists():
        raise EncoderError(f"encoder {name} is a file; give the folder that holds its config.json")
    if not HUB_ID.fullmatch(name):
        raise EncoderError(f"encoder {name}: no such folder; give bundled, a folder or a Hugging Face id")
    folder = _fetch(name)
    _check_files(folder, name)
    return folder


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors files of an encoder's folder, in the order of their names.

    Raises
    ------
    EncoderError
        There are none, or a part that the index names is missing.
    """
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / WEIGHTS_INDEX).is_file():
        names = sorted(set(_read_index(folder / WEIGHTS_INDEX)))
        for name in names:
            if Path(name).name != name or not (folder / name).is_file():
                raise EncoderError(f"{folder} lacks {name}, a part of the weights; copy the folder again")
        return [folder / name for name in names]
    if list(folder.glob("pytorch_model*.bin")):
        raise EncoderError(
            f"{folder} holds its weights only as pytorch_model.bin, a pickle, which is never loaded; convert it "
            "where you trust it: AutoModel.from_pretrained(FOLDER).save_pretrained(FOLDER) writes model.safetensors"
        )
    raise EncoderError(f"{folder} has no {WEIGHTS}; {LOCAL_FOLDER} that holds the weights as safetensors")


def is_local(name: str) -> bool:
    """Say whether a name means a folder of this machine, which others do not have."""
    return name != BUNDLED and Path(name).expanduser().is_dir()


def copy_encoder(folder: Path, target: Path) -> None:
    """Copy the files of an encoder, and nothing else that lies beside them, into an existing folder."""
    for file in sorted({file for pattern in HUB_FILES for file in folder.glob(pattern)}):
        shutil.copyfile(file, target / file.name)


def _check_files(folder: Path, name: str) -> None:
    if not (folder / "config.json").is_file():
        raise EncoderError(f"encoder {name} has no config.json in {folder}; give a folder made by save_pretrained")
    if not any(True for pattern in TOKENIZER_FILES for _ in folder.glob(pattern)):
        raise EncoderError(f"encoder {name} has no tokenizer in {folder}; copy its tokenizer.json or vocab.txt there")
    weight_files(folder)


def _read_index(path: Path) -> list[str]:
    try:
        index: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        return [str(name) for name in index["weight_map"].values()]
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"{path} is not an index of weights ({error}); copy the folder again") from error


def _fetch(name: str) -> Path:
    """Return the folder of a hub model, downloaded or, where the hub does not answer, from its cache."""
    logger.info("looking for the encoder %s on %s", name, huggingface_hub.constants.ENDPOINT)
    try:
        with _hub_progress():
            return Path(
                huggingface_hub.snapshot_download(
                    name,
                    allow_patterns=HUB_FILES,
                    ignore_patterns=["*/*"],
                    etag_timeout=HUB_TIMEOUT,
                    local_files_only=not _hub_answers(name),
                )
            )
    except GatedRepoError as error:
        raise EncoderError(
            f"encoder {name} may be read only by those its owners let in: log in with `hf auth login`, "
            f"or {LOCAL_FOLDER}"
        ) from error
    except RepositoryNotFoundError as error:
        raise EncoderError(f"encoder {name}: the hub has no such model; check the name, or {LOCAL_FOLDER}") from error
    except LocalEntryNotFoundError as error:
        raise EncoderError(
            f"encoder {name} is neither a folder nor in the cache, and {huggingface_hub.constants.ENDPOINT} "
            f"cannot be reached; {LOCAL_FOLDER}, or use the bundled one"
        ) from error
    except Exception as error:  # as in _hub_answers
        reason = str(error).strip().split("\n")[0][:200]
        raise EncoderError(f"encoder {name} cannot be fetched ({reason}); {LOCAL_FOLDER}") from error


def _hub_answers(name: str) -> bool:
    """Say whether the hub tells of a model in time; one that has no such model raises.

    Asked on its own because a download waits without end for a hub that takes the call and stays silent.
    """
    try:
        huggingface_hub.HfApi().model_info(name, timeout=HUB_TIMEOUT)
    except (GatedRepoError, RepositoryNotFoundError):
        raise
    except Exception as error:  # the hub's client passes on what its HTTP library raises
        logger.info("the hub does not answer (%s)", error)
        return False
    return True


@contextmanager
def _hub_progress() -> Iterator[None]:
    """Show the hub's progress bars only to a person who watches and did not ask for silence."""
    silent = not (sys.stderr.isatty() and logger.isEnabledFor(logging.INFO))
    hub_logger = logging.getLogger("huggingface_hub")
    before, level = are_progress_bars_disabled(), hub_logger.level
    if silent:
        disable_progress_bars()
        hub_logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        hub_logger.setLevel(level)
        if silent and not before:
            enable_progress_bars()
