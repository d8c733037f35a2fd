"""Sentences for schedules whose highest rate is not the optimizer's."""

from collections.abc import Sequence

from lightning.pytorch.utilities import rank_zero_only
from torch.optim import Optimizer
from torch.optim.lr_scheduler import CyclicLR, LRScheduler, OneCycleLR

from lit_cv.runs.prose import say
from lit_cv.tasks.schedules.length import FollowsTraining


@rank_zero_only
def tell_overruled(schedule: LRScheduler, rates: Sequence[float]) -> None:
    """Say that a schedule of PyTorch takes its rates from its own settings, if they are not the optimizer's.

    Args:
        schedule: The schedule.
        rates: Rate of each group of parameters before the schedule was built.
    """
    if isinstance(schedule, FollowsTraining) or not isinstance(schedule, OneCycleLR | CyclicLR):
        return
    groups = schedule.optimizer.param_groups
    peaks = schedule.max_lrs if isinstance(schedule, CyclicLR) else [float(group["max_lr"]) for group in groups]
    if peaks != list(rates):
        name = type(schedule).__name__
        say(
            f"note: model.scheduler: {name} takes its rates from max_lr ({peaks[0]:g}), so model.optimizer.lr "
            f"({rates[0]:g}) has no effect; lit_cv.tasks.OneCycle takes its peak from the optimizer."
        )


def peaks(optimizer: Optimizer) -> list[float]:
    """Return the highest rate that the schedule is built for, of each group of parameters."""
    return [float(group.get("max_lr", group.get("initial_lr", group["lr"]))) for group in optimizer.param_groups]


@rank_zero_only
def tell_continued(used: Sequence[float], given: Sequence[float]) -> None:
    """Say that a checkpoint has brought other rates than those of the settings, if it has.

    Args:
        used: ``peaks`` after the start.
        given: ``peaks`` before.
    """
    if list(used) != list(given):
        say(
            f"note: model.optimizer.lr: the training of the checkpoint continues at its own rate ({max(used):g}); "
            f"{max(given):g} has no effect."
        )


@rank_zero_only
def tell_unfinished_warmup(schedule: LRScheduler, steps: float) -> None:
    """Say that the training ends before the warm-up of a schedule, if it does.

    Args:
        schedule: The schedule.
        steps: Number of optimizer steps of the training.
    """
    warmup = getattr(schedule, "warmup_steps", 0)
    if warmup >= steps:
        say(
            f"note: model.scheduler: the warm-up takes {warmup:.0f} steps and the training {steps:.0f}, so the rate "
            "does not reach model.optimizer.lr."
        )
