"""Cleaning: what a crawler, a web page or an editor added to a text is removed, what its author wrote stays.

`clean_text` says what cleaning is. `clean_texts` gives the same for a column, and only looks at the texts
that one regular expression of Arrow finds to need it.
"""

import re
from html import unescape
from html.entities import html5

import pyarrow as pa
import pyarrow.compute as pc

from xingping.config import CleaningSettings

__all__ = ["clean_text", "clean_texts"]

# Character classes in a form that both Python's and Arrow's (RE2) expressions read.
_WHITE = "\t\n\x0b\x0c\r\x1c-\x1f\x85\xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u2800\u3000"
_INVISIBLE = (
    "\x00-\x08\x0e-\x1b\x7f-\x84\x86-\x9f"  # control characters that are no white space
    "\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u202a-\u202e\u2060-\u206f\u3164"
    "\ufe00-\ufe0f\ufeff\uffa0\ufff9-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)  # joiners, directions, byte order marks, variation selectors, fillers, tags
_WIDE = "０-９Ａ-Ｚａ-ｚ"
# All openings in a row, lest cleaning <p<p>> leaves another tag behind.
_TAGS = r"(?:</?(?:[pP]|[bB][rR])[\s/]*+)++>?"

_DIRTY = rf"[{_WHITE}{_INVISIBLE}{_WIDE}]|  |^ | $|&[#0-9A-Za-z]+;|<\s*/?(?:[pP]|[bB][rR])"
_PUNCTUATION = r"[\p{P}\p{S} ]+"

_REMOVED = re.compile(f"[{_INVISIBLE}\ud800-\udfff]+")
_SPACES = re.compile(f"[ {_WHITE}]+")
_BREAKS = re.compile(_TAGS)
_ENTITY_TAIL = re.compile(r"&(#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});\Z")
_LONGEST_ENTITY = 34
_HALF_WIDTH = {
    wide: wide - 0xFEE0 for ends in ("０９", "ＡＺ", "ａｚ") for wide in range(ord(ends[0]), ord(ends[1]) + 1)
}


def clean_text(text: str, settings: CleaningSettings | None = None) -> str:
    """Clean one text; cleaning twice is cleaning once.

    Parameters
    ----------
    text
        Any string, lone surrogates included.
    settings
        Defaults where None.

    Returns
    -------
    str
        The text with HTML entities resolved, also where they were escaped more than once; ``<br>`` and
        ``<p>`` made spaces, all other tags left as the text they are; control characters, zero-width,
        direction and byte order marks gone; full-width letters and digits made half-width, punctuation
        untouched; runs of white space made one space, none at the ends. Repeated characters stay: ``！！！``
        carries feeling. With `strip_punctuation`, runs of punctuation and symbols (Unicode P and S, emoji
        among them) become a space.
    """
    text = _REMOVED.sub("", text).translate(_HALF_WIDTH)
    if "&" in text and ";" in text:
        text = _resolve_entities(text)
    if "<" in text:
        text = _BREAKS.sub(lambda tags: " " if tags[0].endswith(">") else tags[0], text)
    text = _SPACES.sub(" ", text).strip(" ")
    if settings is not None and settings.strip_punctuation:
        return str(_strip_punctuation(pa.array([text]))[0])
    return text


def clean_texts(column: pa.Array | pa.ChunkedArray, settings: CleaningSettings | None = None) -> pa.ChunkedArray:
    """Clean a column of texts, each as `clean_text` does.

    Parameters
    ----------
    column : (n,) string
        Null counts as an empty text.
    settings
        Defaults where None.

    Returns
    -------
    pyarrow.ChunkedArray : (n,) string
    """
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    strip = settings is not None and settings.strip_punctuation
    cleaned = [_clean_chunk(chunk) for chunk in chunks]
    return pa.chunked_array([_strip_punctuation(chunk) for chunk in cleaned] if strip else cleaned, pa.string())


def _clean_chunk(texts: pa.Array) -> pa.Array:
    texts = pc.utf8_trim(pc.fill_null(texts, ""), characters=" ")  # DMSC's comments begin with a space
    dirty = pc.match_substring_regex(texts, _DIRTY)
    if not pc.any(dirty).as_py():
        return texts
    cleaned = pa.array([clean_text(text) for text in texts.filter(dirty).to_pylist()], pa.string())
    return pc.replace_with_mask(texts, dirty, cleaned)


def _strip_punctuation(texts: pa.Array) -> pa.Array:
    return pc.utf8_trim(pc.replace_substring_regex(texts, _PUNCTUATION, " "), characters=" ")


def _resolve_entities(text: str) -> str:
    """Resolve HTML entities until none is left, in one pass.

    Whenever a semicolon arrives, the end of what is done may have become an entity: so ``&amp;amp;lt;``
    needs no second pass, and a text made of nothing else costs no more than its length.
    """
    done: list[str] = []
    first, *rest = text.split(";")
    done.extend(first)
    for part in rest:
        done.append(";")
        while done[-1:] == [";"] and (entity := _ENTITY_TAIL.search("".join(done[-_LONGEST_ENTITY:]))):
            character = _character(entity[0])
            if character is None:
                break
            del done[-len(entity[0]) :]
            done.extend(_REMOVED.sub("", character).translate(_HALF_WIDTH))
        done.extend(part)
    return "".join(done)


def _character(entity: str) -> str | None:
    """Return what an entity stands for, or None for a name that HTML does not have."""
    return unescape(entity) if entity[1] == "#" or entity[1:] in html5 else None
