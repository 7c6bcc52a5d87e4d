import numpy as np
import pytest

from toy import ToyEncoder
from xingping.config import FeatureSettings
from xingping.encoders import FrozenEncoder
from xingping.errors import OutputError
from xingping.features import FeatureStore, Forecast
from xingping.features.layout import StoreLayout
from xingping.features.shards import shard_bytes

RNG = np.random.default_rng(0)
SYLLABLES = list("我们喜欢看电影疯狂动物城这个片子真的很好看难看无聊，。！")
TEXTS = [f"{number}" + "".join(RNG.choice(SYLLABLES, RNG.integers(1, 60))) for number in range(3000)]


class Uncounted:
    """An encoder that cannot count tokens without encoding."""

    fingerprint, dim = ToyEncoder.fingerprint, ToyEncoder.dim

    def encode(self, texts):
        return ToyEncoder().encode(texts)


def stored_bytes(store):
    return sum(path.stat().st_size for path in store.folder.glob("*.arrow"))


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize("unit", ["token", "word"])
def test_the_forecast_is_the_size_that_it_becomes(tmp_path, unit, dtype):
    settings = FeatureSettings(unit=unit, dtype=dtype)
    store = FeatureStore("toy", tmp_path, settings=settings, shard_texts=500)
    forecast = store.forecast(ToyEncoder(), [*TEXTS, *TEXTS])
    assert forecast.texts == len(TEXTS)
    assert forecast.seconds > 0
    assert forecast.free_bytes > 0
    store.encode(ToyEncoder(), TEXTS)
    assert stored_bytes(store) == pytest.approx(forecast.bytes, rel=0.03)
    assert store.view(TEXTS).lengths.sum() == pytest.approx(forecast.tokens, rel=0.03)
    nothing_left = store.forecast(ToyEncoder(), TEXTS)
    assert (nothing_left.texts, nothing_left.bytes, nothing_left.seconds) == (0, 0, None)


def test_a_sample_tells_the_size_of_all(tmp_path, monkeypatch):
    monkeypatch.setattr("xingping.features.forecast.COUNTED_TEXTS", 200)
    store = FeatureStore("toy", tmp_path, shard_texts=500)
    forecast = store.forecast(ToyEncoder(), TEXTS)
    store.encode(ToyEncoder(), TEXTS)
    assert stored_bytes(store) == pytest.approx(forecast.bytes, rel=0.03)


def test_an_encoder_that_cannot_count_is_asked_to_encode_a_few(tmp_path):
    store = FeatureStore("toy", tmp_path, shard_texts=500)
    exact = store.forecast(ToyEncoder(), TEXTS)
    assert store.forecast(Uncounted(), TEXTS).bytes == pytest.approx(exact.bytes, rel=0.03)


def test_a_real_encoder_that_cuts_long_texts(tmp_path, tiny_encoder_folder):
    encoder = FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32", max_length=32)
    store = FeatureStore(encoder.fingerprint, tmp_path, shard_texts=200)
    forecast = store.forecast(encoder, TEXTS[:600])
    store.encode(encoder, TEXTS[:600])
    assert stored_bytes(store) == pytest.approx(forecast.bytes, rel=0.03)


@pytest.mark.parametrize("dtype", ["fp16", "int8"])
@pytest.mark.parametrize("n_texts", [1, 7, 500])
def test_the_size_of_a_shard_is_known_to_the_byte(tmp_path, dtype, n_texts):
    store = FeatureStore("toy", tmp_path, settings=FeatureSettings(dtype=dtype))
    texts = TEXTS[:n_texts]
    store.encode(ToyEncoder(), texts)
    n_tokens = int(store.view(texts).lengths.sum())
    assert stored_bytes(store) == shard_bytes(n_texts, n_tokens, ToyEncoder.dim, StoreLayout("toy", "token", dtype))


def test_a_disk_that_is_too_small_is_refused_with_the_ways_out(tmp_path):
    forecast = Forecast(2_000_000, 44_000_000, 71 * 10**9, 9000.0, 40 * 10**9, 10**9, tmp_path)
    with pytest.raises(OutputError) as caught:
        forecast.check()
    line = str(caught.value)
    assert "\n" not in line
    for part in ("71.00 GB", "40.00 GB", "--feature-dtype int8", "--feature-unit word", "XINGPING_CACHE"):
        assert part in line
    Forecast(2_000_000, 44_000_000, 38 * 10**9, None, 40 * 10**9, 10**9, tmp_path).check()
    assert str(forecast) == "2,000,000 texts to encode, 71.00 GB on disk (40.00 GB free), about 2.5 h"
