"""Schedules of detection papers: drops at given steps."""

from bisect import bisect_right
from functools import partial
from itertools import accumulate

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR


class WarmupMultiStepLR(LambdaLR):
    """Linear warm-up, then a drop by ``gamma`` at each milestone: the schedule of most detection papers.

    The rate at step t is ``lr * min(1, s + (1 - s) * t / warmup_steps) * gamma ** n``, where s is ``start_factor`` and
    n is the number of milestones up to t (Goyal et al. 2017, section 2.2, for the warm-up).

    Args:
        optimizer: The optimizer.
        warmup_steps: Length of the warm-up in steps; 0 for no warm-up.
        milestones: Steps at which the rate drops, increasing.
        gamma: Factor of a drop.
        start_factor: Fraction of the full rate at step 0.
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
        self.warmup_steps = warmup_steps
        super().__init__(optimizer, partial(_factor, warmup_steps, milestones, gamma, start_factor))


def _factor(warmup_steps: int, milestones: list[int], gamma: float, start_factor: float, step: int) -> float:
    warmup = start_factor + (1 - start_factor) * min(1.0, step / warmup_steps) if warmup_steps else 1.0
    return float(warmup * gamma ** bisect_right(milestones, step))


class RestartingStepLR(LambdaLR):
    """The full rate and then a drop by ``gamma``, in each of several stages of the training.

    It is the schedule of trainings in several stages, such as ``lit_cv.callbacks.AlternatingTraining``. The rate stays
    constant after the last stage.

    Args:
        optimizer: The optimizer.
        lengths: Lengths of the stages, in steps.
        drop_at: Fraction of each stage after which the rate drops, in [0, 1].
        gamma: Factor of a drop.
    """

    def __init__(self, optimizer: Optimizer, lengths: list[int], drop_at: float = 0.75, gamma: float = 0.1) -> None:
        ends = list(accumulate(lengths))
        drops = [end - length + round(drop_at * length) for end, length in zip(ends, lengths, strict=True)]
        super().__init__(optimizer, partial(_restarting_factor, ends, drops, gamma))


def _restarting_factor(ends: list[int], drops: list[int], gamma: float, step: int) -> float:
    stage = min(bisect_right(ends, step), len(ends) - 1)
    return gamma if step >= drops[stage] else 1.0
