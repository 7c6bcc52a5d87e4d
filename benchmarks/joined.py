"""Several tables of reviews as one, so that a run can learn from all of them."""

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
from pyarrow import csv

from xingping import read_reviews

COLUMNS = ("text", "film", "rating", "date", "likes")
"""What a joined table has: what most tables have."""


def one_table(paths: Sequence[Path], folder: Path) -> Path:
    """Return the only path, or a CSV in the folder with the reviews of all, their texts cleaned."""
    if len(paths) == 1:
        return paths[0]
    tables = [read_reviews(path).table.select(COLUMNS) for path in paths]
    folder.mkdir(parents=True, exist_ok=True)
    joined = folder / "reviews.csv"
    csv.write_csv(pa.concat_tables(tables), joined)
    return joined
