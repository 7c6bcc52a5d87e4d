"""A font with Chinese characters, found at run time: for figures and, cut down, inside the report."""

from collections.abc import Iterable, Iterator, Set
from contextlib import contextmanager
from functools import cache
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path
from threading import RLock
from typing import Any, Literal

from fontTools.subset import Options, Subsetter
from fontTools.ttLib import TTFont
from matplotlib import font_manager, rc_context

from xingping.errors import UsageError

__all__ = ["Face", "chinese_style", "drawable", "font_path", "font_properties", "subset_woff2"]

Face = Literal["sans", "serif"]

PACKAGE = "pylopdf_fonts_zh_cn"
PACKAGED_FILES: dict[Face, str] = {"sans": "NotoSansSC-Regular.otf", "serif": "NotoSerifSC-Regular.otf"}
SYSTEM_FAMILIES = (
    "Noto Sans CJK SC", "Noto Sans SC", "Source Han Sans SC", "Source Han Sans CN", "PingFang SC",
    "Hiragino Sans GB", "Microsoft YaHei", "SimHei", "WenQuanYi Micro Hei", "WenQuanYi Zen Hei",
)  # fmt: skip
FALLBACK_FAMILY = "DejaVu Sans"
"""Comes with matplotlib, and has many signs that a Chinese font lacks."""

_drawing = RLock()


@cache
def font_path(face: Face = "sans") -> Path:
    """Return the file of a font with simplified Chinese characters.

    Parameters
    ----------
    face
        `sans` or `serif`; where only a sans is installed, it stands in for the serif.

    Raises
    ------
    UsageError
        Neither the font package nor a system font is there.
    """
    spec = find_spec(PACKAGE)
    for folder in (spec.submodule_search_locations or []) if spec else []:
        path = Path(folder) / PACKAGED_FILES[face]
        if path.is_file():
            return path
    for family in SYSTEM_FAMILIES:
        try:
            return Path(font_manager.findfont(family, fallback_to_default=False))
        except ValueError:
            continue
    raise UsageError("no font with Chinese characters is installed; run: pip install pylopdf-fonts-zh-cn")


def font_properties() -> font_manager.FontProperties:
    """Return matplotlib's properties of the Chinese sans font.

    Raises
    ------
    UsageError
        No such font is installed.
    """
    return font_manager.FontProperties(fname=font_path())


@cache
def _register() -> str:
    """Make the font known to matplotlib, once, and return the name of its family."""
    path = font_path()
    font_manager.fontManager.addfont(path)
    return font_properties().get_name()


@contextmanager
def chinese_style() -> Iterator[None]:
    """Draw and save figures with Chinese text within the block; also usable as a decorator.

    Text is drawn as it stands (a `$` starts no formula), glyphs become paths in SVG files, and what the
    Chinese font lacks is taken from DejaVu Sans. matplotlib's settings are restored afterwards; as they are the
    whole process's, one thread draws at a time.

    Raises
    ------
    UsageError
        No font with Chinese characters is installed.
    """
    settings: dict[Any, Any] = {
        "font.family": [_register(), FALLBACK_FAMILY],
        "font.size": 9,
        "axes.unicode_minus": False,
        "text.parse_math": False,
        "text.usetex": False,
        "svg.fonttype": "path",
        "svg.hashsalt": "xingping",
    }
    with _drawing, rc_context(settings):
        yield


@cache
def _covered(path: Path) -> frozenset[int]:
    with _open(path) as font:
        return frozenset(font.getBestCmap())


def drawable(text: str) -> str:
    """Return the text without the characters that no font of `chinese_style` has, such as emoji."""
    has = _covered(font_path()) | _covered(Path(font_manager.findfont(FALLBACK_FAMILY)))
    return "".join(character for character in text if ord(character) in has and character.isprintable())


def subset_woff2(characters: Set[str], face: Face = "sans") -> bytes:
    """Cut the font down to some characters, for embedding in a page.

    Parameters
    ----------
    characters
        Single characters; those that the font lacks are skipped.
    face
        `sans` or `serif`.

    Returns
    -------
    bytes
        A WOFF2 file, the same for the same characters.

    Raises
    ------
    UsageError
        No font with Chinese characters is installed.
    """
    options = Options()
    options.flavor = "woff2"
    options.layout_features = ["kern"]
    options.hinting = False
    options.notdef_outline = True
    options.name_IDs = [0, 1, 2, 13, 14]  # the licence stays with the font
    options.drop_tables += ["VORG", "vhea", "vmtx", "BASE"]
    with _open(font_path(face)) as font:
        subsetter = Subsetter(options)
        subsetter.populate(unicodes=_code_points(characters))
        subsetter.subset(font)
        font.flavor = "woff2"
        output = BytesIO()
        font.save(output)
    return output.getvalue()


def _code_points(characters: Iterable[str]) -> list[int]:
    return sorted({ord(character) for character in characters})


def _open(path: Path) -> TTFont:
    # The time of the change would make each subset differ.
    return TTFont(path, fontNumber=0, recalcTimestamp=False, lazy=True)
