import json
import shutil

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingping.artifacts import RunDirectory
from xingping.cli import run_command
from xingping.errors import SettingsError
from xingping.fitting import EncodedReviews
from xingping.learning_curve import (
    choose_sizes,
    describe_lead,
    draw_labels,
    find_leads,
    stratified_order,
)
from xingping.pipeline import Pipeline


@given(st.lists(st.integers(1, 5), min_size=1, max_size=400), st.integers(0, 1000))
def test_every_beginning_of_the_order_has_the_shares_of_the_stars(ratings, seed):
    ratings = np.array(ratings)
    order = stratified_order(ratings, seed)
    assert sorted(order.tolist()) == list(range(len(ratings)))
    for size in range(1, len(ratings) + 1, 7):
        for star in range(1, 6):
            share = (ratings == star).mean()
            assert abs((ratings[order[:size]] == star).sum() - share * size) <= 1 + 5 * share


def test_the_seed_decides_the_order():
    ratings = np.arange(200) % 5 + 1
    assert stratified_order(ratings, 1).tolist() == stratified_order(ratings, 1).tolist()
    assert stratified_order(ratings, 1).tolist() != stratified_order(ratings, 2).tolist()


@given(st.integers(10, 300), st.integers(3, 100), st.data())
def test_more_labels_are_the_same_ones_and_others(n_train, n_valid, data):
    size = data.draw(st.integers(10, n_train + n_valid))
    train, valid = np.arange(n_train)[::-1], np.arange(n_train, n_train + n_valid)
    labels = draw_labels(train, valid, size)
    assert len(labels.all) == len(set(labels.all.tolist())) == size
    assert set(labels.train.tolist()) <= set(train.tolist())
    assert set(labels.valid.tolist()) <= set(valid.tolist())
    assert len(labels.valid) <= max(round(0.2 * size), size - n_train)
    if size < n_train + n_valid:
        more = draw_labels(train, valid, size + 1)
        assert set(labels.all.tolist()) < set(more.all.tolist())
    else:
        assert len(labels.valid) == n_valid


def test_a_fifth_of_few_labels_is_for_validation():
    labels = draw_labels(np.arange(9000), np.arange(9000, 10_000), 50)
    assert (len(labels.train), len(labels.valid)) == (40, 10)


def test_sizes():
    assert choose_sizes((), 1200) == [50, 100, 200, 500, 1000, 1200]
    assert choose_sizes((), 30) == [30]
    assert choose_sizes((None, 100, 20, 100), 1200) == [20, 100, 1200]
    for size in (9, 1201):
        with pytest.raises(SettingsError, match="from 10 to 1,200, the reviews of training and validation"):
            choose_sizes((size,), 1200)


def points(*gaps):
    """Points where the model is better than the better baseline by some gaps, one a seed."""
    return [
        {
            "labels": 50 * 10**number,
            "measures": {
                "model": {"accuracy": {"values": [0.5 + gap for gap in of_size]}, "mae": {"values": list(of_size)}},
                "char_ngram": {"accuracy": {"values": [0.5, 0.4]}, "mae": {"values": [0.0, 1.0]}},
                "word_ngram": {"accuracy": {"values": [0.4, 0.5]}, "mae": {"values": [1.0, 0.0]}},
            },
        }
        for number, of_size in enumerate(gaps)
    ]


def test_a_model_is_ahead_where_it_is_so_with_every_seed():
    found = points((0.1, 0.2), (-0.1, 0.2), (-0.1, -0.2))
    assert find_leads(found, "model", "accuracy") == ["ahead", "level", "behind"]
    assert find_leads(found, "model", "mae") == ["behind", "level", "ahead"]


def test_the_sentence_names_where_winning_starts_and_stops():
    sizes = [50, 100, 500, 1000]
    assert describe_lead(sizes, ["ahead", "ahead", "level", "behind"]) == (
        "ahead with 50 to 100, level with 500, behind with 1,000 labels; stops winning at 500"
    )
    assert describe_lead(sizes, ["behind", "behind", "behind", "ahead"]) == (
        "behind with 50 to 500, ahead with 1,000 labels; starts winning at 1,000"
    )
    assert describe_lead(sizes, ["level"] * 4) == "level with 50 to 1,000 labels"


