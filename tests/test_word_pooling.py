import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toy import DIM, ToyEncoder, character_vector
from xingping.encoders import FrozenEncoder, TokenFeatures
from xingping.segmentation import Segmenter
from xingping.word_pooling import pool_words

SEGMENTER = Segmenter()

texts_of_any_kind = st.lists(
    st.text(alphabet=st.sampled_from("我们喜欢看电影疯狂动物城，。！ a1b2Cé👍𠮷\n\u3000"), max_size=30), max_size=6
)


def features_of(text, spans):
    """One token a span; token `i` has the vector 2 ** i, so that a mean tells which tokens it is of."""
    values = np.repeat(2.0 ** np.arange(len(spans))[:, None], 3, axis=1).astype(np.float16)
    return TokenFeatures(
        values,
        np.array([0, len(spans)], dtype=np.int64),
        np.array(spans, dtype=np.int32).reshape(-1, 2),
        np.zeros((1, 3), dtype=np.float16),
    )


def words(features, texts, index=0):
    return [texts[index][start:end] for start, end in features.spans_of(index)]


def test_a_word_is_the_mean_of_its_tokens_and_punctuation_is_one_too():
    texts = ["我喜欢电影！", "", "好"]
    pooled = pool_words(ToyEncoder().encode(texts), texts, SEGMENTER)
    assert words(pooled, texts) == ["我", "喜欢", "电影", "！"]
    assert pooled.lengths.tolist() == [4, 0, 1]
    mean = (character_vector("电").astype(np.float32) + character_vector("影")) / 2
    np.testing.assert_allclose(pooled[0][2], mean, atol=1e-3)
    np.testing.assert_array_equal(pooled[2][0], character_vector("好"))
    assert pooled.cls[:, 0].tolist() == [6.0, 0.0, 1.0]


def test_a_token_across_two_words_counts_for_both():
    text = "我喜欢电影"  # 我 | 喜欢 | 电影
    pooled = pool_words(features_of(text, [(0, 1), (1, 2), (2, 4), (4, 5)]), [text], SEGMENTER)
    assert pooled.values[:, 0].tolist() == [1.0, (2 + 4) / 2, (4 + 8) / 2]


def test_a_token_that_stands_for_no_character_belongs_to_the_word_at_its_place():
    text = "我喜欢"
    pooled = pool_words(features_of(text, [(0, 0), (0, 1), (1, 3), (3, 3)]), [text], SEGMENTER)
    assert pooled.values[:, 0].tolist() == [(1 + 2) / 2, (4 + 8) / 2]


def test_what_was_cut_off_for_length_has_no_words():
    text = "我喜欢电影"
    pooled = pool_words(features_of(text, [(0, 1), (1, 2)]), [text], SEGMENTER)
    assert words(pooled, [text]) == ["我", "喜欢"]
    assert pooled.values[:, 0].tolist() == [1.0, 2.0]


def test_tokens_of_a_text_without_characters_are_one_word():
    pooled = pool_words(features_of("", [(0, 0), (0, 0)]), [""], SEGMENTER)
    assert pooled.values[:, 0].tolist() == [1.5]
    assert pooled.spans.tolist() == [[0, 0]]


@given(texts_of_any_kind)
def test_words_rejoin_to_the_text_and_every_token_is_used_exactly_once(texts):
    features = ToyEncoder().encode(texts)
    pooled = pool_words(features, texts, SEGMENTER)
    assert len(pooled) == len(texts)
    for index, text in enumerate(texts):
        spans = pooled.spans_of(index)
        assert "".join("".join(words(pooled, texts, index)).split()) == "".join(text.split())
        assert (spans[1:, 0] >= spans[:-1, 1]).all()
        tokens = features.spans_of(index)  # one character each here, so none is in two words
        inside = (tokens[:, 0] >= spans[:, :1]) & (tokens[:, 1] <= spans[:, 1:])  # (words, tokens)
        assert (inside.sum(axis=0) == 1).all()
        assert (inside.sum(axis=1) >= 1).all()
        for vector, of_word in zip(pooled[index], inside, strict=True):
            mean = features[index][of_word].astype(np.float32).mean(axis=0)
            np.testing.assert_allclose(vector, mean, rtol=2e-3, atol=2e-3)


@given(texts_of_any_kind)
def test_a_text_is_pooled_the_same_whatever_is_beside_it(texts):
    together = pool_words(ToyEncoder().encode(texts), texts, SEGMENTER)
    for index, text in enumerate(texts):
        alone = pool_words(ToyEncoder().encode([text]), [text], SEGMENTER)
        np.testing.assert_array_equal(together[index], alone[0])
        np.testing.assert_array_equal(together.spans_of(index), alone.spans_of(0))


@given(st.text(max_size=40))
def test_pieces_follow_each_other_without_a_gap(text):
    pieces = SEGMENTER.pieces(text)
    assert pieces[:, 0].tolist() == [0, *pieces[:-1, 1].tolist()][: len(pieces)]
    assert (pieces[-1, 1] if len(pieces) else 0) == len(text)
    assert (pieces[:, 1] > pieces[:, 0]).all()


def test_more_texts_than_are_pooled_at_a_time():
    texts = [f"第{number}个电影好看" for number in range(600)]
    pooled = pool_words(ToyEncoder().encode(texts), texts, SEGMENTER)
    assert len(pooled) == 600
    assert words(pooled, texts, 599)[-2:] == ["电影", "好看"]
    assert pooled.values.shape == (pooled.offsets[-1], DIM)


@pytest.mark.parametrize("text", ["我们喜欢看electronic电影！！", "👍👍 ok", "难看  极了"])
def test_tokens_of_a_real_tokenizer(tiny_encoder_folder, text):
    encoder = FrozenEncoder.load(str(tiny_encoder_folder), precision="fp32")
    features = encoder.encode([text])
    pooled = pool_words(features, [text], SEGMENTER)
    assert "".join(words(pooled, [text])) == "".join(text.split())
    assert len(pooled.values) < len(features.values) or len(text) < 8
