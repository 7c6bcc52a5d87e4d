"""From templates to pages: one file that needs no other, or pages that share style, fonts and scripts in a folder."""

import base64
import re
from collections.abc import Mapping, Set
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from xingping.artifacts import atomic_path
from xingping.fonts import subset_woff2
from xingping.language import _, spoken, translations
from xingping.names import exact_stars, source_name, stage_name
from xingping.report import content, interactive

__all__ = ["SharedFiles", "duration", "render"]

HAN_RUN = re.compile("([⺀-\U0003ffff]+)")
"""Han characters, kana, and full-width punctuation."""

ASCII = frozenset(map(chr, range(0x20, 0x7F)))
"""Beyond it, a Chinese font draws much, such as ±, too wide for English text."""

IN_SERIF = re.compile(r'<(h[123]|p class="(?:brand|standfirst|verdict)")[^>]*>(.*?)</(?:h[123]|p)>', re.DOTALL)
"""What the style sheet sets in the serif of the Chinese font."""

TAGS = {"en": "en", "zh": "zh-Hans"}


class SharedFiles:
    """What the pages of a folder have in common, in files beside them: style and fonts, scripts, and the map's points.

    The fonts have the characters of all pages that were rendered with it, so it is written after the last of them.
    They are data within the style sheet, for browsers refuse to load fonts from a disk.

    Parameters
    ----------
    points
        JSON of the map's points; "" where there are none.
    """

    FOLDER = "assets"

    def __init__(self, points: str) -> None:
        self.points = points
        self.sans, self.serif = set(ASCII), set(ASCII)

    def add(self, body: str) -> None:
        """Have the fonts draw what is in a page."""
        self.sans |= frozenset(body)
        self.serif |= _in_serif(body)

    def markup(self) -> Markup:
        """Return what stands at the end of each page."""
        names = ["points.js"] if self.points else []
        tags = [Markup('<script src="{}/{}"></script>').format(self.FOLDER, name) for name in [*names, "charts.js"]]
        return Markup("\n").join(tags)

    def write(self, folder: Path) -> set[Path]:
        """Write the files, in a folder of their own in that of the pages, and return them.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        style = _environment().get_template("style.css.j2").render(fonts=_fonts(self.sans, self.serif))
        texts = {"style.css": style, "charts.js": "\n".join(interactive.sources())}
        if self.points:
            texts["points.js"] = f"globalThis.mapPoints = {self.points};\n"
        for name, text in texts.items():
            with atomic_path(folder / self.FOLDER / name) as path:
                path.write_text(text, encoding="utf-8")
        return {folder / self.FOLDER / name for name in texts}


def render(template: str, title: str, context: Mapping[str, Any], shared: SharedFiles | None = None) -> str:
    """Return a whole page.

    Parameters
    ----------
    template
        Of the body.
    title
        Of the page.
    context
        What the template shows.
    shared
        Where style, fonts and scripts are; without it, in the page.
    """
    environment = _environment()
    body = Markup(environment.get_template(template).render(context))
    page = environment.get_template("page.html.j2")
    if shared is not None:
        shared.add(body)
        return page.render(
            body=body, title=title, language_tag=TAGS[spoken()], style=f"{shared.FOLDER}/style.css",
            scripts=shared.markup(),
        )  # fmt: skip
    fonts = _fonts(frozenset(body) | ASCII, _in_serif(body) | ASCII)
    return page.render(
        body=body, title=title, language_tag=TAGS[spoken()], style="", fonts=fonts, scripts=interactive.scripts()
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("xingping.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        extensions=["jinja2.ext.i18n"],
    )
    environment.policies["ext.i18n.trimmed"] = True
    environment.install_gettext_translations(translations(), newstyle=True)  # type: ignore[attr-defined]  # the extension's
    environment.filters.update(
        zh=_chinese,
        duration=duration,
        share=content.share,
        count=content.count,
        exact_stars=exact_stars,
        source_name=source_name,
        stage_name=stage_name,
    )
    return environment


def _in_serif(body: str) -> frozenset[str]:
    return frozenset("".join(match.group(2) for match in IN_SERIF.finditer(body)))


def _fonts(sans: Set[str], serif: Set[str]) -> dict[str, Markup]:
    return {"sans": _data_address(subset_woff2(sans)), "serif": _data_address(subset_woff2(serif, "serif"))}


def duration(seconds: float) -> str:
    """Write a time in seconds, or minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return _("{seconds} s").format(seconds=f"{seconds:.1f}")
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return _("{minutes} min {seconds} s").format(minutes=minutes, seconds=rest)
    return _("{hours} h {minutes} min").format(hours=minutes // 60, minutes=minutes % 60)


def _data_address(font: bytes) -> Markup:
    return Markup("data:font/woff2;base64,") + base64.b64encode(font).decode()


def _chinese(text: str) -> Markup:
    """Mark the Chinese stretches of a text as Chinese, where the page is not."""
    if spoken() == "zh":
        return escape(text)
    parts = HAN_RUN.split(text)
    marked = [
        Markup('<span lang="zh-Hans">{}</span>').format(part) if odd % 2 else escape(part)
        for odd, part in enumerate(parts)
    ]
    return Markup("").join(marked)
