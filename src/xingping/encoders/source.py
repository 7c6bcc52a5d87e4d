"""An encoder's folder: its digest, its sizes, its weights, each read no earlier than needed."""

import json
import logging
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xingping.artifacts import file_sha256, fingerprint, read_json, write_json
from xingping.cache import cache_folder
from xingping.encoders.architecture import Anatomy
from xingping.encoders.folders import find_folder, weight_files
from xingping.errors import EncoderError, OutputError, RunDirectoryError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["EncoderSource"]

logger = logging.getLogger(__name__)

SOURCE_VERSION = 1
"""Version of what is noted about an encoder; raised when it means something else."""

VOLATILE = frozenset({"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"})
"""Keys of config.json that change no vector."""


class EncoderSource:
    """The files of one encoder.

    Parameters
    ----------
    name
        `bundled`, a local folder, or a Hugging Face id.

    Attributes
    ----------
    folder : Path
        Where its files are.

    Raises
    ------
    EncoderError
        It cannot be found or fetched, or its files are not all there.
    OutputError
        The bundled encoder cannot be written to the cache folder.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.folder: Path = find_folder(name)

    @cached_property
    def digest(self) -> str:
        """Digest of the weights and of what of config.json decides the vectors; not of the folder's place."""
        config_file = self.folder / "config.json"
        try:
            config: dict[str, Any] = json.loads(config_file.read_text(encoding="utf-8"))
            kept = {key: value for key, value in config.items() if key not in VOLATILE}
        except (OSError, ValueError, AttributeError) as error:
            raise EncoderError(
                f"encoder {self.name} cannot be loaded from {self.folder} (config.json is not what it should be: "
                f"{error}); check that the folder is whole"
            ) from error
        return fingerprint(SOURCE_VERSION, [file_sha256(path) for path in weight_files(self.folder)], kept)

    @property
    def cache(self) -> Path:
        """The folder for what is made of this encoder; it need not exist."""
        return cache_folder() / "runtimes" / self.digest

    @cached_property
    def model(self) -> "PreTrainedModel":
        """The model in float32 on the CPU, loaded on first use and found to turn text into states.

        Raises
        ------
        EncoderError
            It cannot be loaded or trusted, or is of another kind.
        """
        from xingping.encoders.loading import load_model
        from xingping.encoders.torch_runtime import check_states

        model = load_model(self.folder, self.name)
        check_states(model, Anatomy.of(model, self.name), self.name)
        return model

    @cached_property
    def anatomy(self) -> Anatomy:
        """The model's sizes, noted in the cache so that the next process need not load the model for them.

        Raises
        ------
        EncoderError
            As for `model`.
        """
        note = self.cache / "anatomy.json"
        with suppress(RunDirectoryError, TypeError):
            return Anatomy(**read_json(note))
        anatomy = Anatomy.of(self.model, self.name)
        try:
            write_json(note, anatomy.as_json())
        except OutputError as error:
            logger.info("%s", error)  # without the note the model is loaded again next time, no worse
        return anatomy

    def release(self) -> None:
        """Let go of the model where it is loaded; it is loaded again when asked for."""
        self.__dict__.pop("model", None)
