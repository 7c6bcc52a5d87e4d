import itertools
import json
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from toy import planted_reviews
from xingping.artifacts import read_json
from xingping.cli import run_command
from xingping.config import EncoderSettings, FinetuneSettings, HeadSettings, RunSettings, TrainingSettings
from xingping.encoders import FrozenEncoder
from xingping.end_to_end import LabelledTexts, TokenBatch, TunedNetwork
from xingping.errors import EncoderError
from xingping.features import FeatureStore, StoredFeatures
from xingping.finetuning import _Finetuning, finetune
from xingping.heads import RatingHead
from xingping.objective import measure_scores
from xingping.pipeline import STAGES, Pipeline
from xingping.predictor import RatingPredictor
from xingping.scoring import head_scores
from xingping.training import LabelledFeatures, train_head
from xingping.unfreezing import TrainableEncoder

HEAD = HeadSettings(token_dim=0, members=1, n_hops=2, attention_dim=8, hidden_dim=16, dropout=0.1)
LOSSES = TrainingSettings()
QUICK = {"epochs": 2, "batch_size": 8, "accumulation": 2, "head_learning_rate": 0.01, "learning_rate": 1e-3}
REVIEWS = 88
STEPS = 11


def reviews(n, seed):
    return LabelledTexts(*planted_reviews(n, seed))


def tune(
    folder, mode="full", tasks=("classification",), n=REVIEWS, head=HEAD, seed=0, layers=None, film=None, **options
):
    """Return the trained head and the encoder."""
    run = {name: options.pop(name) for name in ("checkpoint", "progress", "on_epoch") if name in options}
    settings = FinetuneSettings(mode=mode, **(QUICK | options))
    encoder = TrainableEncoder(EncoderSettings(name=str(folder), layers=layers), settings)
    train = replace(reviews(n, 1), film=film)
    trained = finetune(tasks, encoder, train, reviews(60, 2), head, LOSSES, seed=seed, **run)
    return trained, encoder


def comparable(trained, encoder):
    """Return history and weights, to the byte."""
    history = trained.history()
    for epoch in history["epochs"]:
        del epoch["seconds"]
    return (
        history,
        safetensors.torch.save(trained.head.state_dict()),
        safetensors.torch.save(encoder.model.state_dict()),
    )


def changed(folder, encoder):
    """Return the weights of an encoder that are not those of the folder, byte for byte."""
    before = safetensors.torch.load_file(folder / "model.safetensors")
    after = encoder.model.state_dict()
    return {name for name, value in after.items() if not torch.equal(before[name], value)}


def is_linear(name):
    return name.endswith("weight") and "embeddings" not in name and "LayerNorm" not in name


@pytest.mark.parametrize("mode", ["full", "top-1", "lora"])
def test_each_way_changes_only_what_it_should(tiny_encoder_folder, mode):
    _, encoder = tune(tiny_encoder_folder, mode)
    names = set(encoder.model.state_dict())
    expected = {
        "full": names,
        "top-1": {name for name in names if name.startswith("encoder.layer.1.")},
        "lora": {name for name in names if is_linear(name)},
    }[mode]
    found = changed(tiny_encoder_folder, encoder)
    # A bias of the keys moves all scores of a query alike, so hardly any gradient is on it.
    assert found | {name for name in expected if name.endswith("key.bias")} == expected
    assert not any(weights.requires_grad for weights in encoder.model.parameters())


@pytest.mark.parametrize("mode", ["full", "top-2", "lora"])
def test_a_tuned_encoder_learns_what_a_frozen_one_hides(tiny_encoder_folder, mode):
    head = HEAD.model_copy(update={"pooling": ("cls",)})  # of a random encoder, [CLS] says little
    frozen = FrozenEncoder.load(str(tiny_encoder_folder))
    data = [
        LabelledFeatures(StoredFeatures.of(frozen.encode(some.texts)), some.ratings)
        for some in (reviews(240, 1), reviews(60, 2))
    ]
    settings = TrainingSettings(epochs=8, batch_size=8, learning_rate=0.01)
    before = train_head("classification", *data, head, settings, seed=0)
    after, _ = tune(tiny_encoder_folder, mode, head=head, n=240, epochs=10, learning_rate=3e-3, layer_decay=1)
    reached = [trained.epochs[trained.best_epoch - 1].valid_accuracy for trained in (before, after)]
    assert reached[1] > reached[0] + 0.15


