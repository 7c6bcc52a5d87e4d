import csv
import json
import shutil
from collections import defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toy import planted_reviews
from xingping.artifacts import RunDirectory
from xingping.cli import run_command
from xingping.cli.results import show_cross_validation
from xingping.config import SplitSettings
from xingping.crossvalidation import film_folds, fold_sides
from xingping.errors import InputError, SettingsError
from xingping.fitting import EncodedReviews
from xingping.pipeline import Pipeline
from xingping.splits import STARS, TEXT_KEY, UNUSED, hash_texts

SPLIT = SplitSettings()


@given(st.lists(st.integers(1, 1000), min_size=2, max_size=60), st.data())
def test_every_film_is_in_one_fold_and_no_fold_is_empty(sizes, data):
    films = [f"片{number}" for number in range(len(sizes))]
    folds = data.draw(st.none() | st.integers(2, len(films)))
    of_film = film_folds(films, np.array(sizes), folds)
    count = folds or (len(films) if len(films) <= 30 else 10)
    assert set(of_film.tolist()) == set(range(count))
    weights = np.bincount(of_film, weights=sizes)
    assert weights.max() - weights.min() <= max(sizes)
    order = np.random.default_rng(0).permutation(len(films))
    again = film_folds([films[i] for i in order], np.array(sizes)[order], folds)
    assert again.tolist() == of_film[order].tolist()


def test_too_few_films_for_the_folds():
    assert film_folds(["", "甲", "乙"], np.array([9, 1, 2]), None).tolist() == [-1, 1, 0]
    with pytest.raises(InputError, match="needs two films, the run has 1"):
        film_folds(["", "甲"], np.array([9, 1]), None)
    with pytest.raises(InputError, match="--folds is from 2 to 2, the number of films; got 3"):
        film_folds(["甲", "乙"], np.array([9, 1]), 3)


@given(st.integers(0, 2**31 - 1))
def test_no_text_is_on_two_sides_of_a_fold(seed):
    rng = np.random.default_rng(seed)
    n = 400
    texts = [rng.choice(["好看", "不错"]) if rng.random() < 0.3 else f"第{rng.integers(n)}条" for _ in range(n)]
    fold = rng.integers(-1, 3, n)
    keys = np.empty(n, TEXT_KEY)
    keys["hash"] = hash_texts(pa.array(texts, pa.string()), seed)
    keys["stratum"] = (fold + 1) * STARS + rng.integers(1, 6, n)
    keys["place"] = np.arange(n)
    for number in range(3):
        side = fold_sides(keys, fold, number, SPLIT, seed=seed)
        of_text = defaultdict(set)
        for text, index in zip(texts, side.tolist(), strict=True):
            if index != UNUSED:
                of_text[text].add(index)
        assert all(len(found) == 1 for found in of_text.values())
        assert ((side == 2) == (fold == number)).all()
        assert (side[fold == -1] == UNUSED).all()
        rest = (side == 0) | (side == 1)
        assert (side == 1).sum() == pytest.approx(rest.sum() / 10, abs=10)


@pytest.fixture
def run(trained_run, tmp_path, isolated_cache):
    """A trained run that a test may change."""
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"


@pytest.fixture
def fits(monkeypatch):
    """Films that models are trained on, one set a training."""
    seen = []
    fit = EncodedReviews.fit

    def noted(data, task, train, valid, **options):
        seen.append(set(data.reviews.film_names(np.concatenate([train, valid]))))
        return fit(data, task, train, valid, **options)

    monkeypatch.setattr(EncodedReviews, "fit", noted)
    return seen


def load(run):
    return json.loads((run / "cross_validation.json").read_text(encoding="utf-8"))


