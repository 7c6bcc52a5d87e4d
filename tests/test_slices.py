import numpy as np
import pytest

from xingping.slices import CONTRAST, NEGATION, SCORE, find_slices, is_traditional


def test_reviews_fall_into_their_slices():
    texts = ["好", "不喜欢这部电影的结局啊啊", "虽然剧情一般，但是画面好", "這部電影", "给8分吧"]
    slices = find_slices(texts, np.array([5, 2, 3, 4, 4]))
    where = {name: np.flatnonzero(mask).tolist() for name, mask in slices.items()}
    assert where["length 0-10"] == [0, 3, 4]
    assert where["length 11-30"] == [1, 2]
    assert where["length 81 and more"] == []
    assert where["star 4"] == [3, 4]
    assert where["negation"] == [1]
    assert where["contrast"] == [2]
    assert where["traditional characters"] == [3]
    assert where["names a score"] == [4]


def test_each_review_has_one_length_and_one_star():
    texts = ["影" * n for n in (0, 1, 10, 11, 30, 31, 80, 81, 500)]
    slices = find_slices(texts, np.array([1, 2, 3, 4, 5, 1, 2, 3, 4]))
    for kind in ("length", "star"):
        assert sum(mask.astype(int) for name, mask in slices.items() if name.startswith(kind)).tolist() == [1] * 9


@pytest.mark.parametrize("text", ["8分", "给个7.5分", "3.5/5", "四星推荐一颗星", "★★★", "满分", "10分", "五颗星"])
def test_named_scores(text):
    assert SCORE.search(text)


@pytest.mark.parametrize("text", ["90分钟", "十分好看", "三分之一", "2016年", "星战", "1/3的时间", "明星", "部分"])
def test_what_only_looks_like_a_score(text):
    assert not SCORE.search(text)


@pytest.mark.parametrize(
    "text", ["不好看", "没意思", "千万别去看", "毫无新意", "並沒有哭", "未能打动我", "不得好死", "莫要浪费钱"]
)
def test_what_negates(text):
    assert NEGATION.search(text)


HELD = ["不错", "特别好看", "分别打分", "别人的故事", "级别很高", "不过还好", "有点无聊", "未来可期", "莫名感动"]


@pytest.mark.parametrize("text", HELD)
def test_what_holds_such_a_character_and_negates_nothing(text):
    assert not NEGATION.search(text)


def test_what_sets_two_sides_against_each_other():
    assert CONTRAST.search("画面好看但剧情弱")
    assert not CONTRAST.search("不但好看而且感人，但愿有续集")


def test_characters_of_both_scripts_are_not_traditional():
    assert is_traditional("動畫")
    assert not is_traditional("动画 Zootopia 2016 好看，真好")
