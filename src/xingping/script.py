"""Traditional and simplified characters (OpenCC's tables), character by character, so that places stay the same."""

import re
from functools import cache

import opencc

__all__ = ["to_simplified"]

SURROGATE = re.compile("[\ud800-\udfff]")
"""Half of a character, which OpenCC does not take."""


def to_simplified(text: str) -> str:
    """Return a text with each traditional character in its simplified form.

    A character at a time, where OpenCC also knows phrases: the result has the length of the text, and a span of one is
    a span of the other.
    """
    return text.translate(_simplified)


class _Simplified(dict[int, int]):
    """The simplified form of each character by their code points, looked up when first asked for."""

    def __missing__(self, code: int) -> int:
        character = chr(code)
        plain = character if character.isascii() or SURROGATE.match(character) else _converter().convert(character)
        self[code] = ord(plain) if len(plain) == 1 else code
        return self[code]


_simplified = _Simplified()


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")
