"""Linear warm-up, then one of the usual decays."""

from bisect import bisect_right
from collections.abc import Sequence
from math import cos, pi
from typing import Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from lit_cv.errors import UserError
from lit_cv.tasks.schedules.length import FollowsTraining

Decay = Literal["cosine", "poly", "steps", "constant"]


class WarmupDecayLR(FollowsTraining):
    """Linear warm-up to the optimizer's rate, then a decay over the rest of the training.

    With p from 0 at the end of the warm-up to 1 after the last step, the decay is

    * ``cosine``: ``end_factor + (1 - end_factor) * (1 + cos(pi * p)) / 2`` (Loshchilov and Hutter 2017),
    * ``poly``: ``end_factor + (1 - end_factor) * (1 - p) ** power`` (DeepLab, Chen et al. 2017, section 4.1),
    * ``steps``: a factor of ``gamma`` at each milestone,
    * ``constant``: none.

    Args:
        optimizer: The optimizer; its rate, that of each group of parameters, is the peak.
        warmup_steps: Length of the warm-up in steps; a number below 1 is a share of the training.
        decay: Form of the decay.
        end_factor: Fraction of the full rate after the last step, of ``cosine`` and ``poly``.
        power: Exponent of ``poly``.
        milestones: Steps at which the rate drops, of ``steps``; a number below 1 is a share of the training.
        gamma: Factor of a drop.
        start_factor: Fraction of the full rate at step 0, if there is a warm-up.
        total_steps: Length in optimizer steps, by default that of the training.

    Raises:
        ValueError: A length is negative or a fraction above 1, or ``milestones`` and ``decay`` do not fit.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        warmup_steps: int | float = 500,
        decay: Decay = "cosine",
        end_factor: float = 0.0,
        power: float = 0.9,
        milestones: list[int | float] | None = None,
        gamma: float = 0.1,
        start_factor: float = 0.001,
        total_steps: int | None = None,
    ) -> None:
        _check("warmup_steps", [warmup_steps])
        _check("milestones", milestones or [])
        if bool(milestones) != (decay == "steps"):
            raise ValueError(f"milestones {milestones} with decay {decay}: `steps`, and no other decay, has milestones")
        if total_steps is not None and total_steps < 1:
            raise ValueError(f"total_steps is {total_steps}, expected at least 1")
        self.warmup_steps, self.decay, self.milestones = warmup_steps, decay, milestones or []
        self.end_factor, self.power, self.gamma, self.start_factor = end_factor, power, gamma, start_factor
        self.total_steps = total_steps
        LRScheduler.__init__(self, optimizer)

    @property
    def needs_length(self) -> bool:
        """Whether the rates depend on a length that is still unknown."""
        shares = any(0 < length < 1 for length in (self.warmup_steps, *self.milestones))
        return self.total_steps is None and (shares or self.decay in ("cosine", "poly"))

    def follow(self, steps: int) -> None:
        """Begin a schedule of this length."""
        self.total_steps = steps
        LRScheduler.__init__(self, self.optimizer)

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each group."""
        factor = self._factor(self.last_epoch)
        return [rate * factor for rate in self.base_lrs]

    def _factor(self, step: int) -> float:
        if self.needs_length:
            if step == 0:
                return 1.0
            raise UserError(
                "model.scheduler: WarmupDecayLR has no length, because the training's is unknown; set total_steps."
            )
        warmup = self._steps(self.warmup_steps)
        if step < warmup:
            return self.start_factor + (1 - self.start_factor) * step / warmup
        if self.decay == "constant":
            return 1.0
        if self.decay == "steps":
            return float(self.gamma ** bisect_right(sorted(map(self._steps, self.milestones)), step))
        whole = self.total_steps or 0
        left = max(0.0, 1 - (step - warmup) / max(1, whole - warmup))
        form = (1 - cos(pi * left)) / 2 if self.decay == "cosine" else left**self.power
        return float(self.end_factor + (1 - self.end_factor) * form)

    def _steps(self, length: float) -> int:
        return round(length * (self.total_steps or 0)) if length < 1 else int(length)


def _check(name: str, lengths: Sequence[float]) -> None:
    for length in lengths:
        if length < 0 or (length > 1 and length != int(length)):
            raise ValueError(f"{name} has {length}, expected a number of steps or a share of them below 1")
