"""Frozen encoders: text in, one vector per token out, and nothing of them is trained."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import tokenizers
from numpy.typing import NDArray
from tokenizers import Tokenizer

from xingping.artifacts import fingerprint as digest_of
from xingping.encoders.architecture import check_fit, fitting_length, resolve_layers
from xingping.encoders.choice import Opener, check_names, choose, possible
from xingping.encoders.export import EXPORT_VERSION
from xingping.encoders.hardware import choose_device
from xingping.encoders.inference import features_of
from xingping.encoders.loading import load_tokenizer
from xingping.encoders.probe import Probe
from xingping.encoders.quantization import RECIPE_VERSION
from xingping.encoders.runtime import Runtime
from xingping.encoders.source import EncoderSource
from xingping.encoders.token_features import TokenFeatures
from xingping.encoders.tokenization import TokenizedTexts, count_content, tokenize

__all__ = ["FEATURES_VERSION", "FrozenEncoder"]

FEATURES_VERSION = 2
"""Version of the way from text to vectors; raised when the same encoder would give other vectors."""


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
        fp32, bf16, fp16 or int8.
    runtime : str
        torch, or onnx (ONNX Runtime).
    layers : tuple of int
        The layers used, counted from 1; 0 are the embeddings.
    fingerprint : str
        Digest of all that decides the vectors: weights, tokenizer, layers, runtime, precision, `max_length`.
        Folders with the same content share one wherever they are.
    device : str
        Where it runs, as torch names it.
    """

    def __init__(
        self,
        runtime: Runtime,
        tokenizer: Tokenizer,
        *,
        name: str,
        layers: tuple[int, ...],
        max_length: int,
        fingerprint: str,
    ) -> None:
        self.name = name
        self.layers = layers
        self.max_length = max_length
        self.precision = runtime.precision
        self.runtime = runtime.runtime
        self.device = runtime.device
        self.dim = runtime.dim
        self.fingerprint = fingerprint
        self._runtime = runtime
        self._tokenizer = tokenizer

    @classmethod
    def load(
        cls,
        name: str = "bundled",
        *,
        precision: str = "auto",
        runtime: str = "auto",
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
            fp32, bf16, fp16 (on a GPU), int8 (on a CPU with VNNI), or auto: the fastest whose vectors have a
            mean cosine of 0.999 or more to those of fp32 on the bundled reviews. What is the fastest is
            measured once per encoder and machine and noted in the cache folder.
        runtime
            torch, onnx (ONNX Runtime, on the CPU, for models of BERT's shape), or auto: the one that gives the
            precision, torch for fp32.
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
            The precision, the runtime, a layer, the length or the device is not possible with it.
        OutputError
            The bundled encoder, or a graph of an encoder, cannot be written to the cache folder.
        """
        check_names(precision, runtime)
        chosen_device = choose_device(device)
        choices = possible(precision, runtime, chosen_device)
        source = EncoderSource(name)
        chosen_layers = resolve_layers(layers, source.anatomy.num_layers, name)
        length = fitting_length(source.anatomy, max_length, name)
        tokenizer = load_tokenizer(source.folder, name, max_length=length)
        check_fit(source.anatomy, tokenizer, name)
        opened = choose(Opener(source, chosen_layers, chosen_device, Probe(tokenizer)), choices)
        return cls(
            opened,
            tokenizer,
            name=name,
            layers=chosen_layers,
            max_length=length,
            fingerprint=digest_of(
                FEATURES_VERSION,
                source.digest,
                tokenizer.to_str(),
                chosen_layers,
                length,
                opened.runtime,
                opened.precision,
                [EXPORT_VERSION, RECIPE_VERSION] if opened.runtime == "onnx" else None,
            ),
        )

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
        return features_of(self._runtime, self._tokenize(texts), progress)

    def encode_chunks(
        self, chunks: Iterable[Sequence[str]], *, progress: Callable[[int], None] | None = None
    ) -> Iterator[TokenFeatures]:
        """Encode chunk after chunk, the next one tokenized while one is computed.

        Parameters
        ----------
        chunks
            Lists of texts. One is asked for before the features of the one before it are given; the larger
            they are (thousands), the fuller the batches.
        progress
            As of `encode`.

        Yields
        ------
        TokenFeatures
            Of each chunk, as `encode` gives them.
        """
        remaining = iter(chunks)
        with ThreadPoolExecutor(1, thread_name_prefix="tokenize") as thread:
            waiting = [thread.submit(self._tokenize, chunk) for chunk in _first(remaining)]
            while waiting:
                tokens = waiting.pop().result()
                waiting = [thread.submit(self._tokenize, chunk) for chunk in _first(remaining)]
                yield features_of(self._runtime, tokens, progress)

    @property
    def tokenizer(self) -> Tokenizer:
        """What cuts texts into tokens, with its truncation set."""
        return self._tokenizer

    def count_tokens(self, texts: Sequence[str]) -> NDArray[np.int64]:
        """Return how many vectors each text would get, shape (texts,); special tokens are left out."""
        return count_content(self._tokenizer, texts)

    def describe(self) -> dict[str, Any]:
        """Return what a run records about its encoder, as JSON-serialisable values."""
        return {
            "name": self.name,
            "dim": self.dim,
            "layers": list(self.layers),
            "max_length": self.max_length,
            "runtime": self.runtime,
            "precision": self.precision,
            "parameters": self._runtime.parameters,
            "device": self.device,
            "fingerprint": self.fingerprint,
            "versions": {**self._runtime.versions, "tokenizers": tokenizers.__version__},
        }

    def _tokenize(self, texts: Sequence[str]) -> TokenizedTexts:
        if isinstance(texts, str):
            raise TypeError("encode takes a list of texts; for one text write encode([text])")
        return tokenize(self._tokenizer, texts)


def _first(remaining: Iterator[Sequence[str]]) -> list[Sequence[str]]:
    """Return the next chunk, or nothing where there is none."""
    for chunk in remaining:
        return [chunk]
    return []
