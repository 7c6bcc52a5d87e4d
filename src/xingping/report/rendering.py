"""From templates to one file that needs no other: fonts, charts and scripts stand inside it."""

import base64
import re
from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from xingping.fonts import subset_woff2
from xingping.language import spoken, translations
from xingping.names import exact_stars, sentence_case, task_name
from xingping.report import content, interactive

__all__ = ["duration", "render"]

HAN_RUN = re.compile("([⺀-\U0003ffff]+)")
"""Han characters, kana, and full-width punctuation."""

ASCII = frozenset(map(chr, range(0x20, 0x7F)))
"""Beyond it, a Chinese font draws much, such as ±, too wide for English text."""

IN_SERIF = re.compile(r'<(h[123]|p class="(?:brand|standfirst|verdict)")[^>]*>(.*?)</(?:h[123]|p)>', re.DOTALL)
"""What the style sheet sets in the serif of the Chinese font."""

TAGS = {"en": "en", "zh": "zh-Hans"}


def render(template: str, title: str, context: Mapping[str, Any]) -> str:
    """Return a whole page.

    Parameters
    ----------
    template
        Of the body.
    title
        Of the page.
    context
        What the template shows.
    """
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
        task_title=lambda task: sentence_case(task_name(task)),
    )
    body = Markup(environment.get_template(template).render(context))
    serif = "".join(match.group(2) for match in IN_SERIF.finditer(body))
    fonts = {
        "sans": _data_address(subset_woff2(frozenset(body) | ASCII)),
        "serif": _data_address(subset_woff2(frozenset(serif) | ASCII, "serif")),
    }
    return environment.get_template("page.html.j2").render(
        body=body, fonts=fonts, title=title, language_tag=TAGS[spoken()], scripts=interactive.scripts()
    )


def duration(seconds: float) -> str:
    """Write a time in seconds, or minutes and seconds, or hours and minutes."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


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
