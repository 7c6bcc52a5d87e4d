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


def test_epochs_that_are_left_open_are_those_that_so_many_reviews_take(splits, tmp_path):
    training = TrainingSettings(batch_size=32, learning_rate=2e-3)
    options = {"seed": 0, "seconds": 60, "journal": tmp_path / "journal.log", "trials": 1}
    assert tune_head("classification", *splits, POOR, training, **options).training.epochs == 40


def test_another_search_goes_on_from_there(splits, tmp_path):
    first = search(splits, tmp_path / "journal.log", trials=2)
    second = search(splits, tmp_path / "journal.log", trials=1)
    assert second.trials == 3
    assert second.valid_loss <= first.valid_loss
    assert second.first_loss == first.first_loss
    assert search(splits, tmp_path / "other.log", trials=1).trials == 1


def test_a_search_goes_on_from_the_winner_of_the_one_before(splits, tmp_path):
    journal, settings = tmp_path / "journal.log", {"seed": 0, "seconds": 60, "journal": tmp_path / "journal.log"}
    first = search(splits, journal, trials=5)
    assert first.head.pooling != POOR.pooling
    second = tune_head("classification", *splits, first.head, first.training, trials=2, **settings)
    assert second.trials == 7
    odd = first.head.model_copy(update={"hidden_dim": 96})  # not in the study's list, so it begins one of its own
    assert tune_head("classification", *splits, odd, first.training, trials=1, **settings).trials == 1
    assert tune_head("classification", *splits, odd, first.training, trials=1, **settings).trials == 2


def test_a_search_begins_with_settings_that_have_no_logarithm(splits, tmp_path):
    head, training = POOR.model_copy(update={"penalty": 0.0}), TRAINING.model_copy(update={"weight_decay": 0.0})
    options = {"seed": 0, "seconds": 60, "journal": tmp_path / "journal.log", "trials": 1}
    found = tune_head("classification", *splits, head, training, **options)
    assert found.head.pooling == POOR.pooling
    assert found.head.penalty == found.training.weight_decay == 1e-5


def test_a_search_that_was_killed_in_its_first_trial_begins_with_what_there_is(splits, tmp_path):
    def killed(*_arguments, **_options):
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("xingping.tuning.train_head", killed)
        with pytest.raises(KeyboardInterrupt):
            search(splits, tmp_path / "journal.log", trials=1)
    assert search(splits, tmp_path / "journal.log", trials=1).head == POOR


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
