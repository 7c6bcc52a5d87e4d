import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from xingping.artifacts import write_json, write_table
from xingping.cli import run_command
from xingping.comparing import compare_runs
from xingping.errors import InputError, RunDirectoryError

N = 600


def make_run(folder, *, skill, rows=None, data="a" * 64, tasks=("classification", "regression"), seed=0):
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
    write_json(folder / "run.json", {"format": 1, "data": {"sha256": data}, "settings": {}, "stages": stages})
    return folder


def test_a_better_run_is_better_beyond_chance_and_an_equal_one_is_not(tmp_path):
    weak, strong = make_run(tmp_path / "weak", skill=0.2), make_run(tmp_path / "strong", skill=0.8, seed=1)
    compared = compare_runs([weak, strong])
    assert (compared["task"], compared["n"], compared["films"]) == ("classification", N, 9)
    for measure, sign in (("accuracy", 1), ("accuracy_within_one", 1), ("mae", -1), ("nll", -1)):
        difference = compared["differences"]["reviews"][str(strong)][measure]
        values = [compared["runs"][str(path)][measure]["value"] for path in (strong, weak)]
        assert difference["value"] == pytest.approx(values[0] - values[1])
        assert min(sign * difference["low"], sign * difference["high"]) > 0
    same = compare_runs([weak, make_run(tmp_path / "twin", skill=0.2)])["differences"]["films"]
    assert same[str(tmp_path / "twin")]["nll"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_only_shared_reviews_count_whatever_their_order(tmp_path):
    rows = np.random.default_rng(0).permutation(np.arange(200, 900))
    first, second = make_run(tmp_path / "first", skill=0.4), make_run(tmp_path / "second", skill=0.4, rows=rows)
    compared = compare_runs([first, second], task="regression")
    assert (compared["task"], compared["n"]) == ("regression", 400)
    table = pq.read_table(second / "predictions.parquet").to_pandas().set_index("row").loc[list(range(200, 600))]
    error = (table["regression_expected"] - table["rating"]).abs().mean()
    assert compared["runs"][str(second)]["mae"]["value"] == pytest.approx(error)


def test_what_cannot_be_compared_is_refused(tmp_path):
    run = make_run(tmp_path / "run", skill=0.4)
    cases = [
        ([run, run], "two run directories"),
        ([run, make_run(tmp_path / "other", skill=0.4, data="b" * 64)], "other data"),
        ([run, make_run(tmp_path / "apart", skill=0.4, rows=np.arange(N, 2 * N))], "share no test review"),
        ([run, make_run(tmp_path / "ordinal", skill=0.4, tasks=("ordinal",))], "task in common"),
    ]
    for paths, message in cases:
        with pytest.raises(InputError, match=message):
            compare_runs(paths)
    with pytest.raises(InputError, match="a model for ordinal"):
        compare_runs([run, make_run(tmp_path / "more", skill=0.4)], task="ordinal")
    with pytest.raises(RunDirectoryError):
        compare_runs([run, tmp_path / "nowhere"])


def test_a_second_model_with_probabilities_has_its_own_columns(tmp_path):
    tasks = ("classification", "ordinal")
    runs = [make_run(tmp_path / name, skill=0.4, tasks=tasks) for name in ("one", "two")]
    compared = compare_runs(runs, task="ordinal")
    assert "nll" in compared["runs"][str(runs[0])]


def test_the_command_prints_and_writes(tmp_path, capsys):
    weak, strong = make_run(tmp_path / "weak", skill=0.2), make_run(tmp_path / "strong", skill=0.8, seed=1)
    assert run_command(["compare", str(weak), str(strong), "--json", str(tmp_path / "out.json")]) == 0
    shown = capsys.readouterr().out
    assert "classification, 600 test reviews of 9 films" in shown
    assert "better" in shown
    assert json.loads((tmp_path / "out.json").read_text(encoding="utf-8"))["n"] == N
    assert run_command(["compare", str(weak)]) == 2
