import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from test_training import HEAD, TRAINING, labelled
from xingping.ranks import Ranks
from xingping.training import train_head

EXACT = TRAINING.model_copy(update={"epochs": 3, "precision": "fp32", "batch_size": 33})
"""599 reviews in batches of 33: the last has 5, and with two processes their shares differ."""


def trained(**options):
    return train_head("classification", labelled(599, 1)[1], labelled(101, 2)[1], HEAD, EXACT, seed=0, **options)


def work(rank, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    seen = []
    try:
        undisturbed = trained()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("xingping.training.CHECKPOINT_SECONDS", 0.0)
            with pytest.raises(KeyboardInterrupt):
                trained(checkpoint=folder / "checkpoint", progress=Stop(25))
        dist.barrier()
        resumed = trained(checkpoint=folder / "checkpoint", progress=seen.append)
    finally:
        dist.destroy_process_group()
    results = [(result.head.state_dict(), result.history()) for result in (undisturbed, resumed)]
    torch.save((results, sum(seen)), folder / f"rank{rank}.pt")


class Stop:
    def __init__(self, steps):
        self.steps = steps

    def __call__(self, _done):
        self.steps -= 1
        if not self.steps:
            raise KeyboardInterrupt


def test_two_processes_learn_what_one_does_and_go_on_together(tmp_path):
    mp.spawn(work, (tmp_path,), nprocs=2)
    (first, seen), (second, _) = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    alone = trained()
    states, histories = zip(*first, *second, strict=True)
    for name, value in alone.head.state_dict().items():
        assert all(torch.equal(state[name], states[0][name]) for state in states)
        torch.testing.assert_close(states[0][name], value, atol=2e-3, rtol=1e-2)
    for epochs in zip(*(history["epochs"] for history in [*histories, alone.history()]), strict=True):
        assert len({epoch["valid_loss"] for epoch in epochs[:-1]}) == 1
        for name in ("train_loss", "valid_loss", "valid_mae"):
            assert epochs[0][name] == pytest.approx(epochs[-1][name], abs=1e-3)
    assert seen == 3 * 599
    assert not (tmp_path / "checkpoint").exists()


def test_alone_nothing_is_exchanged():
    ranks = Ranks.here()
    assert (ranks.rank, ranks.count) == (0, 1)
    tensor = torch.ones(2)
    ranks.sum([tensor])
    assert tensor.tolist() == [1, 1]
    assert ranks.first("what it holds") == "what it holds"
    assert list(range(5))[ranks.share] == [0, 1, 2, 3, 4]
    assert list(range(5))[Ranks(1, 2).share] == [1, 3]
