import numpy as np
import pytest
import torch

from xingping.heads import HeadOutput
from xingping.losses import rating_loss, redundancy_penalty


def output(scores):
    return HeadOutput(torch.tensor(scores), torch.zeros(len(scores), 1), None)


def test_penalty_is_zero_for_hops_on_tokens_of_their_own_and_largest_for_equal_ones():
    apart = torch.eye(2).unsqueeze(0)
    together = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    spread = torch.full((1, 2, 2), 0.5)
    assert redundancy_penalty(apart).item() == 0
    assert redundancy_penalty(together).item() == 2
    assert redundancy_penalty(spread).item() == pytest.approx(4 * 0.25)


def test_cross_entropy_counts_ratings_from_one():
    loss = rating_loss(output([[0.0, 0.0, 0.0, 0.0, np.log(4.0)]]), torch.tensor([5]), "classification")
    assert loss.item() == pytest.approx(np.log(2))


def test_squared_error_is_in_stars():
    assert rating_loss(output([[3.0], [5.0]]), torch.tensor([4, 2]), "regression").item() == 5
