import pickle

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer
from sklearn.utils import estimator_checks as checks

from toy import planted_reviews
from xingping import RatingClassifier, RatingRegressor
from xingping.errors import SettingsError
from xingping.estimators import _divide

QUICK = {"epochs": 12, "patience": 12, "batch_size": 16, "learning_rate": 5e-3, "dropout": 0.1, "random_state": 0}


@pytest.fixture
def classifier(tiny_encoder_folder, isolated_cache):
    return RatingClassifier(encoder=str(tiny_encoder_folder), **QUICK)


@pytest.fixture
def regressor(tiny_encoder_folder, isolated_cache):
    return RatingRegressor(encoder=str(tiny_encoder_folder), **QUICK)


# scikit-learn's generator gives up on estimators of texts: all checks but these fit on a matrix of numbers. What the
# others ask for is asked below on texts: fit takes y and returns self, fitting again changes nothing, an unfitted one
# says so, it can be pickled, cloned, searched and put in a pipeline, and bad input is refused.
CHECKS = [
    checks.check_estimator_cloneable,
    checks.check_estimator_tags_renamed,
    checks.check_valid_tag_types,
    checks.check_estimator_repr,
    checks.check_no_attributes_set_in_init,
    checks.check_do_not_raise_errors_in_init_or_set_params,
    checks.check_mixin_order,
    checks.check_parameters_default_constructible,
    checks.check_get_params_invariance,
    checks.check_set_params,
]


@pytest.mark.parametrize("estimator", [RatingClassifier(), RatingRegressor()], ids=repr)
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_scikit_learns_checks(estimator, check):
    check(type(estimator).__name__, estimator)


class Encoded(RatingClassifier):
    """A classifier with one parameter, for spoiled ones to be made of."""

    def __init__(self, *, encoder="bundled"):
        super().__init__(encoder=encoder)


class ChangesItsParameter(Encoded):
    def __init__(self, *, encoder="bundled"):
        super().__init__(encoder=f"{encoder}-base")


class HasOldTags(Encoded):
    def _more_tags(self):
        return {}


class HasWrongTags(Encoded):
    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.requires_fit = "yes"
        return tags


class CannotBeShown(Encoded):
    def __repr__(self):
        raise ValueError("no name")


class RemembersMore(Encoded):
    def __init__(self, *, encoder="bundled"):
        super().__init__(encoder=encoder)
        self.seen = 0


class ChecksTooEarly(Encoded):
    def __init__(self, *, encoder="bundled"):
        if not isinstance(encoder, str):
            raise TypeError("encoder is a name")
        super().__init__(encoder=encoder)


class MixesTooLate(BaseEstimator, ClassifierMixin):
    """The mixin should come first."""


class HasAMutableDefault(Encoded):
    def __init__(self, *, encoder=frozenset()):
        super().__init__(encoder=encoder)


class HidesParameters(Encoded):
    def get_params(self, deep=True):
        return {} if deep else super().get_params(deep=False)


class KeepsItsParameters(Encoded):
    def set_params(self, **_params):
        return self


SPOILED = {
    checks.check_estimator_cloneable: (ChangesItsParameter, "Cloning of"),
    checks.check_estimator_tags_renamed: (HasOldTags, "_more_tags"),
    checks.check_valid_tag_types: (HasWrongTags, "Tag values"),
    checks.check_estimator_repr: (CannotBeShown, "Repr of"),
    checks.check_no_attributes_set_in_init: (RemembersMore, "seen"),
    checks.check_do_not_raise_errors_in_init_or_set_params: (ChecksTooEarly, "encoder is a name"),
    checks.check_mixin_order: (MixesTooLate, "wrong order"),
    checks.check_parameters_default_constructible: (HasAMutableDefault, "not allowed"),
    checks.check_get_params_invariance: (HidesParameters, None),
    checks.check_set_params: (KeepsItsParameters, "does not match"),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_each_of_scikit_learns_checks_can_fail(check):
    spoiled, why = SPOILED[check]
    check("Encoded", Encoded())
    with pytest.raises((AssertionError, TypeError), match=why):
        check(spoiled.__name__, spoiled())


def test_an_unfitted_one_says_so(classifier, regressor):
    for estimator in (classifier, regressor):
        with pytest.raises(NotFittedError):
            estimator.predict(["好看"])


def test_a_classifier_learns_planted_words_and_knows_its_classes(classifier):
    texts, ratings = planted_reviews(240)
    unseen, true = planted_reviews(60, 1)
    classifier.fit(texts, ratings)
    assert classifier.classes_.tolist() == [1, 3, 5]
    assert classifier.score(unseen, true) > 0.8
    probabilities = classifier.predict_proba(unseen)
    assert probabilities.shape == (60, 3)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)
    assert (classifier.classes_[probabilities.argmax(axis=1)] == classifier.predict(unseen)).mean() > 0.9
    assert classifier.n_iter_ == len(classifier.history_["epochs"])


