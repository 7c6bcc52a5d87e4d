import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from report_fixture import BIG_FILM, NASTY_FILM, UNTESTED_FILM, make_run
from xingping.artifacts import write_table
from xingping.errors import InputError, RunDirectoryError
from xingping.report.run_data import load_film


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return make_run(tmp_path_factory.mktemp("run"))


def test_a_film_is_read_with_the_ratings_of_its_test_reviews(run):
    reviews = load_film(run, BIG_FILM)
    table = pq.read_table(run / "reviews.parquet").to_pylist()
    own = [row for row in table if row["film"] == BIG_FILM]
    assert reviews.texts == [row["text"] for row in own]
    assert reviews.words == [row["words"] for row in own]
    assert reviews.ratings.tolist() == [row["rating"] for row in own]
    assert reviews.rows.tolist() == [row["row"] for row in own]
    assert (~np.isnan(reviews.expected)).tolist() == [row["split"] == "test" for row in own]
    predicted = {
        row["row"]: row["classification_expected"] for row in pq.read_table(run / "predictions.parquet").to_pylist()
    }
    for row, expected in zip(reviews.rows.tolist(), reviews.expected.tolist(), strict=True):
        assert np.isnan(expected) if row not in predicted else expected == predicted[row]


def test_words_are_one_object_each(run):
    words = [word for document in load_film(run, BIG_FILM).words for word in document]
    assert len({id(word) for word in words}) == len(set(words))


def test_a_film_without_test_reviews_has_no_honest_rating(run):
    assert np.isnan(load_film(run, UNTESTED_FILM).expected).all()


def test_a_hostile_name_is_a_name(run):
    assert load_film(run, NASTY_FILM).film == NASTY_FILM


@pytest.mark.parametrize("film", ["", "没有的电影", "../../x", "' or 1=1", "*", "\0", "\ud800"])
def test_a_name_that_is_no_films_is_refused(run, film):
    with pytest.raises(InputError, match="has no review of the film"):
        load_film(run, film)


def test_before_evaluation_there_is_no_rating_of_a_model(tmp_path):
    table = pa.table({
        "row": [1, 0], "text": ["好", "坏"], "film": ["甲", "甲"], "words": [["好"], []],
        "rating": pa.array([5, 1], pa.int8()), "date": ["2016-03-04", None], "likes": [None, 7],
    })  # fmt: skip
    write_table(tmp_path / "reviews.parquet", table)
    reviews = load_film(tmp_path, "甲")
    assert reviews.expected is None
    assert (reviews.texts, reviews.words, reviews.dates, reviews.likes) == (
        ["坏", "好"], [[], ["好"]], [None, "2016-03-04"], [7, None]
    )  # fmt: skip


def test_a_folder_without_reviews_is_no_run(tmp_path):
    with pytest.raises(RunDirectoryError, match="cannot read"):
        load_film(tmp_path, "甲")
