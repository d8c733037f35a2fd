"""Learning-rate schedules, counted in optimiser steps."""

from bisect import bisect_right
from functools import partial
from itertools import accumulate

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupMultiStepLR(LambdaLR):
    """Linear warm-up, then a drop by `gamma` at each milestone: the schedule of most detection papers.

    The rate at step t is `lr * min(1, s + (1 - s) * t / warmup_steps) * gamma ** n` with s the `start_factor` and n the
    number of milestones up to t (Goyal et al. 2017, section 2.2, for the warm-up).

    Args:
        optimizer: the optimiser whose rates are set.
        warmup_steps: length of the warm-up in steps; 0 for none.
        milestones: steps at which the rate drops, increasing.
        gamma: factor of a drop.
        start_factor: share of the rate at step 0.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int = 500,
        milestones: list[int] | None = None,
        gamma: float = 0.1,
        start_factor: float = 0.001,
    ) -> None:
        milestones = sorted(milestones or [])
        super().__init__(optimizer, partial(_factor, warmup_steps, milestones, gamma, start_factor))


def _factor(warmup_steps: int, milestones: list[int], gamma: float, start_factor: float, step: int) -> float:
    warmup = start_factor + (1 - start_factor) * min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return float(warmup * gamma ** bisect_right(milestones, step))


class RestartingStepLR(LambdaLR):
    """The full rate and then a drop by `gamma`, anew in each of several stretches of training.

    The schedule of trainings in several steps, such as `lit_cv.callbacks.AlternatingTraining`. After the last stretch
    the rate stays.

    Args:
        optimizer: the optimiser whose rates are set.
        lengths: of the stretches, in steps.
        drop_at: the share of each stretch after which the rate drops, in [0, 1].
        gamma: factor of a drop.
    """

    def __init__(self, optimizer: Optimizer, lengths: list[int], drop_at: float = 0.75, gamma: float = 0.1) -> None:
        ends = list(accumulate(lengths))
        drops = [end - length + round(drop_at * length) for end, length in zip(ends, lengths, strict=True)]
        super().__init__(optimizer, partial(_restarting_factor, ends, drops, gamma))


def _restarting_factor(ends: list[int], drops: list[int], gamma: float, step: int) -> float:
    stretch = min(bisect_right(ends, step), len(ends) - 1)
    return gamma if step >= drops[stretch] else 1.0
