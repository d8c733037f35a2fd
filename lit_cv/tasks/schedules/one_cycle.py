"""The one-cycle policy, with the optimizer's rate as its peak."""

from typing import Literal

from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler, OneCycleLR

from lit_cv.errors import UserError
from lit_cv.tasks.schedules.length import FollowsTraining


class OneCycle(FollowsTraining, OneCycleLR):  # type: ignore[misc]
    """``torch.optim.lr_scheduler.OneCycleLR`` whose peak is the optimizer's rate and whose length is the training's.

    The rate rises from ``lr / div_factor`` to ``lr`` and then falls to ``lr / (div_factor * final_div_factor)``; the
    momentum, or AdamW's beta1, moves the other way (Smith and Topin 2017). Each group of parameters has its own peak.

    Args:
        optimizer: The optimizer.
        total_steps: Length in optimizer steps, by default that of the training.
        pct_start: Share of the steps in which the rate rises, in [0, 1].
        anneal_strategy: Form of rise and fall.
        cycle_momentum: Whether the momentum moves.
        base_momentum: Momentum at the peak of the rate.
        max_momentum: Momentum at both ends.
        div_factor: Ratio of the peak to the first rate.
        final_div_factor: Ratio of the first rate to the last one.
        three_phase: Whether the rate falls to the first rate in the same time as it rises, and then to the last one.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        total_steps: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: Literal["cos", "linear"] = "cos",
        cycle_momentum: bool = True,
        base_momentum: float = 0.85,
        max_momentum: float = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
    ) -> None:
        self._peaks = [float(group["lr"]) for group in optimizer.param_groups]
        self._settings = {
            "pct_start": pct_start,
            "anneal_strategy": anneal_strategy,
            "cycle_momentum": cycle_momentum,
            "base_momentum": base_momentum,
            "max_momentum": max_momentum,
            "div_factor": div_factor,
            "final_div_factor": final_div_factor,
            "three_phase": three_phase,
        }
        self.optimizer = optimizer
        if total_steps is None:
            LRScheduler.__init__(self, optimizer)
        else:
            self.follow(total_steps)

    @property
    def needs_length(self) -> bool:
        """Whether the length is still unknown."""
        return self.total_steps is None

    def follow(self, steps: int) -> None:
        """Begin a cycle of this length."""
        OneCycleLR.__init__(self, self.optimizer, self._peaks, steps, **self._settings)  # type: ignore[arg-type]

    def get_lr(self) -> list[float | Tensor]:
        """Return the rate of each group; before the length is known, that of the optimizer."""
        if self.total_steps is not None:
            return super().get_lr()
        if self.last_epoch:
            raise UserError(
                "model.scheduler: OneCycle has no length, because the training's is unknown; set total_steps."
            )
        return [*self._peaks]
