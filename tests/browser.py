"""Headless Chromium, and what tests ask of a page in it."""

import os
import shutil
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
VARIABLE = "XINGPING_CHROMIUM"

PHONE, DESKTOP = 390, 1440
"""Widths in CSS pixels."""

LACKED = "龘"
"""A character that no text of the tests has, and so no font cut down to one."""

FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig><dir>{fonts}</dir><cachedir>{cache}</cachedir></fontconfig>
"""


def find_chromium():
    """Return the program that XINGPING_CHROMIUM names, or Chromium in the path, or None."""
    if named := os.environ.get(VARIABLE):
        if found := shutil.which(named):
            return found
        pytest.fail(f"{VARIABLE} names no program: {named}")
    return next(filter(None, map(shutil.which, PROGRAMS)), None)


@contextmanager
def launched_chromium(folder):
    """Start Chromium with Latin fonts alone, whatever the system has; skip where it or playwright is absent.

    Playwright's event loop counts as running in this thread for as long as Chromium does: no `asyncio.run` meanwhile.
    """
    api = pytest.importorskip("playwright.sync_api", reason="playwright is absent: pip install 'xingping[dev]'")
    pytest.importorskip("axe_playwright_python", reason="axe is absent: pip install 'xingping[dev]'")
    program = find_chromium()
    if program is None:
        pytest.skip(f"no Chromium: install one (apt-get install chromium), or name its program in {VARIABLE}")
    fonts = folder / "fonts.conf"
    known = Path(mpl.get_data_path()) / "fonts" / "ttf"
    fonts.write_text(FONTS.format(fonts=known, cache=folder / "fonts"), encoding="utf-8")
    arguments = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=program,
            headless=True,
            args=arguments,
            env={**os.environ, "FONTCONFIG_FILE": str(fonts)},
        )
        yield browser
        browser.close()


class Visit:
    """A page, and what it did that it should not: requests elsewhere (refused), errors, dialogs."""

    def __init__(self, page, is_own):
        self.page, self._is_own = page, is_own
        self.requests, self.errors, self.dialogs = [], [], []
        page.route("**/*", self._on_request)
        page.on("websocket", lambda socket: self.requests.append(socket.url))
        page.on("console", lambda said: self.errors.append(said.text) if said.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("dialog", self._on_dialog)

    def _on_request(self, route):
        address = route.request.url
        if address.startswith(("data:", "blob:")) or self._is_own(address):
            route.continue_()
        else:
            self.requests.append(address)
            route.abort()

    def _on_dialog(self, dialog):
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def faults(self):
        return {"requests": self.requests, "errors": self.errors, "dialogs": self.dialogs}


FAULTLESS = {"requests": [], "errors": [], "dialogs": []}


@contextmanager
def visiting(browser, address, *, is_own=None, width=DESKTOP, scheme="light", locale="en-GB"):
    """Open an address and let all of it come into view once, as whatever waits for that would."""
    context = browser.new_context(
        viewport={"width": width, "height": 844},
        is_mobile=width < 600,
        has_touch=width < 600,
        color_scheme=scheme,
        reduced_motion="reduce",
        locale=locale,
        service_workers="block",
    )
    context.set_default_timeout(30_000)
    visit = Visit(context.new_page(), is_own or (lambda asked: asked == address))
    visit.page.goto(address)
    visit.page.evaluate(SEE_ALL)
    yield visit
    context.close()


SEE_ALL = """async () => {
  const frame = () => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  await document.fonts.ready;
  for (let y = 0; y < document.scrollingElement.scrollHeight; y += innerHeight) { scrollTo(0, y); await frame(); }
  scrollTo(0, 0);
  await frame();
}"""


def wrong_with(page, width, also=()):
    """Return what is wrong with a page, by the name of what found it; nothing of a page that is whole.

    `also` as `serious_violations` takes it.
    """
    found = {
        "empty figures": empty_figures(page),
        "cut off": cut_off(page),
        "sideways": sideways(page, width),
        "violations": serious_violations(page, also),
        "undrawn": undrawn(page)["lacking"],
    }
    return {name: some for name, some in found.items() if some}


def sideways(page, width):
    """Return what makes the page wider than the window, or sticks out of it or is scrolled sideways within it."""
    return page.evaluate(SIDEWAYS, width)


SIDEWAYS = """(width) => {
  const found = [], root = document.scrollingElement;
  if (Math.max(root.scrollWidth, root.clientWidth) > width) found.push(`page: ${root.scrollWidth} px`);
  const named = (element) => [
    `${element.localName}${element.id && "#" + element.id}.${element.getAttribute("class") ?? ""}`,
    element.textContent.trim().slice(0, 30),
  ].join(" ");
  const outside = (rects, left, right) => [...rects].some((rect) => rect.width > 0 && rect.height > 0
    && (Math.min(rect.right, right) > width + 1 || Math.max(rect.left, left) < -1));
  const walk = (element, left, right) => {
    const style = getComputedStyle(element);
    if (style.display === "none" || style.visibility === "hidden" || style.clipPath !== "none") return;
    if (outside(element.getClientRects(), left, right)) found.push(named(element));
    if (element.localName === "svg") return;
    if (style.overflowX !== "visible" && element !== document.body) {
      const scrolls = element.scrollWidth > element.clientWidth + 1 && /auto|scroll/.test(style.overflowX);
      if (scrolls) found.push(`scrolled: ${named(element)}`);
      const rect = element.getBoundingClientRect();
      left = Math.max(left, rect.left), right = Math.min(right, rect.right);
    }
    for (const child of element.childNodes) {
      if (child.nodeType === Node.ELEMENT_NODE) walk(child, left, right);
      if (child.nodeType !== Node.TEXT_NODE || !child.data.trim()) continue;
      const range = document.createRange();
      range.selectNodeContents(child);
      if (outside(range.getClientRects(), left, right)) found.push(`text of ${named(element)}`);
    }
  };
  walk(document.body, -Infinity, Infinity);
  return found;
}"""


def empty_figures(page):
    """Return the figures without a drawing of some size, or whose drawing has no marks or only one colour."""
    return page.evaluate(EMPTY_FIGURES)


EMPTY_FIGURES = """() => {
  const LEAST = 60, MARKS = "path, rect, circle, ellipse, line, polyline, polygon, text, use, image";
  const found = [];
  const extent = (values) => Math.max(...values) - Math.min(...values);
  const spread = (xs, ys, box) => extent(xs) > box.width / 3 && extent(ys) > box.height / 3;
  const hasMarks = (svg, box) => {
    const xs = [], ys = [];
    let marks = 0, images = 0;
    for (const mark of svg.querySelectorAll(MARKS)) {
      if (mark.closest("defs, clipPath, mask, symbol, pattern")) continue;
      const at = mark.getBoundingClientRect();
      const x = [Math.max(at.left, box.left), Math.min(at.right, box.right)];
      const y = [Math.max(at.top, box.top), Math.min(at.bottom, box.bottom)];
      if (x[1] < x[0] || y[1] < y[0] || Math.max(x[1] - x[0], y[1] - y[0]) < 1) continue;
      marks += 1, images += mark.localName === "image", xs.push(...x), ys.push(...y);
    }
    return (marks >= 3 || images > 0) && spread(xs, ys, box);
  };
  const hasColours = (canvas) => {
    const { width, height } = canvas, xs = [], ys = [];
    const pixels = new Uint32Array(canvas.getContext("2d").getImageData(0, 0, width, height).data.buffer);
    for (let y = 0; y < height; y += 1) {
      const row = pixels.subarray(y * width, (y + 1) * width), differs = (pixel) => pixel !== pixels[0];
      if (row.some(differs)) xs.push(row.findIndex(differs), row.findLastIndex(differs)), ys.push(y);
    }
    return xs.length > 0 && spread(xs, ys, canvas);
  };
  const figures = new Set([...document.querySelectorAll("canvas")].map((canvas) => canvas.closest("figure") ?? canvas));
  for (const figure of document.querySelectorAll("figure")) figures.add(figure);
  for (const [number, figure] of [...figures].entries()) {
    const name = `figure ${number} ${figure.id} ${figure.textContent.trim().slice(0, 40)}`;
    const drawings = figure.localName === "canvas" ? [figure] : [...figure.querySelectorAll("svg, canvas, img")];
    const large = drawings.filter((drawing) => {
      const box = drawing.getBoundingClientRect();
      return box.width >= LEAST && box.height >= LEAST;
    });
    const isDrawn = (drawing) => {
      if (drawing.localName === "canvas") return hasColours(drawing);
      if (drawing.localName === "img") return drawing.naturalWidth > 1;
      return hasMarks(drawing, drawing.getBoundingClientRect());
    };
    if (!large.length) found.push(`${name}: no drawing of any size`);
    else if (!large.some(isDrawn)) found.push(`${name}: nothing is drawn`);
  }
  return found;
}"""


def cut_off(page):
    """Return the words of charts that reach out of their chart, where they are cut off."""
    return page.evaluate(CUT_OFF)


CUT_OFF = """() => [...document.querySelectorAll(".live svg")].flatMap((svg) => {
  const box = svg.getBoundingClientRect();
  const outside = (rect) => rect.width > 0 && (rect.left < box.left - 1 || rect.right > box.right + 1
    || rect.top < box.top - 1 || rect.bottom > box.bottom + 1);
  const words = [...svg.querySelectorAll("text")].filter((text) => outside(text.getBoundingClientRect()));
  return words.map((text) => text.textContent);
})"""


def faint(element, least=0.005):
    """Say whether less than a share of the pixels of an element differs clearly from its commonest colour."""
    image = Image.open(BytesIO(element.screenshot())).convert("RGB")
    grey = np.asarray(image.convert("L")).astype(int)
    common = np.bincount(grey.ravel()).argmax()
    return bool((abs(grey - common) > 60).mean() < least)


def serious_violations(page, also=()):
    """Return what axe-core finds of impact serious or critical, or by some rules, with some of the elements.

    What is inside an SVG that is an image is nothing to readers of a screen, and most of the time: it is put aside.
    """
    from axe_playwright_python.sync_playwright import Axe  # absent where browser tests are skipped

    page.evaluate(PUT_ASIDE)
    options = {"preload": False, "resultTypes": ["violations"]}  # file:// forbids to load style sheets ahead
    violations = Axe().run(page, options=options).response["violations"]
    page.evaluate("() => { for (const [svg, inside] of window.aside) svg.replaceChildren(...inside); }")
    return {
        f"{found['id']}: {found['help']}": [
            f"{node['html'][:120]} {node.get('failureSummary', '')[:200]}" for node in found["nodes"][:4]
        ]
        for found in violations
        if found["impact"] in ("serious", "critical") or found["id"] in also
    }


PUT_ASIDE = """() => {
  window.aside = [...document.querySelectorAll("svg[role=img]")].map((svg) => [svg, [...svg.childNodes]]);
  for (const [svg] of window.aside) svg.replaceChildren();
}"""


def undrawn(page, more=""):
    """Return which characters beyond ASCII in the page's text look like a missing glyph, and how many there are.

    Each is drawn on a canvas in the font family of its place (`more`: in that of every place with Chinese), and
    compared with characters for private use, which no font has, and with nothing at all. Emoji are left out.
    """
    return page.evaluate(UNDRAWN, more)


UNDRAWN = """async (more) => {
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT), places = new Map();
  const OTHERS = /[\\0-\\x7f\\s\\p{Cc}\\p{Cf}\\p{Co}\\ufe00-\\ufe0f\\u{1f000}-\\u{1ffff}]/u;
  while (texts.nextNode()) {
    const { parentElement, data } = texts.currentNode;
    if (!parentElement.getClientRects().length) continue;
    const family = getComputedStyle(parentElement).fontFamily;
    const wanted = Array.from(data).filter((character) => !OTHERS.test(character));
    if (wanted.length) places.set(family, new Set([...(places.get(family) ?? []), ...wanted]));
  }
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 64;
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const drawn = (character) => {
    context.clearRect(0, 0, 64, 64);
    if (character) context.fillText(character, 8, 48);
    return context.getImageData(0, 0, 64, 64).data.join();
  };
  const lacking = new Set();
  for (const [family, characters] of places) {
    if ([...characters].some((c) => /\\p{Script=Han}/u.test(c))) for (const c of more) characters.add(c);
    const font = `40px ${family}`;
    await document.fonts.load(font, [...characters].join(""));
    context.font = font;
    const nothing = [drawn(""), drawn("\\ue123"), drawn("\\uf0f0")];
    for (const c of characters) if (nothing.includes(drawn(c))) lacking.add(c);
  }
  const characters = [...places.values()].reduce((sum, some) => sum + some.size, 0);
  return { lacking: [...lacking].sort().join(""), characters };
}"""


def hover_shows_text(page, figure, *, columns=11, rows=9):
    """Move the mouse over the drawing of a figure until text appears, and return its lines; none where none does.

    Parameters
    ----------
    figure
        Locator of the figure; its largest canvas or SVG is what the mouse moves over.
    columns, rows
        Of the places that the mouse jumps to, from the middle outwards.
    """
    page.mouse.move(0, 0)
    drawing = max(
        (found for found in figure.locator("canvas, svg").all() if found.bounding_box()),
        key=lambda found: found.bounding_box()["width"] * found.bounding_box()["height"],
        default=None,
    )
    if drawing is None:
        return []
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    before = set(page.evaluate(LINES))
    places = [((x + 0.5) / columns, (y + 0.5) / rows) for x in range(columns) for y in range(rows)]
    for x, y in sorted(places, key=lambda place: (place[0] - 0.5) ** 2 + (place[1] - 0.5) ** 2):
        page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
        if new := [line for line in page.evaluate(LINES) if line not in before]:
            return new
    return []


LINES = """async () => {
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return document.body.innerText.split("\\n").map((line) => line.trim()).filter(Boolean);
}"""
