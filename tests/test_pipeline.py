import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from xingping.artifacts import RunDirectory, write_json
from xingping.cli import run_command
from xingping.config import RunSettings
from xingping.errors import InputError, RunDirectoryError
from xingping.metrics import rating_metrics
from xingping.names import BASELINES
from xingping.pipeline import STAGES, Pipeline


def load(run, name):
    return json.loads((run / name).read_text(encoding="utf-8"))


def test_every_artefact_of_the_contract_is_there(trained_run):
    names = ["run.json", "reviews.parquet", "rejects.csv", "data_summary.json", "metrics.json", "predictions.parquet"]
    names += ["models/classification", "models/regression", "report/index.html", "report/figures"]
    assert [name for name in names if not (trained_run / name).exists()] == []
    stages = load(trained_run, "run.json")["stages"]
    assert list(stages) == list(STAGES)
    assert all(stage["seconds"] >= 0 and stage["peak_memory_bytes"] > 0 for stage in stages.values())


def test_the_summary_counts_what_is_in_the_table(trained_run):
    summary, table = load(trained_run, "data_summary.json"), pq.read_table(trained_run / "reviews.parquet")
    assert summary["rows_read"] == summary["rows_kept"] + summary["rows_rejected"] + summary["rows_duplicate"] == 240
    sides = table["split"].to_pylist()
    for split in ("train", "valid", "test"):
        part = table.filter(np.array([side == split for side in sides]))
        described = summary["splits"][split]
        assert described["reviews"] == part.num_rows
        assert described["words"] == sum(map(len, part["words"].to_pylist()))
        assert described["characters"] == sum(map(len, part["text"].to_pylist()))
        assert sum(described["stars"].values()) == part.num_rows
    assert summary["splits"]["all"]["reviews"] == 240
    assert summary["films"]["长城"]["reviews"] == 80


def test_metrics_are_those_of_the_predictions_on_the_test_split(trained_run):
    metrics, predictions = load(trained_run, "metrics.json"), pq.read_table(trained_run / "predictions.parquet")
    reviews = pq.read_table(trained_run / "reviews.parquet", columns=["row", "split"]).to_pylist()
    assert predictions["row"].to_pylist() == [review["row"] for review in reviews if review["split"] == "test"]
    true = predictions["rating"].to_numpy()
    for task in ("classification", "regression"):
        expected = predictions["regression_expected"].to_numpy() if task == "regression" else None
        again = rating_metrics(true, predictions[f"{task}_rating"].to_numpy(), expected=expected)
        assert metrics["test"][task]["confusion"] == again.pop("confusion")
        assert {name: metrics["test"][task][name] for name in again} == pytest.approx(again)
    assert set(metrics["baselines"]) == set(BASELINES)
    interval = metrics["intervals"]["films"]["classification"]["accuracy"]
    assert interval["low"] <= metrics["test"]["classification"]["accuracy"] <= interval["high"]
    assert set(metrics["differences"]["reviews"]["regression"]) >= {"majority", "char_ngram", "fasttext"}
    assert metrics["prediction_sets"]["classification"]["asked"] == 0.9
    assert metrics["slices"]["star 5"]["n"] == sum(metrics["test"]["classification"]["confusion"][4])
    assert {test["kind"] for test in metrics["behaviour"]} == {"minimum", "direction", "invariance"}
    assert metrics["films"]["疯狂动物城"]["n"] + metrics["films"]["长城"]["n"] == len(true)
    assert metrics["test"]["classification"]["accuracy"] > 0.8


def test_a_run_says_which_explanations_to_trust_and_which_words_move_ratings(trained_run):
    metrics, entries = load(trained_run, "metrics.json"), load(trained_run, "explanations.json")["overall"]
    faithfulness, moving = metrics["faithfulness"], metrics["moving_words"]
    assert (faithfulness["task"], faithfulness["unit"], faithfulness["of"]) == ("classification", "probability", 24)
    assert set(faithfulness["methods"]) == {"attention", "occlusion", "gradients"}
    for figures in faithfulness["methods"].values():
        for measure in ("comprehensiveness", "sufficiency"):
            for interval in (figures[measure], figures["beyond_random"][measure]):
                assert interval["low"] <= interval["value"] <= interval["high"]
    assert (moving["method"], moving["reviews"], moving["of"]) == ("gradients", 24, 24)
    for entry in entries:
        words = sum(word["gradient"] for word in entry["words"])
        assert entry["baseline"] + words + entry["outside_gradient"] == pytest.approx(entry["expected"], abs=0.05)
        assert all(len(word["hops"]) == len(entry["outside_hops"]) == 16 for word in entry["words"])


