"""The documentation: gathers its pages, writes the one of all commands, and builds the site.

    python tools/docs.py commands     writes docs/reference/commands.md from the command line itself
    python tools/docs.py build        builds the site into build/docs/site, warnings being errors (extra `docs`)

Pages link to each other as they lie on disk, so that they can be read there. The site is of docs/ and of what its pages
link to beside it (results/, the example notebook); links that lead out of docs/ are turned to the copies.
"""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

ROOT = Path(__file__).resolve().parents[1]
COMMANDS = ROOT / "docs" / "reference" / "commands.md"
SETTINGS = ROOT / "tools" / "zensical.toml"

SHIM = "assets/iframe-worker.js"
SHIM_ELSEWHERE = "https://unpkg.com/iframe-worker/shim"
"""What makes the search work on pages that are opened from disk."""

FONT = "assets/chinese.woff2"
LAST_LATIN = 0x2FF

BESIDE = ("results", "examples", "CHANGELOG.md", "CONTRIBUTING.md")
"""What pages may link to outside docs/."""

LINK = re.compile(r"(\]\()([^)\s]+)(\))")

HEAD = """# The command line

Made from the commands themselves by `python tools/docs.py commands`. Options that take a value show its kind; those in
brackets may be left out. Exit codes: 0 done, 2 wrong usage or unusable input, 1 anything else, 130 interrupted.

"""


def command_page() -> str:
    """Return the page of all commands, as Markdown."""
    from xingping.cli import app

    group: Any = typer.main.get_command(app)
    return HEAD + "\n".join("\n".join(_command(name, command)) for name, command in group.commands.items())


def _command(name: str, command: Any) -> Iterator[str]:
    context = command.make_context(name, [], resilient_parsing=True)
    pieces = " ".join(command.collect_usage_pieces(context))
    yield f"## {name}\n"
    yield f"```text\nxingping {name} {pieces}\n```\n"
    yield f"{command.help.strip()}\n"
    for kind, title in (("argument", "Argument"), ("option", "Option")):
        found = [parameter for parameter in command.get_params(context) if parameter.param_type_name == kind]
        if found:
            yield f"| {title} | |\n| --- | --- |"
            yield from (_row(parameter, context) for parameter in found)
            yield ""


def _row(parameter: Any, context: Any) -> str:
    shown, text = parameter.get_help_record(context) or (parameter.make_metavar(context), parameter.help or "")
    return f"| `{shown}` | {_escaped(text)} |"


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", r"\|").replace("<", "&lt;").replace("*", r"\*")


def gather(target: Path) -> None:
    """Copy all pages into a folder that is not there yet, with links that hold there."""
    shutil.copytree(ROOT / "docs", target)
    for name in BESIDE:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, target / name)
        else:
            shutil.copy(source, target / name)
    for page in target.rglob("*.md"):
        inside = page.relative_to(target)
        origin = ROOT / inside if inside.parts[0] in BESIDE else ROOT / "docs" / inside
        page.write_text(turn_links(page.read_text(encoding="utf-8"), origin), encoding="utf-8")


def turn_links(text: str, page: Path) -> str:
    """Return a page's text with its links as they have to be in the site.

    Parameters
    ----------
    text
        Markdown.
    page
        Where it lies in the project.
    """

    def turned(match: re.Match[str]) -> str:
        path, mark, anchor = match[2].partition("#")
        if not path or "://" in path:
            return match[0]
        goal = _place((page.parent / path).resolve())
        return f"{match[1]}{os.path.relpath(goal, _place(page).parent)}{mark}{anchor}{match[3]}"

    return LINK.sub(turned, text)


def _place(path: Path) -> Path:
    """Return where a file of the project is in the site, whose root is docs/."""
    inside = path.relative_to(ROOT)
    return Path(*inside.parts[1:]) if inside.parts[0] == "docs" else inside


def build(folder: Path = ROOT / "build" / "docs") -> int:
    """Build the site into `site` of a folder, with warnings as errors, and return the exit code."""
    shutil.rmtree(folder, ignore_errors=True)
    gather(folder / "pages")
    shutil.copy(SETTINGS, folder)
    _write_font(folder / "pages")
    command = [sys.executable, "-m", "zensical", "build", "--clean", "--strict"]
    done = subprocess.run(command, cwd=folder, check=False)
    _bring_home(folder / "site")
    return done.returncode


def _write_font(pages: Path) -> None:
    """Put a font beside the pages with the Chinese characters that they have, for machines that have none."""
    from xingping.fonts import subset_woff2

    text = "".join(path.read_text(encoding="utf-8") for path in [SETTINGS, *pages.rglob("*.md")])
    (pages / FONT).write_bytes(subset_woff2({character for character in text if ord(character) > LAST_LATIN}))


def _bring_home(site: Path) -> None:
    """Have pages load from the site what Zensical's plugin `offline` takes from the network."""
    for page in site.rglob("*.html"):
        shim = os.path.relpath(site / SHIM, page.parent)
        page.write_text(page.read_text(encoding="utf-8").replace(SHIM_ELSEWHERE, shim), encoding="utf-8")


def main() -> None:
    """Do what the command line asks for."""
    wanted = sys.argv[1:]
    if wanted == ["commands"]:
        COMMANDS.write_text(command_page(), encoding="utf-8")
    elif wanted == ["build"]:
        sys.exit(build())
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main()
