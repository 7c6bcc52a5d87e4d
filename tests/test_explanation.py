import numpy as np
import pytest

from xingping.answers import Attention, Ratings
from xingping.examples import choose_examples
from xingping.explanation import explain_ratings, word_weights
from xingping.segmentation import Segmenter, Word


def attention(*spans_and_weights):
    spans = np.array([span for span, _ in spans_and_weights], dtype=np.int32).reshape(-1, 2)
    weights = np.array([[weight for _, weight in spans_and_weights]], dtype=np.float32)
    return Attention(weights, spans)


def test_tokens_are_merged_to_the_words_that_hold_their_characters():
    words = [Word("真的", 0, 2), Word("好看", 2, 4)]
    # The second token spans both words, the last is punctuation.
    looked = attention(((0, 1), 0.2), ((1, 3), 0.4), ((3, 4), 0.2), ((4, 5), 0.2))
    merged, outside = word_weights(words, looked)
    assert [word.weight for word in merged] == pytest.approx([0.5, 0.5])
    assert outside == pytest.approx([0.2])
    assert [word.hops for word in merged] == [pytest.approx([0.4]), pytest.approx([0.4])]


def test_weights_are_averaged_over_hops():
    looked = Attention(np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0, 1], [1, 2]]))
    merged, _ = word_weights([Word("好", 0, 1), Word("看", 1, 2)], looked)
    assert [word.weight for word in merged] == [0.5, 0.5]
    assert [word.hops for word in merged] == [(1, 0), (0, 1)]


def test_a_token_that_stands_for_no_character_is_outside_of_words():
    looked = attention(((0, 0), 0.25), ((0, 1), 0.75))
    merged, outside = word_weights([Word("好", 0, 1)], looked)
    assert [word.weight for word in merged] == [1.0]
    assert outside == (0.25,)


@pytest.mark.parametrize("looked", [None, attention(), attention(((0, 1), 1.0))])
def test_nothing_to_look_at_gives_zeros_not_an_error(looked):
    merged, _ = word_weights([Word("好看", 3, 5)], looked)
    assert [word.weight for word in merged] == [0.0]
    assert word_weights([], looked)[0] == []


def test_text_cut_off_behind_the_last_token_gets_no_weight():
    merged, outside = word_weights([Word("前", 0, 1), Word("后面", 7, 9)], attention(((0, 1), 1.0)))
    assert [word.weight for word in merged] == [1.0, 0.0]
    assert outside == (0,)


def test_explanations_carry_the_rating_and_spans_of_the_text():
    text = "很好看！"
    ratings = Ratings(
        np.array([5]), np.array([4.5]), np.array([[0, 0, 0, 0.5, 0.5]]), None,
        (attention(((0, 1), 0.1), ((1, 3), 0.8), ((3, 4), 0.1)),),
    )  # fmt: skip
    (explanation,) = explain_ratings([text], ratings, Segmenter())
    assert (explanation.rating, explanation.probability) == (5, 0.5)
    assert all(text[word.start : word.end] == word.word for word in explanation.words)
    assert max(explanation.words, key=lambda word: word.weight).word == "好看"
    assert sum(word.weight for word in explanation.words) == pytest.approx(1)
    assert explanation.to_dict()["words"][0]["word"] == explanation.words[0].word


def test_examples_show_the_surest_right_ones_and_one_mistake_of_each_star():
    texts = [f"这是一条足够长的评论，编号{i}" for i in range(8)]
    true = np.array([5, 5, 5, 5, 1, 1, 1, 3])
    predicted = np.array([5, 5, 5, 2, 1, 1, 4, 3])
    confidence = np.array([0.5, 0.9, 0.7, 0.8, 0.6, 0.9, 0.4, 0.3])
    assert choose_examples(texts, true, predicted, confidence, per_star=3) == [1, 2, 3, 7, 5, 4, 6]


def test_examples_fall_back_to_short_reviews_and_show_no_text_twice():
    chosen = choose_examples(["好"] * 3, np.full(3, 5), np.full(3, 5), np.array([0.1, 0.2, 0.3]), per_star=3)
    assert chosen == [2]
