"""Schedules that end before the training, or that need a metric, are refused before step 0."""

import math

import pytest
import torch
from torch.optim.lr_scheduler import (
    ChainedScheduler,
    ConstantLR,
    LRScheduler,
    OneCycleLR,
    ReduceLROnPlateau,
    SequentialLR,
)

from lit_cv.errors import UserError
from lit_cv.tasks.schedules import WarmupMultiStepLR
from lit_cv.tasks.schedules.length import check_schedule, last_step


def optimizer() -> torch.optim.SGD:
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)


def one_cycle(of: torch.optim.Optimizer, steps: int) -> OneCycleLR:
    return OneCycleLR(of, max_lr=1.0, total_steps=steps)


def steps_until_refused(schedule: LRScheduler) -> float:
    for step in range(200):
        try:
            schedule.optimizer.step()
            schedule.step()
        except ValueError:
            return step
    return math.inf


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "build",
    [
        lambda of: WarmupMultiStepLR(of, 5),
        lambda of: one_cycle(of, 7),
        lambda of: ChainedScheduler([ConstantLR(of), one_cycle(of, 30)], of),
        lambda of: SequentialLR(of, [ConstantLR(of), one_cycle(of, 30)], [10]),
        lambda of: SequentialLR(of, [one_cycle(of, 4), ConstantLR(of)], [10]),
        lambda of: SequentialLR(of, [one_cycle(of, 10), ConstantLR(of)], [10]),
    ],
)
def test_last_step_is_the_one_after_which_pytorch_refuses(build) -> None:
    schedule = build(optimizer())
    expected = last_step(schedule)
    assert steps_until_refused(schedule) == expected


def test_shorter_schedule_is_refused_and_an_endless_one_does_not_ask_for_the_steps() -> None:
    check_schedule(one_cycle(optimizer(), 5), lambda: 5)
    with pytest.raises(
        UserError, match=r"^model.scheduler: the schedule ends after 5 steps .* but the training takes 6;"
    ):
        check_schedule(one_cycle(optimizer(), 5), lambda: 6)
    with pytest.raises(UserError, match="the training has no end"):
        check_schedule(one_cycle(optimizer(), 5), lambda: math.inf)
    check_schedule(WarmupMultiStepLR(optimizer(), 5), pytest.fail)


def test_schedule_that_waits_for_a_metric_is_refused() -> None:
    with pytest.raises(UserError, match=r"^model.scheduler: ReduceLROnPlateau waits for a metric"):
        check_schedule(ReduceLROnPlateau(optimizer()), lambda: 5)