def test_a_run_from_before_there_were_languages_opens_in_english(trained_run, tmp_path):
    record = load(trained_run, "run.json")
    del record["settings"]["language"]
    write_json(tmp_path / "run.json", record)
    assert Pipeline(RunDirectory.open(tmp_path)).settings.language == "en"


@pytest.fixture
def start(tmp_path, reviews_file, tiny_encoder_folder, isolated_cache):
    """Give a function that starts a quick run."""

    def begin(name, **settings):
        values = {"encoder": {"name": str(tiny_encoder_folder)}, "training": {"epochs": 2}, **settings}
        return Pipeline.create(tmp_path / name, reviews_file, RunSettings.parse(values))

    return begin


def test_a_second_run_does_nothing_and_a_changed_setting_does_what_depends_on_it(trained_run, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    record = load(run, "run.json")
    settings = RunSettings.parse(record["settings"])

    def not_done(**changes):
        changed = RunSettings.parse(settings.model_dump() | changes)
        pipeline = Pipeline.create(run, Path(record["data"]["path"]), changed)
        return [stage for stage in STAGES if not pipeline.run.is_done(stage, pipeline.key(stage), ())]

    assert not_done() == []
    assert not_done(movies=("长城",)) == ["report"]
    assert not_done(language="zh") == ["report"]
    assert not_done(head=settings.head.model_copy(update={"n_hops": 2})) == ["train", "evaluate", "report"]
    assert not_done(encoder=settings.encoder.model_copy(update={"layers": (1,)})) == list(STAGES[1:])
    assert not_done(seed=9) == list(STAGES)


def test_the_seed_decides_the_metrics(start):
    def metrics(name, seed):
        pipeline = start(name, seed=seed)
        pipeline.stages_until("evaluate")
        return pipeline.run.file("metrics.json").read_bytes()

    first = metrics("a", 5)
    assert metrics("b", 5) == first
    assert metrics("c", 6) != first


def test_stages_one_by_one_give_what_run_gives(start, tmp_path, reviews_file, tiny_encoder_folder):
    run = tmp_path / "stages"
    for arguments in (
        ["prepare", str(reviews_file), "--out", str(run)],
        ["encode", str(run), "--encoder", str(tiny_encoder_folder)],
        ["train", str(run), "--epochs", "2"],
        ["evaluate", str(run)],
        ["report", str(run), "--movie", "长城", "--lang", "zh"],
    ):
        assert run_command([*arguments, "--quiet"]) == 0
    whole = start("whole")
    whole.stages_until("evaluate")
    assert (run / "metrics.json").read_bytes() == whole.run.file("metrics.json").read_bytes()
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "长城" in page
    assert "条星级完全命中" in page
    assert load(run, "run.json")["settings"]["language"] == "zh"


def test_a_stage_names_the_one_that_must_come_first(tmp_path, reviews_file, capsys):
    run = tmp_path / "run"
    assert run_command(["prepare", str(reviews_file), "--out", str(run), "--quiet"]) == 0
    assert run_command(["train", str(run)]) == 2
    error = capsys.readouterr().err
    assert f"the stage encode is not done with these settings; run: xingping encode {run}" in error
    with pytest.raises(RunDirectoryError, match="has no settings yet"):
        Pipeline(RunDirectory.create(tmp_path / "new"))


def test_lost_features_are_encoded_again(trained_run, tmp_path, isolated_cache):
    run = tmp_path / "run"
    shutil.copytree(trained_run, run)
    (run / "metrics.json").unlink()
    assert run_command(["evaluate", str(run), "--quiet"]) == 0
    assert (run / "metrics.json").read_bytes() == (trained_run / "metrics.json").read_bytes()


@pytest.mark.parametrize("pooling", ["mean", "cls"])
def test_one_task_and_other_poolings(start, pooling):
    pipeline = start(pooling, tasks=("regression",), head={"pooling": pooling})
    pipeline.stages_until("evaluate")
    assert list(pipeline.results()["test"]) == ["regression"]
    explanations = load(pipeline.run.path, "explanations.json")
    assert not any(word["weight"] for entry in explanations["overall"] for word in entry["words"])
    faithfulness = pipeline.results()["faithfulness"]
    assert faithfulness["unit"] == "stars"
    assert set(faithfulness["methods"]) <= {"occlusion", "gradients"}


def test_an_unknown_film_is_told_before_anything_is_encoded(tmp_path, reviews_file, tiny_encoder_folder, capsys):
    arguments = [str(reviews_file), "--out", str(tmp_path / "run"), "--encoder", str(tiny_encoder_folder)]
    assert run_command(["run", *arguments, "--movie", "疯狂动物", "--quiet"]) == 2
    assert "did you mean 疯狂动物城" in capsys.readouterr().err
    assert list(load(tmp_path / "run", "run.json")["stages"]) == ["prepare"]


def test_the_films_that_a_run_keeps_can_be_taken_back(trained_run, tmp_path, monkeypatch):
    run, asked = shutil.copytree(trained_run, tmp_path / "run"), []
    monkeypatch.setattr("xingping.stages.write_report", lambda _run, movies, **films: asked.append((movies, films)))

    def report(*arguments):
        assert run_command(["report", str(run), "--quiet", *arguments]) == 0
        return asked[-1]

    film = "疯狂动物城"
    assert report("--all-movies", "--versus", "长城") == ((film,), {"all_movies": True, "versus": "长城"})
    assert report("--lang", "zh") == ((film,), {"all_movies": True, "versus": "长城"})
    assert report("--no-all-movies") == ((film,), {"all_movies": False, "versus": "长城"})
    assert report("--versus", "") == ((film,), {"all_movies": False, "versus": None})
    assert report("--movie", "") == ((), {"all_movies": False, "versus": None})
    assert report("--movie", "长城", "--movie", film)[0] == ("长城", film)


def test_without_data_a_run_goes_on_with_its_own(trained_run, tmp_path, isolated_cache, capsys):
    run = shutil.copytree(trained_run, tmp_path / "run")
    assert run_command(["prepare", "--out", str(run)]) == 0
    assert "prepare: already done" in capsys.readouterr().err
    data = load(run, "run.json")["data"]
    assert data == load(trained_run, "run.json")["data"]
    assert Pipeline.create(tmp_path / "new", None, RunSettings()).data["name"] == "bundled sample"
    assert Pipeline.create(tmp_path / "new", None, RunSettings()).data["name"] == "bundled sample"


def test_models_of_tasks_that_a_run_does_not_have_any_more_are_gone(trained_run, tmp_path, isolated_cache, capsys):
    run = shutil.copytree(trained_run, tmp_path / "run")
    assert run_command(["train", str(run), "--tasks", "regression", "--epochs", "1", "--quiet"]) == 0
    assert [path.name for path in (run / "models").iterdir()] == ["regression"]
    assert run_command(["predict", str(run), "妙"]) == 0
    assert run_command(["predict", str(run), "--task", "classification", "妙"]) == 2


def test_why_rows_were_rejected_is_said(tmp_path, capsys):
    path = tmp_path / "reviews.csv"
    rows = [f"{number % 5 + 1},第{number}条" for number in range(30)] + ["9,好", "5,", "4,"]
    path.write_text("\n".join(["star,text", *rows]), encoding="utf-8")
    assert run_command(["prepare", str(path), "--out", str(tmp_path / "run")]) == 0
    said = capsys.readouterr().err
    assert "33 rows read = 30 kept + 3 rejected + 0 duplicate" in said
    assert "(2), " in said
    assert str(tmp_path / "run" / "rejects.csv") in said


def test_data_that_is_not_there(tmp_path):
    with pytest.raises(InputError, match=r"nothing\.csv does not exist; give a CSV"):
        Pipeline.create(tmp_path / "run", tmp_path / "nothing.csv", RunSettings())
    with pytest.raises(InputError, match="is a folder"):
        Pipeline.create(tmp_path / "run", tmp_path, RunSettings())
