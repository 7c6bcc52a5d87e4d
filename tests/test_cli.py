import itertools
import json
import logging
import os
import subprocess
import sys

import pytest

from toy import BAD, GOOD
from xingping.cli import app, run_command

COMMANDS = [
    "compare", "crossvalidate", "doctor", "encode", "evaluate", "explain", "export", "learning-curve", "predict",
    "prepare", "report", "run", "serve", "train", "tune",
]  # fmt: skip


def ratings_csv(*rows, header="film,user,rating,text"):
    return "\n".join([header, *rows]) + "\n"


MANY = [f"甲,u{i},{i % 5 + 1},第{i}条评论" for i in range(40)]


@pytest.fixture
def fails(capsys):
    """Give a function that runs a command and returns its one line on stderr; it must exit with 2."""

    def run(*arguments):
        assert run_command([str(argument) for argument in arguments]) == 2
        error = capsys.readouterr().err.strip()
        last = error.splitlines()[-1]
        assert last.startswith("xingping: ")
        assert "Traceback" not in error
        return last

    return run


def test_every_command_is_there_and_every_option_is_explained(capsys):
    assert sorted(command.name for command in app.registered_commands) == COMMANDS
    for command in COMMANDS:
        assert run_command([command, "--help"]) == 0
        shown = capsys.readouterr().out
        assert "Usage: xingping " + command in shown
        lines = [line.split() for line in shown.splitlines()]
        for words, below in itertools.pairwise([*lines, ["--"]]):
            if words and words[0].startswith("--") and len(words) < 3:  # a long option is explained on the next line
                assert words[0] == "--help" or (below and not below[0].startswith("--"))


def test_help_names_defaults_and_the_version_is_printed(capsys):
    run_command(["run", "--help"])
    shown = " ".join(capsys.readouterr().out.split())
    assert "[default: self_attention]" in shown
    assert "--user-dictionary" in shown
    assert run_command(["--version"]) == 0
    assert capsys.readouterr().out.startswith("xingping 0.")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["fly"], "No such command 'fly'"),
        (["run", "--fly"], "No such option: --fly"),
        (["run", "--seed", "many"], "Invalid value for '--seed': Input should be a valid integer"),
        (["run", "--seed", "-1"], "--seed: Input should be greater than or equal to 0 (got -1)"),
        (["run", "--tasks", "stars"], "--tasks: Input should be 'classification', 'regression' or 'ordinal'"),
        (["run", "--lang", "fr"], "--lang: Input should be 'en' or 'zh' (got 'fr')"),
        (["run", "--layers", "a,b"], "--layers: Input should be a valid integer"),
        (["run", "--pooling", "median"], "--pooling: Input should be 'self_attention'"),
        (["run", "--valid-share", "0.9"], "--valid-share: Input"),
        (["run", "--split", "stars"], "--split: Input should be 'random', 'film', 'time', 'user' or 'leave-o"),
        (["run", "--folds", "3"], "--folds is of the films left out; add --split leave-one-film-out"),
        (["crossvalidate", "nowhere"], "nowhere does not exist; make one with: xingping run DATA"),
        (["learning-curve", "nowhere"], "nowhere does not exist; make one with: xingping run DATA"),
        (["learning-curve", "nowhere", "--sizes", "50,many"], "--sizes are whole numbers and all, such as 50,500,all"),
        (["predict"], "Missing argument 'RUN'"),
        (["predict", "nowhere"], "give either texts, or both --input and --output"),
        (["predict", "nowhere", "好看"], "nowhere holds no model; train one with: xingping run"),
        (["predict", "nowhere", "好看", "--task", "stars"],
         "--task is classification or regression or ordinal; got stars"),
        (["export", "nowhere"], "nowhere holds no model; train one with: xingping run"),
        (["export", "nowhere", "--format", "pickle"], "setting format: Input should be 'onnx' or 'hub' (got 'pickle')"),
        (["export", "nowhere", "--precision", "bf16"], "setting precision: Input should be 'int8' or 'fp32'"),
        (["train", "nowhere"], "nowhere does not exist; make one with: xingping run DATA"),
        (["evaluate", "nowhere", "--data", "x.csv"], "nowhere does not exist"),
    ],
)  # fmt: skip
def test_wrong_usage_is_one_line_that_says_what_and_where(fails, arguments, message):
    assert message in fails(*arguments)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (ratings_csv().encode(), "no "),
        (ratings_csv(*MANY[:5]).encode(), "5 distinct texts cannot be divided"),
        (ratings_csv(*(f"甲,u{i},4,第{i}条" for i in range(40))).encode(), "all 40 reviews have 4 stars"),
        (ratings_csv(*(f"甲,u{i},9,第{i}条" for i in range(40))).encode(), "all 40 rows are rejected"),
        (ratings_csv(*MANY, header="a,b,c,d").encode(), "--text-column"),
        (ratings_csv(*MANY, header="film,user,stern,text").encode(), "--rating-column"),
        (b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 20, "reviews.csv"),
    ],
    ids=["empty", "header", "five-rows", "one-class", "no-star", "no-header", "no-rating", "binary"],
)
def test_unusable_data_is_one_line_that_names_the_file(fails, tmp_path, content, message):
    path = tmp_path / "reviews.csv"
    path.write_bytes(content)
    line = fails("run", path, "--out", tmp_path / "run")
    assert message in line
    assert "distinct" in message or "reviews.csv" in line


