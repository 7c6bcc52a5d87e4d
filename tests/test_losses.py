import numpy as np
import pytest
import torch
from torch.nn import functional as F

from xingping.config import HeadSettings, TrainingSettings
from xingping.losses import (
    RatingLoss,
    coral_loss,
    corn_loss,
    cross_entropy,
    focal_loss,
    ranked_probability_score,
    redundancy_penalty,
    soft_label_loss,
)

RATINGS = np.array([1, 2, 3, 4, 5])


def loss(task, ratings=RATINGS, head=None, **settings):
    return RatingLoss(task, head or HeadSettings(), TrainingSettings(**settings), ratings)


def test_penalty_is_zero_for_hops_on_tokens_of_their_own_and_largest_for_equal_ones():
    apart = torch.eye(2).unsqueeze(0)
    together = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]])
    spread = torch.full((1, 2, 2), 0.5)
    assert redundancy_penalty(apart).item() == 0
    assert redundancy_penalty(together).item() == 2
    assert redundancy_penalty(spread).item() == pytest.approx(4 * 0.25)


def test_cross_entropy_counts_ratings_from_one():
    scores = torch.tensor([[0.0, 0.0, 0.0, 0.0, np.log(4.0)]])
    assert loss("classification")(scores, torch.tensor([5])).item() == pytest.approx(np.log(2))


def test_squared_error_is_in_stars_and_huber_is_linear_beyond_one():
    scores, ratings = torch.tensor([[3.0], [5.0]]), torch.tensor([4, 2])
    assert loss("regression")(scores, ratings).item() == 5
    assert loss("regression", regression_loss="huber")(scores, ratings).item() == pytest.approx((0.5 + 2.5) / 2)


def test_parts_of_a_batch_add_up_to_the_whole():
    scores, ratings = torch.randn(6, 5), torch.tensor([1, 2, 3, 4, 5, 5])
    whole = loss("classification", class_weights="balanced")
    parts = whole(scores[:2], ratings[:2], of=6) + whole(scores[2:], ratings[2:], of=6)
    torch.testing.assert_close(parts, whole(scores, ratings))


def test_soft_labels_share_with_the_neighbours_by_their_distance():
    labels = torch.softmax(-torch.tensor([1.0, 0.0, 1.0, 4.0, 9.0]) / 0.5, dim=0)
    scores = torch.randn(1, 5)
    by_hand = -(labels * F.log_softmax(scores[0], dim=0)).sum()
    torch.testing.assert_close(soft_label_loss(scores, torch.tensor([1]), 0.5)[0], by_hand)
    # The least loss is the labels' own entropy, at scores that are their logarithms.
    least = soft_label_loss(labels.log()[None], torch.tensor([1]), 0.5)[0]
    torch.testing.assert_close(least, -(labels * labels.log()).sum())


def test_focal_loss_is_cross_entropy_at_gamma_zero_and_forgets_sure_answers():
    scores, classes = torch.randn(8, 5), torch.arange(8) % 5
    torch.testing.assert_close(focal_loss(scores, classes, 0.0), cross_entropy(scores, classes))
    p = torch.softmax(scores, dim=1)[torch.arange(8), classes]
    torch.testing.assert_close(focal_loss(scores, classes, 2.0), -((1 - p) ** 2) * p.log())


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0])
@pytest.mark.parametrize("lead", [15.0, 18.0, 60.0])
def test_focal_loss_learns_nothing_wrong_from_what_is_certain(gamma, lead):
    scores = torch.zeros(1, 5)
    scores[0, 2] = lead
    scores.requires_grad_()
    focal_loss(scores, torch.tensor([2]), gamma).sum().backward()
    assert scores.grad.abs().max() < 1e-3


def test_ranked_probability_score_by_hand_and_by_the_distance_moved():
    certain = torch.full((1, 5), -40.0)
    certain[0, 3] = 40.0
    # All of the probability on one star is as many thresholds off as stars.
    assert ranked_probability_score(certain.repeat(5, 1), torch.arange(5)).tolist() == pytest.approx([3, 2, 1, 0, 1])
    even = ranked_probability_score(torch.zeros(1, 5), torch.tensor([0])).item()
    assert even == pytest.approx(0.8**2 + 0.6**2 + 0.4**2 + 0.2**2)


def test_ranked_probability_score_is_least_at_the_true_distribution():
    true = torch.tensor([0.1, 0.1, 0.2, 0.4, 0.2])
    classes = torch.arange(5)

    def expected_score(probabilities):
        return (true * ranked_probability_score(probabilities.log().expand(5, 5), classes)).sum()

    best = expected_score(true)
    for shift in torch.eye(5):
        assert expected_score((true + 0.1 * shift) / 1.1) > best


def test_coral_by_hand():
    scores = torch.tensor([[2.0, 1.0, -1.0, -2.0]])
    above = torch.tensor([1.0, 1.0, 0.0, 0.0])  # three stars are above the first two thresholds
    by_hand = F.binary_cross_entropy(torch.sigmoid(scores[0]), above, reduction="sum")
    torch.testing.assert_close(coral_loss(scores, torch.tensor([2]))[0], by_hand)


def test_corn_is_the_negative_log_probability_of_the_true_star():
    scores = torch.randn(5, 4)
    passed = torch.sigmoid(scores)
    above = torch.cat([torch.ones(5, 1), passed.cumprod(dim=1), torch.zeros(5, 1)], dim=1)
    probability = (above[:, :-1] - above[:, 1:])[torch.arange(5), torch.arange(5)]
    torch.testing.assert_close(corn_loss(scores, torch.arange(5)), -probability.log())


def test_balanced_weights_give_each_star_the_same_sum_and_a_mean_of_one():
    ratings = np.array([5] * 8 + [1] * 2)
    weighted, plain = loss("classification", ratings, class_weights="balanced"), loss("classification", ratings)
    scores = torch.zeros(10, 5)
    torch.testing.assert_close(weighted(scores, torch.from_numpy(ratings)), plain(scores, torch.from_numpy(ratings)))
    one, five = (weighted(torch.zeros(1, 5), torch.tensor([star])).item() for star in (1, 5))
    assert one == pytest.approx(4 * five)


def test_several_losses_are_added_up():
    scores, ratings = torch.randn(4, 5), torch.tensor([1, 2, 4, 5])
    both = loss("classification", classification_loss=("cross_entropy", "emd"))(scores, ratings)
    alone = [loss("classification", classification_loss=(name,))(scores, ratings) for name in ("cross_entropy", "emd")]
    torch.testing.assert_close(both, sum(alone))


@pytest.mark.parametrize("ordinal", ["coral", "corn"])
def test_ordinal_losses_belong_to_their_outputs(ordinal):
    scores, ratings = torch.randn(5, 4), torch.arange(1, 6)
    part = {"coral": coral_loss, "corn": corn_loss}[ordinal]
    whole = loss("ordinal", head=HeadSettings(ordinal=ordinal))(scores, ratings)
    torch.testing.assert_close(whole, part(scores, ratings - 1).mean())
