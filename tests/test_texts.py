import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xingping.errors import InputError
from xingping.texts import BATCH_TEXTS, TextBatches

TEXTS = [f"第{number}条" for number in range(BATCH_TEXTS + 100)]


def joined(batches):
    return [text for batch in batches for text in batch]


def test_a_sequence_comes_in_batches_again_and_again():
    batches = TextBatches.of(TEXTS)
    assert len(batches) == len(TEXTS)
    assert [len(batch) for batch in batches] == [BATCH_TEXTS, 100]
    assert joined(batches) == joined(batches) == TEXTS
    assert TextBatches.of(batches) is batches
    assert joined(TextBatches.of(())) == []


def test_one_string_is_no_list_of_texts():
    with pytest.raises(TypeError, match=r"write \[text\]"):
        TextBatches.of("好看")


def test_a_column_of_a_file_or_a_table(tmp_path):
    table = pa.table({"row": range(len(TEXTS)), "text": [*TEXTS[:-1], None]})
    path = tmp_path / "reviews.parquet"
    pq.write_table(table, path, row_group_size=1000)
    for batches in (TextBatches.parquet(path), TextBatches.arrow(table["text"])):
        assert len(batches) == len(TEXTS)
        assert joined(batches) == joined(batches) == [*TEXTS[:-1], ""]


def test_a_file_without_the_column_and_no_file_at_all(tmp_path):
    path = tmp_path / "reviews.parquet"
    pq.write_table(pa.table({"comment": ["好"]}), path)
    with pytest.raises(InputError, match="no column 'text'; it has comment"):
        TextBatches.parquet(path)
    assert joined(TextBatches.parquet(path, "comment")) == ["好"]
    with pytest.raises(InputError, match="cannot read"):
        TextBatches.parquet(tmp_path / "nothing.parquet")
    path.write_bytes(b"nothing")
    with pytest.raises(InputError, match="give a Parquet file"):
        TextBatches.parquet(path)