def test_each_film_is_rated_by_a_model_of_the_others_and_a_finished_fold_is_kept(run, fits, capsys):
    assert run_command(["crossvalidate", str(run)]) == 0
    shown = capsys.readouterr().out
    assert fits == [{"长城"}, {"疯狂动物城"}]
    record = load(run)
    assert record["task"] == "classification"
    assert {film: record["films"][film]["n"] for film in record["films"]} == {"疯狂动物城": 160, "长城": 80}
    assert [fold["films"] for fold in record["folds"]] == [["疯狂动物城"], ["长城"]]
    assert all(sum(fold["reviews"].values()) == 240 for fold in record["folds"])
    assert record["pooled"]["n"] == 240
    assert record["pooled"]["test"]["classification"]["accuracy"] > 0.8
    assert set(record["pooled"]["baselines"]) == {"majority", "char_ngram"}
    pooled = np.array(record["pooled"]["test"]["classification"]["confusion"])
    films = [np.array(found["test"]["classification"]["confusion"]) for found in record["films"].values()]
    assert (pooled == sum(films)).all()
    assert "char_ngram" in record["differences"]["films"]["classification"]
    assert "长城" in shown
    assert "95 % interval over films" in shown

    before = (run / "cross_validation.json").read_bytes()
    assert run_command(["crossvalidate", str(run), "--quiet"]) == 0
    (run / "cross_validation.json").unlink()
    (run / "cross_validation" / "fold-02.parquet").unlink()
    (run / "cross_validation" / "fold-07.checkpoint").write_text("of another cross-validation")
    assert run_command(["crossvalidate", str(run), "--quiet"]) == 0
    assert fits[2:] == [{"疯狂动物城"}]
    assert (run / "cross_validation.json").read_bytes() == before
    assert sorted(path.name for path in (run / "cross_validation").iterdir()) == ["fold-01.parquet", "fold-02.parquet"]


def test_regression_and_what_cannot_be_had(run):
    pipeline = Pipeline(RunDirectory.open(run))
    record = pipeline.crossvalidate(task="regression", folds=2)
    assert "nll" not in record["pooled"]["test"]["regression"]
    assert record["pooled"]["test"]["regression"]["mae"] < 1
    with pytest.raises(InputError, match="--folds is from 2 to 2"):
        pipeline.crossvalidate(folds=3)
    with pytest.raises(SettingsError, match="the run predicts classification, regression"):
        pipeline.crossvalidate(task="ordinal")


def test_run_leaves_every_film_out_once(tmp_path, tiny_encoder_folder, isolated_cache, capsys):
    texts, ratings = planted_reviews(180, seed=3)
    path = tmp_path / "reviews.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["film", "star", "text"])
        for number, (text, rating) in enumerate(zip(texts, ratings, strict=True)):
            film = "[red]甲[/red]" if number % 9 == 0 else "乙丙丁"[number % 3]
            writer.writerow([film, rating, "好看" if number % 10 == 0 else text])
    run = tmp_path / "run"
    arguments = ["run", str(path), "--out", str(run), "--encoder", str(tiny_encoder_folder), "--epochs", "1"]
    arguments += ["--split", "leave-one-film-out", "--tasks", "classification"]
    assert run_command([*arguments, "--folds", "2"]) == 0
    assert "[red]甲[/red]" in capsys.readouterr().out
    assert len(load(run)["folds"]) == 2
    assert run_command(arguments) == 0
    shown = capsys.readouterr()
    assert "report: already done" in shown.err
    record = load(run)
    assert len(record["folds"]) == len(record["films"]) == 4
    summary = json.loads((run / "data_summary.json").read_text(encoding="utf-8"))
    assert summary["split"]["by"] == "film"
    page = (run / "report" / "index.html").read_text(encoding="utf-8")
    assert "The reviews are split by film, and no text is on two sides." in page


@pytest.mark.parametrize(("use", "expected"), [("auto", "off"), ("off", "off"), ("on", "on")])
def test_folds_take_film_effects_out_only_when_asked(run, monkeypatch, use, expected):
    seen = []
    fit = EncodedReviews.fit

    def noted(data, *arguments, **options):
        seen.append((data.settings.training.film_effects, data.labelled(arguments[1]).film is not None))
        return fit(data, *arguments, **options)

    monkeypatch.setattr(EncodedReviews, "fit", noted)
    pipeline = Pipeline(RunDirectory.open(run))
    training = pipeline.settings.training.model_copy(update={"film_effects": use})
    pipeline.settings = pipeline.settings.model_copy(update={"training": training})
    pipeline.crossvalidate(folds=2)
    assert seen == [(expected, use == "on")] * 2


def test_a_long_name_of_a_film_leaves_room_for_the_figures(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    measures = {"n": 21_139, "accuracy": 0.5, "accuracy_within_one": 0.75, "mae": 0.5, "rmse": 0.75}
    of_film = {"test": {"classification": measures}, "baselines": {"char_ngram": measures}}
    gap = {"accuracy": {"value": 0.0, "low": -0.1, "high": 0.1}}
    name = "新大头儿子和小头爸爸之我的外星朋友与他们的漫长旅程"
    show_cross_validation(
        {
            "task": "classification",
            "pooled": of_film | {"n": 21_139},
            "films": {name: of_film | {"n": 21_139}},
            "differences": {"films": {"classification": {"char_ngram": gap}}},
        }
    )
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("新大头儿子"))
    assert row.split()[-5:] == ["21,139", "0.5000", "0.7500", "0.5000", "0.7500"]
