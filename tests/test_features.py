import pickle

import numpy as np
import pytest

from toy import DIM, ToyEncoder, character_vector
from xingping.config import FeatureSettings, SegmentationSettings
from xingping.errors import OutputError, StoreError
from xingping.features import FeatureStore, StoredFeatures
from xingping.segmentation import Segmenter
from xingping.texts import TextBatches

TEXTS = ["好看", "", "难看 极了", "好看", "𠮷野家"]


@pytest.fixture
def store(tmp_path):
    return FeatureStore("toy", tmp_path)


def int8_store(tmp_path):
    return FeatureStore("toy", tmp_path, settings=FeatureSettings(dtype="int8"))


def word_store(tmp_path, **options):
    return FeatureStore("toy", tmp_path, settings=FeatureSettings(unit="word"), **options)


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
    with pytest.raises(StoreError, match="holds features of other, not of toy"):
        FeatureStore("other", tmp_path).forecast(ToyEncoder(), ["好看"])


def test_units_dtypes_and_dictionaries_have_stores_of_their_own(tmp_path):
    dictionary = tmp_path / "words.txt"
    dictionary.write_text("野家 1000\n", encoding="utf-8")
    own_words = Segmenter(SegmentationSettings(user_dictionary=dictionary))
    stores = [
        FeatureStore("toy", tmp_path),
        int8_store(tmp_path),
        word_store(tmp_path),
        word_store(tmp_path, segmenter=own_words),
        FeatureStore("other", tmp_path),
    ]
    assert len({store.folder for store in stores}) == len(stores)
    assert word_store(tmp_path).folder == word_store(tmp_path, segmenter=Segmenter()).folder


def test_views_are_memory_mapped_not_copied(store):
    store.encode(ToyEncoder(), ["好看"])
    values = store.view(["好看"]).tokens(0)
    assert not values.flags.owndata
    assert not values.flags.writeable


def test_a_text_without_features_is_an_error(store):
    store.encode(ToyEncoder(), ["好看"])
    with pytest.raises(StoreError, match="1 of 2 texts have no features"):
        store.view(["好看", "没有"])


def test_large_inputs_are_written_in_shards(tmp_path):
    store = FeatureStore("toy", tmp_path, shard_texts=3)
    texts = [f"第{number}条" for number in range(8)]
    seen = []
    store.encode(ToyEncoder(), texts, progress=seen.append)
    assert len(list(store.folder.glob("shard-*.arrow"))) == 3
    assert sum(seen) == 8
    view = store.view(texts)
    assert [len(view.tokens(i)) for i in range(8)] == [3] * 8
    assert view.shards[:3].tolist() == view.shards[:1].tolist() * 3
    assert sorted(np.unique(view.shards).tolist()) == [0, 1, 2]


def test_texts_come_as_a_list_in_batches_or_from_a_table(tmp_path):
    texts = [f"第{number % 50}条" for number in range(120)]

    def batches():
        for start in range(0, 120, 7):
            yield texts[start : start + 7]

    store = FeatureStore("toy", tmp_path, shard_texts=16)
    streamed = TextBatches(batches, len(texts))
    assert store.count_missing(streamed) == 50
    assert store.missing(streamed) == store.missing(texts) == texts[:50]
    assert [len(chunk) for chunk in store.plan(streamed)] == [16, 16, 16, 2]
    assert store.encode(ToyEncoder(), streamed) == 50
    np.testing.assert_array_equal(store.view(streamed).lengths, store.view(texts).lengths)


def test_no_texts_are_no_work(store):
    assert store.encode(ToyEncoder(), []) == 0
    assert len(store.view([])) == 0
    assert store.forecast(ToyEncoder(), []).bytes == 0


def test_one_string_is_refused(store):
    with pytest.raises(TypeError, match=r"write \[text\]"):
        store.missing("好看")


def test_an_encoder_that_works_ahead_gives_the_same_store(tmp_path):
    class Ahead(ToyEncoder):
        def encode_chunks(self, chunks, *, progress=None):
            chunks = iter(chunks)
            waiting = next(chunks, None)
            while waiting is not None:
                following = next(chunks, None)
                yield self.encode(waiting, progress=progress)
                waiting = following

    texts = [f"第{number}条" for number in range(20)]
    stores = [FeatureStore("toy", tmp_path / name, shard_texts=3) for name in ("plain", "ahead")]
    for store, encoder in zip(stores, [ToyEncoder(), Ahead()], strict=True):
        assert store.encode(encoder, texts) == 20
    assert contents(stores[0]) == contents(stores[1])


def contents(store):
    return {path.name: path.read_bytes() for path in store.folder.iterdir()}


def test_packed_texts_follow_each_other_without_padding(store):
    store.encode(ToyEncoder(), TEXTS)
    view = store.view(TEXTS)
    packed = view.packed(np.array([4, 1, 2]))
    assert packed.lengths.tolist() == [3, 0, 4]
    np.testing.assert_array_equal(packed.values, np.concatenate([view.tokens(4), view.tokens(2)]))
    assert packed.cls[:, 0].tolist() == [3.0, 0.0, 5.0]
    assert packed.values.dtype == np.float16
    nothing = view.packed(np.zeros(0, dtype=np.int64))
    assert nothing.values.shape == nothing.cls.shape == (0, DIM)


