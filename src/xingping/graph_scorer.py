"""Scores in ONNX Runtime, from one graph with encoder and head: no torch is needed, nor installed."""

import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from xingping.answers import NOWHERE, Attention
from xingping.artifacts import atomic_path, file_sha256, read_json, write_json
from xingping.config import GraphPrecision, Settings
from xingping.encoders.batching import equal_batches, gather_ids
from xingping.encoders.hardware import core_count, has_int8
from xingping.encoders.inference import run_batches
from xingping.encoders.loading import load_tokenizer
from xingping.encoders.onnx_runtime import BUDGET, open_session
from xingping.encoders.tokenization import TokenizedTexts, tokenize
from xingping.errors import EncoderError, RunDirectoryError, SettingsError
from xingping.links import n_scores
from xingping.model_card import ModelCard
from xingping.scorer import TextScores
from xingping.segmentation import Segmenter
from xingping.word_pooling import Overlaps, find_overlaps

__all__ = [
    "ATTENTION", "ATTENTION_MASK", "GRAPH", "GRAPH_FORMAT", "GRAPH_WEIGHTS", "INPUT_IDS", "NOTE", "SCORES",
    "SPECIAL_TOKENS_MASK", "TOKENIZER", "VECTOR", "WORD_TOKENS", "Agreement", "GraphNote", "GraphScorer",
]  # fmt: skip

GRAPH, GRAPH_WEIGHTS, TOKENIZER, NOTE = "model.onnx", "model.onnx.data", "tokenizer.json", "graph.json"

GRAPH_FORMAT = 1
"""Version of the graph's inputs and outputs; raised when an older one can no longer be used."""

INPUT_IDS, ATTENTION_MASK, SPECIAL_TOKENS_MASK = "input_ids", "attention_mask", "special_tokens_mask"
"""Inputs, int64 (batch, length) each: ids; 1 on a token and 0 on padding; 1 on a token that the tokenizer added."""

WORD_TOKENS = "word_tokens"
"""Input of a head of words, bool (batch, words, length): which tokens each word has; a row of none is padding."""

SCORES, VECTOR, ATTENTION = "scores", "vector", "attention"
"""Outputs, float: the head's scores (batch, n_scores); the text as the head sees it, (batch, members * hidden_dim);
and, where the head attends, where it looked, (batch, members * hops, length or words)."""

AGAIN = "export the model again"


class Agreement(Settings):
    """How far a graph agrees with the model that it was made from, on the project's own sample reviews.

    Attributes
    ----------
    texts
        How many were rated by both.
    same_rating
        Share of them with the same rating.
    largest_difference
        Largest difference of the expected rating, in stars.
    """

    texts: int
    same_rating: float
    largest_difference: float


class GraphNote(Settings):
    """What `graph.json` holds.

    Attributes
    ----------
    format
        `GRAPH_FORMAT` of the version that wrote it.
    precision
        Of the encoder's matrix products.
    max_length
        Tokens of a text, special ones included, behind which it is cut.
    agreement
        With the model it was made from.
    files
        SHA-256 of each file.
    """

    format: int
    precision: GraphPrecision
    max_length: int
    agreement: Agreement | None
    files: dict[str, str]


