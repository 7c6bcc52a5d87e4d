import threading

import numpy as np
import pytest

from toy import ToyEncoder
from xingping.epochs import (
    AHEAD,
    GROUP_SHARDS,
    Portion,
    load_portions,
    rating_order,
    sample_tokens,
    slots,
    training_order,
)
from xingping.features import FeatureStore, StoredFeatures

PER_SHARD = 5


class Texts:
    """Lengths and shards of texts, as a store knows them; notes what is fetched and given back."""

    def __init__(self, lengths, shards):
        self.lengths, self.shards, self.fetched, self.released = lengths, shards, [], []

    def fetch(self, shards):
        self.fetched.append(sorted(np.asarray(shards).tolist()))

    def release(self, shards):
        self.released.append(sorted(np.asarray(shards).tolist()))


def texts(n, shards, seed=0):
    rng = np.random.default_rng(seed)
    return Texts(rng.integers(1, 100, n), rng.integers(0, shards, n).astype(np.int32))


def test_batches_cover_each_review_once_with_little_padding():
    features = texts(1000, 1)
    batches = [portion.indices for portion in training_order(features, 16, np.random.default_rng(1))]
    assert sorted(np.concatenate(batches).tolist()) == list(range(1000))
    padded = sum(features.lengths[batch].max() * len(batch) for batch in batches)
    assert padded < 1.1 * features.lengths.sum()


def test_few_shards_are_shuffled_as_a_whole_and_stay_in_memory():
    features = texts(1000, GROUP_SHARDS)
    one = texts(1000, 1)
    orders = [
        [portion.indices.tolist() for portion in training_order(of, 16, np.random.default_rng(1))]
        for of in (features, one)
    ]
    assert orders[0] == orders[1]
    assert all(portion.done is None for portion in training_order(features, 16, np.random.default_rng(1)))


@pytest.mark.parametrize("n", [4000, 4001, 4063])
def test_many_shards_are_read_group_by_group_and_given_back(n):
    features = texts(n, 3 * GROUP_SHARDS + 1)
    portions = list(training_order(features, 64, np.random.default_rng(1)))
    assert sorted(np.concatenate([portion.indices for portion in portions]).tolist()) == list(range(n))
    assert len(portions) == -(-n // 64)
    assert sorted(len(portion.indices) for portion in portions)[1:] == [64] * (len(portions) - 1)
    open_shards, done = set(), set()
    for portion in portions:
        open_shards |= set(features.shards[portion.indices].tolist())
        if portion.done is not None:
            done |= set(portion.done.tolist())
            # What filled no batch went along with the next group, so a few texts may be read again from a shard.
            assert len(open_shards - done) <= 64
            assert len(portion.done) <= GROUP_SHARDS
    assert done == open_shards
    assert sum(portion.done is not None for portion in portions) == 4


def test_shards_of_the_next_group_are_fetched_one_by_one_before_it_begins():
    features = texts(4000, 3 * GROUP_SHARDS)
    for order in (training_order(features, 64, np.random.default_rng(1)), rating_order(features, 64)):
        fetched, read, groups = set(), set(), 0
        for portion in order:
            now = set(features.shards[portion.indices].tolist())
            if groups:  # the first group is read as it comes
                assert now <= fetched | read
            read |= now
            if portion.coming is not None:
                assert len(portion.coming) <= 2
                assert not fetched & set(portion.coming.tolist())
                fetched |= set(portion.coming.tolist())
            groups += portion.done is not None
        assert len(fetched) == 2 * GROUP_SHARDS


def test_groups_differ_from_epoch_to_epoch():
    features = texts(4000, 3 * GROUP_SHARDS)
    first, second = (
        next(iter(training_order(features, 64, np.random.default_rng(seed)))).indices.tolist() for seed in (1, 2)
    )
    assert first != second


def test_rating_reads_groups_in_order_of_the_shards_and_lengths():
    features = texts(4000, 2 * GROUP_SHARDS)
    portions = list(rating_order(features, 64))
    order = np.concatenate([portion.indices for portion in portions])
    assert sorted(order.tolist()) == list(range(4000))
    border = int((features.shards < GROUP_SHARDS).sum())
    assert (features.shards[order[:border]] < GROUP_SHARDS).all()
    assert (np.diff(features.lengths[order[:border]]) >= 0).all()
    assert [portion.done is not None for portion in portions].count(True) == 2


def test_no_texts_give_no_batches():
    empty = Texts(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int32))
    assert list(rating_order(empty, 64)) == []
    assert list(training_order(empty, 64, np.random.default_rng(0))) == []