@pytest.mark.parametrize("layers", [None, (1, 2)])
def test_the_head_sees_what_the_saved_encoder_gives(tiny_encoder_folder, tmp_path, layers):
    tasks = ("classification", "regression", "ordinal")
    trained, encoder = tune(tiny_encoder_folder, tasks=tasks, layers=layers, precision="fp32", averaging=0)
    encoder.save(tmp_path / "tuned")
    saved = FrozenEncoder.load(str(tmp_path / "tuned"), layers=encoder.layers, precision="fp32")
    valid = reviews(60, 2)
    scores = head_scores(trained.head, StoredFeatures.of(saved.encode(valid.texts)))
    probabilities = trained.head.output("classification").probabilities(
        scores[:, trained.head.columns["classification"]]
    )
    accuracy = np.mean(probabilities.argmax(axis=1) + 1 == valid.ratings)
    assert accuracy == pytest.approx(trained.epochs[trained.best_epoch - 1].valid_accuracy, abs=0.02)
    assert trained.head.tasks == tasks


def test_one_seed_gives_one_result(tiny_encoder_folder):
    first, second, other = (comparable(*tune(tiny_encoder_folder, seed=seed)) for seed in (3, 3, 4))
    assert first == second
    assert first[0] != other[0]


def test_parts_of_a_step_give_the_gradient_of_the_whole(tiny_encoder_folder, monkeypatch):
    plain = {"dropout": 0.0, "token_dropout": 0.3, "precision": "fp32", "epochs": 1, "accumulation": 1}
    head = HEAD.model_copy(update={"dropout": 0.0})
    whole, _ = tune(tiny_encoder_folder, head=head, **plain)
    monkeypatch.setattr("xingping.finetuning.MOST_TOKENS", 40)
    parts, _ = tune(tiny_encoder_folder, head=head, **plain)
    assert parts.epochs[0].valid_loss == pytest.approx(whole.epochs[0].valid_loss, rel=1e-3)


def test_tokens_that_are_dropped_are_as_padding(tiny_encoder_folder):
    encoder = TrainableEncoder(EncoderSettings(name=str(tiny_encoder_folder)), FinetuneSettings(mode="full"))
    tokens = encoder.tokenize(["甲乙丙", "丁"])
    batch = TokenBatch.of(tokens, np.arange(2), torch.device("cpu"))
    dropped = torch.tensor([[True, True, False, True, True], [True, True, True, False, False]])
    left = batch.without(dropped)
    assert left.content.tolist() == [[False, False, True, False, False], [False, True, False, False, False]]
    assert left.is_token.tolist() == [[True, False, True, False, True], [True, True, True, False, False]]
    network = TunedNetwork(encoder.model, (2,), RatingHead(32, HEAD, ("classification",)).eval())
    other = left._replace(ids=torch.where(left.is_token, left.ids, left.ids[0, 2]))
    torch.testing.assert_close(network(left).answer, network(other).answer)
    assert not torch.allclose(network(left).answer[0], network(batch).answer[0])
    torch.testing.assert_close(network(left).answer[1], network(batch).answer[1])
    packed = left.packed()
    assert packed.ids.tolist() == [
        [batch.ids[0, 0], batch.ids[0, 2], batch.ids[0, 4]],
        batch.ids[1, :3].tolist(),
    ]
    assert packed.is_token is None
    assert packed.positions.tolist() == [[0, 2, 4], [0, 1, 2]]
    assert packed.cls.tolist() == [0, 0]
    torch.testing.assert_close(network(packed).answer, network(left).answer)


