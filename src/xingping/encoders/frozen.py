"""Frozen encoders: text in, one vector per token out, and nothing of them is trained."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np
import tokenizers
import torch
import transformers
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor, nn
from transformers import PreTrainedModel

from xingping.encoders.architecture import (
    check_fit,
    cut_after,
    features_fingerprint,
    fitting_length,
    layer_count,
    resolve_layers,
)
from xingping.encoders.folders import find_folder
from xingping.encoders.hardware import choose_device, choose_precision
from xingping.encoders.loading import load_model, load_tokenizer
from xingping.encoders.token_features import TokenFeatures
from xingping.encoders.tokenization import TokenizedTexts, tokenize
from xingping.errors import EncoderError

__all__ = ["FrozenEncoder"]

CPU_BUDGET, GPU_BUDGET = 2048, 16384
"""Tokens of a batch, padding included: larger ones leave a CPU's caches, smaller ones leave a GPU idle."""

LARGEST_HALF = 65504.0


class FrozenEncoder:
    """A pretrained encoder whose weights never change.

    Made by `FrozenEncoder.load`.

    Attributes
    ----------
    name : str
        What it was loaded by.
    dim : int
        Width of a token's vector: the model's width times the number of layers put side by side.
    max_length : int
        Tokens of a text that are encoded, special tokens included; the rest is cut off.
    precision : str
        fp32 or bf16.
    layers : tuple of int
        The layers used, counted from 1; 0 are the embeddings.
    fingerprint : str
        Digest of all that decides the vectors: weights, tokenizer, layers, precision, `max_length`. Folders
        with the same content share one wherever they are.
    device : torch.device
        Where it runs.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        tokenizer: Tokenizer,
        *,
        name: str,
        layers: tuple[int, ...],
        max_length: int,
        precision: Literal["fp32", "bf16"],
        fingerprint: str,
    ) -> None:
        self.name = name
        self.layers = layers
        self.max_length = max_length
        self.precision: Literal["fp32", "bf16"] = precision
        self.fingerprint = fingerprint
        self.device = model.device
        self.dim = int(model.config.hidden_size) * len(layers)
        self._model = model
        self._tokenizer = tokenizer
        self._budget = CPU_BUDGET if self.device.type == "cpu" else GPU_BUDGET
        self._pad = int(getattr(model.config, "pad_token_id", None) or 0)

    @classmethod
    def load(
        cls,
        name: str = "bundled",
        *,
        precision: str = "auto",
        layers: Sequence[int] = (-1,),
        max_length: int = 256,
        device: str | None = None,
    ) -> "FrozenEncoder":
        """Load an encoder.

        Parameters
        ----------
        name
            `bundled`, a local folder, or a Hugging Face id such as `google-bert/bert-base-chinese`.
        precision
            fp32, bf16, or auto: bf16 where the hardware multiplies matrices of it, else fp32.
        layers
            Layers whose states are put side by side, in this order: 1 is the first, 0 the embeddings;
            negative numbers count from the last (-1).
        max_length
            Tokens of a text that are encoded, special tokens included. An encoder with fewer positions cuts
            there, and a warning says so.
        device
            A name of torch such as `cpu` or `cuda:1`; by default the GPU where there is one.

        Raises
        ------
        EncoderError
            The encoder cannot be found, fetched, loaded or trusted.
        SettingsError
            The precision, a layer, the length or the device is not possible with it.
        OutputError
            The bundled encoder cannot be written to the cache folder.
        """
        chosen_device = choose_device(device)
        chosen_precision = choose_precision(precision, chosen_device)
        folder = find_folder(name)
        model = load_model(folder, name)
        chosen_layers = resolve_layers(layers, layer_count(model, name), name)
        length = fitting_length(model, max_length, name)
        tokenizer = load_tokenizer(folder, name, max_length=length)
        check_fit(model, tokenizer, name)
        cut_after(model, max(chosen_layers))
        module: nn.Module = model
        module.to(device=chosen_device, dtype=torch.bfloat16 if chosen_precision == "bf16" else torch.float32)
        encoder = cls(
            model,
            tokenizer,
            name=name,
            layers=chosen_layers,
            max_length=length,
            precision=chosen_precision,
            fingerprint=features_fingerprint(
                folder, tokenizer, layers=chosen_layers, max_length=length, precision=chosen_precision
            ),
        )
        encoder._check_states()
        return encoder

    def encode(self, texts: Sequence[str], *, progress: Callable[[int], None] | None = None) -> TokenFeatures:
        """Encode texts; each gets the same vectors whatever else is in the list, up to rounding.

        Parameters
        ----------
        texts
            The texts, in any order; an empty one has no tokens.
        progress
            Called as the work goes on with the number of texts done since the last call.

        Returns
        -------
        TokenFeatures
            In the order of the texts.

        Raises
        ------
        EncoderError
            The model gave a value that is no number.
        """
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts; for one text write encode([text])")
        tokens = tokenize(self._tokenizer, texts)
        content = ~tokens.is_special
        # The tokens of text i that are not special start at offsets[i] among all that are not.
        offsets = np.concatenate([[0], np.cumsum(content)]).astype(np.int64)[tokens.offsets]
        values = np.empty((int(offsets[-1]), self.dim), dtype=np.float16)
        cls = np.zeros((len(texts), self.dim), dtype=np.float16)
        report = progress if progress is not None else _ignore
        filled = np.flatnonzero(tokens.lengths)  # a text without even special tokens needs no model
        report(len(texts) - len(filled))
        for chosen in _batches(tokens.lengths[filled], self._budget):
            batch = filled[chosen]
            states, is_content, first = self._states(tokens, batch)
            rows = np.concatenate([np.arange(offsets[i], offsets[i + 1]) for i in batch])
            values[rows] = states[is_content]
            cls[batch] = states[np.arange(len(batch)), first]
            report(len(batch))
        return TokenFeatures(values, offsets, tokens.spans[content], cls, tokens.n_truncated)

    def describe(self) -> dict[str, Any]:
        """Return what a run records about its encoder, as JSON-serialisable values."""
        return {
            "name": self.name,
            "dim": self.dim,
            "layers": list(self.layers),
            "max_length": self.max_length,
            "precision": self.precision,
            "parameters": sum(weights.numel() for weights in self._model.parameters()),
            "device": str(self.device),
            "fingerprint": self.fingerprint,
            "versions": {
                "torch": torch.__version__,
                "transformers": transformers.__version__,
                "tokenizers": tokenizers.__version__,
            },
        }

    def _states(
        self, tokens: TokenizedTexts, batch: NDArray[np.int64]
    ) -> tuple[NDArray[np.float16], NDArray[np.bool_], NDArray[np.int64]]:
        """Encode one batch, longest text first.

        Returns the states (batch, length, dim), which of them are of tokens that are not special, and the
        position of each text's first special token (or first token).
        """
        lengths = tokens.lengths[batch]
        is_token = np.arange(lengths[0]) < lengths[:, None]  # (batch, length)
        places = np.concatenate([np.arange(tokens.offsets[i], tokens.offsets[i + 1]) for i in batch])
        ids = np.full(is_token.shape, self._pad, dtype=np.int64)
        ids[is_token] = tokens.ids[places]
        is_special = np.zeros(is_token.shape, dtype=np.bool_)
        is_special[is_token] = tokens.is_special[places]
        mask = None if is_token.all() else torch.from_numpy(is_token.astype(np.int64)).to(self.device)
        states = self._forward(torch.from_numpy(ids).to(self.device), mask)
        return states.cpu().numpy(), is_token & ~is_special, is_special.argmax(axis=1)

    @torch.inference_mode()
    def _forward(self, ids: Tensor, mask: Tensor | None) -> Tensor:
        """Return the states of the chosen layers as float16, shape (batch, length, dim)."""
        output = self._model(input_ids=ids, attention_mask=mask, output_hidden_states=True)
        hidden = output.hidden_states  # one (batch, length, hidden) per layer, the embeddings first
        states = torch.cat([hidden[layer] for layer in self.layers], dim=-1)
        if not torch.isfinite(states).all():
            raise EncoderError(f"encoder {self.name} gives values that are no numbers in {self.precision}; try fp32")
        return states.float().clamp_(-LARGEST_HALF, LARGEST_HALF).half()

    def _check_states(self) -> None:
        """Encode a word, so that a model of another kind is refused here and not in the middle of a run."""
        try:
            states = self._forward(torch.zeros(1, 2, dtype=torch.long, device=self.device), None)
        except (AttributeError, IndexError, KeyError, RuntimeError, TypeError, ValueError) as error:
            reason = str(error).split("\n")[0][:200]
            raise EncoderError(
                f"encoder {self.name} does not turn text into states ({reason}); give a BERT or its like"
            ) from error
        if states.shape != (1, 2, self.dim):
            raise EncoderError(
                f"encoder {self.name} gives states of shape {tuple(states.shape)}, "
                f"expected (1, 2, {self.dim}); give a BERT or its like"
            )


def _ignore(count: int) -> None:
    """Report progress to nobody."""


def _batches(lengths: NDArray[np.int64], budget: int) -> Iterator[NDArray[np.int64]]:
    """Yield the texts in batches of like length, the longest first, none of more tokens than the budget.

    A text longer than the budget is a batch of its own.
    """
    order = np.argsort(-lengths, kind="stable")
    start = 0
    while start < len(order):
        count = max(1, budget // int(lengths[order[start]]))
        yield order[start : start + count]
        start += count
