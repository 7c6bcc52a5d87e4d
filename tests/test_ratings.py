import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xingping.ratings import (
    NUM_CLASSES,
    RATINGS,
    parse_rating,
    parse_ratings,
    rating_problems,
    to_classes,
    to_ratings,
)


@pytest.mark.parametrize(
    ("value", "rating"),
    [
        *((str(star), star) for star in RATINGS),
        *((f"{star}.0", star) for star in RATINGS),
        *((f"{star}0", star) for star in RATINGS),
        *((f"allstar{star}0", star) for star in RATINGS),
        *(("★" * star + "☆" * (5 - star), star) for star in RATINGS),
        ("很差", 1), ("较差", 2), ("还行", 3), ("推荐", 4), ("力荐", 5), ("較差", 2), ("推薦", 4),
        (" 4 ", 4), ("４", 4), ("\ufeff4", None), ("allstar40 rating", 4), ("AllStar20", 2), ("4星", 4),
        ("4 stars", 4), ("★★★", 3), (" 力荐\n", 5), ("5.", 5), ("50.0", 5),
    ],
)  # fmt: skip
def test_a_rating_in_every_accepted_form(value, rating):
    assert parse_rating(value) == rating


@pytest.mark.parametrize(
    "value",
    [
        None, "", " ", "0", "6", "-1", "3.7", "100", "60", "15", "allstar00", "allstar45", "allstar4", "五星", "good",
        "nan", "inf", "1e1", "4/5", "4,5", "☆☆☆☆☆", "★★★★★★", "★☆★", "44", "٤", "05", "3.0001", "True", "推荐!",
    ],
)  # fmt: skip
def test_anything_else_is_no_rating(value):
    assert parse_rating(value) is None


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "no star"),
        ("  ", "no star"),
        ("0", "star 0 is outside 1-5"),
        ("6", "star 6 is outside 1-5"),
        ("-1", "star -1 is outside 1-5"),
        ("3.7", "star 3.7 is not a whole star"),
        ("7.5", "star 7.5 is outside 1-5"),
        ("nan", "star nan is not understood"),
        ("五星", "star 五星 is not understood"),
        ("+4", "star +4 is not understood"),
        ("9" * 400, f"star {'9' * 20} is not understood"),
        ("a\nb", "star a b is not understood"),
    ],
)
def test_the_reason_names_the_value(value, reason):
    assert rating_problems(pa.array([value], pa.string())).to_pylist() == [reason]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["5", "x", None, "allstar10", "5"]),
        pa.chunked_array([["5", "x"], [None, "allstar10", "5"]]),
        pa.chunked_array([["5", "x", None], ["10", "5"]]),
    ],
)
def test_a_column_is_read_value_by_value(column):
    parsed = parse_ratings(column)
    assert parsed.type == pa.int8()
    assert parsed.to_pylist() == [5, None, None, 1, 5]


def test_numbers_are_read_as_their_text():
    assert parse_ratings(pa.array([1, 0, None, 50], pa.int64())).to_pylist() == [1, None, None, 5]
    assert parse_ratings(pa.array([4.0, 3.7, float("nan"), float("inf")])).to_pylist() == [4, None, None, None]


def test_an_empty_column_gives_an_empty_column():
    assert parse_ratings(pa.array([], pa.string())).to_pylist() == []


def test_ten_of_ten_does_not_become_one_star():
    ten_points = pa.array(["7", "10", "3", "8"])
    assert parse_ratings(ten_points).to_pylist() == [None, None, 3, None]
    assert "scale of 1-10" in rating_problems(ten_points)[1].as_py()
    tens_with_a_slip = pa.array(["7", "10", "30", "20"])
    assert parse_ratings(tens_with_a_slip).to_pylist() == [None, 1, 3, 2]


@given(st.lists(st.sampled_from(RATINGS)))
def test_classes_and_ratings_are_a_round_trip(ratings):
    classes = to_classes(np.array(ratings, dtype=np.int8))
    assert classes.dtype == np.int64
    assert set(classes.tolist()) <= set(range(NUM_CLASSES))
    assert to_ratings(classes).tolist() == ratings


@pytest.mark.parametrize("rating", [0, 6, -1])
def test_a_rating_out_of_range_is_no_class(rating):
    with pytest.raises(ValueError, match=f"rating {rating} is outside 1-5"):
        to_classes(np.array([3, rating]))


@pytest.mark.parametrize("number", [-1, 5])
def test_a_class_out_of_range_is_no_rating(number):
    with pytest.raises(ValueError, match=f"class {number} is outside 0-4"):
        to_ratings(np.array([0, number]))


@given(st.text(max_size=12))
def test_any_text_gives_a_rating_or_none_and_a_reason(text):
    rating = parse_rating(text)
    assert rating in (None, *RATINGS)
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert rating_problems(pa.array([text])).to_pylist()[0]