def test_a_packed_batch_is_as_long_as_its_longest_text(tiny_encoder_folder):
    encoder = TrainableEncoder(EncoderSettings(name=str(tiny_encoder_folder)), FinetuneSettings(mode="full"))
    tokens = encoder.tokenize(["甲乙丙丁", "丁"])
    batch = TokenBatch.of(tokens, np.arange(2), torch.device("cpu"))
    packed = batch.without(torch.tensor([[False, True, False, False, False, False], [True] * 6])).packed()
    assert packed.ids.shape == (2, 5)
    assert packed.is_token.tolist() == [[True] * 5, [True, True, True, False, False]]
    assert packed.content.tolist() == [[False, True, True, True, False], [False, True, False, False, False]]
    network = TunedNetwork(encoder.model, (2,), RatingHead(32, HEAD, ("classification",)).eval())
    left = batch.without(torch.tensor([[False, True, False, False, False, False], [True] * 6]))
    torch.testing.assert_close(network(packed).answer, network(left).answer)
    whole = TokenBatch.of(tokens, np.arange(1), torch.device("cpu"))
    assert whole.packed() is whole


def test_weights_are_averaged_over_the_last_steps(tiny_encoder_folder, monkeypatch):
    monkeypatch.setattr("xingping.finetuning.AVERAGED_EVERY", 1)
    last, of_last = tune(tiny_encoder_folder, averaging=0)
    mean, of_mean = tune(tiny_encoder_folder, averaging=1 / (2 * STEPS))  # the last step alone
    assert comparable(mean, of_mean) == comparable(last, of_last)
    mean, of_mean = tune(tiny_encoder_folder, averaging=0.5)
    assert mean.epochs[0].valid_loss == last.epochs[0].valid_loss
    assert mean.epochs[1].valid_loss != last.epochs[1].valid_loss


def test_the_average_is_that_of_all_states(tiny_encoder_folder, monkeypatch):
    monkeypatch.setattr("xingping.finetuning.AVERAGED_EVERY", 1)
    states, average = [], _Finetuning._average

    def watched(training):
        states.append({name: each.detach().clone() for name, each in training.weights.items()})
        average(training)

    monkeypatch.setattr(_Finetuning, "_average", watched)
    trained, _ = tune(tiny_encoder_folder, averaging=0.5)  # of two epochs the second, which is kept
    assert trained.best_epoch == 2
    for name, kept in trained.head.named_parameters():
        mean = torch.stack([state[f"head.{name}"] for state in states[STEPS:]]).mean(dim=0)
        torch.testing.assert_close(kept.detach(), mean, rtol=1e-4, atol=1e-5)


def test_the_best_epoch_is_kept(tiny_encoder_folder, monkeypatch):
    scores, losses = [], [3.0, 1.0, 2.0, 4.0]

    def measured(of_tasks, head, found, ratings):
        scores.append(found.clone())
        return measure_scores(of_tasks, head, found, ratings) | {"valid_loss": losses[len(scores) - 1]}

    monkeypatch.setattr("xingping.finetuning.measure_scores", measured)
    trained, encoder = tune(tiny_encoder_folder, epochs=4, learning_rate=0.01, averaging=0, precision="fp32")
    assert trained.best_epoch == 2
    assert [epoch.valid_loss for epoch in trained.epochs] == losses
    kept = head_scores(trained.head, StoredFeatures.of(encoder.encode(reviews(60, 2).texts)))
    gaps = [np.abs(kept - each.numpy()).mean() for each in scores]
    assert gaps[1] < 0.02
    assert min(gaps[0], gaps[2], gaps[3]) > 0.1


def stop_after(steps):
    """Return a progress function that ends the training as Ctrl-C does."""
    counter = itertools.count(1)

    def progress(_done):
        if next(counter) == steps:
            raise KeyboardInterrupt

    return progress


FILM = np.arange(REVIEWS, dtype=np.int32) % 7 - 1


