"""The record of a run: `run.json` at its start, `result.json` at its end."""

import platform
import subprocess
import time
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn
from torch.distributed.tensor import DTensor

from lit_cv import __version__
from lit_cv.bench.cost import device_name, measure, peak_memory_gb
from lit_cv.contract import Recordable, data_of, require
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from lit_cv.tasks.base import Task
from lit_cv.tasks.tta.settings import tta_record
from lit_cv.training.checkpoints import BestCheckpoint, in_other_batches
from lit_cv.training.early_end import early_end
from lit_cv.training.monitored import known_metrics, refuse_unknown_monitors
from lit_cv.training.pace import Pace

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "albumentations", "numpy", "hotcoco")
BENCH_IMAGES = 4


class Provenance(Callback):
    """Record the definition of a run and its results.

    Args:
        folder: Folder of the run; its name is the run's id, its parent's name the group.
        command: Arguments of the program, as given.
        seed: Seed of the run.
        start: Checkpoint of another run from which this one starts.
        own: Whether the checkpoint that is loaded, if any, is one of this run.
    """

    def __init__(self, folder: Path, command: list[str], seed: int, start: str | None = None, own: bool = True) -> None:
        self.folder, self.command, self.seed = folder, command, seed
        self.seconds = 0.0
        self.started = _now()
        self.git = {**git_state(), "earlier_commits": []}  # now: the folder may change during the run
        self.start = {"checkpoint": start, "step": 0} if start else None
        self.own = own
        self.rates: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        self.stopped: dict[str, Any] | None = None
        self.validated_step = -1
        self._pace = Pace()
        self.batch_sizes: list[dict[str, int]] = []
        self._fingerprint: str | None = None
        self._validated_weights: list[float] = []
        self._clock = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Save the elapsed time, the origin and the last metrics for a resume."""
        return {
            "seconds": self._elapsed(),
            "started": self.started,
            "metrics": self.metrics,
            "validated_step": self.validated_step,
            "rates": self.rates,
            "start": self.start,
            "git": self.git,
            "fingerprint": self._fingerprint,
            "batch_sizes": self.batch_sizes,
        }

    def on_load_checkpoint(self, trainer: L.Trainer, pl_module: L.LightningModule, checkpoint: dict[str, Any]) -> None:
        """Record another batch size, and continue after the images that the epoch has seen."""
        sizes = checkpoint["callbacks"].get(type(self).__name__, {}).get("batch_sizes")
        size = require(self, data_of(trainer), Recordable).batch_size
        if not self.own or not sizes:
            return
        self.batch_sizes = sizes
        if sizes[-1]["size"] != size:
            in_other_batches(checkpoint["loops"]["fit_loop"], sizes[-1]["size"], size)
            self.batch_sizes = [*sizes, {"size": size, "from_step": checkpoint["global_step"]}]

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint of this run; that of another run says nothing about this one."""
        if not self.own:
            return
        self.seconds, self.started = state_dict["seconds"], state_dict["started"]
        self.metrics, self.validated_step = state_dict["metrics"], state_dict["validated_step"]
        self.rates, self.start = state_dict.get("rates", {}), state_dict.get("start", self.start)
        self._fingerprint = state_dict.get("fingerprint")
        if former := state_dict.get("git"):
            self.git["dirty"] |= former["dirty"]
            commits = [*former["earlier_commits"], former["commit"]]
            self.git["earlier_commits"] = [commit for commit in commits if commit != self.git["commit"]]

    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Check the data and the names of monitored metrics.

        Raises:
            UserError: The run continues, but on other data, or a callback waits for a metric that never comes.
        """
        refuse_unknown_monitors(trainer, pl_module)
        fingerprint = require(self, data_of(trainer), Recordable).fingerprint
        if self._fingerprint not in (None, fingerprint):
            raise UserError(
                f"{self.folder}: the data has changed since this run began (fingerprint {self._fingerprint}, now "
                f"{fingerprint}); restore the data to continue, or delete the folder to start again."
            )
        self._fingerprint = fingerprint
        if not self.batch_sizes:
            size = require(self, data_of(trainer), Recordable).batch_size
            self.batch_sizes = [{"size": size, "from_step": 0}]

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write `run.json`, not before: settings that fail until now begin no run. Start the clock."""
        if self.start and not self.own:
            self.start["step"] = trainer.global_step
        if trainer.is_global_zero:
            write_json(self.folder / "run.json", {**self._identity(trainer), "status": "running"})
        self._clock = time.monotonic()
        self._pace.begin()

    def on_train_batch_end(self, *_: Any) -> None:
        """Count the time of the batch."""
        self._pace.step()

    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the validation."""
        self._pace.begin()

    def on_before_optimizer_step(self, trainer: L.Trainer, pl_module: L.LightningModule, optimizer: Any) -> None:
        """Record the first and the highest learning rate that is used, and the highest one of each group."""
        rate = _rate(optimizer)
        self.rates["first"] = self.rates.get("first", rate)
        self.rates["peak"] = max(self.rates.get("peak", rate), rate)
        if len(optimizer.param_groups) > 1:
            highest = self.rates.setdefault("groups", {})
            for group in optimizer.param_groups:
                highest[group["name"]] = max(highest.get(group["name"], 0.0), float(group["lr"]))

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the numbers, so that they survive a kill between the last validation and the result."""
        if not trainer.sanity_checking:
            self._pace.validated(int(sum(trainer.num_val_batches)))
            self.metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.validated_step = trainer.global_step
            self._validated_weights = _sums(pl_module)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Ask for another validation if a callback has replaced the weights since the last one."""
        if _sums(pl_module) != self._validated_weights:
            self.validated_step = -1

    @rank_zero_only
    def write_result(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the network's cost in the run's precision and write `result.json`."""
        self.stopped = early_end(trainer, self.folder)
        with trainer.precision_plugin.forward_context():
            cost = measure(cast(nn.Module, pl_module.network), _images(trainer))
        write_json(
            self.folder / "result.json",
            {
                **self._identity(trainer),
                "status": "finished",
                "stopped_early": self.stopped is not None,
                "stopped_by": self.stopped and self.stopped["by"],
                "stopped": self.stopped,
                "metrics": self.metrics,
                "metric_facts": self._facts(trainer, pl_module),
                **tta_record(pl_module),
                "best": _best(trainer),
                "steps": trainer.global_step,
                "epochs": trainer.current_epoch,
                "params": cost.params,
                "trainable_params": cost.trainable_params,
                "gflops": cost.gflops,
                "seconds_per_image": cost.seconds_per_image,
                "fit_seconds": self._elapsed(),
                "pace": self._pace.record(),
                "peak_memory_gb": peak_memory_gb(trainer.strategy.root_device),
                "finished": _now(),
                "wandb_url": _wandb_url(trainer),
            },
        )

    def _facts(self, trainer: L.Trainer, task: L.LightningModule) -> dict[str, Any]:
        """Return unit and direction of the recorded metrics that the task knows."""
        known = known_metrics(task, trainer.callbacks) if isinstance(task, Task) else {}  # type: ignore[attr-defined]
        facts = {name: fact._asdict() for name, fact in known.items() if name in self.metrics}
        return {name: {key: value for key, value in fact.items() if value is not None} for name, fact in facts.items()}

    def stop_clock(self) -> None:
        """Stop counting time as training."""
        self.seconds, self._clock = self._elapsed(), float("inf")

    def _elapsed(self) -> float:
        return self.seconds + max(0.0, time.monotonic() - self._clock)

    def _identity(self, trainer: L.Trainer) -> dict[str, Any]:
        data, task = require(self, data_of(trainer), Recordable), trainer.lightning_module
        return {
            "id": self.folder.name,
            "group": self.folder.parent.name,
            "command": self.command,
            "seed": self.seed,
            "git": self.git,
            "versions": {
                "python": platform.python_version(),
                "lit-cv": __version__,
                **{name: version(name) for name in PACKAGES},
            },
            "hardware": {
                "device": device_name(trainer.strategy.root_device),
                "devices": trainer.world_size,
                "nodes": trainer.num_nodes,
                "threads": torch.get_num_threads(),
            },
            "optimization": {
                "world_size": trainer.world_size,
                "global_batch_size": data.batch_size * trainer.accumulate_grad_batches,
                "learning_rate": self.rates or {"first": _rate(trainer.optimizers[0])},
                **({"batch_sizes": self.batch_sizes} if len(self.batch_sizes) > 1 else {}),
            },
            "started_from": self.start,
            "initial_weights": task.initial_weights.record if isinstance(task, Task) else None,
            "data": {"fingerprint": data.fingerprint, "counts": data.counts},
            "started": self.started,
        }


