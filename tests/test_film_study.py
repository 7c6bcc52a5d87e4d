import json

import numpy as np
import pytest

from xingping.film_comparison import compare_films
from xingping.film_study import FilmReviews, study_film
from xingping.segmentation import Segmenter, load_stopwords

FILM = "星海列车"
STOPWORDS = load_stopwords()

SENTENCES = {
    1: ["剧情烂透了，看得想哭，浪费时间", "演技尴尬，剧情混乱，浪费钱", "垃圾特效，浪费生命的一部片"],
    2: ["节奏拖沓，有点失望的一次观影", "剧情老套，失望，不会再看第二遍", "音乐吵闹，故事拖沓，让人失望"],
    3: ["画面还行，故事一般，打发时间", "一般般，中规中矩的商业片", "演员还行，剧情一般，没有惊喜"],
    4: ["演员不错，音乐好听，推荐给朋友", "画面精致，节奏紧凑，不错的片子", "故事温暖，推荐大家都去看看"],
    5: ["感动到哭，经典，值得再看一遍", "剧情精彩，画面震撼，经典之作", "音乐动听，演技出色，值得二刷"],
}


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter()


def make(segmenter, n=300, *, film=FILM, seed=0, shares=(0.1, 0.1, 0.2, 0.3, 0.3), **options):
    rng = np.random.default_rng(seed)
    stars = rng.choice(5, n, p=shares) + 1
    texts = [f"{film}，{SENTENCES[star][rng.integers(3)]}{'！' * (at % 5)}" for at, star in enumerate(stars.tolist())]
    columns = {
        "ratings": stars,
        "expected": np.where(np.arange(n) % 2, (stars + rng.normal(0, 0.5, n)).clip(1, 5), np.nan),
        "rows": np.arange(n) * 10,
        "dates": [f"2016-{1 + at % 12:02}-05" for at in range(n)],
        "likes": [None if at % 3 else at for at in range(n)],
        **options,
    }
    return FilmReviews(film, texts, segmenter.words(texts), **columns)


@pytest.fixture(scope="module")
def reviews(segmenter):
    return make(segmenter)


@pytest.fixture(scope="module")
def study(reviews, segmenter):
    return study_film(reviews, STOPWORDS, segmenter=segmenter)


def test_stars_and_mean_are_those_of_the_authors(study, reviews):
    assert study.source == "authors"
    assert (study.film, study.n, sum(study.stars)) == (FILM, 300, 300)
    assert study.stars == tuple(np.bincount(reviews.ratings, minlength=6)[1:].tolist())
    assert study.mean.value == pytest.approx(reviews.ratings.mean())
    assert study.mean.low < study.mean.value < study.mean.high


def test_each_star_has_its_own_words(study):
    apart = {star: {word.word for word in words} for star, words in study.distinctive.items()}
    assert "浪费" in apart[1]
    assert "失望" in apart[2]
    assert "值得" in apart[5]
    assert all(FILM not in words and "星海" not in words for words in apart.values())
    assert dict(study.frequent[1])["浪费"] > 5
    assert len(study.tfidf) <= 30


def test_clouds_of_praise_and_blame_do_not_show_the_name_of_the_film(study):
    assert study.cloud[0].count == max(word.count for word in study.cloud)
    assert any(word.word in FILM for word in study.cloud)
    praise, blame = ({word.word for word in side} for side in (study.praise, study.blame))
    assert {"推荐", "经典"} <= praise
    assert {"失望", "浪费"} <= blame
    assert not praise & blame
    assert not any(word in FILM for word in praise | blame)


def test_aspects_time_and_typical_reviews_are_there(study):
    assert {aspect.key: aspect.n > 0 for aspect in study.aspects} == dict.fromkeys(
        ("story", "acting", "picture", "music", "pace"), True
    )
    assert sum(period.n for period in study.timeline.periods) == 300
    for star, shown in study.typical.items():
        assert 1 <= len(shown) <= 3
        assert {review.rating for review in shown} == {star}
        assert len({review.text for review in shown}) == len(shown)


def test_shown_reviews_are_the_rows_they_say(study, reviews):
    shown = [*study.disagreements, *study.most_liked, *(review for some in study.typical.values() for review in some)]
    for review in shown:
        at = review.row // 10
        assert review.text == reviews.texts[at]
        assert review.rating == reviews.ratings[at]
        assert review.date == reviews.dates[at]
        assert review.likes == reviews.likes[at]
        assert review.honest is (review.expected is not None)


