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
from lightning.pytorch.callbacks.model_checkpoint import ModelCheckpoint
from lightning.pytorch.loggers import WandbLogger
from lightning.pytorch.utilities import rank_zero_only
from torch import nn

from lit_cv import __version__
from lit_cv.bench.cost import device_name, measure, peak_memory_gb
from lit_cv.contract import Recordable, data_of, require
from lit_cv.runs.files import write_json
from lit_cv.tasks.base import Task
from lit_cv.training.stop_request import StopRequest

PACKAGES = ("torch", "torchvision", "lightning", "torchmetrics", "albumentations", "numpy", "hotcoco")
BENCH_IMAGES = 4


class Provenance(Callback):
    """Record the definition of a run and its results.

    Args:
        folder: Folder of the run; its name is the run's id, its parent's name the group.
        command: Arguments of the program, as given.
        seed: Seed of the run.
    """

    def __init__(self, folder: Path, command: list[str], seed: int) -> None:
        self.folder, self.command, self.seed = folder, command, seed
        self.seconds = 0.0
        self.started = _now()
        self.git = git_state()  # now: the folder may change during the run
        self.metrics: dict[str, float] = {}
        self.validated_step = -1
        self._clock = time.monotonic()

    def state_dict(self) -> dict[str, Any]:
        """Save the elapsed time and the last metrics for a resume."""
        return {
            "seconds": self._elapsed(),
            "started": self.started,
            "metrics": self.metrics,
            "validated_step": self.validated_step,
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        self.seconds, self.started = state_dict["seconds"], state_dict["started"]
        self.metrics, self.validated_step = state_dict["metrics"], state_dict["validated_step"]

    @rank_zero_only
    def on_fit_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Write `run.json`."""
        write_json(self.folder / "run.json", {**self._identity(trainer), "status": "running"})

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock."""
        self._clock = time.monotonic()

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Keep the numbers, so that they survive a kill between the last validation and the result."""
        if not trainer.sanity_checking:
            self.metrics = {name: float(value) for name, value in trainer.callback_metrics.items()}
            self.validated_step = trainer.global_step

    @rank_zero_only
    def write_result(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Measure the network's cost in the run's precision and write `result.json`."""
        with trainer.precision_plugin.forward_context():
            cost = measure(cast(nn.Module, pl_module.network), _images(trainer))
        write_json(
            self.folder / "result.json",
            {
                **self._identity(trainer),
                "status": "finished",
                "stopped_early": _stopped_early(trainer),
                "metrics": self.metrics,
                "metric_facts": self._facts(pl_module),
                "best": _best(trainer),
                "steps": trainer.global_step,
                "epochs": trainer.current_epoch,
                "params": cost.params,
                "trainable_params": cost.trainable_params,
                "gflops": cost.gflops,
                "seconds_per_image": cost.seconds_per_image,
                "fit_seconds": self._elapsed(),
                "peak_memory_gb": peak_memory_gb(trainer.strategy.root_device),
                "finished": _now(),
                "wandb_url": _wandb_url(trainer),
            },
        )

    def _facts(self, task: L.LightningModule) -> dict[str, Any]:
        """Return unit and direction of the recorded metrics that the task knows."""
        known = task.logged_metrics() if isinstance(task, Task) else {}
        facts = {name: fact._asdict() for name, fact in known.items() if name in self.metrics}
        return {name: {key: value for key, value in fact.items() if value is not None} for name, fact in facts.items()}

    def stop_clock(self) -> None:
        """Stop counting time as training."""
        self.seconds, self._clock = self._elapsed(), float("inf")

    def _elapsed(self) -> float:
        return self.seconds + max(0.0, time.monotonic() - self._clock)

    def _identity(self, trainer: L.Trainer) -> dict[str, Any]:
        data = require(self, data_of(trainer), Recordable)
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
                "learning_rate": trainer.optimizers[0].defaults["lr"],
            },
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


def _stopped_early(trainer: L.Trainer) -> bool:
    return any(part.stopped for part in trainer.callbacks if isinstance(part, StopRequest))  # type: ignore[attr-defined]


def _wandb_url(trainer: L.Trainer) -> str | None:
    """Return the run's page on W&B, or None offline and without W&B."""
    runs = [logger.experiment for logger in trainer.loggers if isinstance(logger, WandbLogger)]
    return next((str(run.url) for run in runs if not run.offline), None)


def _best(trainer: L.Trainer) -> dict[str, Any] | None:
    for callback in trainer.checkpoint_callbacks:
        if isinstance(callback, ModelCheckpoint) and callback.best_model_score is not None:
            return {"metric": callback.monitor, "mode": callback.mode, "value": float(callback.best_model_score)}
    return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
