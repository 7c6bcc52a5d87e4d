"""Every command and every block of Python that the README and docs/ show is run, or here is said why it is not.

All pages are run in one folder that holds `reviews.csv` (some rows of the bundled sample), `new.csv`, `other.csv` and
the run `runs/mine`. There a small random network takes the place of the bundled encoder, ADDED makes settings small,
and a report is drawn where a page asks for one: a `run` without a film leaves an empty page.
"""

import csv
import itertools
import json
import os
import re
import runpy
import shlex
import shutil
import signal
import subprocess
import sys
from functools import partial
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from transformers import BertConfig, BertModel

import xingping
from browser import find_chromium
from conftest import chinese_tokenizer, save_encoder
from xingping import estimators
from xingping.cli import app, run_command
from xingping.faithfulness import measure_faithfulness
from xingping.report import write_report

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
TOOL = runpy.run_path(str(ROOT / "tools" / "docs.py"))
"""The names of the script that makes the site."""

NOT_RUN = {
    "xingping compare runs/a ": "runs of one's own; docs/how-to/comparing.md has it whole",
    "make ": "sets up an environment; CI does",
    "pip install ": "sets up an environment",
    ".venv/bin/pytest ": "runs these tests",
    "docker ": "needs a container engine (tests/test_deployment.py reads the files)",
    "XINGPING_RUN=./runs/mine docker ": "needs a container engine",
    "curl -s localhost:8000/readyz": "asks the container",
    "kaggle ": "the article's data: not part of the project",
    "md5sum DMSC.csv": "the article's data",
    "python -c \"import pandas as pd; d = pd.read_csv('DMSC.csv')": "the article's data",
    "xingping run DMSC.csv ": "the article's data",
    "xingping prepare DMSC.csv ": "the article's data",
    "xingping encode runs/full ": "the article's data, and an encoder from a hub",
    "xingping train runs/full ": "the article's data",
    "xingping evaluate runs/full": "the article's data",
    "xingping report runs/full ": "the article's data",
    "xingping run zootopia.csv ": "the article's data and a hub",
    "export XINGPING_CACHE=": "sets a variable of the shell",
    "ray start ": "needs the nodes of a cluster (tests/test_scale.py has one of this machine)",
    "xingping run /shared/DMSC.csv ": "needs a cluster and the article's data",
    "xingping predict /shared/runs/dmsc ": "needs a cluster",
    "serve run examples/serve.yaml": "needs a cluster (tests/test_scale_serving.py runs the application)",
}
"""How a command begins that is not run, and why."""

PYTHON_NOT_RUN = {
    "from ray import serve": "needs a cluster (tests/test_scale_serving.py runs the application)",
    "predictor.push_to_hub(": "needs an account of the hub (tests/test_hub.py has a hub of its own)",
    "from sklearn.model_selection import GridSearchCV\nfrom xingping": "docs/how-to/tuning.md has it whole",
}
"""How a block of Python begins that is not run, and why."""

ADDED = {
    "run": ["--epochs", "1", "--finetune-epochs", "1", "--finetune-batch-size", "16"],
    "prepare": [],
    "train": ["--epochs", "1"],
    "tune": ["--trials", "1"],
}
"""Options that are added to a command, where it does not name them itself."""

NEEDED = {
    "--finetune lora": "peft",
    "xingping tune": "optuna",
    "xingping serve": "uvicorn",
    "xingping.serve": "fastapi",
}
"""What a page shows, and the package of an extra that this takes."""

FILMS, ROWS_OF_A_FILM = ("大圣归来", "疯狂动物城", "长城"), 80

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?://)([^)#\s]+)")


def blocks(page):
    """Yield the language, the content and the line of each fenced block of a page."""
    text = page.read_text(encoding="utf-8")
    for match in FENCE.finditer(text):
        yield match[1], match[2], text.count("\n", 0, match.start(2)) + 1


def commands(block):
    """Return the commands of a block: lines that are not comments, continued ones put together."""
    lines = block.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.strip() and not line.lstrip().startswith("#")]


def reason(command, reasons=NOT_RUN):
    return next((why for start, why in reasons.items() if command.startswith(start)), None)


RUN_PAGES = [page for page in PAGES if any(language in ("sh", "python") for language, _, _ in blocks(page))]


