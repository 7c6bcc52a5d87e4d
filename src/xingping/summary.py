"""The article's table of the data: reviews, words, characters and star shares of each split."""

from collections import Counter
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from xingping.reviews import Reviews
from xingping.splits import SPLITS

__all__ = ["summarise"]


def summarise(reviews: Reviews, table: pa.Table) -> dict[str, Any]:
    """Return the content of `data_summary.json`, apart from the source.

    Parameters
    ----------
    reviews
        What reading gave.
    table
        The kept reviews with their `split` and `words`.
    """
    reasons = Counter(reviews.rejects["reason"].to_pylist())
    parts = {name: table.filter(pc.equal(table["split"].cast(pa.string()), name)) for name in SPLITS}
    return {
        "columns": reviews.columns,
        "rows_read": reviews.rows_read,
        "rows_kept": reviews.rows_kept,
        "rows_rejected": reviews.rows_rejected,
        "rows_duplicate": reviews.rows_duplicate,
        "rejected_by_reason": dict(reasons.most_common()),
        "splits": {name: _describe(part) for name, part in {**parts, "all": table}.items()},
        "films": _describe_films(table),
    }


def _describe(part: pa.Table) -> dict[str, Any]:
    return {
        "reviews": part.num_rows,
        "distinct_texts": pc.count_distinct(part["text"]).as_py(),
        "words": pc.sum(pc.list_value_length(part["words"])).as_py() or 0,
        "characters": pc.sum(pc.utf8_length(part["text"])).as_py() or 0,
        "stars": _stars(part["rating"]),
    }


def _describe_films(table: pa.Table) -> dict[str, Any]:
    named = table.select(["film", "rating"]).filter(pc.not_equal(table["film"], ""))
    groups = named.group_by("film").aggregate([("rating", "count"), ("rating", "mean"), ("rating", "list")])
    rows = sorted(groups.to_pylist(), key=lambda row: (-row["rating_count"], row["film"]))
    return {
        row["film"]: {
            "reviews": row["rating_count"],
            "mean_rating": row["rating_mean"],
            "stars": _stars(pa.array(row["rating_list"], pa.int8())),
        }
        for row in rows
    }


def _stars(ratings: pa.Array | pa.ChunkedArray) -> dict[str, int]:
    counts = {entry["values"]: entry["counts"] for entry in pc.value_counts(ratings).to_pylist()}
    return {str(star): counts.get(star, 0) for star in range(1, 6)}
