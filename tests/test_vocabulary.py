from math import log, sqrt

import numpy as np
import pytest

from xingping.vocabulary import (
    WordTable,
    frequent_words_by_rating,
    is_telling,
    mean_rating_by_word,
    tfidf_top,
    word_counts,
)

STOPWORDS = frozenset({"我们", "的"})


@pytest.mark.parametrize("word", ["电影", "烂", "Marvel", "3D", "美"])
def test_telling_words(word):
    assert is_telling(word, STOPWORDS)


@pytest.mark.parametrize("word", ["我们", "的", "看", "2019", "7.5", "……", "★★"])
def test_words_that_tell_nothing(word):
    assert not is_telling(word, STOPWORDS)


def test_word_counts_are_ordered_by_count_then_by_character():
    documents = [["电影", "好看", "我们"], ["电影", "经典", "看"], []]
    assert list(word_counts(documents, STOPWORDS).items()) == [("电影", 2), ("好看", 1), ("经典", 1)]


def test_frequent_words_keep_to_their_star():
    words = [["烂片", "烂片", "演技"], ["经典"], ["经典", "演技"]]
    result = frequent_words_by_rating(words, [1, 5, 5], STOPWORDS, top=1)
    assert result == {1: [("烂片", 2)], 2: [], 3: [], 4: [], 5: [("经典", 2)]}


def test_words_and_ratings_must_match():
    with pytest.raises(ValueError, match="longer"):
        frequent_words_by_rating([["经典"]], [1, 2], STOPWORDS)


def test_mean_rating_counts_a_review_once():
    words = [["经典", "经典", "演技"], ["演技"], ["剧情"]]
    assert mean_rating_by_word(words, [5, 2, 1], ["经典", "演技", "没有"]) == {"经典": 5.0, "演技": 3.5}


def test_tfidf_by_hand():
    documents = [["经典", "经典", "演技"], ["演技", "我们"]]
    # n = 2; 经典 is in one document, 演技 in both.
    rare, common = log(3 / 2) + 1, 1.0
    length = sqrt((2 * rare) ** 2 + common**2)
    expected = {"经典": 2 * rare / length / 2, "演技": (common / length + 1) / 2}
    assert dict(tfidf_top(documents, STOPWORDS)) == pytest.approx(expected)
    assert [word for word, _ in tfidf_top(documents, STOPWORDS)] == ["演技", "经典"]
    assert [word for word, _ in tfidf_top(documents, STOPWORDS, top=1)] == ["演技"]


def test_tfidf_does_not_depend_on_the_order_of_reviews_and_breaks_ties_by_character():
    documents = [["好看", "演员"], ["经典", "配乐"], ["故事", "画面"]]
    expected = sorted(word for words in documents for word in words)
    assert [word for word, _ in tfidf_top(documents, STOPWORDS)] == expected
    assert tfidf_top(documents[::-1], STOPWORDS) == tfidf_top(documents, STOPWORDS)


@pytest.mark.parametrize("documents", [[], [[]], [["的"], ["看"]]])
def test_tfidf_of_nothing_is_empty(documents):
    assert tfidf_top(documents, STOPWORDS) == []


def test_a_table_counts_as_the_functions_on_lists_do():
    words = [["烂片", "烂片", "演技", "的"], [], ["经典", "我们"], ["经典", "演技", "经典"]]
    stars = np.array([1, 3, 5, 5])
    table = WordTable.of(words, STOPWORDS)
    assert list(table.words) == sorted(["烂片", "演技", "经典"])
    every = np.ones(4, dtype=bool)
    assert dict(table.occurrences(every, 9)) == word_counts(words, STOPWORDS)
    assert table.occurrences(stars == 5, 1) == frequent_words_by_rating(words, stars, STOPWORDS)[5][:1]
    assert table.occurrences(stars == 3, 9) == []
    assert dict(zip(table.words, table.reviews_with(every).tolist(), strict=True)) == {"烂片": 1, "演技": 2, "经典": 2}
    means = dict(zip(table.words, table.means(stars.astype(float)).tolist(), strict=True))
    assert means == mean_rating_by_word(words, stars, table.words)
