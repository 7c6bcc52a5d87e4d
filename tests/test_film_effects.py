import numpy as np
import pytest
import torch

from toy import BAD, GOOD, ToyEncoder
from xingping.config import HeadSettings, RunSettings, TrainingSettings
from xingping.features import StoredFeatures
from xingping.film_effects import FilmEffects
from xingping.report.notes import facts
from xingping.scoring import head_scores
from xingping.training import LabelledFeatures, train_head

HEAD = HeadSettings(token_dim=0, members=1, n_hops=2, attention_dim=8, hidden_dim=16, dropout=0.1, pooling=("mean",))
TRAINING = TrainingSettings(epochs=12, batch_size=32, learning_rate=0.01, patience=12)

LIKED, LOATHED = "侠客江湖恩仇", "校园青春恋爱"
"""Words that only the reviews of one film have."""

TELLING = {1: BAD, 3: "", 5: GOOD}


def test_a_review_gets_the_offset_of_its_film_and_none_without_a_name():
    effects = FilmEffects(np.array([0, 1, -1, 1], dtype=np.int32), 2)
    with torch.no_grad():
        effects.offsets.copy_(torch.tensor([[1.0, 2.0], [3.0, 4.0]]))
    assert effects(torch.tensor([1, -1, 0])).tolist() == [[3, 4], [0, 0], [1, 2]]
    assert effects.penalty(0.5).item() == pytest.approx(30 / (2 * 4) / 2)
    assert FilmEffects(np.array([-1, -1], dtype=np.int32), 3)(torch.tensor([-1])).tolist() == [[0, 0, 0]]


def two_films(n, seed):
    """Reviews of a film that is liked and one that is loathed; in both, one word tells the star."""
    rng = np.random.default_rng(seed)
    film = rng.integers(0, 2, n).astype(np.int32)
    shares = np.array([[0.1, 0.2, 0.7], [0.7, 0.2, 0.1]])
    ratings = np.array([rng.choice([1, 3, 5], p=shares[of]) for of in film])
    return write_reviews(rng, film, ratings), ratings.astype(np.int64), film


def write_reviews(rng, film, ratings):
    texts = []
    for number, (of, rating) in enumerate(zip(film.tolist(), ratings.tolist(), strict=True)):
        words = rng.permutation(list((LIKED, LOATHED)[of])).tolist()
        if rng.random() < 0.6:  # else the review does not say
            words.insert(rng.integers(len(words) + 1), TELLING[rating])
        texts.append("".join(words) + str(number))
    return texts


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_a_new_film_is_not_rated_as_the_one_that_it_resembles(task):
    encoder = ToyEncoder()
    texts, ratings, film = two_films(1200, seed=1)
    features = StoredFeatures.of(encoder.encode(texts))
    rng = np.random.default_rng(2)
    new_ratings = rng.permutation(np.repeat([1, 3, 5], 100))
    new = StoredFeatures.of(encoder.encode(write_reviews(rng, np.zeros(300, dtype=int), new_ratings)))  # like the liked
    valid = LabelledFeatures(new.take(np.arange(100)), new_ratings[:100])
    errors, order = {}, {}
    for name, of in (("as it is", None), ("effects taken out", film)):
        trained = train_head(task, LabelledFeatures(features, ratings, 1, of), valid, HEAD, TRAINING, seed=0)
        scores = head_scores(trained.head, new)
        probabilities = trained.head.output(task).probabilities(scores)
        expected = scores[:, 0] if probabilities is None else probabilities @ np.arange(1, 6)
        errors[name] = abs(expected.mean() - new_ratings.mean())
        order[name] = np.corrcoef(expected, new_ratings)[0, 1]
    assert errors["effects taken out"] < errors["as it is"] / 2
    assert order["effects taken out"] > 0.6


@pytest.mark.parametrize(
    ("use", "by", "expected"),
    [
        ("auto", "random", False), ("auto", "time", False), ("auto", "film", True),
        ("auto", "leave-one-film-out", True),
        ("on", "random", True), ("off", "film", False),
    ],
)  # fmt: skip
def test_effects_are_taken_out_where_films_are_held_out(use, by, expected):
    settings = RunSettings.parse({"training": {"film_effects": use}, "split": {"by": by}})
    assert settings.takes_film_effects is expected


@pytest.mark.parametrize("named", [True, False])
def test_reviews_without_films_are_trained_on_as_ever(named):
    texts, ratings, film = two_films(200, seed=1)
    data = LabelledFeatures(StoredFeatures.of(ToyEncoder().encode(texts)), ratings)
    some = np.where(film == (0 if named else 2), 0, -1).astype(np.int32)
    nameless = LabelledFeatures(data.features, ratings, 1, some)
    short = TRAINING.model_copy(update={"epochs": 1})
    weights = [
        train_head("classification", each, data, HEAD, short, seed=0).head.state_dict() for each in (nameless, data)
    ]
    same = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert same is not named


@pytest.mark.parametrize(("movie", "said"), [("film", True), (None, False)])
def test_the_report_says_so_only_where_films_are_named(movie, said):
    settings = RunSettings.parse({"training": {"film_effects": "on"}}).model_dump(mode="json")
    summary = {
        "source": {"name": "reviews.csv", "format": "csv", "encoding": "utf-8"},
        "columns": {"text": "text", "rating": "star", "movie": movie},
        "splits": {"train": {"reviews": 100}},
    }
    encoder = {"name": "bundled", "parameters": 1, "precision": "fp32", "layers": [9], "dim": 384}
    losses = facts({"settings": settings}, summary, encoder, "1 s")["Losses"]
    assert ("how each film is usually rated is taken out" in losses) is said