@pytest.mark.parametrize(
    ("mode", "steps", "film"),
    [
        ("full", 2, None), ("full", STEPS, None), ("full", STEPS + 1, None), ("lora", 17, None),
        ("top-1", 2 * STEPS, None), ("full", STEPS + 2, FILM),
    ],
)  # fmt: skip
def test_a_stopped_training_goes_on_to_the_same_bytes(tiny_encoder_folder, mode, steps, film, tmp_path, monkeypatch):
    monkeypatch.setattr("xingping.finetuning.CHECKPOINT_SECONDS", 0.0)
    monkeypatch.setattr("xingping.finetuning.AVERAGED_EVERY", 2)
    how = {"mode": mode, "averaging": 0.7, "film": film}
    path, undisturbed = tmp_path / "checkpoint", comparable(*tune(tiny_encoder_folder, **how))
    with pytest.raises(KeyboardInterrupt):
        tune(tiny_encoder_folder, **how, checkpoint=path, progress=stop_after(steps))
    seen = []
    going_on = tune(tiny_encoder_folder, **how, checkpoint=path, progress=seen.append)
    assert comparable(*going_on) == undisturbed
    assert sum(seen) == 2 * REVIEWS
    seen.clear()
    again = tune(tiny_encoder_folder, **how, checkpoint=path, progress=seen.append)
    assert comparable(*again) == undisturbed
    assert seen == [2 * REVIEWS]  # known from the checkpoint


def test_what_a_film_adds_is_learned_along_and_not_kept(tiny_encoder_folder):
    texts, ratings = planted_reviews(240, 1)
    film = (ratings > 2).astype(np.int32)
    train = LabelledTexts([text[-4:] for text in texts], ratings, film)  # hardly a word is left
    settings = FinetuneSettings(mode="full", **QUICK)
    encoder = TrainableEncoder(EncoderSettings(name=str(tiny_encoder_folder)), settings)
    training = _Finetuning(("regression",), encoder, train, reviews(60, 2), HEAD, LOSSES, 0, None, None, None)
    trained = training.run()
    low, high = training.effects.offsets[:, 0].tolist()
    assert high > low + 0.5
    assert set(trained.head.state_dict()) == set(RatingHead(encoder.dim, HEAD, ("regression",)).state_dict())


def test_a_checkpoint_of_another_training_is_ignored(tiny_encoder_folder, tmp_path):
    path = tmp_path / "checkpoint"
    tune(tiny_encoder_folder, checkpoint=path)
    assert comparable(*tune(tiny_encoder_folder, seed=1, checkpoint=path)) == comparable(
        *tune(tiny_encoder_folder, seed=1)
    )


CHILD = """
import json, sys
from pathlib import Path
import safetensors.torch
import xingping.finetuning
from test_finetuning import tune
folder = Path(sys.argv[2])
xingping.finetuning.CHECKPOINT_SECONDS = 0.0
trained, encoder = tune(
    Path(sys.argv[1]), checkpoint=folder / "checkpoint", progress=lambda done: print(done, flush=True)
)
safetensors.torch.save_file(trained.head.state_dict(), folder / "head.safetensors")
encoder.save(folder / "encoder")
"""


