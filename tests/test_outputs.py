import numpy as np
import pytest
import torch

from xingping.config import HeadSettings
from xingping.outputs import make_output

RATINGS = np.repeat([1, 2, 3, 4, 5], [5, 10, 20, 45, 20])
KINDS = [("classification", "corn"), ("ordinal", "coral"), ("ordinal", "corn")]


@pytest.fixture(params=KINDS, ids="-".join)
def output(request):
    torch.manual_seed(0)
    task, ordinal = request.param
    return make_output(8, task, HeadSettings(ordinal=ordinal))


def test_an_untrained_output_answers_with_the_shares(output):
    output.start_from(RATINGS)
    with torch.no_grad():
        scores = output(torch.zeros(1, 8)).numpy()
    assert scores.shape == (1, output.n_scores)
    counts = np.bincount(RATINGS)[1:] + 1
    np.testing.assert_allclose(output.probabilities(scores)[0], counts / counts.sum(), atol=1e-6)


def test_probabilities_are_probabilities_whatever_the_scores(output):
    scores = np.random.default_rng(0).normal(0, 30, (500, output.n_scores)).astype(np.float32)
    probabilities = output.probabilities(scores)
    assert probabilities.shape == (500, 5)
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1)


def test_traced_probabilities_are_the_same_and_have_gradients(output):
    scores = torch.randn(50, output.n_scores, dtype=torch.float64, requires_grad=True)
    traced = output.traced_probabilities(scores)
    np.testing.assert_allclose(traced.detach().numpy(), output.probabilities(scores.detach().numpy()), atol=1e-12)
    (gradient,) = torch.autograd.grad(traced[:, 4].sum(), scores)
    assert gradient.abs().sum() > 0


def test_a_real_number_starts_at_the_mean_and_has_no_probabilities():
    output = make_output(8, "regression", HeadSettings())
    output.start_from(RATINGS)
    scores = output(torch.zeros(1, 8)).detach().numpy()
    assert scores[0, 0] == pytest.approx(RATINGS.mean())
    assert output.probabilities(scores) is None
    assert output.traced_probabilities(torch.from_numpy(scores)) is None


def test_corals_thresholds_share_their_weights():
    output = make_output(8, "ordinal", HeadSettings(ordinal="coral"))
    scores = output(torch.randn(50, 8)).detach()
    gaps = scores - scores[:, :1]
    torch.testing.assert_close(gaps, gaps[:1].expand(50, 4))
