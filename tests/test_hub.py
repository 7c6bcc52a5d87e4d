"""Models as folders that others can use: saved, sent to the hub, fetched from it, and the page that tells of them."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import numpy as np
import pytest
from huggingface_hub import ModelCard as HubCard

from toy import BAD, GOOD
from xingping import RatingPredictor
from xingping.cli import run_command
from xingping.errors import OutputError, RunDirectoryError
from xingping.model_page import model_page, published_metrics

TEXTS = [f"片子里的人{GOOD}看过了", f"都{BAD}看过", ""]


@pytest.fixture(scope="module")
def predictor(trained_run):
    return RatingPredictor.load(trained_run)


@pytest.fixture(scope="module")
def folder(trained_run, tmp_path_factory):
    target = tmp_path_factory.mktemp("hub") / "stars"
    assert run_command(["export", str(trained_run), "--format", "hub", "--out", str(target)]) == 0
    return target


def test_a_folder_for_the_hub_is_whole_and_rates_the_same(predictor, folder):
    again = RatingPredictor.from_pretrained(folder)
    np.testing.assert_array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)
    files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    assert files == [
        "README.md", "encoder/config.json", "encoder/model.safetensors", "encoder/tokenizer.json", "head.safetensors",
        "metrics.json", "model.json", "ngrams.safetensors",
    ]  # fmt: skip
    assert again.encoder.name == str(folder / "encoder")


def test_nothing_of_the_machine_or_the_reviews_goes_along(predictor, folder, trained_run):
    place = predictor.card.encoder.name
    assert Path(place).is_absolute()
    for name in ("README.md", "metrics.json", "model.json"):
        content = (folder / name).read_text(encoding="utf-8")
        assert place not in content
        assert str(trained_run) not in content
        assert "疯狂动物城" not in content
        assert "妙妙妙" not in content
    assert "疯狂动物城" in (trained_run / "metrics.json").read_text(encoding="utf-8")


def test_a_user_dictionary_goes_along(predictor, tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("妙妙妙 9000\n", encoding="utf-8")
    segmentation = predictor.card.segmentation.model_copy(update={"user_dictionary": dictionary})
    card = predictor.card.model_copy(update={"segmentation": segmentation})
    RatingPredictor(card, predictor.scorer, ngrams=predictor.ngrams).save_pretrained(tmp_path / "out")
    dictionary.unlink()
    again = RatingPredictor.load(tmp_path / "out")
    assert again.card.segmentation.user_dictionary == tmp_path / "out" / "user_dictionary.txt"
    assert "metrics.json" not in {path.name for path in (tmp_path / "out").iterdir()}
    assert "Nothing was measured" in (tmp_path / "out" / "README.md").read_text(encoding="utf-8")
    again.save_pretrained(tmp_path / "more")
    expected = again.predict(TEXTS).probabilities
    shutil.rmtree(tmp_path / "out")
    np.testing.assert_array_equal(RatingPredictor.load(tmp_path / "more").predict(TEXTS).probabilities, expected)


def test_the_page_has_the_figures_of_the_run(folder, trained_run):
    metrics = json.loads((trained_run / "metrics.json").read_text(encoding="utf-8"))
    page = (folder / "README.md").read_text(encoding="utf-8")
    card = HubCard(page)
    assert card.data.language == "zh"
    assert card.data.library_name == "xingping"
    assert card.data.pipeline_tag == "text-classification"
    own = metrics["intervals"]["reviews"]["classification"]["accuracy"]
    (row,) = [line for line in page.splitlines() if line.startswith("| exact star")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[1] == f"{100 * own['value']:.1f} %"
    assert cells[2] == f"{100 * own['low']:.1f} % to {100 * own['high']:.1f} %"
    best = max(
        found["accuracy"]["value"] for name, found in metrics["intervals"]["reviews"].items()
        if name not in ("classification", "regression")
    )  # fmt: skip
    assert cells[4].startswith(f"{100 * best:.1f} % (")
    assert f"On {metrics['test']['classification']['n']} test reviews" in page
    assert 'from_pretrained("stars")' in page
    assert "It needs torch." in page
    assert "## Limits" in page
    sets = metrics["prediction_sets"]["classification"]
    assert f"held it in {100 * sets['coverage']:.1f} %" in page


def test_figures_stay_with_a_model_that_is_saved_on(folder, tmp_path):
    RatingPredictor.load(folder).save_pretrained(tmp_path / "again", name="stars")
    for name in ("README.md", "metrics.json", "model.json"):
        assert (tmp_path / "again" / name).read_bytes() == (folder / name).read_bytes()


def test_the_page_of_a_regression_and_of_a_run_that_was_not_evaluated(trained_run, tmp_path):
    predictor = RatingPredictor.load(trained_run, task="regression")
    page = model_page(predictor.card, published_metrics(predictor.bundle, "regression"))
    assert "mean absolute error" in page
    assert "probabilities" not in page
    run = shutil.copytree(trained_run, tmp_path / "run")
    (run / "metrics.json").write_text('{"test": {}}', encoding="utf-8")
    with pytest.raises(RunDirectoryError, match=r"metrics\.json lacks 'baselines'; evaluate the run again"):
        RatingPredictor.load(run).save_pretrained(tmp_path / "out")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A hub that keeps what it is sent in a folder, and notes what it was asked."""
    asked = []

    class FakeApi:
        def __init__(self, token=None):
            asked.append(("token", token))

        def create_repo(self, repo_id, *, private=None, exist_ok=False):
            if "taken" in repo_id:
                raise PermissionError("403 Forbidden: not yours\nand a long trace")
            asked.append(("create", repo_id, private, exist_ok))
            return SimpleNamespace(repo_id=f"somebody/{repo_id.rpartition('/')[2]}")

        def create_branch(self, repo_id, *, branch, exist_ok=False):
            asked.append(("branch", repo_id, branch, exist_ok))

        def upload_folder(self, *, repo_id, folder_path, revision=None, create_pr=None, commit_message=None):
            shutil.copytree(folder_path, tmp_path / "hub" / repo_id)
            asked.append(("upload", repo_id, revision, create_pr, commit_message))
            return SimpleNamespace(commit_url=f"https://hub.example/{repo_id}/commit/1")

    def snapshot_download(repo_id, **options):
        asked.append(("download", repo_id, options))
        if not (tmp_path / "hub" / repo_id).is_dir():
            raise FileNotFoundError("404: no such model")
        return str(tmp_path / "hub" / repo_id)

    monkeypatch.setattr(huggingface_hub, "HfApi", FakeApi)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", snapshot_download)
    return asked


