import json
import shutil

import numpy as np
import pytest

from toy import BAD, GOOD
from xingping import RatingPredictor, explain
from xingping.config import FeatureSettings
from xingping.errors import EncoderError, InputError, RunDirectoryError, SettingsError
from xingping.features import StoredFeatures
from xingping.metrics import decide
from xingping.model_card import MODEL_FORMAT
from xingping.segmentation import Segmenter
from xingping.word_pooling import pool_words

TEXTS = [f"片子里的人{GOOD}看过了", f"都{BAD}看过", "", f"片子里的人{GOOD}看过了"]


@pytest.fixture(scope="module")
def predictor(trained_run):
    return RatingPredictor.load(trained_run)


def test_ratings_have_the_promised_shapes(predictor):
    ratings = predictor.predict(TEXTS)
    assert len(ratings) == 4
    assert ratings.rating.dtype.kind == "i"
    assert ratings.probabilities.shape == (4, 5)
    np.testing.assert_allclose(ratings.probabilities.sum(1), 1)
    np.testing.assert_allclose(ratings.expected, ratings.probabilities @ [1, 2, 3, 4, 5])
    assert ratings.rating[:2].tolist() == [5, 1]
    assert set(ratings.rating.tolist()) <= {1, 2, 3, 4, 5}


def test_regression_gives_a_real_number_and_no_probabilities(trained_run):
    ratings = RatingPredictor.load(str(trained_run), task="regression").predict(TEXTS)
    assert ratings.probabilities is None
    assert ratings.expected[0] > ratings.expected[1]
    assert (ratings.expected >= 1).all()
    assert (ratings.expected <= 5).all()
    assert ratings.rating.tolist() == np.floor(ratings.expected + 0.5).tolist()


def test_a_batch_equals_one_by_one_and_chunks_change_nothing(predictor, monkeypatch):
    together = predictor.predict(TEXTS)
    alone = [predictor.predict([text]).expected[0] for text in TEXTS]
    np.testing.assert_allclose(together.expected, alone, atol=0.02)
    monkeypatch.setattr("xingping.predictor.CHUNK_TEXTS", 1)
    np.testing.assert_allclose(predictor.predict(TEXTS).expected, together.expected, atol=0.02)


def test_stored_features_give_one_by_one_what_they_give_together(predictor):
    texts = [*TEXTS, *(TEXTS[0][:length] for length in range(1, 9))]
    features = StoredFeatures.of(predictor.encoder.encode(texts))
    together = predictor.predict_features(features, texts)
    for index in range(len(features)):
        alone = predictor.predict_features(features.take([index]), [texts[index]])
        np.testing.assert_allclose(alone.probabilities[0], together.probabilities[index], atol=1e-6)


def test_a_head_of_words_sees_words(predictor):
    card = predictor.card.model_copy(update={"features": FeatureSettings(unit="word")})
    of_words = RatingPredictor.of_head(card, predictor.head, ngrams=predictor.ngrams, encoder=predictor.encoder)
    ratings = of_words.predict(TEXTS, attention=True)
    segmenter = Segmenter(card.segmentation)
    for text, attention in zip(TEXTS, ratings.attention, strict=True):
        assert attention.spans.tolist() == segmenter.pieces(text).tolist()
    distinct = list(dict.fromkeys(TEXTS))
    pooled = pool_words(predictor.encoder.encode(distinct), distinct, segmenter)
    expected = of_words.predict_features(StoredFeatures.of(pooled), distinct).expected
    np.testing.assert_allclose(ratings.expected, expected[[distinct.index(text) for text in TEXTS]], atol=1e-6)
    assert not np.allclose(ratings.expected, predictor.predict(TEXTS).expected)


def test_the_card_leaves_no_choice_of_the_encoder(predictor):
    encoder = predictor.card.encoder
    assert "auto" not in (encoder.precision, encoder.runtime)
    assert encoder.layers == predictor.encoder.layers


def test_equal_texts_get_equal_ratings_and_nothing_gets_nothing(predictor):
    ratings = predictor.predict(TEXTS)
    assert ratings.expected[0] == ratings.expected[3]
    assert predictor.predict([]).probabilities.shape == (0, 5)


def test_texts_are_cleaned_as_in_training(predictor):
    dirty = "\u200b 片子里&amp;的人\r\n\x07"
    assert predictor.clean([dirty]) == ["片子里&的人"]
    assert predictor.predict([dirty]).expected[0] == predictor.predict(["片子里&的人"]).expected[0]


def test_attention_covers_the_tokens_of_each_text(predictor):
    ratings = predictor.predict(TEXTS, attention=True)
    for text, attention in zip(TEXTS, ratings.attention, strict=True):
        assert attention.weights.shape == (8 * predictor.card.head.members, len(text))
        assert attention.spans.tolist() == [[place, place + 1] for place in range(len(text))]
        if text:
            np.testing.assert_allclose(attention.weights.sum(1), 1, rtol=1e-5)


