import numpy as np

from xingping.typical import typical_reviews
from xingping.vocabulary import WordTable


def choose(documents, number=2, where=None, **options):
    texts = ["，".join(words) for words in documents]
    table = WordTable.of(documents, frozenset())
    where = np.ones(len(texts), dtype=bool) if where is None else np.array(where)
    return typical_reviews(table.tfidf, texts, where, number, **options)


COMMON = ["剧情精彩", "演员出色", "音乐好听", "画面漂亮"]


def test_the_review_with_the_words_of_all_is_typical_and_the_odd_one_is_not():
    documents = [COMMON[:3], COMMON[1:], COMMON, ["停车场", "排队买票", "爆米花贵"], COMMON[:2] + COMMON[3:]]
    assert choose(documents, 1) == [2]
    assert 3 not in choose(documents, 4)


def test_reviews_that_are_alike_are_not_shown_together():
    documents = [COMMON, [*COMMON, "好看"], [*COMMON, "不错"], *[["配乐动人", "催人泪下", "音乐好听"]] * 2]
    assert choose(documents, 2, nearness=1)[1] in (1, 2)
    assert choose(documents, 2, nearness=0.4)[1] == 3


def test_no_text_is_chosen_twice_and_only_of_the_group():
    documents = [COMMON] * 5 + [[*COMMON, "不错"]] * 5
    assert sorted(choose(documents, 9)) == [0, 5]
    assert choose(documents, 9, where=[False] * 6 + [True] * 4) == [6]


def test_short_reviews_are_shown_only_where_there_is_nothing_else():
    documents = [["好看"], ["好看"], ["好看", "剧情精彩", "演员出色"]]
    assert choose(documents, 3) == [2]
    assert choose(documents[:2], 3) == [0]


def test_reviews_without_a_telling_word_stand_for_nothing():
    assert choose([[], ["的"]], 3) == []
    assert choose([COMMON], 3, where=[False]) == []
    assert choose([], 3) == []
