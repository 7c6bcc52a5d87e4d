"""The documentation's site, built with warnings as errors: it needs no network and no server, and no link is dead."""

import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).resolve().parents[1]

LOADED = {
    "script": "src",
    "link": "href",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
}
ELSEWHERE = re.compile(r"^(https?:)?//")
NO_ASSET = {"canonical", "prev", "next"}


class Page(HTMLParser):
    """What a page loads, what it links to, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.path, self.loads, self.links, self.anchors, self.words = path, [], [], set(), []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        self.anchors.update(found[name] for name in ("id", "name") if found.get(name))
        if tag == "a" and found.get("href"):
            self.links.append(found["href"])
        elif found.get(LOADED.get(tag, "")) and found.get("rel") not in NO_ASSET:
            self.loads.append(found[LOADED[tag]])

    def handle_data(self, data):
        self.words.append(data)


@pytest.fixture(scope="module")
def pages(docs_site):
    return {path: Page(path) for path in sorted(docs_site.rglob("*.html")) if path.name != "404.html"}


def test_every_page_is_in_the_navigation_and_was_built(docs_site):
    settings = tomllib.loads((ROOT / "tools" / "zensical.toml").read_text(encoding="utf-8"))
    named = set(re.findall(r"'([^']+\.md)'", str(settings["project"]["nav"])))
    written = {str(path.relative_to(ROOT / "docs")) for path in (ROOT / "docs").rglob("*.md")}
    results = {str(path.relative_to(ROOT)) for path in (ROOT / "results").glob("*.md")}
    assert named == written | results
    assert [name for name in named if not (docs_site / name).with_suffix(".html").is_file()] == ["results/README.md"]
    assert (docs_site / "results" / "index.html").is_file()


def test_nothing_is_loaded_from_elsewhere(docs_site, pages):
    assert {load for page in pages.values() for load in page.loads if ELSEWHERE.match(load)} == set()
    for sheet in docs_site.rglob("*.css"):
        style = sheet.read_text(encoding="utf-8")
        assert re.findall(r"(?:url\(|@import\s*)[\"']?(?:https?:)?//", style) == []


def test_every_link_leads_somewhere(docs_site, pages):
    dead = []
    for path, page in pages.items():
        for link in [*page.links, *page.loads]:
            if re.match(r"^[a-z]+:", link):
                continue
            target, _, anchor = link.partition("#")
            goal = (path.parent / unquote(target)).resolve() if target else path
            if not goal.is_file() or (anchor and goal in pages and unquote(anchor) not in pages[goal].anchors):
                dead.append(f"{path.relative_to(docs_site)}: {link}")
    assert dead == []


def test_the_search_works_from_a_file_and_knows_chinese(docs_site):
    index = (docs_site / "search.js").read_text(encoding="utf-8")
    for word in ("self-attention", "研究一部电影"):
        assert word in index or json.dumps(word)[1:-1] in index


def test_the_reference_shows_signatures_and_parameters(docs_site, pages):
    text = " ".join(" ".join(pages[docs_site / "reference" / "python.html"].words).split())
    for shown in ("RatingPredictor", "A folder with model.json", "RunDirectoryError", "offsets"):
        assert shown in text
