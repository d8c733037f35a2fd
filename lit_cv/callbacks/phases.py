"""Training in phases: a classifier on fixed features, then both heads, then everything."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lit_cv.callbacks.freezing import Part, freeze_only, refuse_strategy
from lit_cv.errors import UserError

PARTS = ("backbone", "class_head", "box_head")


class TrainingPhases(Callback):
    """Freeze, heads, joint: train more of a network as the optimiser's steps go on.

    * ``freeze``, up to step ``heads_at``: only ``class_head`` trains, the classifier of new classes on fixed features;
    * ``heads``, from step ``heads_at``: ``box_head`` too, still on the fixed backbone;
    * ``joint``, from step ``joint_at``: everything, but for what is never trained (``trainable_layers``).

    The phase is a function of the step alone, so a run that is resumed goes on in it. The optimiser is built over all
    parameters before the first phase, and the learning rate follows its own schedule. What is frozen does not move at
    all: it gets no gradient, so the optimiser leaves it out, also with its weight decay and momentum, and it is in eval
    mode, so that the statistics of its batch norm stay.

    With several processes, plain ``ddp`` cannot do without the gradients of the frozen parts: use
    ``trainer.strategy: ddp_find_unused_parameters_true``, not ``fsdp2``.

    Args:
        heads_at: The optimiser step from which the box head trains, >= 0; 0 for no first phase.
        joint_at: The optimiser step from which everything trains, >= ``heads_at``.

    Raises:
        UserError: The steps are not in order, the network lacks one of the parts, or the strategy is a plain ``ddp`` or
            ``fsdp2``.
    """

    def __init__(self, heads_at: int, joint_at: int) -> None:
        if not 0 <= heads_at <= joint_at:
            raise UserError(f"heads_at={heads_at}, joint_at={joint_at}: give steps with 0 <= heads_at <= joint_at.")
        self.heads_at, self.joint_at = heads_at, joint_at
        self._parts: dict[str, Part] = {}

    def frozen(self, step: int) -> tuple[str, ...]:
        """Return the names of the parts that do not train in an optimiser step."""
        if step < self.heads_at:
            return ("backbone", "box_head")
        return ("backbone",) if step < self.joint_at else ()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Note what trains in the last phase."""
        network = pl_module.network
        missing = [name for name in PARTS if not isinstance(getattr(network, name, None), nn.Module)]
        if missing:
            raise UserError(
                f"TrainingPhases: {type(network).__name__} has no {' and no '.join(missing)}; "
                "take the callback out or choose a network with two heads, such as LocalizationNet."
            )
        refuse_strategy(self, trainer)
        self._parts = {name: Part(getattr(network, name)) for name in PARTS}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Freeze what does not train in this step, and only that."""
        freeze_only(self._parts, self.frozen(trainer.global_step))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Leave the network as it was found, however short the training was."""
        freeze_only(self._parts, ())
