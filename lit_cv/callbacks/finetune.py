"""Fine-tuning of a backbone that starts after a number of steps."""

from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from torch import nn

from lit_cv.callbacks.freezing import Part, refuse_strategy
from lit_cv.errors import UserError


class FinetuneBackbone(Callback):
    """Keep the network's ``backbone`` fixed until an optimizer step, then train it with the rest.

    DenseCap's ``finetune_cnn_after`` (Johnson et al. 2016, section 3.4). The frozen backbone gets no gradient and is
    in eval mode. The optimizer holds it from the start, and the learning rate follows its own schedule. Layers that
    ``trainable_layers`` excludes never train. The phase depends only on the step, so a resumed run continues in it.

    With several processes use ``trainer.strategy: ddp_find_unused_parameters_true``, not ``fsdp2``.

    Args:
        after: First optimizer step that trains the backbone, >= 0.

    Raises:
        UserError: The step is negative, the network has no backbone, or the strategy is a plain ``ddp``
            or ``fsdp2``.
    """

    def __init__(self, after: int) -> None:
        if after < 0:
            raise UserError(f"after={after}: give the step from which the backbone trains, 0 or more.")
        self.after = after
        self._backbone: Part | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Record the trainable parameters."""
        refuse_strategy(self, trainer)
        backbone = getattr(pl_module.network, "backbone", None)
        if not isinstance(backbone, nn.Module):
            name = type(pl_module.network).__name__
            raise UserError(f"FinetuneBackbone: {name} has no backbone; remove the callback.")
        self._backbone = Part(backbone)

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        """Freeze the backbone exactly before its first step."""
        if self._backbone is not None:
            if trainer.global_step < self.after:
                self._backbone.freeze()
            else:
                self._backbone.thaw()

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Restore the network's original state, even after a short training."""
        if self._backbone is not None:
            self._backbone.thaw()
