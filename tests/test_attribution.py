from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from toy import DIM, ToyEncoder, planted_reviews
from xingping import RatingPredictor, explain
from xingping.attribution import COMPLETENESS, integrated_gradients, spread
from xingping.calibration import Blend, FilmMeans, LinearBlend
from xingping.config import (
    AnswerSettings,
    CleaningSettings,
    EncoderSettings,
    FeatureSettings,
    HeadSettings,
    NgramSettings,
    SegmentationSettings,
)
from xingping.heads import RatingHead
from xingping.model_card import MODEL_FORMAT, Calibration, ModelCard
from xingping.ngrams import NgramModel
from xingping.segmentation import Segmenter

TEXTS = ["片子里的人妙妙妙看过了", "", "！！！", "好", "都烂烂烂，看过 GOOD movie。", "人和事都看过了" * 6]
FILMS = FilmMeans(bias=0, within=1, between=0, films=1)


class TameEncoder(ToyEncoder):
    """Its [CLS] vectors are as long as those of tokens."""

    def encode(self, texts, *, progress=None):
        features = super().encode(texts, progress=progress)
        return replace(features, cls=features.cls / 16)


@pytest.fixture(scope="module")
def ngrams():
    texts, ratings = planted_reviews(200, 0)
    return NgramModel.fit(texts, ratings, NgramSettings(), Segmenter())


def make(task, ngrams, *, tasks=None, unit="token", n_layers=1, **head):
    """A random model on the toy encoder, whose answers are far apart."""
    settings = HeadSettings(token_dim=24, n_hops=3, attention_dim=8, hidden_dim=24, **{"members": 1} | head)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        trained = RatingHead(DIM, settings, tasks or (task,), n_layers)
    with torch.no_grad():
        for name, weight in trained.named_parameters():
            if "output" in name and weight.ndim == 2:
                weight.mul_(8)
            if name.endswith(f"{task}.bias") and task == "regression":
                weight.fill_(3)
    trained = trained.only(task)
    parts = 1 if ngrams is None else 2
    if task == "regression":
        blend = LinearBlend(weights=(0.6, 0.5)[:parts], bias=0.1)
    else:
        blend = Blend(weights=(0.9, 0.8)[:parts], bias=(0.1, 0, -0.2, 0, 0.1))
    card = ModelCard(
        format=MODEL_FORMAT, task=task, encoder=EncoderSettings(layers=tuple(range(1, n_layers + 1))),
        encoder_fingerprint="toy", features=FeatureSettings(unit=unit), dim=DIM, head=settings,
        cleaning=CleaningSettings(), segmentation=SegmentationSettings(),
        ngrams=NgramSettings() if ngrams else NgramSettings(characters=0, words=0), answers=AnswerSettings(),
        calibration=Calibration(blend=blend, sets=None, films=FILMS),
    )  # fmt: skip
    return RatingPredictor.of_head(card, trained, ngrams=ngrams, encoder=TameEncoder())


MODELS = [
    {"task": "classification"},
    {"task": "regression"},
    {"task": "ordinal", "ordinal": "coral"},
    {"task": "ordinal", "ordinal": "corn"},
    {"task": "classification", "members": 3},
    {"task": "classification", "pooling": ("mean",)},
    {"task": "classification", "pooling": ("max",)},
    {"task": "regression", "pooling": ("cls",)},
    {"task": "classification", "pooling": ("self_attention", "mean", "max", "cls")},
    {"task": "classification", "n_layers": 2, "layer_mix": "learned"},
    {"task": "regression", "tasks": ("classification", "regression")},
    {"task": "classification", "unit": "word"},
]


@pytest.mark.parametrize("with_ngrams", [True, False])
@pytest.mark.parametrize("model", MODELS, ids=str)
def test_parts_add_up_to_what_the_model_says_beyond_the_baseline(model, with_ngrams, ngrams):
    predictor = make(**model, ngrams=ngrams if with_ngrams else None)
    expected, nothing = predictor.predict(TEXTS).expected, predictor.predict([""]).expected[0]
    found = integrated_gradients(predictor, predictor.encode(TEXTS), TEXTS)
    assert np.ptp(expected) > 0.1
    for text, one, answer in zip(TEXTS, found, expected, strict=True):
        assert one.at_character.shape == (len(text),)
        assert one.baseline == pytest.approx(nothing, abs=1e-6)
        assert one.total == pytest.approx(answer - nothing, abs=COMPLETENESS)


