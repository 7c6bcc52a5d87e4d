"""What of a model is used: which layers, how many positions, and the digest that tells two uses apart."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from torch import nn
from transformers import PreTrainedModel

from xingping.artifacts import file_sha256
from xingping.artifacts import fingerprint as digest_of
from xingping.encoders.folders import weight_files
from xingping.errors import EncoderError, SettingsError

__all__ = [
    "FEATURES_VERSION",
    "check_fit",
    "cut_after",
    "features_fingerprint",
    "fitting_length",
    "layer_count",
    "resolve_layers",
]

logger = logging.getLogger(__name__)

FEATURES_VERSION = 1
"""Version of the way from text to vectors; raised when the same encoder would give other vectors."""

VOLATILE = frozenset({"_name_or_path", "architectures", "dtype", "torch_dtype", "transformers_version"})
"""Keys of config.json that change no vector."""

POST_NORM = frozenset({"bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"})
"""Architectures with `encoder.layer` and nothing behind the last layer: cut, they give the same states."""


def layer_count(model: PreTrainedModel, name: str) -> int:
    """Return the number of layers of a text encoder.

    Raises
    ------
    EncoderError
        The model is none, such as one of images.
    """
    count = getattr(model.config, "num_hidden_layers", None)
    if not isinstance(count, int) or not isinstance(getattr(model.config, "hidden_size", None), int):
        raise EncoderError(
            f"encoder {name} ({model.config.model_type}) is no text encoder; give a BERT, RoBERTa or ERNIE"
        )
    return count


def resolve_layers(layers: Sequence[int], count: int, name: str) -> tuple[int, ...]:
    """Return the layers counted from 0, the embeddings; given negative, they count from the last.

    Raises
    ------
    SettingsError
        A layer does not exist, or is named twice, or none is named.
    """
    resolved = tuple(layer if layer >= 0 else count + 1 + layer for layer in layers)
    for given, layer in zip(layers, resolved, strict=True):
        if not 0 <= layer <= count:
            raise SettingsError(f"layer {given}: encoder {name} has layers 1 to {count} (-1 is the last)")
        if resolved.count(layer) > 1:
            raise SettingsError(f"layer {given} is named twice; name each layer once")
    if not resolved:
        raise SettingsError("no layer is named; -1 is the last")
    return resolved


def fitting_length(model: PreTrainedModel, max_length: int, name: str) -> int:
    """Return `max_length`, or the number of the model's positions where that is smaller, with a warning."""
    positions = getattr(model.config, "max_position_embeddings", None)
    for module_name, module in model.named_modules():
        if module_name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's positions start behind its padding index.
            positions = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    if not isinstance(positions, int) or positions <= 0 or max_length <= positions:
        return max_length
    logger.warning("encoder %s has %d positions: texts are cut there, not at %d", name, positions, max_length)
    return positions


def check_fit(model: PreTrainedModel, tokenizer: Tokenizer, name: str) -> None:
    """Check that the model has a vector for each piece of the tokenizer.

    Raises
    ------
    EncoderError
        It has fewer, so the two come from different encoders.
    """
    rows = getattr(model.get_input_embeddings(), "num_embeddings", None)
    pieces = tokenizer.get_vocab_size(with_added_tokens=True)
    if isinstance(rows, int) and pieces > rows:
        raise EncoderError(
            f"encoder {name}: its tokenizer has {pieces} pieces and its model vectors for {rows}, so they do "
            "not belong together; copy both from the same place"
        )


def cut_after(model: PreTrainedModel, layer: int) -> None:
    """Drop the layers behind the highest one used, where the states before them stay as they are."""
    encoder = getattr(model, "encoder", None)
    stack = getattr(encoder, "layer", None)
    if model.config.model_type not in POST_NORM:
        return
    if isinstance(encoder, nn.Module) and isinstance(stack, nn.ModuleList):
        encoder.layer = stack[: max(1, layer)]  # transformers takes the embeddings on their way into a layer


def features_fingerprint(
    folder: Path, tokenizer: Tokenizer, *, layers: tuple[int, ...], max_length: int, precision: str
) -> str:
    """Return a digest of all that decides the vectors, and of nothing else: not of the folder's place.

    Parameters
    ----------
    folder
        The encoder's folder, whose weights and config.json are digested.
    tokenizer
        Digested as it is used, whichever files it was made from.
    layers
        Resolved layers, in their order.
    max_length, precision
        As used.
    """
    config: dict[str, Any] = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    return digest_of(
        FEATURES_VERSION,
        [file_sha256(path) for path in weight_files(folder)],
        {key: value for key, value in config.items() if key not in VOLATILE},
        tokenizer.to_str(),
        layers,
        max_length,
        precision,
    )
