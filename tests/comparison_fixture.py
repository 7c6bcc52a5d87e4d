"""Run directories with what comparing reads of them, made without any model."""

import numpy as np
import pyarrow as pa

from xingping.artifacts import write_json, write_table

N = 600


def make_run(folder, *, skill, rows=None, data="a" * 64, tasks=("classification", "regression"), seed=0, settings=None):
    """Write what comparing reads of a run whose probabilities are right with some skill."""
    rng = np.random.default_rng(seed)
    rows = np.arange(N) if rows is None else rows
    true = (np.arange(10 * N) * 7 % 5 + 1)[rows]
    proba = rng.dirichlet(np.ones(5), len(rows))
    proba[np.arange(len(rows)), true - 1] += skill
    proba /= proba.sum(axis=1, keepdims=True)
    columns = {"row": rows, "rating": true.astype(np.int8), "film": [f"film {row % 9}" for row in rows]}
    for task in tasks:
        if task != "regression":
            prefix = "p" if task == tasks[0] else f"{task}_p"
            columns |= {f"{prefix}{star}": proba[:, star - 1] for star in range(1, 6)}
        columns[f"{task}_expected"] = proba @ np.arange(1, 6)
    write_table(folder / "predictions.parquet", pa.table(columns))
    stages = {stage: {"key": "k", "seconds": 1.0} for stage in ("prepare", "encode", "train", "evaluate")}
    write_json(
        folder / "run.json",
        {
            "format": 1,
            "data": {"sha256": data},
            "settings": settings or {},
            "versions": {"xingping": "0.1.0"},
            "stages": stages,
        },
    )
    return folder
