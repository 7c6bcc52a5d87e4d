import pytest
import torch

from xingping.config import TrainingSettings
from xingping.schedule import one_cycle, training_length, warm_up_and_fall


@pytest.mark.parametrize("steps", [1, 5, 18, 19, 20, 100, 1000])
def test_rates_are_those_of_torch(steps):
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=0.02)
    if steps == 19:  # torch divides by zero here: the turn is at the very first step
        assert one_cycle(0, 19, 0.02)[0] == pytest.approx(0.02)
        return
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.02, total_steps=steps + 1, pct_start=0.05)
    for step in range(steps):
        group = optimizer.param_groups[0]
        assert one_cycle(step, steps, 0.02) == pytest.approx((group["lr"], group["betas"][0]))
        optimizer.step()
        schedule.step()


@pytest.mark.parametrize("decay", ["linear", "cosine"])
@pytest.mark.parametrize("warm_up", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("steps", [1, 2, 10, 1000])
def test_rates_rise_to_the_peak_and_fall(steps, warm_up, decay):
    rates = [warm_up_and_fall(step, steps, warm_up, decay) for step in range(steps)]
    top = rates.index(max(rates))
    assert max(rates) == pytest.approx(1.0)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    assert min(rates) > 0
    assert top == pytest.approx(warm_up * steps, abs=1)
    if steps == 1000:
        assert rates[-1] < 0.02


def test_few_reviews_are_gone_through_more_often_unless_epochs_are_given():
    settings = TrainingSettings()
    assert training_length(settings, 30_000) == (8, 2)
    assert training_length(settings, 640) == (40, 10)
    assert training_length(settings, 1) == (400, 100)
    assert training_length(settings.model_copy(update={"batch_size": 10}), 640) == (8, 2)
    assert training_length(settings.model_copy(update={"epochs": 3}), 640) == (3, 2)
    assert training_length(settings.model_copy(update={"patience": 1}), 640) == (40, 1)
