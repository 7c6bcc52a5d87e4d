import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from xingping.features.keys import KeyIndex, is_first, text_keys

# Few values, so that keys often share their first half, as 128-bit digests hardly ever do.
small_keys = st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3)), max_size=30)


def as_keys(pairs):
    return np.array(pairs, dtype=np.uint64).reshape(-1, 2)


@given(small_keys, small_keys)
def test_a_key_is_found_where_it_is_first_and_only_if_both_halves_agree(stored, asked):
    found = KeyIndex(as_keys(stored)).find(as_keys(asked))
    assert found.tolist() == [stored.index(key) if key in stored else -1 for key in asked]


@given(small_keys)
def test_the_first_of_equal_keys_is_told_from_the_rest(keys):
    assert is_first(as_keys(keys)).tolist() == [key not in keys[:place] for place, key in enumerate(keys)]


def test_keys_of_texts_differ_and_stay():
    texts = ["好看", "好看 ", "", "好\ud83d", "好\ud83c"]
    keys = text_keys(texts)
    assert keys.shape == (5, 2)
    assert len(np.unique(keys, axis=0)) == 5
    np.testing.assert_array_equal(keys, text_keys(texts))
    assert text_keys([]).shape == (0, 2)
