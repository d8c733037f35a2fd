"""Base class of all tasks: the weighted sum of losses, the optimizer, and randomness that a resume does not change."""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, NamedTuple

import lightning as L
import torch
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from lightning.pytorch.trainer.states import TrainerFn
from torch import Tensor, nn
from torchmetrics import Metric

from lit_cv.contract import Batch, HasClasses, data_of, require
from lit_cv.errors import UserError, did_you_mean, refused
from lit_cv.metrics.facts import LOSS, Fact
from lit_cv.metrics.mean import ExactMean
from lit_cv.models.compiling import check_mode, compile_network
from lit_cv.models.network import Network
from lit_cv.ops.global_batch import global_batch
from lit_cv.renderers import Renderer
from lit_cv.tasks.initial_weights.initial import InitialWeights
from lit_cv.tasks.parameter_groups import ParameterGroups, Undecayed
from lit_cv.tasks.precision import keep_coordinates
from lit_cv.tasks.refusals import refuse_non_finite, refuse_other_weights
from lit_cv.tasks.schedules import (
    WarmupMultiStepLR,
    check_saved_length,
    follow_training,
    peaks,
    scheduled,
    tell_continued,
)
from lit_cv.tasks.sharding import shard_for_strategy
from lit_cv.tasks.tta.merging import predict_views
from lit_cv.tasks.tta.settings import TTA, fitting_tta

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
        initial_weights: Weights of a whole network to start from: the path of a state dict or checkpoint,
            ``run:<folder>`` (its best checkpoint) or ``torchvision:<name>``. None starts from the backbone's weights.
        tta: Test-time augmentation of the evaluation and of ``predict``; None sees each image once, as it is.
        lr_factors: Factors of the rate by pattern of parameter names, such as ``{"backbone.*": 0.1}``; of several that
            match, the last one counts.
        no_weight_decay: Parameters without weight decay.
        layer_decay: Factor of the rate from one stage of the backbone to the one before it; None for one rate.
        compile: Whether ``torch.compile`` compiles the network, or a mode of it; see ``compile_network``.

    Raises:
        UserError: A loss weight names no loss of the network, or the loss is not finite.

    Attributes:
        METRICS: Unit and direction of each number of the evaluation, logged as ``val/<name>`` and ``test/<name>``.
        PER_CLASS: Unit and direction of each number for single classes, logged as ``val/<name>/<class>``.
        SIZE: Argument and attribute of the network that follows from the data.
        MONITOR: The metric that selects ``best.ckpt``.
        FOUND: Keys of a prediction that the evaluation needs.
        OF_NETWORK: Numbers of the evaluation that do not follow from predictions alone.
    """

    METRICS: ClassVar[Mapping[str, Fact]] = {}
    PER_CLASS: ClassVar[Mapping[str, Fact]] = {}
    SIZE: ClassVar[str] = "num_classes"
    MONITOR: ClassVar[str] = "val/loss"
    FOUND: ClassVar[tuple[str, ...]] = ()
    OF_NETWORK: ClassVar[tuple[str, ...]] = ()

    def __init__(
        self,
        network: Network,
        loss_weights: dict[str, float] | None = None,
        optimizer: OptimizerCallable = sgd,
        scheduler: LRSchedulerCallable | None = warmup,
        initial_weights: str | None = None,
        tta: TTA | None = None,
        lr_factors: dict[str, float] | None = None,
        no_weight_decay: list[Undecayed] | None = None,
        layer_decay: float | None = None,
        compile: bool | str = False,
    ) -> None:
        super().__init__()
        self.network = network
        self.loss_names: tuple[str, ...] = network.loss_names
        unknown = sorted(set(loss_weights or {}) - set(self.loss_names))
        if unknown:
            known = f"{type(network).__name__} has {list(self.loss_names)}"
            hint = did_you_mean(unknown[0], self.loss_names) or "."
            raise UserError(f"model.loss_weights names {unknown}, but {known}{hint}")
        check_mode(compile)
        self.loss_weights = dict.fromkeys(self.loss_names, 1.0) | (loss_weights or {})
        self.optimizer, self.scheduler, self.compile_mode = optimizer, scheduler, compile
        self.initial_weights = InitialWeights(initial_weights)
        self.parameter_groups = ParameterGroups(network, lr_factors, no_weight_decay, layer_decay)
        self.class_names: list[str] = []
        self.tta = fitting_tta(network, tta)
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
        """Load the initial weights; divide the network between the processes of ``fsdp2``; compile it if asked."""
        self.initial_weights.load_into(self.network, self.output_names(), getattr(self.network, self.SIZE))
        shard_for_strategy(self, self.network)
        compile_network(self.network, self.compile_mode)

    def output_names(self) -> list[str]:
        """Return the names of the ``SIZE`` outputs, without the background."""
        return self.class_names

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
            optimizer = self.optimizer(self.parameter_groups.of(self.named_parameters()))
        self.parameter_groups.scale(optimizer)
        schedule = scheduled(optimizer, self.scheduler, self.trainer) if self.scheduler else None
        self._peaks = peaks(optimizer)
        if schedule is None:
            return optimizer
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_start(self) -> None:
        """Give the schedule its length if the number of steps follows from epochs."""
        follow_training(self.trainer)
        tell_continued(peaks(self.trainer.optimizers[0]), self._peaks)

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
            refuse_non_finite(losses, batch[1], self.global_step)
        every = self.trainer.log_every_n_steps  # type: ignore[attr-defined]
        if every and (self.global_step + 1) % every == 0:
            # Each call costs a third of a millisecond, too much for every step.
            logged = {f"train/{name}": loss.detach() for name, loss in losses.items()}
            self.log_dict(logged, batch_size=len(batch[0]), sync_dist=True)
            self.log("train/lr", max(group["lr"] for group in self.trainer.optimizers[0].param_groups))
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
        return self.network.losses(*batch), self.predict(batch[0])

    def test_step(self, batch: Batch, batch_idx: int) -> Predictions:  # type: ignore[override]
        """Evaluate as in validation."""
        return self.validation_step(batch, batch_idx)

    def predict_step(self, batch: Batch, batch_idx: int) -> Predictions:
        """Return the prediction for each image, in the pixels of the input image."""
        return self.predict(batch[0])

    def predict(self, images: list[Tensor], given: list[Tensor] | None = None) -> Predictions:
        """Return the predictions for images, merged over their views with ``tta``; ``given`` are proposals."""
        return predict_views(self.network, self.tta, images, given, self.joint_pairs)

    @property
    def joint_pairs(self) -> Sequence[Sequence[int]]:
        """(right, left) joints, which a mirrored image swaps."""
        return ()

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
        measured = {
            name: torch.as_tensor(value, dtype=torch.float64)  # Lightning would round a float to 7 digits
            for name, value in computed.items()
            if value != NOTHING or f"{prefix}{name}" in monitored  # the callbacks need a number
        }
        return {**measured, **losses}

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
        checkpoint["initial_weights"] = self.initial_weights.record

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Restore the names of the classes.

        Raises:
            UserError: The checkpoint is of another program or network, its optimizer has other groups of parameters,
                or its schedule ends before the training.
        """
        if "class_names" not in checkpoint:
            raise UserError("the checkpoint was not written by lit-cv; give the last.ckpt or best.ckpt of a run.")
        if "state_dict" in checkpoint:  # fsdp2 has loaded it before
            refuse_other_weights(self.state_dict(), checkpoint["state_dict"])
        if self._trainer is not None and self.trainer.state.fn == TrainerFn.FITTING:
            check_saved_length(checkpoint.get("lr_schedulers", []), self.trainer)
            for state in checkpoint.get("optimizer_states", []):
                self.parameter_groups.check_saved(state["param_groups"], self.named_parameters())
        self.class_names = list(checkpoint["class_names"])
        self.initial_weights.record = checkpoint.get("initial_weights")

    def _seed_step(self, step: int, stream: int) -> None:
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed(((seed * 2 + stream) * 1_000_003**2 + step) % 2**63)