@pytest.fixture
def run(trained_run, tmp_path, isolated_cache):
    """A trained run that a test may change."""
    shutil.copytree(trained_run, tmp_path / "run")
    return tmp_path / "run"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def test_more_labels_make_a_better_model_and_a_finished_training_is_kept(run, monkeypatch, capsys):
    arguments = ["learning-curve", str(run), "--sizes", "20,all", "--seeds", "2"]
    assert run_command(arguments) == 0
    shown = capsys.readouterr().out
    record = load(run / "learning_curve.json")
    few, every = record["points"]
    assert (few["labels"], few["train"], few["valid"]) == (20, 16, 4)
    assert every["labels"] == every["train"] + every["valid"] == 240 - record["test"]
    assert list(few["measures"]) == ["model", "head", "char_ngram", "word_ngram"]
    assert all(len(of["accuracy"]["values"]) == 2 for of in few["measures"].values())
    assert every["measures"]["head"]["accuracy"]["mean"] > 0.8
    assert every["measures"]["char_ngram"]["accuracy"]["sd"] == 0, "the same labels with every seed"
    assert set(record["leads"]) == {"model", "head"}
    assert all((run / f"learning_curve.{ending}").stat().st_size for ending in ("png", "svg"))
    assert record["leads"]["head"]["accuracy"] in shown
    assert "±" in shown

    trained = []
    fit = EncodedReviews.fit
    monkeypatch.setattr(
        EncodedReviews, "fit", lambda *given, **named: trained.append(named["seed"]) or fit(*given, **named)
    )
    before = (run / "learning_curve.json").read_bytes()
    assert run_command([*arguments, "--quiet"]) == 0
    assert trained == []
    (run / "learning_curve.json").unlink()
    (run / "learning_curve" / "labels-20-seed-1.json").write_text("{}")
    assert run_command([*arguments, "--quiet"]) == 0
    assert trained == [1]
    assert (run / "learning_curve.json").read_bytes() == before
    assert not list((run / "learning_curve").glob("*.checkpoint"))

    assert "<!-- Test split, classification -->" in (run / "learning_curve.svg").read_text(encoding="utf-8")
    settings = load(run / "run.json")["settings"]
    RunDirectory.open(run).update(settings={**settings, "language": "zh"})
    assert run_command([*arguments, "--quiet"]) == 0
    assert "<!-- 测试集，分类 -->" in (run / "learning_curve.svg").read_text(encoding="utf-8")
    assert trained == [1], "another language needs no training"


def test_with_all_labels_the_model_is_the_run_s_own(run, monkeypatch):
    record = Pipeline(RunDirectory.open(run)).learning_curve((None,), seeds=1)
    found = {name: of["mean"] for name, of in record["points"][0]["measures"]["model"].items()}
    own = load(run / "metrics.json")["test"]["classification"]
    assert found["accuracy"] == pytest.approx(own["accuracy"])
    assert found["rmse"] == pytest.approx(own["decisions"]["mean"]["rmse"])
    assert record["test"] == own["n"]


def test_baselines_that_were_not_given_all_labels_lead_nowhere(run, monkeypatch):
    monkeypatch.setattr("xingping.learning_curve.MOST_REVIEWS", 25)
    record = Pipeline(RunDirectory.open(run)).learning_curve((20, 40), seeds=1)
    assert [point["baselines"] for point in record["points"]] == [20, 25]
    assert "40" not in record["leads"]["model"]["accuracy"]
    assert describe_lead([], []) == "no size at which the baselines were trained on all labels"


def test_regression_without_ngrams(run):
    assert run_command(["train", str(run), "--ngram-characters", "0", "--ngram-words", "0", "--epochs", "1"]) == 0
    pipeline = Pipeline(RunDirectory.open(run))
    record = pipeline.learning_curve((30,), seeds=1, task="regression")
    assert list(record["points"][0]["measures"]) == ["head", "char_ngram", "word_ngram"]
    assert record["points"][0]["measures"]["head"]["mae"]["sd"] is None
    with pytest.raises(SettingsError, match="from 10 to"):
        pipeline.learning_curve((1_000_000,))
