import itertools

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xingping.config import SegmentationSettings
from xingping.errors import InputError
from xingping.segmentation import Segmenter, load_stopwords

SEGMENTER = Segmenter()


@given(st.text(max_size=60))
def test_spans_are_in_order_and_rejoin_the_text(text):
    words = SEGMENTER.spans(text)
    assert all(text[word.start : word.end] == word.text for word in words)
    assert all(left.end <= right.start for left, right in itertools.pairwise(words))
    between = "".join(c for i, c in enumerate(text) if not any(w.start <= i < w.end for w in words))
    assert not any(character.isalnum() for character in between)


def test_punctuation_is_no_word():
    assert Segmenter().words(["真的很好看！！！", "？？", ""]) == [["真的", "很", "好看"], [], []]


PIECES = st.sampled_from(
    ["好看", "电影", "疯狂动物城", " ", "a", "b1", ".", "-", "+", "#", "%", "_", "！", "。", "😀", "é", "か", "\t",
     "\u2028", "\x85", "\x1c", "٣", "²", "한", "\n", "\r\n", "\r", "\0"]
)  # fmt: skip


@settings(deadline=None)
@given(st.lists(st.one_of(st.text(max_size=12), st.lists(PIECES, max_size=8).map("".join)), max_size=12))
def test_a_column_has_the_words_of_each_text(texts):
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    column = SEGMENTER.word_column(pa.array(texts, pa.string()))
    column.validate(full=True)
    assert column.type == pa.list_(pa.string())
    assert column.to_pylist() == SEGMENTER.words(texts)


def test_a_long_column_is_cut_in_several_goes(monkeypatch):
    monkeypatch.setattr("xingping.segmentation.TOGETHER", 3)
    texts = ["", "好看！", "疯狂动物城很好看", "", "？", "真的很好看", ""]
    assert SEGMENTER.word_column(pa.array(texts)).to_pylist() == SEGMENTER.words(texts)
    assert SEGMENTER.word_column(pa.array(["x", *texts]).slice(1)).to_pylist() == SEGMENTER.words(texts)


def test_film_titles_stay_whole_without_touching_other_segmenters():
    text = "疯狂动物城很好看"
    assert Segmenter(extra_words=["疯狂动物城"]).words([text])[0][0] == "疯狂动物城"
    assert Segmenter().words([text])[0][0] != "疯狂动物城"


def test_a_user_dictionary_is_read_as_jieba_reads_it(tmp_path):
    dictionary = tmp_path / "actors.txt"
    dictionary.write_text("\ufeff朱迪警官 5000 nr\n\n闪电先生\n", encoding="utf-8")
    segmenter = Segmenter(SegmentationSettings(user_dictionary=dictionary))
    assert segmenter.words(["朱迪警官和闪电先生"]) == [["朱迪警官", "和", "闪电先生"]]


def test_a_malformed_dictionary_names_the_line(tmp_path):
    dictionary = tmp_path / "actors.txt"
    dictionary.write_text("朱迪 5\n尼克 很多\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"actors\.txt, line 2: frequency '很多'"):
        Segmenter(SegmentationSettings(user_dictionary=dictionary))


def test_a_missing_dictionary_is_named(tmp_path):
    with pytest.raises(InputError, match="cannot read the user dictionary"):
        Segmenter(SegmentationSettings(user_dictionary=tmp_path / "nothing.txt"))


def test_builtin_stopwords_leave_feeling_alone():
    stopwords = load_stopwords()
    assert {"的", "了", "是"} <= stopwords
    assert not stopwords & {"不", "没", "很", "太", "好看", "难看", "一般", "感动"}


def test_own_stopwords(tmp_path):
    path = tmp_path / "stop.txt"
    path.write_text("# 注释\n电影\n\n 片子 \n", encoding="utf-8")
    assert load_stopwords(path) == {"电影", "片子"}