@pytest.mark.parametrize("ahead", [False, True])
def test_loading_keeps_the_order_and_gives_shards_back_once_they_are_read(ahead):
    features = texts(100, 1)
    portions = [
        Portion(
            np.array([i]),
            np.array([i], dtype=np.int32) if i % 5 == 4 else None,
            np.array([i], dtype=np.int32) if i % 5 == 1 else None,
        )
        for i in range(20)
    ]
    seen = []
    for value in load_portions(iter(portions), lambda portion: int(portion.indices[0]), features, ahead=ahead):
        assert features.released == [[shard] for shard in (4, 9, 14, 19) if shard <= value]
        seen.append(value)
    assert seen == list(range(20))
    assert features.fetched == [[1], [6], [11], [16]]


@pytest.mark.parametrize("ahead", [False, True])
def test_loading_is_bounded_and_tells_errors(ahead):
    started = []

    def load(portion):
        started.append(int(portion.indices[0]))
        if started[-1] == 12:
            raise OSError("the disk is gone")
        return started[-1]

    portions = (Portion(np.array([i])) for i in range(100))
    loading = load_portions(portions, load, texts(1, 1), ahead=ahead)
    assert next(loading) == 0
    assert len(started) <= slots(ahead=ahead)
    with pytest.raises(OSError, match="the disk is gone"):
        list(loading)
    assert len(started) <= 13 + AHEAD
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("read-ahead")]


@pytest.mark.parametrize("ahead", [False, True])
def test_a_store_of_many_shards_is_read_the_same(tmp_path, ahead):
    many = [f"片子{'好' * (number % 7)}{number}" for number in range(PER_SHARD * (GROUP_SHARDS + 2))]
    store = FeatureStore("toy", tmp_path, shard_texts=PER_SHARD)
    encoder = ToyEncoder()
    store.add(
        [
            store.write(many[at : at + PER_SHARD], encoder.encode(many[at : at + PER_SHARD]))
            for at in range(0, len(many), PER_SHARD)
        ]
    )
    stored, memory = store.view(many), StoredFeatures.of(encoder.encode(many))
    assert len(np.unique(stored.shards)) == GROUP_SHARDS + 2

    def load(portion):
        return portion.indices, stored.packed(portion.indices).values

    read = 0
    order = training_order(stored, 8, np.random.default_rng(0))
    for indices, values in load_portions(order, load, stored, ahead=ahead):
        np.testing.assert_array_equal(values, memory.packed(indices).values)
        read += len(indices)
    assert read == len(many)


def test_a_sample_is_evenly_spaced_and_leaves_a_large_store_as_it_was(tmp_path, monkeypatch):
    many = [f"片子{number}" for number in range(PER_SHARD * (GROUP_SHARDS + 2))]
    store = FeatureStore("toy", tmp_path, shard_texts=PER_SHARD)
    encoder = ToyEncoder()
    store.encode(encoder, many)
    stored, memory, released = store.view(many), StoredFeatures.of(encoder.encode(many)), []
    monkeypatch.setattr(StoredFeatures, "release", lambda _self, shards: released.extend(shards))
    expected = np.concatenate([memory.tokens(index) for index in range(0, len(many), 3)]).astype(np.float32)
    assert sorted(map(tuple, sample_tokens(stored, len(many) // 3))) == sorted(map(tuple, expected))
    assert sorted(released) == list(range(GROUP_SHARDS + 2))
    released.clear()
    np.testing.assert_array_equal(sample_tokens(memory, len(many) // 3), expected)
    assert released == []
    assert sample_tokens(memory.take([]), 5).shape == (0, 16)
