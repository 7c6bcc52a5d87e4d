import numpy as np
import pytest

from toy import planted_reviews
from xingping.config import NgramSettings
from xingping.errors import RunDirectoryError
from xingping.ngrams import NgramModel
from xingping.segmentation import Segmenter

SEGMENTER = Segmenter()


def fit(texts, ratings, **settings):
    return NgramModel.fit(texts, np.asarray(ratings), NgramSettings(**settings), SEGMENTER)


@pytest.mark.parametrize("settings", [{}, {"words": 0}, {"characters": 0, "words": 1}])
def test_a_planted_word_is_learned_and_an_unseen_star_never_predicted(settings):
    texts, ratings = planted_reviews(400, 0)
    unseen, true = planted_reviews(100, 1)
    proba = fit(texts, ratings, **settings).predict_proba([*unseen, ""])
    assert (proba[:-1].argmax(1) + 1 == true).mean() > (0.95 if settings != {"characters": 0, "words": 1} else 0.5)
    assert not proba[:, [1, 3]].any()
    assert proba.sum(1) == pytest.approx(1)


def test_probabilities_are_those_of_scikit_learn_on_the_same_terms():
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    texts, ratings = planted_reviews(300, 0)
    unseen, _ = planted_reviews(50, 1)
    vectorizer = TfidfVectorizer(analyzer="char", ngram_range=(1, 2), min_df=2, sublinear_tf=True)
    model = LogisticRegression(C=2.0, solver="newton-cg").fit(vectorizer.fit_transform(texts), ratings)
    expected = model.predict_proba(vectorizer.transform(unseen))
    proba = fit(texts, ratings, characters=2, words=0, inverse_penalty=2.0).predict_proba(unseen)
    np.testing.assert_allclose(proba[:, [0, 2, 4]], expected, atol=1e-3)


def test_words_tell_apart_what_characters_do_not():
    texts, ratings = ["不 好", "好"] * 10, [1, 5] * 10
    assert fit(texts, ratings, characters=0, words=1).predict_proba(["好"]).argmax() == 4


@pytest.mark.parametrize("ratings", [[5, 5], [1, 5]])
def test_one_and_two_stars_are_learned(ratings):
    proba = fit(["坏透了", "好极了"] * 2, ratings * 2).predict_proba(["好极了"])
    assert proba.argmax() + 1 == 5
    assert proba.sum() == pytest.approx(1)
    assert not proba[0, 1:4].any()


def test_chunks_change_nothing(monkeypatch):
    texts, ratings = planted_reviews(120, 0)
    model = fit(texts, ratings)
    together = model.predict_proba(texts)
    monkeypatch.setattr("xingping.ngrams.TOGETHER", 7)
    np.testing.assert_array_equal(model.predict_proba(texts), together)
    assert model.predict_proba([]).shape == (0, 5)


def test_a_saved_model_says_the_same_and_a_damaged_one_is_named(tmp_path):
    texts, ratings = planted_reviews(120, 0)
    model = fit(texts, ratings)
    path = tmp_path / "ngrams.safetensors"
    model.save(path)
    loaded = NgramModel.load(path, model.settings, SEGMENTER)
    np.testing.assert_array_equal(loaded.predict_proba(texts), model.predict_proba(texts))
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(RunDirectoryError, match="train the model again"):
        NgramModel.load(path, model.settings, SEGMENTER)
