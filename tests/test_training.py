import itertools
import json
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from toy import BAD, GOOD, ToyEncoder, planted_reviews
from xingping.config import HeadSettings, TrainingSettings
from xingping.features import FeatureStore, StoredFeatures
from xingping.heads import RatingHead, Standardise
from xingping.scoring import head_scores
from xingping.training import LabelledFeatures, train_head

HEAD = HeadSettings(token_dim=12, n_hops=2, attention_dim=8, hidden_dim=16, dropout=0.1)
TRAINING = TrainingSettings(epochs=8, batch_size=32, learning_rate=0.02)
NOISY = TrainingSettings(epochs=2, batch_size=32, learning_rate=0.005)


def labelled(n, seed):
    texts, ratings = planted_reviews(n, seed)
    return texts, LabelledFeatures(StoredFeatures.of(ToyEncoder().encode(texts)), ratings)


def train(task="classification", head=HEAD, training=TRAINING, seed=0, film=None, **options):
    data = replace(labelled(600, 1)[1], film=film)
    return train_head(task, data, labelled(100, 2)[1], head, training, seed=seed, **options)


@pytest.mark.parametrize(
    ("task", "head", "training"),
    [
        ("classification", {}, {}),
        ("classification", {}, {"classification_loss": ("soft_labels",)}),
        ("classification", {}, {"classification_loss": ("focal",), "class_weights": "balanced"}),
        ("classification", {}, {"classification_loss": ("emd", "cross_entropy")}),
        ("classification", {"pooling": ("self_attention", "mean", "max", "cls")}, {}),
        ("regression", {}, {}),
        ("regression", {}, {"regression_loss": "huber"}),
        ("ordinal", {"ordinal": "coral"}, {}),
        ("ordinal", {"ordinal": "corn"}, {}),
    ],
)
def test_a_head_learns_a_planted_word(task, head, training):
    trained = train(task, HEAD.model_copy(update=head), TRAINING.model_copy(update=training))
    assert trained.epochs[trained.best_epoch - 1].valid_accuracy > 0.95


def test_mean_pooling_learns_it_too():
    trained = train(head=HEAD.model_copy(update={"pooling": ("mean",)}))
    assert trained.epochs[trained.best_epoch - 1].valid_accuracy > 0.6


def test_the_attention_finds_the_planted_word():
    trained = train()
    texts, data = labelled(60, 3)
    hits, total, loader = 0, 0, trained.head.loader()
    with torch.inference_mode():
        for index, text in enumerate(texts):
            where = max(text.find(GOOD), text.find(BAD))
            if where < 0:
                continue
            attention = trained.head(loader.load(data.features, np.array([index]))).attention
            hits += bool(set(range(where, where + len(GOOD))) & set(attention[0].argmax(1).tolist()))
            total += 1
    assert total > 30
    assert hits / total > 0.9


def test_cls_pooling_sees_only_the_cls_vector():
    trained = train(head=HEAD.model_copy(update={"pooling": ("cls",)}))
    # The toy's [CLS] holds the length of the text, which says little about the planted word.
    assert trained.epochs[trained.best_epoch - 1].valid_accuracy < 0.8


def test_one_seed_gives_one_result():
    first, second, other = train(seed=3), train(seed=3), train(seed=4)
    assert [e.valid_loss for e in first.epochs] == [e.valid_loss for e in second.epochs]
    for one, two in zip(first.head.parameters(), second.head.parameters(), strict=True):
        assert torch.equal(one, two)
    assert first.epochs[0].train_loss != other.epochs[0].train_loss


def test_training_stops_early_and_keeps_the_best_epoch():
    noise = LabelledFeatures(labelled(100, 2)[1].features, np.random.default_rng(0).integers(1, 6, 100))
    patient = TRAINING.model_copy(update={"epochs": 40, "patience": 2})
    trained = train_head("classification", labelled(300, 1)[1], noise, HEAD, patient, seed=0)
    losses = [epoch.valid_loss for epoch in trained.epochs]
    assert len(losses) < 40
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == trained.best_epoch + 2
    scores = torch.from_numpy(head_scores(trained.head, noise.features))
    kept = torch.nn.functional.cross_entropy(scores, torch.from_numpy(noise.ratings - 1)).item()
    assert kept == pytest.approx(min(losses), abs=0.01)  # in bf16, or not
    assert max(losses) - min(losses) > 0.05
    assert trained.history()["epochs"][0]["epoch"] == 1