def test_a_path_that_is_too_coarse_is_made_finer(ngrams, monkeypatch):
    predictor = make("regression", ngrams, pooling=("self_attention", "cls"))
    features, expected = predictor.encode(TEXTS), predictor.predict(TEXTS).expected

    def most_off():
        found = integrated_gradients(predictor, features, TEXTS, steps=2)
        return max(abs(one.total + one.baseline - answer) for one, answer in zip(found, expected, strict=True))

    assert most_off() < 0.03
    monkeypatch.setattr("xingping.attribution.REFINEMENTS", ())
    assert most_off() > 0.06


def test_explanations_hide_nothing_that_fell_on_no_word(ngrams):
    predictor = make("classification", ngrams, pooling=("self_attention", "cls"))
    for explanation in explain(predictor, TEXTS):
        words = sum(word.gradient for word in explanation.words)
        total = explanation.baseline + words + explanation.outside_gradient
        assert total == pytest.approx(explanation.expected, abs=COMPLETENESS)
        assert explanation.outside == pytest.approx(np.mean(explanation.outside_hops or 0))
        for hop, outside in enumerate(explanation.outside_hops):
            assert sum(word.hops[hop] for word in explanation.words) + outside == pytest.approx(1)
        for word in explanation.words if explanation.outside_hops else ():
            assert np.mean(word.hops) == pytest.approx(word.weight * (1 - explanation.outside))
    punctuation = explain(predictor, ["！！！"])[0]
    assert punctuation.words == ()
    assert punctuation.outside_hops == (1.0, 1.0, 1.0)
    assert punctuation.outside_gradient == pytest.approx(punctuation.expected - punctuation.baseline, abs=COMPLETENESS)
    assert punctuation.outside_effect == pytest.approx(punctuation.expected - predictor.predict([""]).expected[0])
    (empty,) = explain(predictor, [""])
    assert (empty.words, empty.outside_hops, empty.outside, empty.outside_effect) == ((), (), 0.0, 0.0)
    (one,) = explain(predictor, ["好"])
    assert [(word.word, word.weight) for word in one.words] == [("好", 1.0)]
    assert one.outside_effect == 0.0
    assert explain(predictor, []) == []


def test_the_cls_vector_is_no_words(ngrams):
    predictor = make("regression", None, pooling=("cls",))
    (explanation,) = explain(predictor, ["片子妙妙妙"])
    assert [word.gradient for word in explanation.words] == [0.0] * len(explanation.words)
    assert explanation.outside_gradient != 0
    assert explanation.outside_hops == ()


def test_spread_shares_a_span_out_to_its_characters():
    spans = np.array([[0, 2], [1, 4], [3, 3]])
    np.testing.assert_allclose(spread(spans, np.array([1.0, 3.0, 9.0]), 5), [0.5, 1.5, 1, 1, 0])
    assert spread(np.zeros((0, 2), np.int32), np.zeros(0), 0).tolist() == []


@given(st.lists(st.text(alphabet="好看片人aAİßΣ ，\t\u3000。1", max_size=12), min_size=1, max_size=4))
def test_the_shares_of_ngrams_add_up_to_the_scores(ngrams, texts):
    shares = ngrams.shares(texts)
    scores = np.tile(ngrams.bias, (len(texts), 1))
    np.add.at(scores, shares.text, shares.scores)
    proba = np.exp(scores - scores.max(axis=1, keepdims=True))
    np.testing.assert_allclose(proba / proba.sum(axis=1, keepdims=True), ngrams.predict_proba(texts), atol=1e-5)
    assert all(
        0 <= start < end <= len(texts[text]) for text, (start, end) in zip(shares.text, shares.spans, strict=True)
    )


def test_an_ngram_of_words_covers_the_words_and_not_what_lies_between():
    texts = ["好看，精彩", "难看，无聊"] * 10
    model = NgramModel.fit(texts, np.array([5, 1] * 10), NgramSettings(characters=0, words=2), Segmenter())
    shares = model.shares(["好看，精彩"])
    assert sorted(map(tuple, shares.spans.tolist())) == [(0, 2), (0, 2), (3, 5), (3, 5)]
    assert (shares.scores[:, 4] > 0).all()
