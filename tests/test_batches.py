import numpy as np
import pytest
import torch

from toy import DIM, ToyEncoder
from xingping.batches import BatchLoader
from xingping.features import StoredFeatures

TEXTS = ["好看", "", "片子里的人都看过了", "妙", "很好看", "和事", ""]


@pytest.fixture
def features():
    return StoredFeatures.of(ToyEncoder().encode(TEXTS))


@pytest.fixture
def scaling():
    generator = torch.Generator().manual_seed(0)
    return torch.randn(DIM, generator=generator), torch.rand(DIM, generator=generator) + 0.5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("piece", [1, 4, 512])
def test_a_batch_holds_scaled_vectors_and_zeros_behind_the_end(features, scaling, dtype, piece, monkeypatch):
    monkeypatch.setattr("xingping.batches.PIECE_TOKENS", piece)
    mean, scale = scaling
    order = np.array([2, 1, 0, 5, 3])
    batch = BatchLoader(mean, scale, dtype).load(features, order)
    assert batch.values.shape == (5, 9, DIM)
    assert batch.values.dtype == dtype
    assert batch.mask.sum(1).tolist() == features.lengths[order].tolist()
    for row, index in enumerate(order.tolist()):
        expected = (torch.from_numpy(features.tokens(index)).float() - mean) * scale
        torch.testing.assert_close(batch.values[row, batch.mask[row]], expected.to(dtype), atol=1e-5, rtol=1e-2)
        cls = (torch.from_numpy(features.cls(index)).float() - mean) * scale
        torch.testing.assert_close(batch.cls[row], cls.to(dtype), atol=1e-5, rtol=1e-2)
    assert not batch.values[~batch.mask].any()


def test_blocks_are_used_in_turn_and_never_show_an_older_batch(features, scaling):
    loader = BatchLoader(*scaling, slots=2)
    fresh = BatchLoader(*scaling)
    long = loader.load(features, np.array([2, 2]))
    kept = long.values.clone()
    short = loader.load(features, np.array([1, 3, 0]))
    torch.testing.assert_close(long.values, kept)
    torch.testing.assert_close(short.values, fresh.load(features, np.array([1, 3, 0])).values)
    third = loader.load(features, np.array([1, 3, 0]))
    torch.testing.assert_close(third.values, short.values)
    assert third.values.data_ptr() == long.values.data_ptr()


def test_texts_without_tokens_and_no_texts_at_all(features, scaling):
    loader = BatchLoader(*scaling)
    empty = loader.load(features, np.array([1, 6]))
    assert empty.values.shape == (2, 1, DIM)
    assert not empty.mask.any()
    assert not empty.values.any()
    nothing = loader.load(features, np.zeros(0, dtype=np.int64))
    assert nothing.values.shape == (0, 1, DIM)
