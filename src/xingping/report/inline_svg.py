"""A saved figure, made fit to stand inside a page: no outside names, and colours that follow the page."""

import base64
import re
from io import BytesIO
from xml.etree import ElementTree as ET

from PIL import Image

from xingping.plots import style

__all__ = ["inline_svg"]

XLINK = "{http://www.w3.org/1999/xlink}href"

PAGE_COLOURS = {
    style.PAPER: "var(--paper)",
    style.INK: "var(--ink)",
    style.MUTED: "var(--muted)",
    style.RULE: "var(--rule)",
    style.ACCENT: "var(--accent)",
}
"""The figures' own colours, and the variables of the style sheet that take their place."""

REFERENCE = re.compile(r"url\(#([^)]+)\)")
SPACE = re.compile(r"\s+")
SPACE_AT_COMMAND = re.compile(r" ?([A-Za-z]) ?")


def inline_svg(svg: str, name: str, label: str) -> str:
    """Return the markup of a matplotlib SVG for use inside a page.

    Parameters
    ----------
    svg
        A file of `plots.save_figure`.
    name
        Unique in the page; goes before each id.
    label
        What the figure shows, for those who do not see it.

    Returns
    -------
    str
        An `<svg>` element without scripts, styles, metadata or references to other files.
    """
    root = ET.fromstring(svg)
    for parent in list(root.iter()):
        for child in list(parent):
            if _local(child.tag) in ("metadata", "style"):
                parent.remove(child)
    used = _references(root)
    for element in root.iter():
        element.tag = _local(element.tag)
        element.text = element.tail = None
        _rename(element, name, used)
    viewbox = root.attrib["viewBox"]
    root.attrib.clear()
    root.attrib.update({"viewBox": viewbox, "class": "plot", "role": "img", "aria-label": label})
    markup = ET.tostring(root, encoding="unicode")
    for colour, variable in PAGE_COLOURS.items():
        markup = markup.replace(colour, variable)
    return markup


def _local(tag: str) -> str:
    return tag.rsplit("}", 1)[-1]


def _references(root: ET.Element) -> set[str]:
    used = {element.attrib[XLINK].removeprefix("#") for element in root.iter() if XLINK in element.attrib}
    for element in root.iter():
        for value in element.attrib.values():
            used.update(REFERENCE.findall(value))
    return used


def _rename(element: ET.Element, name: str, used: set[str]) -> None:
    """Make ids and what points to them unique, drop ids that nothing points to, and tidy the values."""
    attributes = dict(element.attrib)
    element.attrib.clear()
    for key, value in attributes.items():
        if key == "id":
            if value in used:
                element.set("id", f"{name}.{value}")
        elif key == XLINK:
            element.set("href", _smaller(value) if value.startswith("data:") else f"#{name}.{value[1:]}")
        else:
            tidy = SPACE.sub(" ", REFERENCE.sub(rf"url(#{name}.\1)", value)).strip()
            element.set(key, SPACE_AT_COMMAND.sub(r"\1", tidy) if key == "d" else tidy)


def _smaller(data: str) -> str:
    """Encode a PNG data address with 256 colours, which points and words can do with."""
    image = Image.open(BytesIO(base64.b64decode(data.partition(",")[2])))
    output = BytesIO()
    image.convert("RGBA").quantize(256, method=Image.Quantize.FASTOCTREE).save(output, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(output.getvalue()).decode()
