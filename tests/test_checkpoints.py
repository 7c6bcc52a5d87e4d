import math

import pytest
import torch

from xingping.checkpoints import (
    pack_checkpoint,
    read_checkpoint,
    remove_checkpoint,
    unpack_checkpoint,
    write_checkpoint,
)

TENSORS = {"head.weight": torch.randn(3, 2), "adam.step": torch.tensor(7.0), "empty": torch.zeros(0)}
RECORD = {"loss_sum": 0.1 + 0.2, "tiny": math.ulp(0.0), "best": None, "epochs": [{"epoch": 1}]}


def test_tensors_and_numbers_come_back_to_the_last_bit(tmp_path):
    path = tmp_path / "models" / "checkpoint"
    assert read_checkpoint(path) is None
    write_checkpoint(path, pack_checkpoint("key", TENSORS, RECORD))
    tensors, record = unpack_checkpoint(read_checkpoint(path), "key")
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_another_training_gets_nothing(caplog):
    caplog.set_level("INFO")
    assert unpack_checkpoint(pack_checkpoint("key", TENSORS, RECORD), "other", "file") is None
    assert "file belongs to another training; training starts anew" in caplog.text


@pytest.mark.parametrize("cut", [0, 1, 7, 100, -1])
def test_a_truncated_file_gives_nothing(cut, caplog):
    content = pack_checkpoint("key", TENSORS, RECORD)
    assert unpack_checkpoint(content[:cut], "key", "file") is None
    assert "file is damaged" in caplog.text


def test_removing_takes_what_a_killed_writer_left(tmp_path):
    (tmp_path / ".checkpoint.x1y2").write_bytes(b"half")
    (tmp_path / "other").write_bytes(b"")
    write_checkpoint(tmp_path / "checkpoint", b"whole")
    remove_checkpoint(tmp_path / "checkpoint")
    remove_checkpoint(tmp_path / "checkpoint")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]
