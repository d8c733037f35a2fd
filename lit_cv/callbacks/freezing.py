"""Freezing of some parts of a network."""

from collections.abc import Collection, Mapping

from lightning.pytorch import Callback, Trainer
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from lit_cv.errors import UserError


def refuse_strategy(callback: Callback, trainer: Trainer) -> None:
    """Refuse a strategy that needs the gradients of the parameters that a callback freezes.

    Raises:
        UserError: The strategy is plain ``ddp`` or ``fsdp2``.
    """
    plain_ddp = isinstance(trainer.model, DistributedDataParallel) and not trainer.model.find_unused_parameters
    if plain_ddp or isinstance(trainer.strategy, ModelParallelStrategy):
        raise UserError(
            f"{type(callback).__name__} freezes parameters, but plain ddp and fsdp2 need their gradients: "
            "set trainer.strategy to ddp_find_unused_parameters_true."
        )


class Part:
    """A part of a network that can be frozen and restored to its state."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module
        self.trainable = [parameter for parameter in module.parameters() if parameter.requires_grad]
        self.modes = [(layer, layer.training) for layer in module.modules()]
        self.frozen = False

    def freeze(self) -> None:
        """Stop its training, and put it into eval mode."""
        # Every time: something else may have called train() in between.
        self.frozen = True
        self.module.requires_grad_(False).eval()

    def thaw(self) -> None:
        """Undo ``freeze``."""
        if self.frozen:
            self.frozen = False
            for parameter in self.trainable:
                parameter.requires_grad_(True)
            for layer, training in self.modes:
                layer.training = training


def freeze_only(parts: Mapping[str, Part], frozen: Collection[str]) -> None:
    """Freeze the parts with these names and restore the others."""
    for name, part in parts.items():
        if name in frozen:
            part.freeze()
        else:
            part.thaw()
