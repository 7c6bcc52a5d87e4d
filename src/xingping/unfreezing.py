"""Encoders whose weights are trained: which weights, how fast those of each layer learn, and where the result goes.

Layers are counted as everywhere: the embeddings are 0, the first layer is 1. What lies behind the last layer counts to
it. Layers behind the highest one that a head sees are left out of the result where the architecture allows it.
"""

import re
import shutil
from collections.abc import Sequence
from functools import cached_property
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from xingping.artifacts import atomic_folder
from xingping.config import EncoderSettings, FinetuneSettings
from xingping.encoders import TokenFeatures
from xingping.encoders.architecture import check_fit, fitting_length, resolve_layers
from xingping.encoders.inference import features_of
from xingping.encoders.loading import load_tokenizer, quiet
from xingping.encoders.source import EncoderSource
from xingping.encoders.tokenization import TokenizedTexts, tokenize
from xingping.encoders.torch_runtime import TorchRuntime, cut_after
from xingping.errors import SettingsError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["Rate", "TrainableEncoder", "layer_of"]

LAYER = re.compile(r"(?:^|\.)layers?\.(\d+)\.")
"""A weight of a layer, by its name: `encoder.layer.3.output.dense.weight`, `layers.3.mlp.Wi.weight`."""

ATTENTION_DROPOUT = "attention.self.dropout"
"""Dropout of attention weights, which is left out: there is a weight for each pair of tokens to draw."""

TOKENIZER_FILES = ("*token*.json", "vocab.*", "merges.txt", "*.model")


class Rate(NamedTuple):
    """How a weight is trained: peak learning rate and weight decay."""

    peak: float
    weight_decay: float


def layer_of(name: str, last: int) -> int:
    """Return the layer that a weight belongs to, by its name; `last` for what belongs to no layer."""
    if match := LAYER.search(name):
        return int(match[1]) + 1
    return 0 if "embeddings" in name else last