def test_a_regressor_gives_numbers_of_stars(regressor):
    texts, ratings = planted_reviews(240)
    unseen, true = planted_reviews(60, 1)
    assert regressor.fit(texts, ratings).score(unseen, true) > 0.5
    assert regressor.predict(unseen).min() >= 1
    assert regressor.predict(unseen).max() <= 5


def test_one_state_gives_one_model_and_clones_know_nothing(classifier):
    texts, ratings = planted_reviews(120)
    first = classifier.fit(texts, ratings).predict_proba(texts)
    other = clone(classifier)
    assert not hasattr(other, "predictor_")
    np.testing.assert_array_equal(other.fit(texts, ratings).predict_proba(texts), first)


def test_losses_can_be_chosen(classifier, regressor):
    texts, ratings = planted_reviews(150, seed=1)
    given = {"classification_loss": ("emd", "focal"), "class_weights": "balanced"}
    assert classifier.set_params(**given).fit(texts, ratings).score(texts, ratings) > 0.8
    plain = regressor.fit(texts, ratings).predict(texts[:9])
    other = clone(regressor).set_params(regression_loss="huber").fit(texts, ratings).predict(texts[:9])
    assert not np.array_equal(plain, other)


def test_pipelines_cross_validation_and_grid_search(classifier):
    texts, ratings = planted_reviews(150)
    shouting = make_pipeline(FunctionTransformer(lambda rows: [f"{row}！" for row in rows]), classifier)
    assert cross_val_score(shouting, texts, ratings, cv=2).shape == (2,)
    search = GridSearchCV(classifier, {"pooling": ["mean", ("self_attention", "max")], "optimize": ["mae"]}, cv=2)
    search.fit(texts, ratings)
    assert search.best_estimator_.predict(texts[:3]).shape == (3,)
    assert len(search.cv_results_["params"]) == 2


def test_a_fitted_one_can_be_pickled_and_saved_as_a_bundle(classifier, tmp_path):
    from xingping import RatingPredictor

    texts, ratings = planted_reviews(120)
    classifier.fit(texts, ratings)
    again = pickle.loads(pickle.dumps(classifier))
    np.testing.assert_array_equal(again.predict_proba(texts[:5]), classifier.predict_proba(texts[:5]))
    classifier.predictor_.save(tmp_path / "bundle")
    loaded = RatingPredictor.load(tmp_path / "bundle").predict(texts[:5])
    np.testing.assert_array_equal(loaded.rating, classifier.predict(texts[:5]))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("一二三四五六七八九十"), st.integers(1, 5)), min_size=20), st.integers(0, 99))
def test_no_text_is_in_training_and_validation(data, seed):
    texts, ratings = [text for text, _ in data], np.array([rating for _, rating in data])
    train, valid = _divide(texts, ratings, 0.2, seed)
    assert sorted([*train, *valid]) == list(range(len(data)))
    assert len(train) > 0 < len(valid)
    if len(set(texts)) > 1:
        assert {texts[row] for row in train}.isdisjoint(texts[row] for row in valid)


def test_what_cannot_be_fitted_says_why(classifier):
    with pytest.raises(TypeError, match=r"write \[text\]"):
        classifier.fit("好看", [5])
    with pytest.raises(TypeError, match="one of them is of type int"):
        classifier.fit(["好看", 3], [5, 4])
    with pytest.raises(TypeError, match="one of them is of type NoneType"):
        classifier.fit(["好看", None], [5, 4])
    with pytest.raises(TypeError, match=r"give its column of texts, such as table\['text'\]"):
        classifier.fit(pd.DataFrame({"text": ["好看", "难看"]}), [5, 1])
    with pytest.raises(ValueError, match="1 to 5"):
        classifier.fit(["好看", "难看"], [5, 0])
    with pytest.raises(ValueError, match="inconsistent"):
        classifier.fit(["好看", "难看"], [5])
    with pytest.raises(SettingsError, match="dropout"):
        classifier.set_params(dropout=2).fit(*planted_reviews(40))
