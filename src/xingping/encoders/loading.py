"""Loading a Hugging Face model and its tokenizer, quietly and without trusting any code or pickle."""

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from xingping.errors import EncoderError, SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["load_model", "load_tokenizer", "quiet"]

UNUSED = ("pooler.", "position_ids")
"""Parameters that the states of tokens do not depend on, so that a checkpoint may lack them."""


def load_model(folder: Path, name: str) -> "PreTrainedModel":
    """Load the weights of an encoder in float32, frozen and ready to infer.

    Parameters
    ----------
    folder
        A Hugging Face folder with config.json and safetensors.
    name
        What the user calls it; for messages.

    Raises
    ------
    EncoderError
        The weights are damaged or incomplete, or the model is not one that turns text into token states.
    """
    import torch
    from transformers import AutoConfig, AutoModel

    with quiet(), _explained(f"encoder {name} cannot be loaded from {folder}"):
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        if config.is_encoder_decoder:
            raise EncoderError(
                f"encoder {name} is an encoder with a decoder ({config.model_type}); "
                "give an encoder such as a BERT, RoBERTa or ERNIE"
            )
        model, report = AutoModel.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            output_loading_info=True,
            local_files_only=True,
            trust_remote_code=False,
        )
    missing = sorted(key for key in report["missing_keys"] if not any(part in key for part in UNUSED))
    if missing:
        raise EncoderError(
            f"encoder {name}: the weights in {folder} lack {len(missing)} parameters ({missing[0]}, …), "
            "so they belong to another model than config.json; copy the folder again"
        )
    if getattr(model, "pooler", None) is not None:
        model.pooler = None  # the states of tokens do not pass through it
    frozen: PreTrainedModel = model.eval().requires_grad_(False)
    return frozen


def load_tokenizer(folder: Path, name: str, *, max_length: int) -> Tokenizer:
    """Load a fast tokenizer that cuts at `max_length` and takes special tokens in a text for plain text.

    Raises
    ------
    EncoderError
        There is no usable tokenizer, or only one that cannot tell where a token stands in the text.
    SettingsError
        `max_length` leaves no room for a token beside the special ones.
    """
    with _explained(f"the tokenizer of encoder {name} cannot be loaded from {folder}"):
        tokenizer = _read_tokenizer(folder, name)
    added = tokenizer.num_special_tokens_to_add(is_pair=False)
    if max_length <= added:
        raise SettingsError(f"max_length {max_length} leaves no room beside {added} special tokens; raise it")
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    tokenizer.encode_special_tokens = True  # a review that says [SEP] is a review, not two
    return tokenizer


def _read_tokenizer(folder: Path, name: str) -> Tokenizer:
    if (folder / "tokenizer.json").is_file():
        # Taken as it stands: the classes of transformers build some tokenizers anew and drop their normaliser.
        return Tokenizer.from_file(str(folder / "tokenizer.json"))
    from transformers import AutoTokenizer

    with quiet():
        built: Any = AutoTokenizer.from_pretrained(
            folder, use_fast=True, local_files_only=True, trust_remote_code=False
        )
    if not built.is_fast:
        raise EncoderError(
            f"the tokenizer of encoder {name} is not a fast one, so the places of its tokens are unknown; "
            f"add a tokenizer.json to {folder}"
        )
    tokenizer: Tokenizer = copy.deepcopy(built.backend_tokenizer)
    return tokenizer


@contextmanager
def quiet() -> Iterator[None]:
    """Hush transformers: what its reports say, this module says in one line where it matters."""
    from transformers.utils import logging

    reports: Any = logging  # without annotations
    level, bars = reports.get_verbosity(), reports.is_progress_bar_enabled()
    reports.set_verbosity_error()
    reports.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        reports.set_verbosity(level)
        if bars:
            reports.enable_progress_bar()


@contextmanager
def _explained(what: str) -> Iterator[None]:
    """Turn what the libraries raise about a user's folder into one line.

    They raise almost every class, plain Exception among them (tokenizers), hence the wide net.
    """
    try:
        yield
    except EncoderError:
        raise
    except Exception as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        reason = lines[0][:200] if lines else type(error).__name__
        raise EncoderError(f"{what} ({reason}); check that the folder is whole") from error
