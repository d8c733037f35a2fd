"""The length of a learning-rate schedule, in optimizer steps: where it comes from, and whether it fits the training."""

from abc import abstractmethod
from collections.abc import Callable
from itertools import pairwise
from math import inf

from torch.optim.lr_scheduler import ChainedScheduler, LRScheduler, ReduceLROnPlateau, SequentialLR

from lit_cv.errors import UserError

NEEDS_METRIC = (
    "model.scheduler: ReduceLROnPlateau waits for a metric, but a schedule here advances with every step; take another "
    "one, such as lit_cv.tasks.WarmupDecayLR, or null for a constant rate."
)


class FollowsTraining(LRScheduler):
    """Schedule that takes its length from the training, unless it is given.

    Attributes:
        total_steps: Number of optimizer steps; None as long as it is unknown.
    """

    total_steps: int | None = None

    @property
    @abstractmethod
    def needs_length(self) -> bool:
        """Whether the rates depend on a length that is still unknown."""

    @abstractmethod
    def follow(self, steps: int) -> None:
        """Take the number of optimizer steps of the training, before its first step."""


def take_length(schedule: LRScheduler, steps: Callable[[], float]) -> None:
    """Give a schedule that follows the training its length.

    Args:
        schedule: The schedule.
        steps: Returns the number of optimizer steps of the training, 0 if it is not known yet; called only for a
            schedule that needs it.

    Raises:
        UserError: The training has no end.
    """
    if not isinstance(schedule, FollowsTraining) or not schedule.needs_length:
        return
    if (number := steps()) == inf:
        raise UserError(
            f"model.scheduler: {type(schedule).__name__} takes its length from the training, which has no end; set "
            "trainer.max_steps, trainer.max_epochs or model.scheduler.total_steps."
        )
    if number:
        schedule.follow(int(number))


def check_schedule(schedule: LRScheduler, steps: Callable[[], float]) -> None:
    """Check that a schedule can advance with every step of a training.

    Args:
        schedule: The schedule.
        steps: Returns the number of optimizer steps of the training; called only for a schedule that ends.

    Raises:
        UserError: It needs a metric, or raises an error after its last step, before the training ends.
    """
    if isinstance(schedule, ReduceLROnPlateau):
        raise UserError(NEEDS_METRIC)
    if (last := last_step(schedule)) < inf:
        check_length(last, steps())


def check_length(last: float, steps: float, place: str = "") -> None:
    """Check that a schedule of ``last`` steps is not shorter than the training.

    Raises:
        UserError: It is shorter.
    """
    if last < steps:
        length = "has no end" if steps == inf else f"takes {steps:.0f}"
        advice = (
            f"set trainer.max_steps to {last:.0f}"
            if place
            else "set total_steps and trainer.max_steps to the same number"
        )
        raise UserError(
            f"model.scheduler: the schedule{place} ends after {last:.0f} steps (total_steps), but the training "
            f"{length}; {advice}."
        )


def last_step(schedule: LRScheduler) -> float:
    """Return the number of steps after which a schedule refuses to advance; infinity if it never does."""
    parts = getattr(schedule, "_schedulers", [])
    if isinstance(schedule, ChainedScheduler):
        return min(map(last_step, parts))
    if isinstance(schedule, SequentialLR):
        starts = [0, *schedule._milestones, inf]
        ends = [(start + last_step(part), end) for part, (start, end) in zip(parts, pairwise(starts), strict=True)]
        return min((last for last, end in ends if last < end), default=inf)
    total = getattr(schedule, "total_steps", None)
    return inf if total is None else float(total)