def test_a_named_column_that_is_missing(fails, tmp_path):
    path = tmp_path / "reviews.csv"
    path.write_text(ratings_csv(*MANY), encoding="utf-8")
    line = fails("prepare", path, "--out", tmp_path / "run", "--text-column", "评论")
    assert "'评论'" in line
    assert "--text-column" in line


def test_unwritable_output(fails, tmp_path, reviews_file):
    (tmp_path / "file").write_text("")
    assert "--out needs a folder" in fails("run", reviews_file, "--out", tmp_path / "file")
    assert "cannot write" in fails("run", reviews_file, "--out", tmp_path / "file" / "run")


def test_a_run_directory_of_another_version(fails, tmp_path, reviews_file):
    (tmp_path / "run.json").write_text('{"format": 99, "stages": {}}')
    assert "is of format 99" in fails("run", reviews_file, "--out", tmp_path)
    assert "is of format 99" in fails("report", tmp_path)


def test_encoders_that_cannot_be_had(fails, tmp_path, reviews_file, monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    run = tmp_path / "run"
    assert "local folder" in fails("run", reviews_file, "--out", run, "--encoder", "nobody/no-such-model")
    empty = tmp_path / "empty"
    empty.mkdir()
    assert "config.json" in fails("run", reviews_file, "--out", run, "--encoder", empty)


def test_rejected_rows_are_written_and_nothing_is_lost(tmp_path, capsys):
    path = tmp_path / "reviews.csv"
    bad = ["甲,u,0,零星", "甲,u,3.7,小数", "甲,u,,没有星", "甲,u,4,", '甲,u,4,"没有结束', "甲,4", "甲,u,5,=cmd(),多"]
    path.write_text(ratings_csv(*MANY[:20], *bad, *MANY[20:], MANY[3]), encoding="utf-8")
    assert run_command(["prepare", str(path), "--out", str(tmp_path / "run")]) == 0
    assert "48 rows read = 40 kept + 7 rejected + 1 duplicate" in capsys.readouterr().err
    rejects = (tmp_path / "run" / "rejects.csv").read_text(encoding="utf-8").splitlines()
    assert [line.split(",")[0] for line in rejects] == ["line", *map(str, range(22, 29))]
    summary = json.loads((tmp_path / "run" / "data_summary.json").read_text(encoding="utf-8"))
    assert sum(summary["rejected_by_reason"].values()) == 7


def test_predict_prints_stars(trained_run, capsys):
    assert run_command(["predict", str(trained_run), f"看过{GOOD}", f"都{BAD}看过"]) == 0
    good, bad = capsys.readouterr().out.splitlines()
    assert good.startswith("★★★★★  5  ")
    assert bad.startswith("★☆☆☆☆  1  ")


def test_predict_writes_a_file_and_says_how_many_rows(trained_run, tmp_path, capsys):
    source = tmp_path / "in put.csv"
    source.write_text(f"text\n{GOOD}\n\n{BAD}\n", encoding="utf-8")
    target = tmp_path / "out put.csv"
    assert run_command(["predict", str(trained_run), "--input", str(source), "--output", str(target)]) == 0
    assert "2 rows written to" in capsys.readouterr().out
    assert len(target.read_text(encoding="utf-8").splitlines()) == 3


def test_explain_shows_words_or_json(trained_run, capsys):
    assert run_command(["explain", str(trained_run), f"片子里的人{GOOD}看过了"]) == 0
    shown = capsys.readouterr().out
    assert "★★★★★" in shown
    assert "█" in shown
    assert run_command(["explain", str(trained_run), "--json", "看过了"]) == 0
    assert json.loads(capsys.readouterr().out)["text"] == "看过了"


def test_explain_shows_the_methods_that_are_asked_for(trained_run, capsys):
    text = f"片子里的人{GOOD}看过了！"
    assert run_command(["explain", str(trained_run), text]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].split() == ["attention", "occlusion", "gradients"]
    assert any("no word's" in line for line in lines)
    assert run_command(["explain", str(trained_run), text, "--method", "gradients", "--json"]) == 0
    explained = json.loads(capsys.readouterr().out)
    assert {"word", "start", "end", "weight", "effect", "gradient", "hops"} == set(explained["words"][0])
    assert {word["effect"] for word in explained["words"]} == {None}
    assert set(max(explained["words"], key=lambda word: word["gradient"])["word"]) & set(GOOD)
    assert run_command(["explain", str(trained_run), text, "--method", "attention", "--hops"]) == 0
    shown = capsys.readouterr().out
    assert "gradients" not in shown
    assert "hop 8: " in shown
    assert run_command(["explain", str(trained_run), "", "！"]) == 0
    assert run_command(["explain", str(trained_run), text, "--method", "magic"]) == 2
    assert "choose from attention, occlusion, gradients, all" in capsys.readouterr().err


def test_evaluate_writes_measures_for_each_task(trained_run, reviews_file, tmp_path, isolated_cache, capsys):
    out = tmp_path / "measures.json"
    arguments = ["evaluate", str(trained_run), "--data", str(reviews_file), "--json", str(out)]
    assert run_command(arguments) == 0
    measures = json.loads(out.read_text(encoding="utf-8"))
    assert set(measures) == {"classification", "regression"}
    assert measures["classification"]["n"] == 240
    assert "240 reviews" in capsys.readouterr().out


def test_doctor_lists_what_there_is(capsys):
    code = run_command(["doctor"])
    shown = capsys.readouterr().out
    assert code == 0
    for name in ("python", "torch", "cores", "disk", "font", "encoder"):
        assert f"ok       {name} " in shown


def test_unexpected_errors_are_not_swallowed(monkeypatch, trained_run):
    monkeypatch.setattr("xingping.predictor.RatingPredictor.load", lambda *_args, **_options: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        run_command(["predict", str(trained_run), "好看"])


def test_an_interrupt_is_one_line(monkeypatch, trained_run, capsys):
    def interrupted(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr("xingping.predictor.RatingPredictor.load", interrupted)
    assert run_command(["predict", str(trained_run), "好看"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_a_closed_pipe_is_no_error():
    command = f"{sys.executable} -m xingping run --help | head -n 1"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, env=os.environ, check=False)
    assert "Usage" in done.stdout
    assert done.stderr == ""


def test_the_library_leaves_logging_alone():
    assert logging.getLogger("xingping").level == logging.NOTSET