@pytest.fixture(scope="module")
def patched(tmp_path_factory):
    """The bundled encoder and the bundled sample made small, for this process; the folder of the encoder."""
    tokenizer = chinese_tokenizer()
    config = BertConfig(
        vocab_size=tokenizer.get_vocab_size(), hidden_size=16, num_hidden_layers=11, num_attention_heads=2,
        intermediate_size=32, initializer_range=0.2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BertModel(config)
    folder = save_encoder(tmp_path_factory.mktemp("encoder"), model, tokenizer)
    sample = tmp_path_factory.mktemp("sample") / "reviews.csv"
    write_sample(sample)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINGPING_CACHE", str(tmp_path_factory.mktemp("cache")))
        patch.setattr("xingping.encoders.folders.bundled_folder", lambda: folder)
        patch.setattr("xingping.pipeline.sample_path", lambda: sample)
        patch.setattr("xingping.stages.write_report", write_asked_report)
        patch.setattr("xingping.assessment.measure_faithfulness", partial(measure_faithfulness, reviews=5))
        patch.setattr("xingping.schedule.LEAST_STEPS", 10)
        estimators._loaded_encoder.cache_clear()
        yield folder
        estimators._loaded_encoder.cache_clear()


def write_asked_report(run, movies=(), **options):
    """Write the report where a film is asked for, and else a page without content."""
    if movies or any(options.values()):
        return write_report(run, movies, **options)
    page = run / "report" / "index.html"
    page.parent.mkdir(exist_ok=True)
    page.write_text("", encoding="utf-8")
    return page


def write_sample(path):
    """Write some rows of some films of the bundled sample."""
    source = ROOT / "src" / "xingping" / "data" / "sample_reviews.csv"
    with source.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    film = header.index("Movie_Name_CN")
    by_film = {name: [row for row in rows if row[film] == name] for name in FILMS}
    with path.open("w", encoding="utf-8", newline="") as file:
        few = (row for name in FILMS for row in by_film[name][:ROWS_OF_A_FILM])
        csv.writer(file).writerows([header, *few])


@pytest.fixture(scope="module")
def ground(patched, tmp_path_factory):
    """The folder that all pages are run in, with the run that they begin with."""
    folder = tmp_path_factory.mktemp("ground")
    write_sample(folder / "reviews.csv")
    write_sample(folder / "other.csv")
    (folder / "new.csv").write_text("film,text\n新片,画面很美\n新片,浪费时间\n", encoding="utf-8")
    kept = tmp_path_factory.mktemp("kept") / "mine"
    arguments = ["run", str(folder / "reviews.csv"), "--out", str(kept), *ADDED["run"], "--quiet"]
    assert run_command(arguments) == 0
    return folder, kept


@pytest.mark.parametrize("page", RUN_PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_what_a_page_shows_runs(page, ground, patched, monkeypatch, capfd):
    folder, kept = ground
    shown = page.read_text(encoding="utf-8")
    for what, package in NEEDED.items():
        if what in shown and find_spec(package) is None:
            pytest.skip(f"{package} is not installed: make test installs it")
    monkeypatch.chdir(folder)
    shutil.rmtree("runs/mine", ignore_errors=True)
    shutil.copytree(kept, "runs/mine")
    with Shell(patched) as shell:
        for language, block, line in blocks(page):
            where = f"{page.relative_to(ROOT)}:{line}"
            if language == "sh":
                for command in commands(block):
                    if not reason(command):
                        shell.run(command, where)
            elif language == "python" and not reason(block.lstrip(), PYTHON_NOT_RUN):
                shell.execute(block, page, line)
    capfd.readouterr()


class Shell:
    """Runs commands in this process, a server beside it, and blocks of Python one after the other in one namespace.

    It asserts that a command ends with 0 and leaves the files that it names, that a request is answered, and that the
    server stops; a block of Python raises for itself.
    """

    def __init__(self, encoder):
        self._encoder = encoder
        self._names = {"__name__": "__main__"}
        self._server = None
        self._address = ""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self._server:
            self._server.send_signal(signal.SIGTERM)
            self._server.communicate(timeout=60)
            assert self._server.returncode == 0

    def run(self, command, where):
        words = shlex.split(command, comments=True)
        if words[0] == "curl":
            self._curl(words, where)
        elif words[:2] == ["xingping", "serve"]:
            self._serve(words[2:])
        elif words[0] == "xingping":
            if "--pdf" in words and find_chromium() is None:
                return
            assert run_command(with_added(words[1:])) == 0, f"{where}: {command}"
            for option, value in itertools.pairwise(words):
                if option in ("--out", "--output", "--films") or (option == "--json" and words[1] != "explain"):
                    assert Path(value).exists(), f"{where}: {command} made no {value}"
        else:
            pytest.fail(f"{where}: nothing says how to run, or why not to run: {command}")

    def execute(self, block, page, line):
        exec(compile("\n" * (line - 1) + block, str(page), "exec"), self._names)

    def _serve(self, arguments):
        code = (
            "import pathlib, xingping.encoders.folders as folders; "
            f"folders.bundled_folder = lambda: pathlib.Path({str(self._encoder)!r}); "
            "from xingping.cli import main; main()"
        )
        command = [sys.executable, "-c", code, "serve", *arguments, "--port", "0"]
        self._server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=dict(os.environ))
        for said in self._server.stderr:
            event = json.loads(said) if said.startswith("{") else {}
            self._address = event.get("url", self._address).removeprefix("http://")
            if event.get("event") == "ready":
                return
        pytest.fail("the server ended before it was ready")

    def _curl(self, words, where):
        if shutil.which("curl") is None:
            return
        assert self._server, f"{where}: no server runs"
        asked = [word.replace("localhost:8000", self._address) for word in words]
        done = subprocess.run([*asked, "--fail-with-body"], capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, f"{where}: {done.stdout}{done.stderr}"
        assert json.loads(done.stdout)


def with_added(arguments):
    """Return the arguments of a command with those of ADDED that it does not name."""
    added = ADDED.get(arguments[0], [])
    pairs = zip(added[::2], added[1::2], strict=True)
    return [*arguments, *(word for option, value in pairs if option not in arguments for word in (option, value))]


def test_every_reason_is_of_a_command_that_is_shown():
    shown = [
        found for page in PAGES for language, block, _ in blocks(page) if language == "sh" for found in commands(block)
    ]
    assert [start for start in NOT_RUN if not any(command.startswith(start) for command in shown)] == []
    python = [block for page in PAGES for language, block, _ in blocks(page) if language == "python"]
    assert [start for start in PYTHON_NOT_RUN if not any(block.startswith(start) for block in python)] == []


def test_blocks_name_a_language_that_says_whether_they_run():
    known = {"sh", "python", "text", "yaml", "json"}
    assert {language for page in PAGES for language, _, _ in blocks(page)} <= known


@pytest.mark.parametrize(
    "page", [*PAGES, *sorted((ROOT / "results").glob("*.md"))], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_to_files_lead_somewhere(page):
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not (page.parent / link).exists()] == []


def test_the_page_of_all_commands_is_that_of_the_command_line(capsys):
    assert TOOL["COMMANDS"].read_text(encoding="utf-8") == TOOL["command_page"](), "run: python tools/docs.py commands"
    page = TOOL["COMMANDS"].read_text(encoding="utf-8")
    for command in app.registered_commands:
        assert run_command([command.name, "--help"]) == 0
        options = re.findall(r"^\s+(--[a-z][a-z-]+)", capsys.readouterr().out, re.MULTILINE)
        section = page.split(f"\n## {command.name}\n")[1].split("\n## ")[0]
        assert [option for option in options if f"| `{option}" not in section] == []


def test_the_reference_of_python_has_every_public_name():
    page = (DOCS / "reference" / "python.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^::: xingping\.(\w+)$", page, re.MULTILINE)) == xingping.__all__


def test_links_of_the_site_lead_where_those_of_the_project_do():
    turned = TOOL["turn_links"]
    page = DOCS / "how-to" / "tuning.md"
    assert turned("[a](../../results/choices.md#b)", page) == "[a](../results/choices.md#b)"
    assert (
        turned("[a](../design.md) [b](#c) [d](https://e.f/g.md)", page)
        == "[a](../design.md) [b](#c) [d](https://e.f/g.md)"
    )
    assert turned("[a](../docs/learning.md)", ROOT / "results" / "main_job.md") == "[a](../learning.md)"
