import numpy as np
import pytest
import torch

from toy import BAD, GOOD, ToyEncoder, planted_reviews
from xingping.config import HeadSettings, TrainingSettings
from xingping.features import StoredFeatures
from xingping.heads import FeatureBatch, RatingHead, Standardise
from xingping.training import LabelledFeatures, train_head, training_batches

HEAD = HeadSettings(n_hops=2, attention_dim=8, hidden_dim=16, dropout=0.1)
TRAINING = TrainingSettings(epochs=8, batch_size=32, learning_rate=0.02)


def labelled(n, seed):
    texts, ratings = planted_reviews(n, seed)
    return texts, LabelledFeatures(StoredFeatures.of(ToyEncoder().encode(texts)), ratings)


def train(task="classification", head=HEAD, training=TRAINING, seed=0, **options):
    return train_head(task, labelled(600, 1)[1], labelled(100, 2)[1], head, training, seed=seed, **options)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_head_learns_a_planted_word(task):
    trained = train(task)
    assert trained.epochs[trained.best_epoch - 1].valid_accuracy > 0.95


def test_mean_pooling_learns_it_too():
    trained = train(head=HEAD.model_copy(update={"pooling": "mean"}))
    assert trained.epochs[trained.best_epoch - 1].valid_accuracy > 0.6


def test_the_attention_finds_the_planted_word():
    trained = train()
    texts, data = labelled(60, 3)
    hits = total = 0
    with torch.inference_mode():
        for index, text in enumerate(texts):
            where = max(text.find(GOOD), text.find(BAD))
            if where < 0:
                continue
            attention = trained.head(FeatureBatch.load(data.features, np.array([index]))).attention
            hits += bool(set(range(where, where + len(GOOD))) & set(attention[0].argmax(1).tolist()))
            total += 1
    assert total > 30
    assert hits / total > 0.9


def test_cls_pooling_sees_only_the_cls_vector():
    trained = train(head=HEAD.model_copy(update={"pooling": "cls"}))
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
    trained = train_head(
        "classification", labelled(300, 1)[1], noise, HEAD, TRAINING.model_copy(update={"epochs": 40}), seed=0
    )
    losses = [epoch.valid_loss for epoch in trained.epochs]
    assert len(losses) < 40
    assert trained.best_epoch == int(np.argmin(losses)) + 1
    assert len(losses) == trained.best_epoch + TRAINING.patience
    assert trained.history()["epochs"][0]["epoch"] == 1


def test_progress_counts_every_review():
    seen = []
    trained = train(training=TRAINING.model_copy(update={"epochs": 2}), progress=seen.append)
    assert sum(seen) == 600 * len(trained.epochs)


def test_an_untrained_head_starts_from_the_training_ratings():
    ratings = np.array([4] * 90 + [1] * 10)
    head = RatingHead(16, HEAD, "regression").eval()
    features = StoredFeatures.of(ToyEncoder().encode(["好看"] * 100))
    head.start_from(features, ratings)
    assert head(FeatureBatch.load(features, np.array([0]))).scores.item() == pytest.approx(3.7, abs=0.2)


def test_batches_cover_each_review_once_with_little_padding():
    lengths = np.random.default_rng(0).integers(1, 100, 1000)
    batches = list(training_batches(lengths, 16, np.random.default_rng(1)))
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    padded = sum(lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * lengths.sum()


def test_dimensions_that_are_large_and_constant_are_scaled_away():
    features = ToyEncoder().encode(["片子里的人都看过了", "和事"])
    features.values[:, 3] = features.values[:, 3] / 4 + 20
    standardise = Standardise(16)
    standardise.fit(StoredFeatures.of(features))
    scaled = standardise(torch.from_numpy(features.values).float())
    torch.testing.assert_close(scaled.mean(0), torch.zeros(16), atol=1e-3, rtol=0)
    torch.testing.assert_close(scaled.std(0, correction=0), torch.ones(16), atol=1e-2, rtol=0)
