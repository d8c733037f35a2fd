"""Base class of all tasks: the weighted sum of losses, the optimizer, and randomness that a resume does not change."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, ClassVar, NamedTuple

import lightning as L
import torch
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import Metric

from lit_cv.contract import Batch, HasClasses, data_of, require
from lit_cv.errors import UserError, refused
from lit_cv.metrics.facts import LOSS, Fact
from lit_cv.metrics.mean import ExactMean
from lit_cv.models.compiling import check_mode, compile_network
from lit_cv.models.network import Network
from lit_cv.ops.global_batch import global_batch
from lit_cv.renderers import Renderer
from lit_cv.tasks.precision import keep_coordinates
from lit_cv.tasks.schedules import WarmupMultiStepLR, check_length, check_schedule
from lit_cv.tasks.sharding import shard_for_strategy

Targets = Sequence[Mapping[str, Tensor]]
Predictions = Sequence[Any]
"""One prediction of the network for each image."""


# These are functions, because a run's config.yaml cannot name a lambda.
def sgd(params: Any) -> torch.optim.SGD:
    """Build SGD with the settings of most detection papers."""
    return torch.optim.SGD(params, lr=0.005, momentum=0.9, weight_decay=0.0005)


def warmup(optimizer: torch.optim.Optimizer) -> WarmupMultiStepLR:
    """Build a schedule with a warm-up of 500 steps and no later drop."""
    return WarmupMultiStepLR(optimizer, warmup_steps=500)


class Size(NamedTuple):
    """The number of outputs that a network needs for the data.

    Attributes:
        value: The number.
        reason: Content of the data that decides it, for messages, such as "3 classes".
        note: Explanation of the number, for messages.
    """

    value: int
    reason: str
    note: str = ""


NOTHING = -1.0  # value of a metric that had nothing to evaluate, such as no large object


class Task(L.LightningModule, ABC):
    """Optimize ``sum(loss_weights[k] * losses[k])``, where the network names its losses.

    Subclasses add the evaluation, the drawing, and the check that network and data fit.

    Args:
        network: The network, injected by ``class_path``.
        loss_weights: Weights of the network's losses; the default of each weight is 1.
        optimizer: Builds the optimizer from the parameters; the default is ``sgd``.
        scheduler: Builds the learning-rate scheduler, stepped after every optimizer step, from the optimizer; the
            default is ``warmup``, and None keeps the rate constant.
        compile: Whether ``torch.compile`` compiles the network, or a mode of it; see ``compile_network``.

    Raises:
        UserError: A loss weight names no loss of the network, or the loss is not finite.

    Attributes:
        METRICS: Unit and direction of each number of the evaluation, logged as ``val/<name>`` and ``test/<name>``.
        PER_CLASS: Unit and direction of each number for single classes, logged as ``val/<name>/<class>``.
        SIZE: Argument and attribute of the network that follows from the data.
        MONITOR: The metric that selects ``best.ckpt``.
    """

    METRICS: ClassVar[Mapping[str, Fact]] = {}
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {}
    SIZE: ClassVar[str] = "num_classes"
    MONITOR: ClassVar[str] = "val/loss"

    def __init__(
        self,
        network: Network,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable | None = warmup,
        compile: bool | str = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss_names: tuple[str, ...] = network.loss_names
        unknown = sorted(set(loss_weights or {}) - set(self.loss_names))
        if unknown:
            raise UserError(f"loss_weights names {unknown}, but {type(network).__name__} has {list(self.loss_names)}.")
        check_mode(compile)
        self.loss_weights = dict.fromkeys(self.loss_names, 1.0) | (loss_weights or {})
        self.optimizer, self.scheduler, self.compile_mode = optimizer, scheduler, compile
        self.class_names: list[str] = []
        self._counts_before: dict[str, int] = {}
        self.mean_losses = nn.ModuleDict({name: ExactMean() for name in ("loss", *self.loss_names)})

    def facts(self, class_names: Sequence[str]) -> dict[str, Fact]:
        """Return unit and direction of each number of ``compute_metrics``, for classes with these names."""
        per_class = {f"{name}/{label}": fact for name, fact in self.PER_CLASS.items() for label in class_names}
        return {**self.METRICS, **per_class}

    def logged_metrics(self, class_names: Sequence[str] | None = None) -> dict[str, Fact]:
        """Return unit and direction of each metric that a run with this network logs, by its full name.

        Args:
            class_names: Names of the classes; None for those of the data, which are known after ``setup``.
        """
        losses = dict.fromkeys(self.mean_losses, LOSS)
        measured = {**self.facts(self.class_names if class_names is None else class_names), **losses}
        stages = {"train": losses, "val": measured, "test": measured}
        return {f"{stage}/{name}": fact for stage, facts in stages.items() for name, fact in facts.items()}

    def setup(self, stage: str) -> None:
        """Take the names of the classes from the DataModule and check the size of the network."""
        keep_coordinates(self.trainer)
        data = data_of(self.trainer)
        if stage == "predict":
            return
        if data is None:
            if not self.class_names:
                raise UserError(
                    f"{type(self).__name__} needs the names of the classes: give the Trainer a DataModule, or set "
                    "task.class_names = [...] if you give it loaders."
                )
            return
        self.class_names = list(require(self, data, HasClasses).class_names)
        self.check_size(data)

    def configure_model(self) -> None:
        """Divide the network between the processes if the strategy is ``fsdp2``, and compile it if asked."""
        shard_for_strategy(self, self.network)
        compile_network(self.network, self.compile_mode)

    @classmethod
    def size(cls, data: object) -> Size:
        """Return the number of outputs, ``SIZE`` of the network, that a DataModule needs."""
        classes = len(require(cls, data, HasClasses).class_names)
        return Size(classes + 1, f"{classes} classes", " (with background)")

    def check_size(self, data: object) -> None:
        """Check that the network has the number of outputs that the data needs.

        Raises:
            UserError: It has another number.
        """
        value, reason, note = self.size(data)
        own = getattr(self.network, self.SIZE)
        if own != value:
            raise UserError(
                f"the data has {reason}, so the network needs {self.SIZE}: {value}{note} instead of {own}; null takes "
                "the number from the data."
            )

    @classmethod
    @abstractmethod
    def target_renderer(cls, data: object) -> Renderer:
        """Return the renderer for the targets of a DataModule; needs no network."""

    @abstractmethod
    def renderer(self, score_threshold: float) -> Renderer:
        """Return the renderer for targets and for predictions with at least this score, or without a score."""

    @abstractmethod
    def update_metrics(self, found: Predictions, targets: Targets) -> None:
        """Add the predictions of an evaluation batch to the metrics."""

    @abstractmethod
    def compute_metrics(self) -> dict[str, Any]:
        """Return the numbers of the evaluation by name without the stage, and reset the metrics."""

    def configure_optimizers(self) -> Any:
        """Build the optimizer for the trainable parameters and its schedule, which advances with every step.

        Raises:
            UserError: The schedule needs a metric, or ends before the training.
        """
        with refused("model.optimizer"):
            optimizer = self.optimizer(p for p in self.parameters() if p.requires_grad)
        if self.scheduler is None:
            return optimizer
        with refused("model.scheduler"):
            schedule = self.scheduler(optimizer)
        check_schedule(schedule, self._given_steps)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Check the schedule again if the number of steps follows from epochs.

        Raises:
            UserError: The schedule ends before the training.
        """
        with suppress(MisconfigurationException):  # the number of batches of a step changes, so no number is known
            for config in self.trainer.lr_scheduler_configs:
                check_schedule(config.scheduler, lambda: self.trainer.estimated_stepping_batches)

    def _given_steps(self) -> float:
        """Return the number of steps, 0 if it follows from epochs: to ask for it sets up the data too early."""
        return self.trainer.max_steps if self.trainer.max_epochs == -1 and self.trainer.max_steps > 0 else 0

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Make the randomness of a step a function of (seed, step), so that a resumed run repeats it on every rank."""
        self._seed_step(self.trainer.fit_loop.epoch_loop.total_batch_idx, stream=0)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Return the weighted sum of the losses of a batch ``(images, targets)``.

        Its mean over the ranks is the loss of the global batch.
        """
        with global_batch():
            losses = self.network.losses(*batch)
        losses["loss"] = self.total(losses)
        if not torch.isfinite(losses["loss"]):
            self._refuse_non_finite(losses, batch[1])
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (self.global_step + 1) % every == 0:
            # Each call costs a third of a millisecond, too much for every step.
            logged = {f"train/{name}": loss.detach() for name, loss in losses.items()}
            self.log_dict(logged, batch_size=len(batch[0]), sync_dist=True)
            self.log("train/lr", self.trainer.optimizers[0].param_groups[0]["lr"])
        return losses["loss"]

    def total(self, losses: Mapping[str, Tensor]) -> Tensor:
        """Return ``sum(loss_weights[k] * losses[k])``, a scalar."""
        return torch.stack([self.loss_weights[name] * losses[name].float() for name in self.loss_names]).sum()

    def validation_step(self, batch: Batch, batch_idx: int) -> Predictions:  # type: ignore[override]
        """Update metrics and mean losses; return the predictions for callbacks that draw them.

        A loss of the evaluation is the mean over the batches, weighted by their numbers of images. Batches, random
        numbers, losses and metrics are the same for any number of processes.
        """
        if not batch[0]:  # a rank without a batch in the last round
            return []
        self._seed_step(batch_idx * self.trainer.world_size + self.global_rank, stream=1)
        losses, found = self.evaluate(batch)
        for name, loss in {**losses, "loss": self.total(losses)}.items():
            self.mean_losses[name].update(loss, weight=len(batch[0]))  # type: ignore[operator]
        self.update_metrics(found, batch[1])
        return found

    def evaluate(self, batch: Batch) -> tuple[Mapping[str, Tensor], Predictions]:
        """Return losses and predictions of an evaluation batch."""
        return self.network.losses(*batch), self.network.predict(batch[0])

    def test_step(self, batch: Batch, batch_idx: int) -> Predictions:  # type: ignore[override]
        """Evaluate as in validation."""
        return self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> Predictions:
        """Return the prediction for each image, in the pixels of the input image."""
        return self.network.predict(batch[0])

    def on_validation_epoch_start(self) -> None:
        """Note what metrics of the training have counted."""
        self._counts_before = self._metric_counts()

    def on_test_epoch_start(self) -> None:
        """Note what metrics of the training have counted."""
        self._counts_before = self._metric_counts()

    def on_validation_epoch_end(self) -> None:
        """Log the numbers of the epoch."""
        self._log_evaluation("val")

    def on_test_epoch_end(self) -> None:
        """Log the numbers of the epoch."""
        self._log_evaluation("test")

    def _log_evaluation(self, stage: str) -> None:
        self.log_dict({f"{stage}/{name}": value for name, value in self.measured(f"{stage}/").items()})

    def measured(self, prefix: str) -> dict[str, Any]:
        """Return the numbers and the mean losses of the evaluation that ends, and reset all.

        Args:
            prefix: Start of the full name of each number. One that had nothing to evaluate is left out, unless a
                callback monitors it and so needs it.
        """
        losses = {name: mean.compute() for name, mean in self.mean_losses.items()}  # type: ignore[operator]
        monitored = {getattr(callback, "monitor", None) for callback in self.trainer.callbacks}  # type: ignore[attr-defined]
        computed = self.compute_metrics()
        self._refuse_unnamed(computed)
        self._refuse_kept()
        for mean in self.mean_losses.values():
            mean.reset()  # type: ignore[operator]
        return {
            **{name: value for name, value in computed.items() if value != NOTHING or f"{prefix}{name}" in monitored},
            **losses,
        }

    def _metric_counts(self) -> dict[str, int]:
        """Return the number of updates of each metric since its last reset; mean losses are the base class's own."""
        found = {name: part for name, part in self.named_modules() if isinstance(part, Metric)}
        return {name: part.update_count for name, part in found.items() if not name.startswith("mean_losses")}

    def _refuse_unnamed(self, computed: Mapping[str, Any]) -> None:
        if unnamed := sorted(set(computed) - set(self.facts(self.class_names))):
            raise UserError(
                f"{type(self).__name__}.compute_metrics returns {unnamed}, which METRICS and PER_CLASS do not name; "
                "add them there with unit and direction."
            )

    def _refuse_kept(self) -> None:
        counts = self._metric_counts()
        if kept := [name for name, count in counts.items() if count > self._counts_before.get(name, 0)]:
            raise UserError(
                f"{type(self).__name__}.compute_metrics does not reset {', '.join(kept)}, so the next evaluation would "
                "count this one again; call reset() on it."
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Save the names of the classes with the weights."""
        checkpoint["class_names"] = self.class_names

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the names of the classes.

        Raises:
            UserError: The checkpoint is of another program or network, or its schedule ends before the training.
        """
        if "class_names" not in checkpoint:
            raise UserError("the checkpoint was not written by lit-cv; give the last.ckpt or best.ckpt of a run.")
        if "state_dict" in checkpoint:  # fsdp2 has loaded it before
            self._check_weights(checkpoint["state_dict"])
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            for state in checkpoint.get("lr_schedulers", []):
                if "total_steps" in state:
                    check_length(state["total_steps"], self._given_steps(), " of the checkpoint")
        self.class_names = list(checkpoint["class_names"])

    def _check_weights(self, saved: Mapping[str, Tensor]) -> None:
        own = {name: tuple(value.shape) for name, value in self.state_dict().items()}
        theirs = {name: tuple(value.shape) for name, value in saved.items()}
        for name in [*own, *theirs]:
            if own.get(name) != theirs.get(name):
                raise UserError(
                    f"the checkpoint is of another network: {name} has shape {theirs.get(name, 'none')} in it and "
                    f"{own.get(name, 'none')} here; give a checkpoint of a run with the same `model`."
                )

    def _seed_step(self, step: int, stream: int) -> None:
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed(((seed * 2 + stream) * 1_000_003**2 + step) % 2**63)

    def _refuse_non_finite(self, losses: Mapping[str, Tensor], targets: Targets) -> None:
        values = ", ".join(f"{name} {loss.item():.4g}" for name, loss in losses.items())
        images = [int(target["image_id"]) for target in targets]
        raise UserError(
            f"the loss is not finite at step {self.global_step} ({values}) on the images with image_id {images}; "
            "lower the learning rate, clip the gradient, or look at these images."
        )