def test_a_store_of_many_shards_is_learned_group_by_group(tmp_path):
    texts, ratings = planted_reviews(600, 1)
    store = FeatureStore("toy", tmp_path, shard_texts=20)  # 30 shards
    store.encode(ToyEncoder(), texts)
    stored = LabelledFeatures(store.view(texts), ratings)
    first, second = (
        train_head("classification", stored, labelled(100, 2)[1], HEAD, TRAINING, seed=0) for _ in range(2)
    )
    assert first.epochs[first.best_epoch - 1].valid_accuracy > 0.95
    assert comparable(first) == comparable(second)


def test_progress_counts_every_review():
    seen = []
    trained = train(training=TRAINING.model_copy(update={"epochs": 2}), progress=seen.append)
    assert sum(seen) == 600 * len(trained.epochs)


def test_an_untrained_head_starts_from_the_training_ratings():
    ratings = np.array([4] * 90 + [1] * 10)
    head = RatingHead(16, HEAD, ("regression",)).eval()
    features = StoredFeatures.of(ToyEncoder().encode(["好看"] * 100))
    head.start_from(features, ratings)
    assert head(head.loader().load(features, np.array([0]))).answer.item() == pytest.approx(3.7, abs=0.2)


def test_dimensions_that_are_large_and_constant_are_scaled_away():
    features = ToyEncoder().encode(["片子里的人都看过了", "和事"])
    features.values[:, 3] = features.values[:, 3] / 4 + 20
    standardise = Standardise(16)
    standardise.fit(StoredFeatures.of(features))
    scaled = standardise(torch.from_numpy(features.values).float())
    torch.testing.assert_close(scaled.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(16), atol=1e-2, rtol=0)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_bf16_and_fp32_learn_the_same(task):
    losses = [
        min(epoch.valid_loss for epoch in train(task, training=TRAINING.model_copy(update={"precision": name})).epochs)
        for name in ("bf16", "fp32")
    ]
    assert max(losses) < 0.25
    assert abs(losses[0] - losses[1]) < 0.1


def test_reviews_without_tokens_are_trained_and_rated():
    features = StoredFeatures.of(ToyEncoder().encode(["", "妙妙妙", "", "烂烂烂"] * 20))
    data = LabelledFeatures(features, np.array([3, 5, 3, 1] * 20))
    trained = train_head("classification", data, data, HEAD, TRAINING.model_copy(update={"batch_size": 7}), seed=0)
    assert trained.epochs[-1].valid_accuracy == 1


def test_dropout_masks_keep_their_share_and_what_is_kept_is_scaled():
    settings = HeadSettings(token_dim=8, dropout=0.25, n_hops=2, attention_dim=8, hidden_dim=64, members=1)
    head = RatingHead(16, settings, ("classification",))
    for dtype in (torch.float32, torch.bfloat16):
        masks = head.draw_masks(np.random.SFC64(0), 2000, dtype)
        assert masks.pooled.dtype == masks.tokens.dtype == dtype
        assert masks.tokens.float().mean().item() == pytest.approx(0.8, abs=0.01)
        assert set(masks.pooled.float().unique().tolist()) == {0.0, 1.0}
        assert masks.pooled.float().mean().item() == pytest.approx(0.75, abs=0.01)
        assert masks.hidden.mean().item() == pytest.approx(0.75, abs=0.01)
    batch = head.loader().load(StoredFeatures.of(ToyEncoder().encode(["妙妙妙好看"])), np.zeros(2000, dtype=np.int64))
    masks = head.draw_masks(np.random.SFC64(0), 2000)
    with torch.inference_mode():
        member = head.members[0]
        tokens = torch.relu(member.token_layer(batch.values * (masks.tokens / head.kept.tokens).unsqueeze(1)))
        pooled = member.pooling(tokens, batch.mask, batch.cls).vector * masks.pooled / 0.75
        hidden = torch.relu(member.hidden(pooled)) * masks.hidden / 0.75
        torch.testing.assert_close(head(batch, masks).answer, member.outputs["classification"](hidden))


def test_members_answer_together_and_each_drops_its_own():
    settings = HEAD.model_copy(update={"members": 3, "dropout": 0.5})
    head = RatingHead(16, settings, ("classification", "regression"))
    batch = head.loader().load(StoredFeatures.of(ToyEncoder().encode(["妙妙妙好看", "烂"])), np.arange(2))
    masks = head.draw_masks(np.random.SFC64(0), 2)
    with torch.inference_mode():
        together, parts = head(batch, masks), masks.chunk(3)
        alone = [member(batch, part, head.kept) for member, part in zip(head.members, parts, strict=True)]
    torch.testing.assert_close(together.answer, sum(output.scores for output in alone) / 3)
    assert together.scores.shape == (3, 2, 6)
    assert together.vector.shape == (2, head.vector_dim) == (2, 3 * 16)
    assert together.attention.shape == (2, 3 * 2, 5)
    torch.testing.assert_close(together.attention.sum(2), torch.ones(2, 6))
    assert not torch.equal(parts[0].pooled, parts[1].pooled)
    assert not torch.equal(alone[0].scores, alone[1].scores)