def test_disagreements_are_the_largest_and_honest(segmenter):
    expected = np.full(40, 3.0)
    expected[[7, 9]] = (1.0, 5.0)
    honest = np.ones(40, dtype=bool)
    honest[9] = False
    reviews = make(segmenter, 40, expected=expected, honest=honest, ratings=np.full(40, 4))
    study = study_film(reviews, STOPWORDS, segmenter=segmenter)
    gaps = [abs(review.expected - review.rating) for review in study.disagreements]
    assert study.disagreements[0].row == 70
    assert gaps == sorted(gaps, reverse=True)
    assert all(review.honest for review in study.disagreements)
    assert 90 not in {review.row for review in study.disagreements}


def test_the_most_liked_come_first(study):
    likes = [review.likes for review in study.most_liked]
    assert likes[0] == 297
    assert likes == sorted(likes, reverse=True)


def test_without_stars_all_is_told_by_the_model_and_says_so(segmenter):
    rated = make(segmenter)
    expected = np.clip(rated.ratings + 0.3, 1, 5)
    unrated = FilmReviews(FILM, rated.texts, rated.words, expected=expected)
    study = study_film(unrated, STOPWORDS, segmenter=segmenter)
    assert study.source == "model"
    assert study.mean.value == pytest.approx(expected.mean())
    assert study.stars == study_film(rated, STOPWORDS, segmenter=segmenter).stars
    assert "浪费" in {word.word for word in study.distinctive[1]}
    assert (study.disagreements, study.most_liked, study.timeline.periods) == ((), (), ())
    assert all(review.rating is None and review.expected for review in study.typical[5])


def test_a_study_is_json(study):
    again = json.loads(json.dumps(study.to_dict(), allow_nan=False))
    assert again["stars"] == list(study.stars)
    assert set(again["typical"]) == set("12345")
    assert again["aspects"][0]["name"] == "剧情"


@pytest.mark.parametrize("film", ["", "../../x", "=cmd()", "<script>alert(1)</script>", "\0"])
def test_names_and_texts_are_only_compared_never_used(film, segmenter):
    texts = ["<b>剧情</b>精彩=cmd()" * 100, "", "……"]
    reviews = FilmReviews(film, texts, segmenter.words(texts), ratings=np.array([5, 1, 3]))
    study = study_film(reviews, STOPWORDS, segmenter=segmenter)
    assert study.film == film
    assert study.typical[5][0].cut
    assert len(study.typical[5][0].text) == 600


def test_no_reviews_are_a_study_of_nothing(segmenter):
    study = study_film(FilmReviews(FILM, [], [], ratings=np.array([], dtype=int)), STOPWORDS, segmenter=segmenter)
    assert (study.n, study.mean, study.stars, study.tfidf, study.cloud) == (0, None, (0,) * 5, (), ())


def test_columns_must_fit_together():
    with pytest.raises(ValueError, match="likes has 1 entries, texts has 2"):
        FilmReviews(FILM, ["好", "坏"], [[], []], ratings=np.array([5, 1]), likes=[3])
    with pytest.raises(ValueError, match="every review needs an expected rating"):
        FilmReviews(FILM, ["好"], [[]])
    with pytest.raises(ValueError, match="every review needs an expected rating"):
        FilmReviews(FILM, ["好"], [[]], expected=np.array([np.nan]))


def test_two_films_side_by_side(reviews, study, segmenter):
    other = make(segmenter, film="海边的猫", seed=1, shares=(0.4, 0.3, 0.1, 0.1, 0.1))
    worse = study_film(other, STOPWORDS, segmenter=segmenter)
    found = compare_films(study, worse, reviews.words, other.words, STOPWORDS)
    assert found.films == (FILM, "海边的猫")
    assert found.difference.value == pytest.approx(reviews.ratings.mean() - other.ratings.mean())
    assert found.difference.low > 0
    assert found.stars == (study.stars, worse.stars)
    best, worst = ({word.word for word in words} for words in found.words)
    assert "推荐" in best
    assert "浪费" in worst
    assert not any(word in FILM or word in "海边的猫" for word in best | worst)
    assert [aspect.key for aspect in found.aspects] == [aspect.key for aspect in study.aspects]
    back = compare_films(worse, study, other.words, reviews.words, STOPWORDS)
    assert back.difference.low == pytest.approx(-found.difference.high)
    assert back.words == found.words[::-1]
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_film_compared_with_itself_does_not_differ(reviews, study):
    found = compare_films(study, study, reviews.words, reviews.words, STOPWORDS)
    assert found.difference.low < 0 < found.difference.high
    assert found.words == ((), ())


def test_what_one_film_lacks_has_no_difference(reviews, study, segmenter):
    texts = ["和朋友去的"]
    bare = FilmReviews("无名", texts, segmenter.words(texts), ratings=np.array([3]))
    found = compare_films(study, study_film(bare, STOPWORDS, segmenter=segmenter), reviews.words, bare.words, STOPWORDS)
    assert all(aspect.difference is None and aspect.means[1] is None for aspect in found.aspects)