def test_packed_texts_of_several_shards_are_in_the_order_asked_for(tmp_path):
    store = FeatureStore("toy", tmp_path, shard_texts=4)
    texts = [f"第{number}条{'妙' * (number % 5)}" for number in range(40)]
    store.encode(ToyEncoder(), texts)
    view = store.view(texts)
    chosen = np.random.default_rng(0).permutation(40)[:25]
    expected = ToyEncoder().encode([texts[i] for i in chosen])
    packed = view.take(chosen).packed(np.arange(25))
    np.testing.assert_array_equal(packed.values, expected.values)
    np.testing.assert_array_equal(packed.values, view.packed(chosen).values)
    np.testing.assert_array_equal(packed.cls, expected.cls)


def test_released_pages_are_read_again(store):
    store.encode(ToyEncoder(), TEXTS)
    view = store.view(TEXTS)
    before = view.packed(np.arange(5)).values
    view.release(np.unique(view.shards))
    np.testing.assert_array_equal(view.packed(np.arange(5)).values, before)


def test_released_features_in_memory_stay():
    features = StoredFeatures.of(ToyEncoder().encode(TEXTS))
    features.release([0])
    np.testing.assert_array_equal(features.tokens(0)[0], character_vector("好"))


def test_a_view_holds_arrays_and_nothing_of_each_text(tmp_path):
    store = FeatureStore("toy", tmp_path)
    texts = [f"{number}" for number in range(3000)]
    store.encode(ToyEncoder(), texts)
    view = store.view(texts)
    held = vars(view).values()
    assert all(isinstance(value, np.ndarray) or (isinstance(value, tuple) and len(value) == 1) for value in held)
    assert sum(value.nbytes for value in held if isinstance(value, np.ndarray)) <= 24 * len(texts)


def test_eight_bits_restore_nearly_the_same_vectors_in_half_the_space(tmp_path):
    exact, small = FeatureStore("toy", tmp_path), int8_store(tmp_path)
    texts = [f"第{number}条这个片子好看" for number in range(300)]
    for store in (exact, small):
        store.encode(ToyEncoder(), texts)
    views = exact.view(texts), small.view(texts)
    everything = np.arange(len(texts))
    packed, restored = (view.packed(everything) for view in views)
    assert restored.values.dtype == np.float32
    np.testing.assert_allclose(restored.values, packed.values, atol=0.02)
    np.testing.assert_array_equal(restored.values[: len(views[1].tokens(0))], views[1].tokens(0))
    np.testing.assert_array_equal(views[1].cls(7), restored.cls[7])
    np.testing.assert_array_equal(views[0].spans(3), views[1].spans(3))


def test_shards_that_were_calibrated_apart_are_restored_each_by_its_own_figures(tmp_path):
    class Shifted(ToyEncoder):
        def encode(self, texts, *, progress=None):
            features = super().encode(texts, progress=progress)
            features.values[:] *= 3
            return features

    first, second = int8_store(tmp_path), int8_store(tmp_path)
    first.calibrate(ToyEncoder())
    second.calibrate(Shifted())
    texts = ["好看", "难看", "极了"]
    first.add([first.write(texts[:2], ToyEncoder().encode(texts[:2]))])
    second.add([second.write(texts[2:], ToyEncoder().encode(texts[2:]))])
    packed = int8_store(tmp_path).view(texts).packed(np.arange(3))
    np.testing.assert_allclose(packed.values, ToyEncoder().encode(texts).values, atol=0.05)


def test_eight_bits_without_calibration_are_an_error(tmp_path):
    with pytest.raises(StoreError, match="calibrate"):
        int8_store(tmp_path).write(["好"], ToyEncoder().encode(["好"]))


def test_words_are_stored_with_their_spans(tmp_path):
    store = word_store(tmp_path)
    text = "我喜欢电影！"
    store.encode(ToyEncoder(), [text])
    view = store.view([text])
    assert [text[start:end] for start, end in view.spans(0)] == ["我", "喜欢", "电影", "！"]
    expected = (character_vector("喜").astype(np.float32) + character_vector("欢")) / 2
    np.testing.assert_allclose(view.tokens(0)[1], expected, atol=1e-3)


def test_workers_write_shards_that_are_seen_once_they_are_listed(store, tmp_path):
    worker = pickle.loads(pickle.dumps(store))
    chunks = list(store.plan(TEXTS))
    entries = [worker.write(chunk, ToyEncoder().encode(chunk)) for chunk in chunks]
    assert store.count_missing(TEXTS) == 4
    store.add(entries)
    assert store.missing(TEXTS) == []
    by_itself = FeatureStore("toy", tmp_path / "alone")
    by_itself.encode(ToyEncoder(), TEXTS)
    assert contents(by_itself) == contents(store)


def test_a_word_store_travels_to_other_processes(tmp_path):
    store = word_store(tmp_path, segmenter=Segmenter(extra_words=["我喜欢电影"]))
    again = pickle.loads(pickle.dumps(store))
    assert again.folder == store.folder
    again.encode(ToyEncoder(), ["我喜欢电影"])
    assert store.view(["我喜欢电影"]).lengths.tolist() == [1]


def test_a_store_that_cannot_be_made_is_one_clear_error(tmp_path):
    (tmp_path / "features").write_text("no folder")
    with pytest.raises(OutputError, match="cannot write"):
        FeatureStore("toy", tmp_path / "features").encode(ToyEncoder(), ["好看"])


def test_batches_cover_every_text_once_and_mean_of_nothing_is_zero():
    features = StoredFeatures.of(ToyEncoder().encode(TEXTS))
    batches = list(features.batches(2))
    assert sorted(np.concatenate(batches).tolist()) == [0, 1, 2, 3, 4]
    means = features.means()
    assert not means[1].any()
    np.testing.assert_allclose(means[0], features.tokens(0).astype(np.float32).mean(0), rtol=1e-3)
    assert features.take([4, 0]).lengths.tolist() == [3, 2]
