import json

import pyarrow as pa
import pytest

from xingping.artifacts import (
    FORMAT,
    RunDirectory,
    atomic_folder,
    atomic_path,
    fingerprint,
    read_json,
    write_json,
    write_table,
)
from xingping.errors import OutputError, RunDirectoryError


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def write_half():
        with atomic_path(path) as temporary:
            temporary.write_text("new")
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        write_half()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_folder_is_replaced_whole_or_not_at_all(tmp_path):
    folder = tmp_path / "folder"
    with atomic_folder(folder) as temporary:
        (temporary / "old").touch()

    def fail():
        with atomic_folder(folder) as temporary:
            (temporary / "half").touch()
            raise KeyError

    with pytest.raises(KeyError):
        fail()
    assert [path.name for path in folder.iterdir()] == ["old"]
    (tmp_path / ".folder.killed").mkdir()
    with atomic_folder(folder) as temporary:
        (temporary / "new").touch()
    assert [path.name for path in folder.iterdir()] == ["new"]
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_json_refuses_nan_and_keeps_chinese_readable(tmp_path):
    write_json(tmp_path / "a.json", {"片名": "疯狂动物城"})
    assert "疯狂动物城" in (tmp_path / "a.json").read_text(encoding="utf-8")
    with pytest.raises(ValueError, match="nan"):
        write_json(tmp_path / "a.json", {"x": float("nan")})
    assert read_json(tmp_path / "a.json") == {"片名": "疯狂动物城"}


def test_a_file_in_the_way_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="choose another folder"):
        write_table(tmp_path / "file" / "a.parquet", pa.table({"x": [1]}))
    with pytest.raises(OutputError, match="is a file; --out needs a folder"):
        RunDirectory.create(tmp_path / "file")


def test_a_stage_runs_once_until_its_key_or_its_output_changes(tmp_path):
    run = RunDirectory.create(tmp_path / "run")
    calls = []

    def work():
        calls.append(1)
        write_json(run.file("out.json"), len(calls))

    assert run.run_stage("prepare", "k1", ("out.json",), work)
    assert not run.run_stage("prepare", "k1", ("out.json",), work)
    assert run.run_stage("prepare", "k2", ("out.json",), work)
    run.file("out.json").unlink()
    assert run.run_stage("prepare", "k2", ("out.json",), work)
    run.forget("prepare")
    assert run.run_stage("prepare", "k2", ("out.json",), work)
    assert len(calls) == 4
    done = run.record["stages"]["prepare"]
    assert done["seconds"] >= 0
    assert done["peak_memory_bytes"] > 2**20


def test_a_stage_that_fails_is_not_done(tmp_path):
    run = RunDirectory.create(tmp_path)
    run.run_stage("prepare", "k", (), lambda: None)
    with pytest.raises(ZeroDivisionError):
        run.run_stage("prepare", "k2", (), lambda: 1 / 0)
    assert not run.is_done("prepare", "k", ())


def test_folders_that_are_no_run_directories_are_told_apart(tmp_path):
    with pytest.raises(RunDirectoryError, match="does not exist"):
        RunDirectory.open(tmp_path / "nothing")
    with pytest.raises(RunDirectoryError, match=r"has no run\.json"):
        RunDirectory.open(tmp_path)
    (tmp_path / "run.json").write_text("{broken")
    with pytest.raises(RunDirectoryError, match="not valid JSON"):
        RunDirectory.open(tmp_path)
    for content in ({"format": FORMAT + 1, "stages": {}}, ["a list"]):
        (tmp_path / "run.json").write_text(json.dumps(content))
        with pytest.raises(RunDirectoryError, match=f"this xingping reads format {FORMAT}"):
            RunDirectory.create(tmp_path)


def test_fingerprints_depend_on_content_not_on_the_order_of_keys():
    assert fingerprint({"a": 1, "b": 2}) == fingerprint({"b": 2, "a": 1})
    assert fingerprint("a", "b") != fingerprint("ab")
