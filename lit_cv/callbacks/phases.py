"""Training in phases: a classifier on fixed features, then both heads, then everything."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lit_cv.callbacks.freezing import Part, freeze_only, refuse_strategy
from lit_cv.errors import UserError

PARTS = ("backbone", "class_head", "box_head")


class TrainingPhases(Callback):
    """Train more and more parts of a network: freeze, heads, joint.

    * ``freeze``, up to step ``heads_at``: only ``class_head`` trains, the classifier of new classes on fixed features;
    * ``heads``, from step ``heads_at``: ``box_head`` too, still on the fixed backbone;
    * ``joint``, from step ``joint_at``: everything except the layers that ``trainable_layers`` excludes.

    The phase depends only on the step, so a resumed run continues in it. The optimizer is built over all parameters
    before the first phase, and the learning rate follows its own schedule. Frozen parts do not change at all: they get
    no gradient, so the optimizer skips them, also with weight decay and momentum, and they are in eval mode, which
    keeps the statistics of their batch norms.

    With several processes, plain ``ddp`` needs the gradients of the frozen parts: use
    ``trainer.strategy: ddp_find_unused_parameters_true``, not ``fsdp2``.

    Args:
        heads_at: First optimizer step that trains the box head, >= 0; 0 skips the first phase.
        joint_at: First optimizer step that trains everything, >= ``heads_at``.

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
        """Return the names of the parts that are frozen in an optimizer step."""
        if step < self.heads_at:
            return ("backbone", "box_head")
        return ("backbone",) if step < self.joint_at else ()

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the trainable parameters."""
        network = pl_module.network
        missing = [name for name in PARTS if not isinstance(getattr(network, name, None), nn.Module)]
        if missing:
            raise UserError(
                f"TrainingPhases: {type(network).__name__} has no {' and no '.join(missing)}; "
                "remove the callback or choose a network with two heads, such as LocalizationNet."
            )
        refuse_strategy(self, trainer)
        self._parts = {name: Part(getattr(network, name)) for name in PARTS}

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Freeze exactly the parts that this step does not train."""
        freeze_only(self._parts, self.frozen(trainer.global_step))

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the network's original state, even after a short training."""
        freeze_only(self._parts, ())
