import numpy as np
import pytest

from toy import DIM, ToyEncoder, character_vector
from xingping.errors import StoreError
from xingping.features import FeatureStore, StoredFeatures

TEXTS = ["好看", "", "难看 极了", "好看", "𠮷野家"]


@pytest.fixture
def store(tmp_path):
    return FeatureStore("toy", tmp_path)


def test_features_come_back_as_they_were_in_the_order_of_the_texts(store):
    store.encode(ToyEncoder(), TEXTS)
    view = store.view(TEXTS[::-1])
    assert view.lengths.tolist() == [3, 2, 4, 0, 2]
    assert view.dim == DIM
    np.testing.assert_array_equal(view.tokens(1), [character_vector("好"), character_vector("看")])
    assert view.spans(2).tolist() == [[0, 1], [1, 2], [3, 4], [4, 5]]
    assert view.cls(2).tolist() == [5.0] * DIM


def test_each_distinct_text_is_encoded_once_and_never_again(store, tmp_path):
    encoder = ToyEncoder()
    assert store.encode(encoder, TEXTS) == 4
    later = FeatureStore("toy", tmp_path)
    assert later.encode(encoder, [*TEXTS, "新的"]) == 1
    assert encoder.encoded == ["好看", "", "难看 极了", "𠮷野家", "新的"]


def test_another_encoder_sees_nothing_of_it(store, tmp_path):
    store.encode(ToyEncoder(), TEXTS)
    assert FeatureStore("other", tmp_path).missing(["好看"]) == ["好看"]
    with pytest.raises(StoreError, match="holds features of other, not of toy"):
        FeatureStore("other", tmp_path).encode(ToyEncoder(), ["好看"])


def test_a_shard_in_the_wrong_folder_is_not_believed(store, tmp_path, caplog):
    store.encode(ToyEncoder(), ["好看"])
    wrong = tmp_path / "other"
    wrong.mkdir()
    shard = next(store.folder.iterdir())
    shard.rename(wrong / shard.name)
    assert FeatureStore("other", tmp_path).missing(["好看"]) == ["好看"]
    assert "was written by the encoder toy" in caplog.text


def test_views_are_memory_mapped_not_copied(store):
    store.encode(ToyEncoder(), ["好看"])
    values = store.view(["好看"]).tokens(0)
    assert not values.flags.owndata
    assert not values.flags.writeable


def test_a_text_without_features_is_an_error(store):
    store.encode(ToyEncoder(), ["好看"])
    with pytest.raises(StoreError, match="1 of 2 texts have no features"):
        store.view(["好看", "没有"])


def test_a_truncated_shard_is_dropped_and_only_its_texts_are_encoded_again(store, tmp_path, caplog):
    encoder = ToyEncoder()
    store.encode(encoder, ["好看"])
    first = set(store.folder.iterdir())
    store.encode(encoder, ["难看"])
    (shard,) = set(store.folder.iterdir()) - first
    shard.write_bytes(shard.read_bytes()[:100])
    again = FeatureStore("toy", tmp_path)
    assert again.encode(encoder, ["好看", "难看"]) == 1
    assert encoder.encoded[-1] == "难看"
    assert shard.name in caplog.text


def test_shards_left_half_written_by_a_killed_run_are_ignored(store):
    store.folder.mkdir(parents=True)
    (store.folder / ".shard-1.arrow.tmp").write_bytes(b"half")
    assert store.missing(["好看"]) == ["好看"]


def test_large_inputs_are_written_in_shards(store, monkeypatch):
    monkeypatch.setattr("xingping.features.SHARD_TEXTS", 3)
    texts = [f"第{number}条" for number in range(8)]
    seen = []
    store.encode(ToyEncoder(), texts, progress=seen.append)
    assert len(list(store.folder.iterdir())) == 3
    assert sum(seen) == 8
    assert [len(store.view(texts).tokens(i)) for i in range(8)] == [3] * 8


def test_padded_blocks_hold_zeros_behind_the_end(store):
    store.encode(ToyEncoder(), TEXTS)
    values, lengths, cls = store.view(TEXTS).padded(np.array([1, 2]))
    assert values.shape == (2, 4, DIM)
    assert lengths.tolist() == [0, 4]
    assert not values[0].any()
    assert cls.shape == (2, DIM)


def test_batches_cover_every_text_once_and_mean_of_nothing_is_zero():
    features = StoredFeatures.of(ToyEncoder().encode(TEXTS))
    batches = list(features.batches(2))
    assert sorted(np.concatenate(batches).tolist()) == [0, 1, 2, 3, 4]
    means = features.means()
    assert not means[1].any()
    np.testing.assert_allclose(means[0], features.tokens(0).astype(np.float32).mean(0), rtol=1e-3)
    assert features.take([4, 0]).lengths.tolist() == [3, 2]
