import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from comparison_fixture import N, make_run
from xingping.cli import run_command
from xingping.comparing import compare_runs
from xingping.errors import InputError, RunDirectoryError


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


@pytest.fixture
def two_runs(tmp_path):
    """Give a weak run, and a strong one that was made otherwise and is named with markup."""
    settings = {"seed": 0, "language": "en", "head": {"n_hops": 8}, "tasks": ["classification", "regression"]}
    weak = make_run(tmp_path / "weak", skill=0.2, settings=settings)
    other = {**settings, "language": "zh", "head": {"n_hops": 16}}
    return [str(weak), str(make_run(tmp_path / "<b>strong", skill=0.8, seed=1, settings=other))]


def page_of(tmp_path, *arguments):
    page = tmp_path / "page.html"
    assert run_command(["compare", *arguments, "--html", str(page)]) == 0
    return page.read_text(encoding="utf-8")


def test_the_page_says_what_differs_beyond_chance_and_what_was_done_otherwise(tmp_path, two_runs, capsys):
    html = page_of(tmp_path, *two_runs)
    assert f"Page: {tmp_path / 'page.html'}" in capsys.readouterr().out
    own = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    assert "<h1>&lt;b&gt;strong is better than weak in some ways and worse in others</h1>" in own
    assert "better than weak beyond chance: exact star, within one star, mean error in stars" in own
    assert "worse than weak beyond chance: calibration error." in own
    assert "<b>" not in own
    difference = compare_runs([*map(Path, two_runs)])["differences"]["reviews"][two_runs[1]]["mae"]
    assert f"{difference['value']:+.3f}".replace("-", "−") in html
    assert "head.n_hops" in html
    assert "head.n_hops" not in page_of(tmp_path, two_runs[0], two_runs[0] + "/../weak")
    assert "language" not in re.findall(r'<th scope="row" role="rowheader">([^<]*)</th>', html)
    assert not re.search(r'(src|href)="(?!data:|#)', own)


def test_the_page_does_not_call_chance_a_lead(tmp_path):
    runs = [str(make_run(tmp_path / name, skill=0.4)) for name in ("one", "twin")]
    html = page_of(tmp_path, *runs)
    assert "<h1>twin and one differ by no more than chance</h1>" in html
    assert "The runs have the same settings." in html


def test_the_page_holds_many_runs_and_speaks_chinese(tmp_path, two_runs):
    third = str(make_run(tmp_path / "more" / "weak", skill=0.5, seed=2))
    html = page_of(tmp_path, *two_runs, third, "--lang", "zh")
    assert "<h1>同一批评论上的 3 次运行</h1>" in html
    assert third in html, "two folders have one name"
    assert "beyond chance" not in html
    assert run_command(["compare", *two_runs, "--lang", "zh"]) == 2