def test_a_model_is_sent_to_the_hub_and_comes_back(predictor, hub):
    url = predictor.push_to_hub("stars", private=True, token="secret", branch="v1", create_pr=True)
    assert url == "https://hub.example/somebody/stars/commit/1"
    assert hub == [
        ("token", "secret"),
        ("create", "stars", True, True),
        ("branch", "somebody/stars", "v1", True),
        ("upload", "somebody/stars", "v1", True, "Add a model of xingping"),
    ]
    again = RatingPredictor.from_pretrained("somebody/stars", revision="v1", token="secret")
    np.testing.assert_array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)
    name, repo, options = hub[-1]
    assert (name, repo) == ("download", "somebody/stars")
    assert options["revision"] == "v1"
    assert not any("py" in pattern or "bin" in pattern for pattern in options["allow_patterns"])
    page = again.bundle / "README.md"
    assert 'from_pretrained("somebody/stars")' in page.read_text(encoding="utf-8")


def test_a_hub_that_says_no_is_one_line(predictor, hub):
    with pytest.raises(OutputError, match=r"cannot send the model to taken \(403 Forbidden: not yours\); see `hf auth"):
        predictor.push_to_hub("taken")
    with pytest.raises(
        RunDirectoryError, match=r"model nobody/none is no folder, and cannot be fetched \(404: no such"
    ):
        RatingPredictor.from_pretrained("nobody/none")
