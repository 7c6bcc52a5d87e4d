import pytest
import torch

from xingping.config import HeadSettings
from xingping.pooling import (
    ClsPooling,
    LayerMix,
    MaxPooling,
    MeanPooling,
    Poolings,
    StructuredSelfAttention,
    masked_softmax,
)

VALUES = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
MASK = torch.tensor([[True, True, False], [False, False, False]])
CLS = torch.ones(2, 4)


def test_masked_softmax_ignores_padding_and_gives_zeros_for_a_full_mask():
    weights = masked_softmax(torch.tensor([[1.0, 1.0, 50.0], [1.0, 2.0, 3.0]]), MASK)
    assert weights.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 0.0]]


def test_attention_follows_the_papers_equations():
    torch.manual_seed(0)
    pooling = StructuredSelfAttention(dim=4, attention_dim=5, n_hops=2)
    H = torch.randn(1, 3, 4)
    A = torch.softmax(pooling.W_s2.weight @ torch.tanh(pooling.W_s1.weight @ H[0].T), dim=1)
    pooled = pooling(H, torch.ones(1, 3, dtype=torch.bool), CLS[:1])
    torch.testing.assert_close(pooled.attention[0], A)
    torch.testing.assert_close(pooled.vector[0], (A @ H[0]).flatten())
    assert pooled.vector.shape == (1, pooling.out_dim)


@pytest.mark.parametrize(
    "name", [("self_attention",), ("mean",), ("max",), ("cls",), ("self_attention", "mean")], ids="+".join
)
def test_padding_changes_nothing_and_an_empty_review_is_finite(name):
    torch.manual_seed(0)
    pooling = Poolings(4, HeadSettings(pooling=name, n_hops=2, attention_dim=3))
    padded = pooling(VALUES, MASK, CLS).vector
    alone = pooling(VALUES[:1, :2], MASK[:1, :2], CLS[:1]).vector
    torch.testing.assert_close(padded[:1], alone)
    assert torch.isfinite(padded).all()
    assert padded.shape == (2, pooling.out_dim)


def test_mean_maximum_and_cls_by_hand():
    assert MaxPooling(4)(VALUES, MASK, CLS).vector.tolist() == [[4.0, 5.0, 6.0, 7.0], [0.0] * 4]
    assert MeanPooling(4)(VALUES, MASK, CLS).vector.tolist() == [[2.0, 3.0, 4.0, 5.0], [0.0] * 4]
    assert ClsPooling(4)(VALUES, MASK, CLS).vector.tolist() == CLS.tolist()


@pytest.mark.parametrize(
    "name", [("self_attention",), ("mean",), ("max",), ("cls",), ("self_attention", "mean")], ids="+".join
)
def test_in_bf16_vectors_are_close_and_attention_stays_float32(name):
    torch.manual_seed(0)
    pooling = Poolings(4, HeadSettings(pooling=name, n_hops=2, attention_dim=3))
    values, mask = torch.randn(2, 3, 4), torch.tensor([[True, True, False], [True, True, True]])
    exact = pooling(values, mask, CLS)
    rounded = pooling(values.bfloat16(), mask, CLS.bfloat16())
    assert rounded.vector.dtype == torch.bfloat16
    torch.testing.assert_close(rounded.vector.float(), exact.vector, atol=0.05, rtol=0.05)
    if "self_attention" in name:
        assert rounded.attention.dtype == torch.float32
        torch.testing.assert_close(rounded.attention.sum(2), torch.ones(2, 2))


def test_poolings_stand_side_by_side():
    settings = HeadSettings(pooling=("mean", "self_attention", "cls"), n_hops=2, attention_dim=3)
    pooling = Poolings(4, settings)
    pooled = pooling(VALUES, MASK, CLS)
    assert pooling.attends
    assert pooled.vector.shape == (2, pooling.out_dim) == (2, 4 + 2 * 4 + 4)
    assert pooled.vector[0, :4].tolist() == [2.0, 3.0, 4.0, 5.0]
    assert pooled.vector[0, -4:].tolist() == [1.0] * 4
    assert pooled.attention.shape == (2, 2, 3)


def test_a_mix_of_layers_starts_as_their_mean_and_follows_its_weights():
    mix = LayerMix(2)
    vectors = torch.tensor([[[1.0, 2.0, 3.0, 6.0]]])
    assert mix(vectors).tolist() == [[[2.0, 4.0]]]
    with torch.no_grad():
        mix.weights.copy_(torch.tensor([0.0, 50.0]))
        mix.scale.fill_(2.0)
    torch.testing.assert_close(mix(vectors), torch.tensor([[[6.0, 12.0]]]))
