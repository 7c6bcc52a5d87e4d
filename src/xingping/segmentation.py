"""Words with their character spans, by rjieba; punctuation is no word, as in the article."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import rjieba

from xingping.config import SegmentationSettings
from xingping.errors import InputError

__all__ = ["Segmenter", "Word", "load_stopwords"]

HAS_WORD_CHARACTER = re.compile(r"[^\W_]")
"""A letter, a digit or a Han character; a piece without one is punctuation."""

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

    Raises
    ------
    InputError
        The user dictionary cannot be read, or a line of it is malformed.
    """

    def __init__(self, settings: SegmentationSettings | None = None, *, extra_words: Iterable[str] = ()) -> None:
        settings = settings or SegmentationSettings()
        self._jieba = rjieba.Jieba()
        for word in extra_words:
            if len(word) > 1 and HAS_WORD_CHARACTER.search(word):
                self._jieba.add_word(word, USER_WORD_FREQUENCY, None)
        if settings.user_dictionary is not None:
            for word, frequency, tag in _read_dictionary(settings.user_dictionary):
                self._jieba.add_word(word, frequency, tag)

    def spans(self, text: str) -> list[Word]:
        """Return the words of a text in order; an empty text or one of punctuation has none."""
        pieces = self._jieba.tokenize(text)
        return [Word(*piece) for piece in pieces if HAS_WORD_CHARACTER.search(piece[0])]

    def words(self, texts: Sequence[str]) -> list[list[str]]:
        """Return the words of each text."""
        cut, is_word = self._jieba.cut, HAS_WORD_CHARACTER.search
        return [[piece for piece in cut(text) if is_word(piece)] for text in texts]


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