class GraphScorer:
    """One graph from tokens to scores (see `xingping.scorer.Scorer`).

    Parameters
    ----------
    card
        Of the model.
    folder
        Where the graph, its weights and the tokenizer are.
    note
        What is known of them.

    Raises
    ------
    RunDirectoryError
        The graph cannot be opened.
    SettingsError
        Its integers need a processor of another kind.
    """

    on_features = None

    def __init__(self, card: ModelCard, folder: Path, note: GraphNote) -> None:
        if note.precision == "int8" and not has_int8():
            raise SettingsError(
                f"the graph in {folder} is of 8-bit integers, which this processor, without VNNI, would multiply "
                "wrongly; export the model with --precision fp32"
            )
        self.note = note
        self._card = card
        self._folder = folder.resolve()
        self._open()

    def _open(self) -> None:
        self._tokenizer = load_tokenizer(self._folder, self._card.encoder.name, max_length=self.note.max_length)
        self._segmenter = Segmenter(self._card.segmentation) if self._card.features.unit == "word" else None
        try:
            self._session = open_session(self._folder / GRAPH)
        except Exception as error:  # its classes have no parent of their own
            raise RunDirectoryError(f"cannot open {self._folder / GRAPH} ({_reason(error)}); {AGAIN}") from error
        self._outputs = [output.name for output in self._session.get_outputs()]
        if SCORES not in self._outputs or VECTOR not in self._outputs:
            raise RunDirectoryError(f"{self._folder / GRAPH} gives no scores; {AGAIN}")

    @classmethod
    def load(cls, card: ModelCard, folder: Path) -> Self:
        """Open the graph of a bundle, once its files are known to be whole.

        Raises
        ------
        RunDirectoryError
            A file is missing, damaged or of another version.
        """
        note = read_json(folder / NOTE)
        found = note.get("format") if isinstance(note, dict) else None
        if found != GRAPH_FORMAT:
            raise RunDirectoryError(
                f"{folder / NOTE} is of format {found}, this xingping reads format {GRAPH_FORMAT}; {AGAIN}"
            )
        parsed = GraphNote.parse(note)
        for name in (GRAPH, GRAPH_WEIGHTS, TOKENIZER):
            _check(folder / name, parsed.files.get(name))
        return cls(card, folder, parsed)

    def __getstate__(self) -> dict[str, Any]:
        """Return what it takes to open the graph again."""
        return {name: getattr(self, name) for name in ("note", "_card", "_folder")}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._open()

    @property
    def digest(self) -> str:
        """Digest of the graph and its weights."""
        return f"{self.note.files[GRAPH]}{self.note.files[GRAPH_WEIGHTS]}"

    @property
    def attends(self) -> bool:
        """Whether the head says where it looked."""
        return ATTENTION in self._outputs

    def save(self, folder: Path, *, portable: bool = False) -> None:  # noqa: ARG002 - a graph is whole anyway
        """Copy graph, weights, tokenizer and note."""
        if folder.resolve() == self._folder:
            return
        for name in (GRAPH, GRAPH_WEIGHTS, TOKENIZER):
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(self._folder / name, temporary)
        write_json(folder / NOTE, self.note.model_dump(mode="json"))

    def score(
        self, texts: Sequence[str], *, attention: bool = False, progress: Callable[[int], None] | None = None
    ) -> TextScores:
        """Score cleaned texts; see `Scorer.score`."""
        scores = np.zeros((len(texts), n_scores(self._card.task)), dtype=np.float32)
        units = _Units.of(tokenize(self._tokenizer, texts), texts, self._segmenter)
        names = [SCORES]
        looked: list[Attention] | None = None
        if attention and self.attends:
            names, looked = [*names, ATTENTION], [NOWHERE] * len(texts)

        def score(batch: NDArray[np.int64]) -> int:
            inputs = units.inputs(batch)
            scores[batch], *rest = self._run(names, inputs)
            if looked is not None:
                is_unit = units.mask(inputs)
                for row, index in enumerate(batch.tolist()):
                    looked[index] = Attention(rest[0][row][:, is_unit[row]], units.spans_of(index))
            return len(batch)

        self._run_batches(score, units.lengths, progress)
        return TextScores(scores, None if looked is None else tuple(looked))

    def vectors(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return cleaned texts as the head sees them, (n, vector_dim)."""
        width = self._card.head.members * self._card.head.hidden_dim
        vectors = np.zeros((len(texts), width), dtype=np.float32)
        units = _Units.of(tokenize(self._tokenizer, texts), texts, self._segmenter)

        def see(batch: NDArray[np.int64]) -> int:
            (vectors[batch],) = self._run([VECTOR], units.inputs(batch))
            return len(batch)

        self._run_batches(see, units.lengths, None)
        return vectors

    def _run(self, names: list[str], inputs: dict[str, NDArray[Any]]) -> list[NDArray[np.float32]]:
        outputs: list[NDArray[np.float32]] = self._session.run(names, inputs)
        if not np.isfinite(outputs[0]).all():
            raise EncoderError(
                f"{self._folder / GRAPH} gives values that are no numbers in {self.note.precision}; export the model "
                "with --precision fp32"
            )
        return outputs

    @staticmethod
    def _run_batches(
        work: Callable[[NDArray[np.int64]], int], lengths: NDArray[np.int64], progress: Callable[[int], None] | None
    ) -> None:
        """Do some work on texts of equal length at a time, as the encoder of a run is fed: nothing is padded."""
        batches = sorted(equal_batches(lengths, BUDGET), key=lambda batch: -int(lengths[batch].sum()))
        run_batches(work, batches, core_count(), progress)


class _Units(NamedTuple):
    """Tokens of some texts, and what a head is to see of each: its tokens that are not special, or its words."""

    tokens: TokenizedTexts
    spans: NDArray[np.int32]  # (units, 2) half-open, in characters
    offsets: NDArray[np.int64]  # (texts + 1,) where the units of each text start
    words: "_WordTokens | None"

    @classmethod
    def of(cls, tokens: TokenizedTexts, texts: Sequence[str], segmenter: Segmenter | None) -> Self:
        content = np.flatnonzero(~tokens.is_special)
        offsets = np.searchsorted(content, tokens.offsets).astype(np.int64)
        if segmenter is None:
            return cls(tokens, tokens.spans[content], offsets, None)
        overlaps = find_overlaps(tokens.spans[content], np.diff(offsets), texts, segmenter)
        words = np.concatenate([[0], np.cumsum(overlaps.counts)]).astype(np.int64)
        return cls(tokens, overlaps.spans, words, _WordTokens(overlaps, content, offsets))

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text, but 1 of a text without any: a graph needs something to go through."""
        lengths: NDArray[np.int64] = np.maximum(self.tokens.lengths, 1)
        return lengths

    def spans_of(self, index: int) -> NDArray[np.int32]:
        return self.spans[self.offsets[index] : self.offsets[index + 1]]

    def inputs(self, batch: NDArray[np.int64]) -> dict[str, NDArray[Any]]:
        """Return what the graph takes of some texts."""
        ids, is_token, places = gather_ids(self.tokens.ids, self.tokens.offsets, batch)
        if not ids.shape[1]:
            ids, is_token = np.zeros((len(batch), 1), np.int64), np.zeros((len(batch), 1), np.bool_)
        is_special = np.zeros(is_token.shape, dtype=np.int64)
        is_special[is_token] = self.tokens.is_special[places]
        inputs: dict[str, NDArray[Any]] = {
            INPUT_IDS: ids,
            ATTENTION_MASK: is_token.astype(np.int64),
            SPECIAL_TOKENS_MASK: is_special,
        }
        if self.words is not None:
            inputs[WORD_TOKENS] = self.words.of(batch, self.offsets, self.tokens.offsets, ids.shape[1])
        return inputs

    def mask(self, inputs: dict[str, NDArray[Any]]) -> NDArray[np.bool_]:
        """Return which of the units of a batch there are, (batch, units)."""
        if self.words is not None:
            return np.asarray(inputs[WORD_TOKENS].any(axis=2))
        return np.asarray((inputs[ATTENTION_MASK] > 0) & (inputs[SPECIAL_TOKENS_MASK] == 0))


class _WordTokens(NamedTuple):
    """Which tokens each word has."""

    overlaps: Overlaps
    content: NDArray[np.int64]  # place of each token that is not special among all tokens
    offsets: NDArray[np.int64]  # (texts + 1,) where those of each text start

    def of(
        self, batch: NDArray[np.int64], words: NDArray[np.int64], tokens: NDArray[np.int64], length: int
    ) -> NDArray[np.bool_]:
        """Return which tokens each word of some texts has, (batch, words, length).

        Parameters
        ----------
        batch
            The texts.
        words, tokens
            (texts + 1,) where the words and all tokens of each text start.
        length
            Tokens of the longest text.
        """
        most = max(1, int((words[batch + 1] - words[batch]).max()))
        found = np.zeros((len(batch), most, length), dtype=np.bool_)
        for row, index in enumerate(batch.tolist()):
            first, last = np.searchsorted(self.overlaps.token, self.offsets[index : index + 2])
            places = self.content[self.overlaps.token[first:last]] - tokens[index]
            found[row, self.overlaps.piece[first:last] - words[index], places] = True
        return found


def _check(path: Path, digest: str | None) -> None:
    try:
        found = file_sha256(path)
    except OSError as error:
        raise RunDirectoryError(f"cannot read {path}: {error.strerror or error}; {AGAIN}") from error
    if found != digest:
        raise RunDirectoryError(f"{path} is damaged, or belongs to another export; {AGAIN}")


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200]
