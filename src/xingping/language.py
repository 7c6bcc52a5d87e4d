"""The language of what readers see: English as it stands in the source, or what the Chinese catalogue has in its place.

The catalogue is a gettext file, `locale/zh/LC_MESSAGES/xingping.po`; `make messages` adds what is new in the source
to it. A message is a whole sentence or label, and its placeholders (`{name}`) are filled in after it is looked up.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from gettext import GNUTranslations, NullTranslations
from importlib.resources import files
from io import BytesIO

from xingping.config import Language

__all__ = [
    "N_",
    "Language",
    "_",
    "join_clauses",
    "join_list",
    "join_sentences",
    "ngettext",
    "speaking",
    "spoken",
    "translations",
]

_current: ContextVar[Language] = ContextVar("language", default="en")


@contextmanager
def speaking(language: Language) -> Iterator[None]:
    """Look messages up in a language within the block; other threads, and tasks begun before it, keep theirs."""
    token = _current.set(language)
    try:
        yield
    finally:
        _current.reset(token)


def spoken() -> Language:
    """Return the language at hand; English outside of `speaking`."""
    return _current.get()


def translations() -> NullTranslations:
    """Return the messages of the language at hand, as `jinja2.ext.i18n` takes them.

    Templates need `install_gettext_translations(translations(), newstyle=True)` and the policy `ext.i18n.trimmed`,
    with which `make messages` reads them.
    """
    return _catalogue(_current.get())


def _(message: str) -> str:
    """Return a message in the language at hand; as it is where the catalogue lacks it."""
    return translations().gettext(message) if message else ""  # gettext gives the catalogue's header for ""


def ngettext(singular: str, plural: str, n: int) -> str:
    """Return the form of a message that goes with a number."""
    return translations().ngettext(singular, plural, n)


def N_(message: str) -> str:  # noqa: N802 - gettext's name for it
    """Return a message as it is, marked for the catalogue; of constants, which `_` looks up where they are used."""
    return message


def join_list(parts: Iterable[str]) -> str:
    """Join the parts of a list: with commas, in Chinese with 、."""
    return _joined(parts, en=", ", zh="、")


def join_clauses(clauses: Iterable[str]) -> str:
    """Join the clauses of one sentence: with semicolons."""
    return _joined(clauses, en="; ", zh="；")


def join_sentences(*sentences: str) -> str:
    """Join sentences, leaving out empty ones: with spaces, in Chinese without."""
    return _joined(filter(None, sentences), en=" ", zh="")


def _joined(parts: Iterable[str], **separators: str) -> str:
    return separators[_current.get()].join(parts)


@cache
def _catalogue(language: Language) -> NullTranslations:
    """Read a catalogue, once in a process; English has none."""
    if language == "en":
        return NullTranslations()
    from babel.messages.mofile import write_mo
    from babel.messages.pofile import read_po

    source = files("xingping").joinpath(f"locale/{language}/LC_MESSAGES/xingping.po")
    with source.open("rb") as file:
        catalogue = read_po(file, locale=language)
    compiled = BytesIO()
    write_mo(compiled, catalogue)
    compiled.seek(0)
    return GNUTranslations(compiled)