def test_a_killed_training_ends_in_the_same_bytes(tiny_encoder_folder, tmp_path):
    for kill_after in (STEPS + 3, None):
        command = [sys.executable, "-c", CHILD, str(tiny_encoder_folder), str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as process:
            for _ in itertools.islice(process.stdout, kill_after):
                pass
            if kill_after is not None:
                process.send_signal(signal.SIGKILL)
            code = process.wait()
        assert code == (0 if kill_after is None else -signal.SIGKILL)
    trained, encoder = tune(tiny_encoder_folder)
    found = safetensors.torch.load_file(tmp_path / "head.safetensors")
    assert safetensors.torch.save(found) == safetensors.torch.save(trained.head.state_dict())
    encoder.save(tmp_path / "undisturbed")
    weights = [(tmp_path / name / "model.safetensors").read_bytes() for name in ("encoder", "undisturbed")]
    assert weights[0] == weights[1]


RUN = [
    "--finetune",
    "full",
    "--finetune-epochs",
    "3",
    "--finetune-batch-size",
    "8",
    "--finetune-learning-rate",
    "0.002",
]


@pytest.fixture(scope="module")
def tuned_cache(tmp_path_factory):
    """Cache folder of this module's runs."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XINGPING_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def tuned_run(tmp_path_factory, tiny_encoder_folder, reviews_file, tuned_cache):
    """Run directory of a fine-tuned run; tests must not change it."""
    out = tmp_path_factory.mktemp("tuned") / "run"
    arguments = ["run", str(reviews_file), "--out", str(out), "--encoder", str(tiny_encoder_folder), "--dropout", "0.1"]
    assert run_command([*arguments, *RUN, "--quiet"]) == 0
    return out


def test_a_whole_run_is_on_the_tuned_encoder(tuned_run, tuned_cache):
    record = read_json(tuned_run / "run.json")
    used = record["tuned_encoder"]
    assert (used["tuned"], used["layers"]) == ("full", [2])
    assert used["fingerprint"] != record["encoder"]["fingerprint"]
    stores = [path for path in (tuned_cache / "features").iterdir() if path.is_dir()]
    assert stores == [FeatureStore(used["fingerprint"], tuned_cache / "features").folder]  # nothing frozen was encoded
    metrics = read_json(tuned_run / "metrics.json")
    assert metrics["test"]["classification"]["accuracy"] > 0.8
    assert "mean_features" not in metrics["baselines"]
    page = (tuned_run / "report" / "index.html").read_text(encoding="utf-8")
    assert "both were trained together (all layers)" in page
    assert sorted(path.name for path in (tuned_run / "models").iterdir()) == ["classification", "regression"]
    histories = [read_json(tuned_run / "models" / task / "history.json") for task in ("classification", "regression")]
    assert histories[0] == histories[1]


def test_a_second_run_does_nothing_and_a_lost_encoder_is_trained_again(tuned_run, tmp_path):
    run = shutil.copytree(tuned_run, tmp_path / "run")
    record = read_json(run / "run.json")
    settings = RunSettings.parse(record["settings"])

    def due(settings):
        pipeline = Pipeline.create(run, Path(record["data"]["path"]), settings)
        return [name for name in STAGES if not pipeline.run.is_done(name, pipeline.key(name), pipeline._outputs(name))]

    assert due(settings) == []
    shutil.rmtree(run / "encoder")
    assert due(settings) == ["train"]
    assert due(settings.model_copy(update={"finetuning": FinetuneSettings()})) == ["train", "evaluate", "report"]


def test_what_must_not_have_seen_the_stars_refuses_an_encoder_that_has(tuned_run, reviews_file, tmp_path, capsys):
    for command in ("crossvalidate", "learning-curve", "tune"):
        assert run_command([command, str(tuned_run)]) == 2
        assert "fine-tuned on its stars; use a run without --finetune" in capsys.readouterr().err
    arguments = ["run", str(reviews_file), "--out", str(tmp_path / "run"), "--split", "leave-one-film-out"]
    assert run_command([*arguments, "--finetune", "full"]) == 2
    assert "give --split film with --finetune, or --finetune none" in capsys.readouterr().err
    assert not (tmp_path / "run" / "reviews.parquet").exists()


TEXTS = ["妙妙妙的片子", "烂烂烂", ""]


def test_a_run_that_was_moved_rates_as_before(tuned_run, tmp_path, capsys):
    before = RatingPredictor.load(tuned_run).predict(TEXTS)
    moved = shutil.move(shutil.copytree(tuned_run, tmp_path / "copy"), tmp_path / "moved")
    after = RatingPredictor.load(moved).predict(TEXTS)
    np.testing.assert_array_equal(before.probabilities, after.probabilities)
    assert run_command(["predict", str(moved), *TEXTS[:2], "--quiet"]) == 0
    assert len(capsys.readouterr().out.splitlines()) >= 2


def test_a_bundle_alone_says_what_it_lacks_and_a_saved_one_has_it(tuned_run, tmp_path):
    alone = shutil.copytree(tuned_run / "models" / "classification", tmp_path / "alone")
    with pytest.raises(EncoderError, match=r"copy the folder encoder of its run directory to .*alone/encoder"):
        RatingPredictor.load(alone).predict(TEXTS)
    shutil.copytree(tuned_run / "encoder", alone / "encoder")
    predictor = RatingPredictor.load(tuned_run)
    expected = predictor.predict(TEXTS).probabilities
    np.testing.assert_array_equal(RatingPredictor.load(alone).predict(TEXTS).probabilities, expected)
    predictor.save(tmp_path / "saved")
    np.testing.assert_array_equal(RatingPredictor.load(tmp_path / "saved").predict(TEXTS).probabilities, expected)


def test_a_run_stopped_after_the_training_does_not_train_again(
    tmp_path, tiny_encoder_folder, reviews_file, tuned_run, tuned_cache, monkeypatch
):
    out = tmp_path / "run"
    arguments = ["run", str(reviews_file), "--out", str(out), "--encoder", str(tiny_encoder_folder), "--dropout", "0.1"]

    def interrupted(*_arguments, **_options):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("xingping.predictor.RatingPredictor.calibrate", interrupted)
        assert run_command([*arguments, *RUN, "--quiet"]) == 130
    monkeypatch.setattr("xingping.finetuning._Finetuning._step", interrupted)
    assert run_command([*arguments, *RUN, "--quiet"]) == 0
    assert (out / "metrics.json").read_bytes() == (tuned_run / "metrics.json").read_bytes()
    assert not (out / "models" / "finetuning").exists()


def test_a_frozen_training_takes_the_frozen_encoder_again(tuned_run, tmp_path, capsys):
    run = shutil.copytree(tuned_run, tmp_path / "run")
    quick = ["--epochs", "1", "--ngram-characters", "0", "--ngram-words", "0"]
    assert run_command(["train", str(run), "--finetune", "none", *quick, "--quiet"]) == 0
    record = read_json(run / "run.json")
    assert record["tuned_encoder"] is None
    card = json.loads((run / "models" / "classification" / "model.json").read_text(encoding="utf-8"))
    assert card["encoder_fingerprint"] == record["encoder"]["fingerprint"]
    assert RatingPredictor.load(run).predict(TEXTS).rating.shape == (3,)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--finetune", "half"], "--finetune: choose none, lora, full or top-N"),
        (["--finetune", "top-0"], "choose none, lora, full or top-N"),
        (["--finetune", "top-99"], "2 layers are used; give top-1 to top-2, or full"),
        (["--finetune", "full", "--finetune-layer-decay", "1.5"], "--finetune-layer-decay: Input"),
        (["--finetune", "lora", "--engine", "ray"], "--finetune trains on one machine; leave out --engine ray"),
        (["--finetune", "full", "--feature-unit", "word"], "--finetune trains on tokens"),
    ],
)
def test_what_cannot_be_tuned_is_one_line(
    arguments, message, tmp_path, tiny_encoder_folder, reviews_file, isolated_cache, capsys
):
    command = ["run", str(reviews_file), "--out", str(tmp_path / "run"), "--encoder", str(tiny_encoder_folder)]
    assert run_command([*command, *arguments, "--quiet"]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1


def test_tuning_a_head_is_for_frozen_encoders(tuned_run, tmp_path, capsys):
    run = shutil.copytree(tuned_run, tmp_path / "run")
    assert run_command(["tune", str(run), "--budget", "1s"]) == 2
    assert "tune trains new heads" in capsys.readouterr().err


def test_a_refused_option_is_not_kept(trained_run, tmp_path, isolated_cache, capsys):
    run = shutil.copytree(trained_run, tmp_path / "run")
    before = read_json(run / "run.json")
    assert run_command(["train", str(run), "--finetune", "top-99", "--quiet"]) == 2
    assert "give top-1 to top-2, or full" in capsys.readouterr().err
    assert read_json(run / "run.json") == before
    assert run_command(["evaluate", str(run)]) == 0
    assert "evaluate: already done" in capsys.readouterr().err
