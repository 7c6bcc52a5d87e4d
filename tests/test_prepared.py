import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xingping.errors import RunDirectoryError
from xingping.prepared import PreparedReviews
from xingping.splits import SPLITS

FILMS = ["乙", "甲", "", "乙", "丙", "甲", "甲"]
SIDES = ["train", "test", "train", "valid", "test", "train", "train"]


@pytest.fixture(params=["plain", "dictionary"])
def path(request, tmp_path):
    """Seven reviews in row groups of two, which have dictionaries of their own."""
    table = pa.table(
        {
            "row": range(1, 8),
            "text": [f"第{i}篇" for i in range(7)],
            "film": FILMS,
            "rating": pa.array([1, 2, 3, 4, 5, 1, 2], pa.int8()),
            "split": SIDES,
        }
    )
    if request.param == "dictionary":
        for name in ("film", "split"):
            at = table.column_names.index(name)
            table = table.set_column(at, name, table[name].dictionary_encode())
    pq.write_table(table, tmp_path / "reviews.parquet", row_group_size=2)
    return tmp_path / "reviews.parquet"


def test_the_short_columns_are_those_of_the_file(path):
    reviews = PreparedReviews.open(path)
    everything = np.arange(7)
    assert len(reviews) == 7
    assert reviews.film_names(everything).tolist() == FILMS
    assert [SPLITS[side] for side in reviews.split] == SIDES
    assert reviews.ratings(everything).tolist() == [1, 2, 3, 4, 5, 1, 2]
    assert reviews.film_counts() == {"乙": 2, "甲": 3, "": 1, "丙": 1}
    assert reviews.indices("test").tolist() == [1, 4]
    assert [text for batch in reviews.texts for text in batch] == [f"第{i}篇" for i in range(7)]


def test_rows_are_read_in_their_order_from_every_group(path):
    reviews = PreparedReviews.open(path)
    table = reviews.table(np.array([6, 1, 4]), ["text", "film", "split"])
    assert table["text"].to_pylist() == ["第1篇", "第4篇", "第6篇"]
    assert table["film"].to_pylist() == ["甲", "丙", "甲"]
    assert table["split"].to_pylist() == ["test", "test", "train"]
    assert reviews.table(np.array([], dtype=np.int64), ["row"]).num_rows == 0


def test_a_missing_or_damaged_file_is_named(tmp_path):
    path = tmp_path / "reviews.parquet"
    with pytest.raises(RunDirectoryError, match="xingping prepare"):
        PreparedReviews.open(path)
    path.write_bytes(b"PAR1 nonsense")
    with pytest.raises(RunDirectoryError, match=r"reviews\.parquet"):
        PreparedReviews.open(path)
