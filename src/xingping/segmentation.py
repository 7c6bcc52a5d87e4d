"""Words with their character spans, by rjieba; punctuation is no word, as in the article."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import rjieba
from numpy.typing import NDArray

from xingping.artifacts import fingerprint
from xingping.config import SegmentationSettings
from xingping.errors import InputError

__all__ = ["Segmenter", "Word", "load_stopwords"]

HAS_WORD_CHARACTER = re.compile(r"[^\W_]")
"""A letter, a digit or a Han character; a piece without one is punctuation."""

LONE_SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which cannot be encoded as UTF-8."""

TOGETHER = 8192
"""Texts that are cut in one call: enough to make the call cheap, few enough for little memory."""

USER_WORD_FREQUENCY = 100_000
"""Given to a user's word without a frequency: enough to win against the words inside it."""


@dataclass(frozen=True, slots=True)
class Word:
    """One word and its half-open character span in the text."""

    text: str
    start: int
    end: int


class Segmenter:
    """Cuts texts into words, with an own dictionary that leaves the shared one alone.

    Parameters
    ----------
    settings
        May name a user dictionary: one entry a line, `word [frequency [tag]]`, as jieba reads it.
    extra_words
        Further words that must stay whole, such as the titles of the films at hand.

    Attributes
    ----------
    fingerprint : str
        Digest of all that decides the words: the version of the segmenter and the words added.

    Raises
    ------
    InputError
        The user dictionary cannot be read, or a line of it is malformed.
    """

    def __init__(self, settings: SegmentationSettings | None = None, *, extra_words: Iterable[str] = ()) -> None:
        settings = settings or SegmentationSettings()
        added: list[tuple[str, int, str | None]] = [
            (word, USER_WORD_FREQUENCY, None)
            for word in extra_words
            if len(word) > 1 and HAS_WORD_CHARACTER.search(word)
        ]
        if settings.user_dictionary is not None:
            added += _read_dictionary(settings.user_dictionary)
        self._start(added)

    def _start(self, added: list[tuple[str, int, str | None]]) -> None:
        self._added = added
        self._jieba = rjieba.Jieba()
        for word, frequency, tag in added:
            self._jieba.add_word(word, frequency, tag)
        self.fingerprint = fingerprint("rjieba", version("rjieba"), added)

    def __getstate__(self) -> dict[str, Any]:
        """Return the words that were added: another process makes the rest anew."""
        return {"added": self._added}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self._start(**state)

    def spans(self, text: str) -> list[Word]:
        """Return the words of a text in order; an empty text or one of punctuation has none."""
        pieces = self._jieba.tokenize(text)
        return [Word(*piece) for piece in pieces if HAS_WORD_CHARACTER.search(piece[0])]

    def pieces(self, text: str) -> NDArray[np.int32]:
        """Return the half-open spans of all pieces, punctuation and spaces too, (pieces, 2).

        They follow each other without a gap from the first character to the last.
        """
        cut = self._jieba.cut(LONE_SURROGATE.sub("\ufffd", text))
        ends = np.cumsum([len(piece) for piece in cut], dtype=np.int32)
        return np.column_stack([ends - np.diff(ends, prepend=0), ends]).astype(np.int32, copy=False)

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text."""
        cut, is_word = self._jieba.cut, HAS_WORD_CHARACTER.search
        return [[piece for piece in cut(text) if is_word(piece)] for text in texts]

    def word_column(self, texts: pa.Array) -> pa.ListArray:
        """Return the words of each text as `words` does, faster.

        Parameters
        ----------
        texts : (n,) string
            Without null.

        Returns
        -------
        pyarrow.ListArray : (n,) list of string
        """
        parts = [self._cut_together(texts.slice(at, TOGETHER)) for at in range(0, len(texts), TOGETHER)]
        return pa.concat_arrays([pa.array([], pa.list_(pa.string())), *parts])

    def _cut_together(self, texts: pa.Array) -> pa.ListArray:
        """Cut texts as one, which costs a third less; a line end between two is always a piece of its own."""
        if pc.any(pc.match_substring_regex(texts, r"[\r\n\x00]")).as_py():
            return pa.array(self.words(texts.to_pylist()), pa.list_(pa.string()))
        text = pc.binary_join(pa.ListArray.from_arrays([0, len(texts)], texts), "\n")[0].as_py()
        pieces = _as_array(text, self._jieba.cut(text))
        codes = pieces.indices.to_numpy()
        distinct = pieces.dictionary.to_pylist()
        is_word = np.array([_is_word(piece) for piece in distinct], dtype=np.bool_)[codes]
        is_end = np.array([piece == "\n" for piece in distinct], dtype=np.bool_)[codes]
        words = np.cumsum(is_word)
        offsets = np.concatenate([[0], words[is_end], words[-1:] if words.size else [0]]).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), pieces.dictionary.take(pieces.indices.filter(is_word)))


def _is_word(piece: str) -> bool:
    return piece.isalnum() or HAS_WORD_CHARACTER.search(piece) is not None  # the first is faster and mostly enough


def _as_array(text: str, pieces: list[str]) -> pa.DictionaryArray:
    """Turn the pieces of a text, which follow each other without a gap, into an encoded column."""
    ends: NDArray[np.intp] = np.flatnonzero(np.frombuffer("\0".join([*pieces, ""]).encode(), np.uint8) == 0)
    offsets = np.concatenate([[0], ends - np.arange(ends.size)]).astype(np.int32)
    array = pa.StringArray.from_buffers(len(pieces), pa.py_buffer(offsets), pa.py_buffer(text.encode()))
    return array.dictionary_encode()


def load_stopwords(path: Path | None = None) -> frozenset[str]:
    """Return the stopwords of a file with one a line, or the built-in ones.

    Lines that begin with `#` are comments.

    Raises
    ------
    InputError
        The file cannot be read.
    """
    if path is None:
        text = files("xingping").joinpath("data/stopwords.txt").read_text(encoding="utf-8")
    else:
        text = _read_text(path, "stopwords")
    lines = (line.strip() for line in text.splitlines())
    return frozenset(line for line in lines if line and not line.startswith("#"))


def _read_dictionary(path: Path) -> list[tuple[str, int, str | None]]:
    entries = []
    for number, line in enumerate(_read_text(path, "user dictionary").splitlines(), start=1):
        word, *rest = line.split()[:3] or [""]
        if not word or word.startswith("#"):
            continue
        if rest and not rest[0].isdecimal():
            raise InputError(f"{path}, line {number}: frequency {rest[0]!r} is no whole number; write: word 1000")
        frequency = int(rest[0]) if rest else USER_WORD_FREQUENCY
        entries.append((word, frequency, rest[1] if len(rest) > 1 else None))
    return entries


def _read_text(path: Path, what: str) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"cannot read the {what} {path}: {error}; give a UTF-8 text file") from error