def git_state() -> dict[str, Any]:
    """Return the commit of the working folder and whether tracked files differ from it; commit is None outside git."""

    def git(*words: str) -> str | None:
        try:
            return subprocess.run(["git", *words], capture_output=True, text=True, check=True).stdout.strip()
        except (OSError, subprocess.CalledProcessError):
            return None

    return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "--untracked-files=no"))}


def _images(trainer: L.Trainer) -> list[torch.Tensor]:
    batch = next(iter(require(Provenance, data_of(trainer), Recordable).val_dataloader()))
    return [image.to(trainer.strategy.root_device) for image in batch[0][:BENCH_IMAGES]]


def _rate(optimizer: Any) -> float:
    return max(float(group["lr"]) for group in optimizer.param_groups)


def _sums(module: L.LightningModule) -> list[float]:
    """Return the sum of each weight, or of this process's part of it; other weights have other sums."""
    values = cast(nn.Module, module.network).state_dict().values()
    local = [value.to_local() if isinstance(value, DTensor) else value for value in values]
    return [float(total) for total in torch.stack([tensor.sum(dtype=torch.float64) for tensor in local])]


def _wandb_url(trainer: L.Trainer) -> str | None:
    """Return the run's page on W&B, or None offline and without W&B."""
    runs = [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return next((str(run.url) for run in runs if not run.offline), None)


def _best(trainer: L.Trainer) -> dict[str, Any] | None:
    (best,) = [callback for callback in trainer.checkpoint_callbacks if isinstance(callback, BestCheckpoint)]
    if best.best_model_score is None:
        return None
    return {"metric": best.monitor, "mode": best.mode, "value": float(best.best_model_score)}


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
