"""A training and its schedule: how the length and the checks come to it."""

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_cv.errors import refused
from lit_cv.tasks.schedules.length import check_length, check_schedule, take_length
from lit_cv.tasks.schedules.notes import tell_overruled, tell_unfinished_warmup


def scheduled(optimizer: Optimizer, scheduler: Callable[[Optimizer], Any], trainer: L.Trainer) -> LRScheduler:
    """Build the schedule of an optimizer.

    Raises:
        UserError: A setting has no meaning, or the schedule needs a metric or ends before the training.
    """
    rates = [float(group["lr"]) for group in optimizer.param_groups]
    with refused("model.scheduler"):
        schedule: LRScheduler = scheduler(optimizer)
        take_length(schedule, lambda: _given_steps(trainer))
    tell_overruled(schedule, rates)
    check_schedule(schedule, lambda: _given_steps(trainer))
    return schedule


def follow_training(trainer: L.Trainer) -> None:
    """Give the schedules their length, and check them again, if the number of steps follows from epochs.

    Raises:
        UserError: A schedule ends before the training.
    """
    with suppress(MisconfigurationException):  # the number of batches of a step changes, so no number is known
        steps = trainer.estimated_stepping_batches
        for config in trainer.lr_scheduler_configs:
            take_length(config.scheduler, lambda: steps)
            check_schedule(config.scheduler, lambda: steps)
            tell_unfinished_warmup(config.scheduler, steps)


def check_saved_length(states: Iterable[Mapping[str, Any]], trainer: L.Trainer) -> None:
    """Check that the schedules of a checkpoint are not shorter than the training.

    Raises:
        UserError: One is.
    """
    for state in states:
        if state.get("total_steps"):
            check_length(state["total_steps"], _given_steps(trainer), " of the checkpoint")


def _given_steps(trainer: L.Trainer) -> float:
    """Return the number of steps, 0 if it follows from epochs: to ask for it sets up the data too early."""
    return trainer.max_steps if trainer.max_epochs == -1 and trainer.max_steps > 0 else 0
