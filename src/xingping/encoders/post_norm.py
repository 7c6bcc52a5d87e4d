"""Encoders of BERT's own shape as plain arrays, whichever of its family they are.

Each layer is ``x = norm(x + attend(x))``, then ``x = norm(x + down(act(up(x))))`` (Devlin et al. 2019, arXiv
1810.04805). RoBERTa, XLM-R, CamemBERT, ELECTRA and ERNIE differ in their embeddings alone.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Layer", "Linear", "Norm", "PostNormEncoder", "why_not_post_norm"]

Array = NDArray[np.float32]
Activation = Literal["gelu", "gelu_tanh", "relu"]

FAMILY = frozenset({"bert", "camembert", "electra", "ernie", "roberta", "xlm-roberta"})
ACTIVATIONS: dict[str, Activation] = {
    "gelu": "gelu",
    "gelu_new": "gelu_tanh",
    "gelu_fast": "gelu_tanh",
    "gelu_pytorch_tanh": "gelu_tanh",
    "relu": "relu",
}


@dataclass(frozen=True, eq=False)
class Linear:
    """``x @ weights + bias``, with weights of shape (inputs, outputs)."""

    weights: Array
    bias: Array


@dataclass(frozen=True, eq=False)
class Norm:
    """Layer normalisation."""

    scale: Array
    shift: Array
    epsilon: float


@dataclass(frozen=True, eq=False)
class Layer:
    """One layer: attention and its output, the two halves of the feed-forward network, and two norms."""

    query: Linear
    key: Linear
    value: Linear
    output: Linear
    output_norm: Norm
    up: Linear
    down: Linear
    down_norm: Norm


@dataclass(frozen=True, eq=False)
class PostNormEncoder:
    """An encoder, up to the highest layer in use.

    Attributes
    ----------
    words : ndarray, shape (pieces, width)
        Vector of each piece.
    positions : ndarray, shape (positions, width)
        What is added at each position: its vector, and those of the first type and the first task.
    norm : Norm
        Of the embeddings.
    projection : Linear or None
        From the width of the embeddings to that of the layers, where they differ.
    layers : tuple of Layer
    num_heads : int
    activation : str
        Between the halves of the feed-forward network.
    """

    words: Array
    positions: Array
    norm: Norm
    projection: Linear | None
    layers: tuple[Layer, ...]
    num_heads: int
    activation: Activation

    @property
    def parameters(self) -> int:
        """Number of weights."""
        linear = [part for layer in self.layers for part in vars(layer).values() if isinstance(part, Linear)]
        norms = [self.norm] + [norm for layer in self.layers for norm in (layer.output_norm, layer.down_norm)]
        linear += [self.projection] if self.projection else []
        arrays = [self.words, self.positions]
        arrays += [array for part in linear for array in (part.weights, part.bias)]
        arrays += [array for norm in norms for array in (norm.scale, norm.shift)]
        return sum(array.size for array in arrays)

    @classmethod
    def of(cls, model: "PreTrainedModel", num_layers: int) -> "PostNormEncoder":
        """Take the weights of a model of the family; `why_not_post_norm` must have nothing against it."""
        config = model.config
        arrays: dict[str, Array] = {name: tensor.float().numpy() for name, tensor in model.state_dict().items()}

        def linear(name: str) -> Linear:
            return Linear(np.ascontiguousarray(arrays[f"{name}.weight"].T), arrays[f"{name}.bias"])

        def norm(name: str) -> Norm:
            return Norm(arrays[f"{name}.weight"], arrays[f"{name}.bias"], float(config.layer_norm_eps))

        def layer(number: int) -> Layer:
            at = f"encoder.layer.{number}"
            return Layer(
                query=linear(f"{at}.attention.self.query"),
                key=linear(f"{at}.attention.self.key"),
                value=linear(f"{at}.attention.self.value"),
                output=linear(f"{at}.attention.output.dense"),
                output_norm=norm(f"{at}.attention.output.LayerNorm"),
                up=linear(f"{at}.intermediate.dense"),
                down=linear(f"{at}.output.dense"),
                down_norm=norm(f"{at}.output.LayerNorm"),
            )

        # RoBERTa's positions start behind its padding index.
        padding = getattr(model.get_submodule("embeddings.position_embeddings"), "padding_idx", None)
        positions = arrays["embeddings.position_embeddings.weight"][0 if padding is None else int(padding) + 1 :]
        positions = positions + arrays["embeddings.token_type_embeddings.weight"][0]
        if "embeddings.task_type_embeddings.weight" in arrays:
            positions = positions + arrays["embeddings.task_type_embeddings.weight"][0]
        return cls(
            words=arrays["embeddings.word_embeddings.weight"],
            positions=positions,
            norm=norm("embeddings.LayerNorm"),
            projection=linear("embeddings_project") if "embeddings_project.weight" in arrays else None,
            layers=tuple(layer(number) for number in range(num_layers)),
            num_heads=int(config.num_attention_heads),
            activation=ACTIVATIONS[config.hidden_act],
        )


def why_not_post_norm(model: "PreTrainedModel") -> str | None:
    """Return why a model cannot be taken for a `PostNormEncoder`, or None where it can."""
    config = model.config
    if config.model_type not in FAMILY:
        return f"{config.model_type} is not of BERT's shape"
    if getattr(config, "hidden_act", None) not in ACTIVATIONS:
        return f"its activation is {config.hidden_act}"
    if getattr(config, "position_embedding_type", "absolute") != "absolute":
        return f"its positions are {config.position_embedding_type}"
    if getattr(config, "is_decoder", False):
        return "it is a decoder"
    return None
