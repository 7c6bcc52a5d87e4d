"""An exported model rates, explains and is served where only what `requirements.txt` names is installed."""

import csv
import json
import re
import subprocess
import sys
from importlib.metadata import PackageNotFoundError, packages_distributions, requires

import numpy as np
import pytest
from packaging.requirements import Requirement

from toy import BAD, GOOD
from xingping import RatingPredictor
from xingping.cli import run_command
from xingping.exporting import RUNTIME_PACKAGES

TEXTS = [f"片子里的人{GOOD}看过了", f"都{BAD}看过", "", "好看" * 2500, "🎬🎬"]

SERVED = (
    "fastapi", "httpx2", "prometheus-client", "uvicorn",
    "babel", "brotli", "fonttools", "jinja2", "matplotlib", "opencc", "pylopdf-fonts-zh-cn", "wordcloud",
)  # fmt: skip
"""What the extra `serve` adds, what Starlette's test client asks for, and what pages with figures are made with."""

ABSENT = """
import sys
from importlib.abc import MetaPathFinder
class Absent(MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Absent())
"""


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def needed(names):
    """Return the packages that pip installs for some, these among them."""
    found, waiting = set(), [canonical(name) for name in names]
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        found.add(name)
        try:
            wanted = [Requirement(line) for line in requires(name) or ()]
        except PackageNotFoundError:  # of another system
            continue
        waiting += [canonical(one.name) for one in wanted if one.marker is None or one.marker.evaluate({"extra": ""})]
    return found


def absent(*extra):
    """Return the modules that are installed here and would not be there."""
    there = needed([*RUNTIME_PACKAGES, *extra])
    modules = packages_distributions()
    return {
        module
        for module, packages in modules.items()
        if module != "xingping" and not any(canonical(package) in there for package in packages)
    }


def run_without(modules, code, *arguments):
    """Run Python where some modules cannot be imported."""
    done = subprocess.run(
        [sys.executable, "-c", ABSENT.format(absent=modules) + code, *map(str, arguments)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def exported(trained_run, tmp_path_factory):
    folder = tmp_path_factory.mktemp("exported") / "model"
    arguments = ["--out", str(folder), "--precision", "fp32", "--with-reviews", "--quiet"]
    assert run_command(["export", str(trained_run), *arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def expected(trained_run):
    return RatingPredictor.load(trained_run).predict(TEXTS)


def test_the_requirements_leave_out_what_is_heavy(exported):
    modules = absent()
    assert {"torch", "transformers", "matplotlib", "onnx", "openTSNE", "pytest", "fastapi"} <= modules
    assert not {"numpy", "onnxruntime", "tokenizers", "scipy"} & modules
    lines = (exported / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert [line.partition("==")[0] for line in lines] == list(RUNTIME_PACKAGES)


def test_python_rates_and_explains(exported, expected):
    code = """
import json
from xingping import RatingPredictor, explain
predictor = RatingPredictor.from_pretrained(sys.argv[1])
texts = json.loads(sys.argv[2])
ratings = predictor.predict(texts, attention=True)
(explained,) = explain(predictor, texts[:1])
missing = [module for module in sys.modules if module.partition(".")[0] in ("torch", "transformers", "onnx")]
print(json.dumps({
    "expected": ratings.expected.tolist(), "rating": ratings.rating.tolist(), "missing": missing,
    "hops": len(ratings.attention[0].weights), "effects": [word.effect for word in explained.words],
}))
"""
    returned, out, err = run_without(absent(), code, exported, json.dumps(TEXTS))
    assert (returned, err) == (0, "")
    found = json.loads(out)
    assert found["missing"] == []
    assert found["hops"] == 16  # 8 of each of 2 members
    assert found["rating"] == expected.rating.tolist()
    np.testing.assert_allclose(found["expected"], expected.expected, atol=2e-5)
    assert all(effect is not None for effect in found["effects"])


def test_the_command_line_rates_a_table(exported, expected, tmp_path):
    with (tmp_path / "in.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([["id", "text"], *enumerate(TEXTS)])
    code = "from xingping.cli import run_command; sys.exit(run_command(sys.argv[1:]))"
    target = tmp_path / "out.csv"
    arguments = ("predict", exported, "--input", tmp_path / "in.csv", "--output", target)
    returned, out, err = run_without(absent(), code, *arguments)
    assert (returned, err) == (0, "")
    assert "5 rows written" in out
    with target.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["predicted_rating"] for row in rows if row["text"]] == [
        str(rating) for text, rating in zip(TEXTS, expected.rating, strict=True) if text
    ]


def test_the_command_line_says_what_needs_torch(exported, trained_run):
    code = "from xingping.cli import run_command; sys.exit(run_command(sys.argv[1:]))"
    returned, _, err = run_without({"torch", "transformers"}, code, "predict", trained_run, "好")
    assert returned == 2
    assert err.count("\n") == 1
    assert "runs in torch, which is not installed here" in err
    returned, _, err = run_without({"torch", "transformers"}, code, "crossvalidate", trained_run)
    assert (returned, err) == (
        2, "xingping: this needs torch, which is not installed here; exported models rate without it\n",
    )  # fmt: skip
    returned, out, err = run_without({"torch", "transformers"}, code, "explain", exported, f"都{BAD}看过")
    assert (returned, err.count("\n")) == (0, 1)
    assert "occlusion" in out


def test_it_is_served(exported, expected):
    pytest.importorskip("fastapi")
    code = """
import json, time
from pathlib import Path
from fastapi.testclient import TestClient
from xingping.serve import create_app
texts = json.loads(sys.argv[2])
with TestClient(create_app(Path(sys.argv[1]))) as client:
    for _ in range(1200):
        if client.get("/readyz").status_code == 200:
            break
        time.sleep(0.05)
    predicted = client.post("/v1/predict", json={"texts": texts})
    explained = client.post("/v1/explain", json={"texts": texts[:1]})
    similar = client.post("/v1/similar", json={"texts": texts[:1], "n": 2})
    rows = "\\n".join(["text", *(f"{number}{texts[number % 2]}" for number in range(30))])
    table = client.post("/v1/tables", params={"name": "t.csv", "study": True}, content=rows.encode()).json()
    address = f"/v1/tables/{table['id']}"
    for _ in range(1200):
        if client.get(address).json()["study"] not in ("waiting", "working"):
            break
        time.sleep(0.05)
    study = client.get(f"{address}/study")
    print(json.dumps([
        predicted.json(), explained.json(), similar.json(), client.get("/v1/model").json(),
        [client.get(address).json(), study.status_code, "</html>" in study.text],
    ]))
"""
    returned, out, err = run_without(absent(*SERVED), code, exported, json.dumps(TEXTS))
    assert returned == 0, err
    predicted, explained, similar, model, (table, status, is_page) = json.loads(out)
    assert (table["study"], status, is_page) == ("done", 200, True), table
    assert [rating["rating"] for rating in predicted["ratings"]] == expected.rating.tolist()
    words = explained["explanations"][0]["words"]
    assert all(word["gradient"] is None for word in words)
    assert max(words, key=lambda word: word["effect"])["word"] in GOOD
    assert [review["rating"] for review in similar["similar"][0]] == [5, 5]
    assert model["precision"] == "fp32"
    assert 0 < model["test"]["accuracy"] <= 1
