import pytest

from toy import ToyEncoder, planted_reviews
from xingping.config import HeadSettings, TrainingSettings
from xingping.errors import SettingsError
from xingping.features import StoredFeatures
from xingping.training import LabelledFeatures
from xingping.tuning import tune_head

POOR = HeadSettings(pooling="cls", n_hops=2, attention_dim=64, hidden_dim=64)
TRAINING = TrainingSettings(epochs=3, batch_size=32, learning_rate=2e-3)


def labelled(n, seed):
    texts, ratings = planted_reviews(n, seed)
    return LabelledFeatures(StoredFeatures.of(ToyEncoder().encode(texts)), ratings)


@pytest.fixture(scope="module")
def splits():
    return labelled(300, 1), labelled(100, 2)


def search(splits, journal, **options):
    return tune_head("classification", *splits, POOR, TRAINING, seed=0, seconds=60, journal=journal, **options)


def test_a_search_finds_a_better_pooling_and_begins_with_what_there_is(splits, tmp_path):
    lines = []
    found = search(splits, tmp_path / "journal.log", trials=6, on_trial=lines.append)
    assert len(lines) == found.trials == 6
    assert found.valid_loss < found.first_loss
    assert found.head.pooling != ("cls",)
    assert found.head.ordinal == POOR.ordinal
    assert f"{found.first_loss:.4f}" in lines[0]


def test_another_search_goes_on_from_there(splits, tmp_path):
    first = search(splits, tmp_path / "journal.log", trials=2)
    second = search(splits, tmp_path / "journal.log", trials=1)
    assert second.trials == 3
    assert second.valid_loss <= first.valid_loss
    assert second.first_loss == first.first_loss
    assert search(splits, tmp_path / "other.log", trials=1).trials == 1


def test_no_trial_begins_after_the_time(splits, tmp_path):
    found = tune_head("classification", *splits, POOR, TRAINING, seed=0, seconds=1e-6, journal=tmp_path / "journal.log")
    assert found.trials == 1
    assert found.head == POOR


@pytest.mark.parametrize("budget", ["", "soon", "0", "-3m", "5d"])
def test_a_budget_is_a_time(budget):
    from xingping.cli.tune import _seconds

    with pytest.raises(SettingsError, match="90s, 20m or 2h"):
        _seconds(budget)
    assert _seconds("1.5h") == 5400
    assert _seconds("20m") == 1200
    assert _seconds("45") == 45
