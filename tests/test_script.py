from hypothesis import given
from hypothesis import strategies as st

from xingping.script import to_simplified


def test_traditional_characters_become_simplified_and_others_stay():
    assert to_simplified("劇情與音樂，Zootopia 2016！") == "剧情与音乐，Zootopia 2016！"
    assert to_simplified("") == ""
    assert to_simplified("劇\ud800") == "剧\ud800"


@given(st.text(st.characters(exclude_categories=())))
def test_a_span_of_one_is_a_span_of_the_other(text):
    assert len(to_simplified(text)) == len(text)
    assert to_simplified(text)[3:7] == to_simplified(text[3:7])