class _Dropout(nn.Module):
    """Dropout of single values whose draws are cheap on a CPU: 16 bits each.

    Parameters
    ----------
    rate
        Share of the values that become 0.
    draws
        Whose `random` draws; what is drawn in the step at hand follows from its state.
    """

    def __init__(self, rate: float, draws: "_Draws") -> None:
        super().__init__()
        self.rate, self._draws = rate, draws

    def forward(self, values: Tensor) -> Tensor:
        """Return the values with some of them 0 and the others scaled up; all as they are outside training."""
        if not self.training or not self.rate:
            return values
        n = values.numel()
        words = self._draws.random.integers(0, 2**64, -(-n // 4), dtype=np.uint64)
        draws = torch.from_numpy(words.view(np.int16)[:n]).view(values.shape)
        kept = draws >= round(self.rate * 2**16) - 2**15
        return values * (kept.to(values.dtype) / (1 - self.rate))


class _Draws:
    """Where the dropout of an encoder draws from."""

    def __init__(self) -> None:
        self.random = np.random.Generator(np.random.SFC64(0))


class TrainableEncoder:
    """A pretrained encoder on its way to be trained.

    Parameters
    ----------
    settings
        Which encoder, and which of its states a head sees: by default those of the last layer. Precision and runtime
        are of later, when the result encodes.
    finetuning
        What of it is trained.

    Attributes
    ----------
    source : EncoderSource
        Where it comes from.
    layers : tuple of int
        Layers whose states a head sees.
    last : int
        The highest of them, and the last that is trained.
    max_length : int
        Tokens of a text, special tokens included.

    Raises
    ------
    EncoderError
        The encoder cannot be found, fetched, loaded or trusted.
    SettingsError
        A layer, the length or what is to be trained is not possible with it, or peft is missing.
    OutputError
        The bundled encoder cannot be written to the cache folder.
    """

    def __init__(self, settings: EncoderSettings, finetuning: FinetuneSettings) -> None:
        name = settings.name
        self.source = EncoderSource(name)
        anatomy = self.source.anatomy
        self.layers = resolve_layers(settings.layers or (-1,), anatomy.num_layers, name)
        self.last = max(1, *self.layers)
        self.max_length = fitting_length(anatomy, settings.max_length, name)
        self.settings = finetuning
        self._tokenizer = load_tokenizer(self.source.folder, name, max_length=self.max_length)
        self._adapted: Any = None
        self._draws = _Draws()
        self._attention: str | None = None
        check_fit(anatomy, self._tokenizer, name)
        if finetuning.top is not None and finetuning.top > self.last:
            raise SettingsError(
                f"--finetune {finetuning.mode}: of encoder {name} {self.last} layers are used; "
                f"give top-1 to top-{self.last}, or full"
            )
        if finetuning.mode == "lora" and find_spec("peft") is None:
            raise SettingsError("--finetune lora needs peft; run: pip install 'xingping[finetune]'")

    @cached_property
    def model(self) -> "PreTrainedModel":
        """The model in float32 on the CPU, without the layers that nothing sees; loaded on first use."""
        model = self.source.model
        self.source.release()
        cut_after(model, self.last)
        stack = getattr(getattr(model, "encoder", None), "layer", None)
        if isinstance(stack, nn.ModuleList):
            model.config.num_hidden_layers = len(stack)
        return model

    @property
    def dim(self) -> int:
        """Width of a token's vector, all layers side by side."""
        return int(self.model.config.hidden_size) * len(self.layers)

    def tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        """Tokenize texts, cut at the length that the encoder takes."""
        return tokenize(self._tokenizer, texts)

    def encode(self, texts: Sequence[str]) -> TokenFeatures:
        """Encode texts with the weights at hand, in float32 on the CPU."""
        runtime = TorchRuntime(self.model, self.layers, "fp32", "cpu", self.source.name)
        return features_of(runtime, self.tokenize(texts), None)

    def unfreeze(self, device: str = "cpu") -> dict[str, Rate]:
        """Open the weights that are trained to gradients, set the dropout, and say how each is trained.

        With lora they are new ones, drawn from torch's generator; the model has them in its linear layers until
        `merge`.

        Parameters
        ----------
        device
            Where it is trained. On a CPU, attention is computed step by step: with its gradient, torch's fused kernel
            takes up to seven times as long there in bf16, a third of a step on reviews.

        Raises
        ------
        SettingsError
            The last N layers cannot be told from the others.
        """
        settings, model = self.settings, self.model
        self._attention = model.config._attn_implementation
        if device == "cpu":
            model.set_attn_implementation("eager")
        for name, module in list(model.named_modules()):
            if isinstance(module, nn.Dropout):
                rate = 0.0 if name.endswith(ATTENTION_DROPOUT) else settings.dropout
                of_cpu = device == "cpu" and rate
                new = _Dropout(rate, self._draws) if of_cpu else nn.Dropout(rate)
                model.set_submodule(name, new.train(module.training))
        if settings.mode == "lora":
            self._adapted = self._adapt(model)
        else:
            first = 0 if settings.top is None else self.last - settings.top + 1
            if first and not any(LAYER.search(name) for name, _ in model.named_parameters()):
                raise SettingsError(
                    f"--finetune {settings.mode}: the layers of encoder {self.source.name} share their weights or "
                    "hide them; choose full or lora"
                )
            for name, weights in model.named_parameters():
                weights.requires_grad_(first <= layer_of(name, self.last) <= self.last)
        return {name: self._rate(name, weights) for name, weights in model.named_parameters() if weights.requires_grad}

    def seed_dropout(self, bits: np.random.SFC64) -> None:
        """Have the dropout inside the encoder draw from here on."""
        self._draws.random = np.random.Generator(bits)
        torch.manual_seed(int(bits.random_raw() >> np.uint64(1)))

    def _rate(self, name: str, weights: nn.Parameter) -> Rate:
        """Return the rate of a weight: it shrinks from layer to layer on the way down (arXiv 1801.06146, 3.2)."""
        settings = self.settings
        below = self.last - layer_of(name, self.last)
        peak = settings.peak_rate * settings.layer_decay**below
        return Rate(peak, settings.weight_decay if weights.ndim > 1 else 0.0)

    def _adapt(self, model: "PreTrainedModel") -> Any:  # noqa: ANN401 - peft's class depends on its version
        """Put low-rank updates beside all linear layers (LoRA: Hu et al. 2021, arXiv 2106.09685)."""
        from peft import LoraConfig, LoraModel

        targets = [
            name
            for name, module in model.named_modules()
            if isinstance(module, nn.Linear) and layer_of(f"{name}.", self.last) <= self.last
        ]
        config = LoraConfig(r=self.settings.lora_rank, lora_alpha=self.settings.lora_alpha, target_modules=targets)
        return LoraModel(model, config, "default")

    def merge(self) -> None:
        """End the training: low-rank updates are added to the weights, and the model is one like any other."""
        if self._adapted is not None:
            self.model = self._adapted.merge_and_unload()
            self._adapted = None
        if self._attention is not None:
            self.model.set_attn_implementation(self._attention)
        model: nn.Module = self.model
        for name, module in list(model.named_modules()):
            if isinstance(module, _Dropout):
                model.set_submodule(name, nn.Dropout(module.rate))
        model.cpu().eval().requires_grad_(False)

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer as a Hugging Face folder, whole or not at all.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        with atomic_folder(folder) as temporary, quiet():
            self.model.save_pretrained(temporary)
            for pattern in TOKENIZER_FILES:
                for file in self.source.folder.glob(pattern):
                    shutil.copy(file, temporary / file.name)
