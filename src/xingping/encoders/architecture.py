"""What is known of a model without its weights: its layers, its positions, and what of it is used."""

import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from tokenizers import Tokenizer

from xingping.errors import EncoderError, SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Anatomy", "check_fit", "fitting_length", "resolve_layers"]

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Anatomy:
    """The sizes of a model.

    Attributes
    ----------
    model_type : str
        Its architecture, as config.json names it.
    hidden_size : int
        Width of a layer's state.
    num_layers : int
        Number of layers, without the embeddings.
    positions : int or None
        Longest text in tokens; None where there is no limit.
    pieces : int or None
        Number of tokens it has vectors for.
    layer_parameters : int
        Weights of all layers, without the embeddings.
    """

    model_type: str
    hidden_size: int
    num_layers: int
    positions: int | None
    pieces: int | None
    layer_parameters: int

    @classmethod
    def of(cls, model: "PreTrainedModel", name: str) -> "Anatomy":
        """Read the sizes off a loaded model.

        Raises
        ------
        EncoderError
            The model is no text encoder, but such as one of images.
        """
        config = model.config
        layers, width = getattr(config, "num_hidden_layers", None), getattr(config, "hidden_size", None)
        if not isinstance(layers, int) or not isinstance(width, int):
            raise EncoderError(
                f"encoder {name} ({config.model_type}) is no text encoder; give a BERT, RoBERTa or ERNIE"
            )
        pieces = getattr(model.get_input_embeddings(), "num_embeddings", None)
        return cls(
            model_type=str(config.model_type),
            hidden_size=width,
            num_layers=layers,
            positions=_positions(model),
            pieces=pieces if isinstance(pieces, int) else None,
            layer_parameters=sum(
                weights.numel() for name, weights in model.named_parameters() if "embeddings." not in name
            ),
        )

    def as_json(self) -> dict[str, Any]:
        """Return the sizes as JSON-serialisable values."""
        return asdict(self)


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


def fitting_length(anatomy: Anatomy, max_length: int, name: str) -> int:
    """Return `max_length`, or the number of the model's positions where that is smaller, with a warning."""
    positions = anatomy.positions
    if positions is None or max_length <= positions:
        return max_length
    logger.warning("encoder %s has %d positions: texts are cut there, not at %d", name, positions, max_length)
    return positions


def check_fit(anatomy: Anatomy, tokenizer: Tokenizer, name: str) -> None:
    """Check that the model has a vector for each piece of the tokenizer.

    Raises
    ------
    EncoderError
        It has fewer, so the two come from different encoders.
    """
    pieces = tokenizer.get_vocab_size(with_added_tokens=True)
    if anatomy.pieces is not None and pieces > anatomy.pieces:
        raise EncoderError(
            f"encoder {name}: its tokenizer has {pieces} pieces and its model vectors for {anatomy.pieces}, so they "
            "do not belong together; copy both from the same place"
        )


def _positions(model: "PreTrainedModel") -> int | None:
    from torch import nn

    positions = getattr(model.config, "max_position_embeddings", None)
    for module_name, module in model.named_modules():
        if module_name.endswith("position_embeddings") and isinstance(module, nn.Embedding):
            # RoBERTa's positions start behind its padding index.
            positions = module.num_embeddings - (0 if module.padding_idx is None else module.padding_idx + 1)
    return positions if isinstance(positions, int) and positions > 0 else None
