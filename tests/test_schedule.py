import pytest
import torch

from xingping.schedule import one_cycle


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
