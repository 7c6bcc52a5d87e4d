"""Traditional and simplified characters (OpenCC's tables), character by character, so that places stay the same."""

from functools import cache

import opencc

__all__ = ["to_simplified"]


def to_simplified(text: str) -> str:
    """Return a text with each traditional character in its simplified form.

    A character at a time, where OpenCC also knows phrases: the result has the length of the text, and a span of one is
    a span of the other.
    """
    table = {ord(character): _simplified(character) for character in set(text) if not character.isascii()}
    return text.translate(table)


@cache
def _simplified(character: str) -> str:
    simplified: str = _converter().convert(character)
    return simplified if len(simplified) == 1 else character


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