def test_explanations_share_the_attention_out_to_the_words(predictor):
    good, _, empty, _ = explain(predictor, TEXTS)
    assert good.rating == 5
    assert "".join(word.word for word in good.words) == TEXTS[0]
    assert sum(word.weight for word in good.words) == pytest.approx(1)
    assert good.outside == pytest.approx(0, abs=1e-6)
    assert empty.words == ()


def test_an_effect_is_what_leaving_the_word_out_does(predictor):
    (explained,) = explain(predictor, [f"{GOOD} 都看过"])
    for word in explained.words:
        without = explained.text[: word.start] + explained.text[word.end :]
        assert word.effect == pytest.approx(explained.expected - predictor.predict([without]).expected[0], abs=1e-6)
    assert explain(predictor, [GOOD], effects=False)[0].words[0].effect is None


def test_sets_hold_the_likeliest_star_and_the_rating_follows_the_measure(predictor):
    ratings = predictor.predict(TEXTS)
    assert ratings.sets.shape == (4, 5)
    assert ratings.sets[np.arange(4), ratings.probabilities.argmax(1)].all()
    for measure, rule in {"accuracy": "mode", "within_one": "window", "mae": "median", "rmse": "mean"}.items():
        answers = predictor.card.answers.model_copy(update={"optimize": measure})
        chosen = RatingPredictor.of_head(
            predictor.card.model_copy(update={"answers": answers}),
            predictor.head, ngrams=predictor.ngrams, encoder=predictor.encoder,
        )  # fmt: skip
        np.testing.assert_array_equal(chosen.predict(TEXTS).rating, decide(ratings.probabilities, rule))


def test_the_answer_rests_on_head_and_ngrams(predictor):
    """Without the blend it is the head's alone; the n-grams have a weight of their own in it."""
    assert len(predictor.card.calibration.blend.weights) == 2
    uncalibrated = predictor.card.model_copy(update={"calibration": None})
    alone = RatingPredictor.of_head(uncalibrated, predictor.head, ngrams=predictor.ngrams, encoder=predictor.encoder)
    assert alone.predict(TEXTS).sets is None
    assert not np.allclose(alone.predict(TEXTS).expected, predictor.predict(TEXTS).expected)


def test_one_string_is_no_list_of_texts(predictor):
    with pytest.raises(InputError, match=r"write \[text\]"):
        predictor.predict("好看")


def test_saved_and_loaded_again_it_predicts_the_same(predictor, tmp_path):
    predictor.save(tmp_path / "copy")
    again = RatingPredictor.load(tmp_path / "copy")
    np.testing.assert_array_equal(again.predict(TEXTS).probabilities, predictor.predict(TEXTS).probabilities)
    assert {path.suffix for path in (tmp_path / "copy").iterdir()} == {".json", ".safetensors"}


@pytest.fixture
def bundle(trained_run, tmp_path):
    return shutil.copytree(trained_run / "models" / "classification", tmp_path / "bundle")


def change_card(bundle, **values):
    path = bundle / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | values), encoding="utf-8")


def test_what_cannot_be_loaded_says_why(bundle, tmp_path):
    with pytest.raises(RunDirectoryError, match="holds no model; train one"):
        RatingPredictor.load(tmp_path)
    change_card(bundle, format=99)
    with pytest.raises(RunDirectoryError, match="is of format 99"):
        RatingPredictor.load(bundle)
    change_card(bundle, format=MODEL_FORMAT, surprise=True)
    with pytest.raises(SettingsError, match="setting surprise"):
        RatingPredictor.load(bundle)


@pytest.mark.parametrize("content", [b"", b"not safetensors at all"])
def test_damaged_weights_are_told(bundle, content):
    (bundle / "head.safetensors").write_bytes(content)
    with pytest.raises(RunDirectoryError, match=r"cannot load .*head\.safetensors: .*; train the model again"):
        RatingPredictor.load(bundle)


def test_weights_of_another_shape_are_told(bundle):
    card = json.loads((bundle / "model.json").read_text(encoding="utf-8"))
    change_card(bundle, head=card["head"] | {"hidden_dim": 7})
    with pytest.raises(RunDirectoryError, match="cannot load"):
        RatingPredictor.load(bundle)


def test_another_encoder_in_the_same_place_is_refused(bundle):
    change_card(bundle, encoder_fingerprint="0123456789abcdef")
    with pytest.raises(EncoderError, match="not the one this model was trained on"):
        RatingPredictor.load(bundle).predict(["好看"])