def test_members_err_less_together_than_alone():
    trained = train(head=HEAD.model_copy(update={"members": 4, "dropout": 0.5}), training=NOISY)
    head, data = trained.head, labelled(400, 9)[1]
    loss = torch.nn.functional.cross_entropy
    with torch.inference_mode():
        output = head(head.loader().load(data.features, np.arange(400)))
    classes = torch.from_numpy(data.ratings - 1)
    alone = [loss(scores, classes).item() for scores in output.scores]
    assert loss(output.answer, classes).item() < np.mean(alone)


def stop_after(steps):
    """Return a progress function that ends the training as Ctrl-C does."""
    counter = itertools.count(1)

    def progress(_done):
        if next(counter) == steps:
            raise KeyboardInterrupt

    return progress


def comparable(trained):
    history = trained.history()
    for epoch in history["epochs"]:
        del epoch["seconds"]
    return history, safetensors.torch.save(trained.head.state_dict())


FILM = np.arange(600, dtype=np.int32) % 7 - 1


@pytest.mark.parametrize(
    ("steps", "film"), [(1, None), (18, None), (19, None), (20, None), (47, None), (20, FILM), (37, FILM)]
)  # 19 steps are an epoch
def test_a_stopped_training_goes_on_to_the_same_bytes(steps, film, tmp_path, monkeypatch):
    monkeypatch.setattr("xingping.training.CHECKPOINT_SECONDS", 0.0)
    short, path = TRAINING.model_copy(update={"epochs": 3}), tmp_path / "models" / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(training=short, film=film, checkpoint=path, progress=stop_after(steps))
    assert path.is_file() == (steps > 1)  # progress is told before the checkpoint is written
    seen = []
    trained = train(training=short, film=film, checkpoint=path, progress=seen.append)
    assert comparable(trained) == comparable(train(training=short, film=film))
    assert sum(seen) == 3 * 600
    assert list(path.parent.iterdir()) == []


def test_a_checkpoint_of_another_training_or_a_damaged_one_is_ignored(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("xingping.training.CHECKPOINT_SECONDS", 0.0)
    caplog.set_level("INFO")
    short, path = TRAINING.model_copy(update={"epochs": 1}), tmp_path / "checkpoint"
    with pytest.raises(KeyboardInterrupt):
        train(training=short, checkpoint=path, progress=stop_after(3))
    content = path.read_bytes()
    undisturbed = comparable(train(training=short, seed=1))
    assert comparable(train(training=short, seed=1, checkpoint=path)) == undisturbed
    assert "belongs to another training" in caplog.text
    path.write_bytes(content[: len(content) // 2])
    assert comparable(train(training=short, seed=1, checkpoint=path)) == undisturbed
    assert "is damaged" in caplog.text


CHILD = """
import json, sys
import safetensors.torch
import xingping.training
from test_training import TRAINING, train
from pathlib import Path
folder = Path(sys.argv[1])
xingping.training.CHECKPOINT_SECONDS = 0.0
trained = train(checkpoint=folder / "checkpoint", progress=lambda done: print(done, flush=True))
safetensors.torch.save_file(trained.head.state_dict(), folder / "head.safetensors")
(folder / "history.json").write_text(json.dumps(trained.history()))
"""


def test_a_training_killed_again_and_again_ends_in_the_same_bytes(tmp_path):
    rng = np.random.default_rng(0)
    for kill_after in [*rng.integers(2, 60, 2).tolist(), None]:
        command = [sys.executable, "-c", CHILD, str(tmp_path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=Path(__file__).parent) as process:
            for _ in itertools.islice(process.stdout, kill_after):
                pass
            if kill_after is not None:
                process.send_signal(signal.SIGKILL)
            code = process.wait()
        assert code == (0 if kill_after is None else -signal.SIGKILL)
    history, weights = comparable(train())
    found = json.loads((tmp_path / "history.json").read_text())
    for epoch in found["epochs"]:
        del epoch["seconds"]
    assert found == history
    assert safetensors.torch.save(safetensors.torch.load_file(tmp_path / "head.safetensors")) == weights
    assert sorted(path.name for path in tmp_path.iterdir()) == ["head.safetensors", "history.json"]
