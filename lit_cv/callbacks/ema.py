"""An exponential moving average of the weights, evaluated beside the weights themselves."""

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import lightning as L
import torch
import torch.distributed as dist
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.strategies import ModelParallelStrategy
from torch import Tensor
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from lit_cv.callbacks.after_training import AfterTraining
from lit_cv.errors import UserError
from lit_cv.metrics.facts import Fact
from lit_cv.ops.limits import at_least
from lit_cv.runs.checkpoints import AVERAGED

if TYPE_CHECKING:
    from lit_cv.tasks.base import Task

PREFIX = "ema_"


class EMA(Callback):
    """Average the weights of the training, and evaluate the average in every validation.

    After an update, ``average = d * average + (1 - d) * weights`` (Polyak and Juditsky 1992 for the plain mean; the
    exponential form is that of ``torch.optim.swa_utils``). The first update copies the weights. With ``warm_up`` the
    n-th later one uses ``d = min(decay, (1 + n) / (10 + n))``, so that a short training forgets its first weights.

    The training itself does not change. Each metric of the validation is logged a second time for the averaged weights:
    ``val/ema_map`` beside ``val/map``. ``best.ckpt`` and ``last.ckpt`` keep the weights as they are, and the averaged
    ones beside them under ``averaged_state_dict``; ``litcv validate RUN --weights ema`` uses those.

    The statistics of batch norms are averaged like weights, and whole numbers are copied. With several processes the
    statistics are those of the first one, as in DDP. A validation takes twice as long, the memory for the weights
    doubles, and a step needs one more pass over the weights.

    Args:
        decay: Weight d of the former average, in [0, 1).
        every_n_steps: Number of optimizer steps between two updates.
        warm_up: Whether the first updates forget faster.

    Raises:
        UserError: A setting makes no sense, the strategy is ``fsdp2``, the precision is a true half precision, or
            another callback changes the network after the training.
    """

    def __init__(self, decay: float = 0.999, every_n_steps: int = 1, warm_up: bool = True) -> None:
        if not 0 <= decay < 1:
            raise UserError(f"decay: {decay:g} makes no sense; give a number from 0 to below 1, such as 0.999.")
        at_least(1, every_n_steps=every_n_steps)
        self.decay, self.every_n_steps, self.warm_up = decay, every_n_steps, warm_up
        self._average: AveragedModel | None = None
        self._twin: Task | None = None
        self._restored: dict[str, Tensor] = {}
        self._step = 0

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Copy the network, or take the average from the checkpoint."""
        _refuse(trainer)
        self._average = AveragedModel(_network(pl_module), multi_avg_fn=self._update, use_buffers=True)
        self._average.eval().requires_grad_(False)
        if self._restored:
            self._average.load_state_dict(self._restored)
        self._step, self._restored = trainer.global_step, {}

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Update the average after an optimizer step."""
        if trainer.global_step > self._step and trainer.global_step % self.every_n_steps == 0:
            self._averaged.update_parameters(_network(pl_module))
        self._step = trainer.global_step

    def on_validation_epoch_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Make a copy of the task, with metrics of its own, for the averaged weights."""
        if self._average is None or trainer.sanity_checking:
            return
        average = self._average.to(pl_module.device)
        if average.n_averaged == 0:  # no step was averaged: the average is the weights
            average.module.load_state_dict(_network(pl_module).state_dict())
        if trainer.world_size > 1:
            for buffer in average.buffers():
                dist.broadcast(buffer, 0)
        kept = [getattr(pl_module, name) for name in ("optimizer", "scheduler")]
        same = {id(part): part for part in kept} | {id(pl_module.network): average.module}
        twin = cast("Task", copy.deepcopy(pl_module, same))
        twin.trainer = trainer
        twin.on_validation_epoch_start()
        self._twin = twin

    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Evaluate the batch with the averaged weights."""
        if self._twin is not None:
            with trainer.precision_plugin.val_step_context():
                self._twin.validation_step(batch, batch_idx)

    def on_validation_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Log the metrics of the averaged weights."""
        if self._twin is not None:
            measured = self._twin.measured(f"val/{PREFIX}")
            pl_module.log_dict({f"val/{PREFIX}{name}": value for name, value in measured.items()})
            self._twin = None

    def on_save_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Save the averaged weights, under the names of the task's own."""
        if self._average is not None:
            state = self._average.state_dict()
            checkpoint[AVERAGED] = {
                name.replace("module.", "network.", 1): value for name, value in state.items() if name != "n_averaged"
            }

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Keep the averaged weights of a checkpoint, if it has any, until the training starts."""
        if AVERAGED in checkpoint:
            updates = checkpoint["callbacks"][self.state_key]["updates"]
            weights = {name.replace("network.", "module.", 1): value for name, value in checkpoint[AVERAGED].items()}
            self._restored = weights | {"n_averaged": torch.tensor(updates)}

    def state_dict(self) -> dict[str, Any]:
        """Save the number of updates."""
        return {"updates": 0 if self._average is None else int(self._average.n_averaged)}

    def _update(self, averages: Any, weights: Any, updates: Any) -> None:
        if not averages[0].is_floating_point():
            torch._foreach_copy_(averages, weights)
            return
        decay = self.decay
        if self.warm_up:
            decay = min(decay, (1 + int(updates)) / (10 + int(updates)))
        get_ema_multi_avg_fn(decay)(averages, weights, updates)  # type: ignore[no-untyped-call]

    @property
    def _averaged(self) -> AveragedModel:
        assert self._average is not None
        return self._average


def of_average(facts: Mapping[str, Fact]) -> dict[str, Fact]:
    """Return the metrics of a validation under the names that they have for the averaged weights."""
    return {name.replace("val/", f"val/{PREFIX}", 1): fact for name, fact in facts.items() if name.startswith("val/")}


def _network(task: L.LightningModule) -> torch.nn.Module:
    network: torch.nn.Module = task.network  # type: ignore[assignment]
    return network


def _refuse(trainer: L.Trainer) -> None:
    if isinstance(trainer.strategy, ModelParallelStrategy):
        raise UserError("EMA keeps a whole copy of the network, which fsdp2 divides; set trainer.strategy to ddp.")
    if trainer.precision in ("bf16-true", "16-true"):
        raise UserError(
            f"EMA: weights of 16 bits round the small changes of an average away; set trainer.precision to "
            f"{trainer.precision.removesuffix('-true')}-mixed."
        )
    for callback in trainer.callbacks:  # type: ignore[attr-defined]
        if isinstance(callback, AfterTraining):
            name = type(callback).__name__
            raise UserError(f"EMA: {name} changes the network after the training, not its average; leave one out.")
