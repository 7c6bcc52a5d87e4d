import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingping.aspect_lexicon import ASPECTS
from xingping.aspects import clauses, find_mentions, report_aspects
from xingping.segmentation import Segmenter


@pytest.fixture(scope="module")
def segmenter():
    return Segmenter()


def report(texts, stars, segmenter, **options):
    ratings = np.array(stars, dtype=np.int64)
    found = report_aspects(texts, ratings.astype(float), ratings, segmenter=segmenter, **options)
    assert [aspect.key for aspect in found] == list(ASPECTS)
    return {aspect.key: aspect for aspect in found}


def verdicts(text, segmenter, key):
    return {word.word for word in report([text], [3], segmenter)[key].words}


@given(st.text(alphabet="剧情好，。！？.5 \nab、～—《》劇…") | st.text())
def test_clauses_rejoin_the_text(text):
    assert "".join(clauses(text)) == text
    assert all(clauses(text))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("剧情拖沓，但画面美。", ["剧情拖沓，", "但画面美。"]),
        ("剧情、音乐和画面都好", ["剧情、音乐和画面都好"]),
        ("打8.5分.好", ["打8.5分.", "好"]),
        ("好看 推荐", ["好看 ", "推荐"]),
        ("Zootopia is good", ["Zootopia is good"]),
        ("……", ["……"]),
    ],
)
def test_where_clauses_end(text, expected):
    assert clauses(text) == expected


def test_mentions_are_spans_of_the_text_in_either_script():
    texts = ["前面无关。劇情不錯，音樂和畫面都好聽", "什么也没说", ""]
    found = find_mentions(texts)
    assert [texts[mention.review][mention.start : mention.end] for mention in found] == [
        "劇情不錯", "音樂和畫面都好聽"
    ]  # fmt: skip
    named = [[texts[0][start:end] for start, end, _ in mention.spans] for mention in found]
    assert named == [["劇情"], ["音樂", "畫面", "好聽"]]
    assert [key for _, _, key in found[1].spans] == ["music", "picture", "music"]


@pytest.mark.parametrize("text", ["看了一部音乐剧", "他是导演的朋友", "一部剧情片", "很有喜剧色彩", "生活的小插曲"])
def test_what_only_looks_like_an_aspect(text):
    assert find_mentions([text]) == []


@pytest.mark.parametrize(
    ("text", "key", "expected"),
    [
        ("配乐很好听", "music", {"好听"}),
        ("配乐不好听", "music", {"不好听"}),
        ("配乐不太悦耳", "music", {"不悦耳"}),
        ("配乐不是很惊艳", "music", {"不惊艳"}),
        ("剧情没有新意", "story", {"没有新意"}),
        ("劇情毫無新意", "story", {"没有新意"}),
        ("节奏拖沓", "pace", {"拖沓"}),
        ("片子太长", "pace", {"太长"}),
        ("出色的表演", "acting", {"出色"}),
        ("剧情和画面都很精彩", "story", {"精彩"}),
        ("剧情和画面都很精彩", "picture", {"精彩"}),
        ("剧情很精彩画面很粗糙", "story", {"精彩"}),
        ("剧情很精彩画面很粗糙", "picture", {"粗糙"}),
        ("演技非常青涩", "acting", {"青涩"}),  # in no list, but behind a word of degree
        ("剧情很好，朋友很无聊", "story", {"好"}),
        ("我在看画面", "picture", set()),
    ],
)
def test_verdicts_belong_to_what_they_stand_beside(text, key, expected, segmenter):
    assert verdicts(text, segmenter, key) == expected


def test_stars_around_an_aspect(segmenter):
    texts = ["剧情精彩"] * 30 + ["剧情混乱"] * 10 + ["音乐难听"] * 20 + ["和朋友去的"] * 40
    stars = [5] * 30 + [2] * 10 + [1] * 20 + [4] * 40
    found = report(texts, stars, segmenter)
    story, music = found["story"], found["music"]
    assert (story.n, story.share) == (40, 0.4)
    assert story.mean.value == pytest.approx(4.25)
    assert story.mean.low < 4.25 < story.mean.high
    assert (story.praise, story.blame) == (0.75, 0.25)
    overall = np.mean(stars)
    assert story.difference.value == pytest.approx(4.25 - overall)
    assert story.difference.low > 0 > music.difference.high
    assert [(word.word, word.count, word.mean) for word in story.words] == [("精彩", 30, 5), ("混乱", 10, 2)]
    assert found["pace"].n == 0
    assert found["pace"].mean is None


def test_examples_name_their_row_and_keep_their_script(segmenter):
    texts = ["看完了。劇情相當精彩！", "剧情实在混乱，走了", "剧情精彩", "和剧情无关的一句很长很长的话" * 9]
    story = report(texts, [5, 1, 4, 5], segmenter, rows=np.array([70, 71, 72, 73]))["story"]
    assert [(clause.row, clause.text, clause.word, clause.rating) for clause in story.praised] == [
        (70, "劇情相當精彩", "精彩", 5)
    ]
    assert [(clause.row, clause.text, clause.word) for clause in story.blamed] == [(71, "剧情实在混乱", "混乱")]


def test_the_difference_to_all_is_calibrated(segmenter):
    # Among reviews whose stars have nothing to do with the aspect, 95 of 100 intervals hold nothing.
    rng, held = np.random.default_rng(2), 0
    for _ in range(200):
        stars = rng.integers(1, 6, 60)
        texts = np.where(rng.random(60) < 0.4, "剧情", "别的").tolist()
        found = report(texts, stars, segmenter)["story"].difference
        held += found.low <= 0 <= found.high
    assert held >= 180


def test_an_aspect_of_every_review_does_not_differ_from_all(segmenter):
    found = report(["剧情好"] * 3, [1, 3, 5], segmenter)["story"]
    assert (found.difference.value, found.difference.low, found.difference.high) == (0, 0, 0)


def test_no_reviews_mention_nothing(segmenter):
    assert all(aspect.n == 0 and aspect.share == 0 for aspect in report([], [], segmenter).values())


def test_a_hostile_text_is_only_text(segmenter):
    text = "<script>alert('剧情')</script>精彩=cmd()"
    story = report([text], [5], segmenter)["story"]
    assert story.n == 1
    assert all(clause.text in text for clause in story.praised)
