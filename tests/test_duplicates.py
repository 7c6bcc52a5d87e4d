import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from xingping.duplicates import ROW_KEY, SHORT_TEXT, find_repeats, row_keys

LONG = "这部电影真的非常非常好看"
TEXTS = st.sampled_from(["不错", "不错 ", "1", "11", LONG, LONG + "1", "字" * SHORT_TEXT, "字" * (SHORT_TEXT + 1)])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "1", "11", "甲", "甲\n"]), st.sampled_from(["", "1", "甲"]),
        st.sampled_from([None, "-", "", "2016"]), st.sampled_from([1, 5, None]), TEXTS,
    ),
    max_size=60,
)  # fmt: skip


@settings(deadline=None)
@given(ROWS)
def test_a_row_repeats_one_that_is_equal_in_all_fields(rows):
    names = ("user", "film", "date", "rating", "text")
    table = pa.table(
        {
            name: pa.array([row[i] for row in rows], pa.int8() if name == "rating" else pa.string())
            for i, name in enumerate(names)
        }
    )
    seen, expected = set(), []
    for place, row in enumerate(rows):
        if row[0] or len(row[4]) > SHORT_TEXT:
            if row in seen:
                expected.append(place)
            seen.add(row)
    assert find_repeats(row_keys(table)).tolist() == expected


def test_half_a_hash_in_common_is_no_repeat_and_order_does_not_matter():
    keys = np.array([(1, 1, 9), (1, 2, 3), (2, 1, 4), (1, 1, 2), (1, 2, 8), (1, 1, 5)], ROW_KEY)
    assert find_repeats(keys).tolist() == [5, 8, 9]
    assert find_repeats(keys[:0]).tolist() == []
