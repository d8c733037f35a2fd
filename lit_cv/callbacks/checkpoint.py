"""Checkpoints that a kill at any moment cannot spoil."""

import os
import zipfile
from pathlib import Path
from typing import Any

import lightning as L
import torch
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.model_checkpoint import ModelCheckpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO


class AtomicCheckpointIO(TorchCheckpointIO):
    """Write a checkpoint under a temporary name, flush it to disk and rename it; read tensors and plain data only."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: Any, storage_options: Any = None) -> None:
        """Write `checkpoint` to the local file `path`; at any moment `path` is the old file or the new one."""
        target = Path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}")
        try:
            with temporary.open("wb") as handle:
                torch.save(checkpoint, handle)
                handle.flush()
                os.fsync(handle.fileno())
        except BaseException:
            temporary.unlink(missing_ok=True)  # half a checkpoint must not be what keeps a disk full
            raise
        temporary.replace(target)

    def load_checkpoint(self, path: Any, map_location: Any = "cpu", weights_only: bool | None = True) -> dict[str, Any]:
        """Read the local file `path` with `weights_only=True`: a checkpoint cannot run code."""
        checkpoint: dict[str, Any] = torch.load(path, map_location=map_location, weights_only=True)
        return checkpoint


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint, which remembers its best score also when the run's folder has been moved."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a checkpoint; the files that it names now lie in the folder of this run."""

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": best, "dirpath": self.dirpath})


class LastCheckpoint(Callback):
    """Keep `last.ckpt`: about every `every` steps, after a validation that ends an epoch, and at the end of the run.

    Lightning repeats the uninterrupted run only from some moments: the end of a batch that neither ends an epoch nor
    is followed by a validation, and, where the run's length is given in epochs, the end of an epoch that a validation
    closed. From another end of an epoch it would repeat a batch or leave one out. Where a multiple of `every` falls on
    another moment, the next batch is taken.

    Args:
        folder: where `last.ckpt` is written.
        every: number of optimiser steps between two checkpoints.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path, self.every = folder / "last.ckpt", every
        self._saved_step = self._validated_step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count from where the run starts or goes on."""
        self._saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when `every` steps have passed."""
        if trainer.global_step - self._saved_step >= self.every and self.can_save_after(trainer, batch_idx):
            self.save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Note when it was."""
        self._validated_step = trainer.global_step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if the epoch ended with a validation."""
        if self.can_save_after_epoch(trainer):
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the final weights."""
        self.save(trainer)

    def can_save_after(self, trainer: L.Trainer, batch_idx: int) -> bool:
        """Whether the end of this batch is a moment to go on from: an optimiser step, no validation follows."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        return stepped and not _validation_follows(trainer, batch_idx)

    def can_save_after_epoch(self, trainer: L.Trainer) -> bool:
        """Whether the end of this epoch is one: a validation closed it, and the run's length is given in epochs."""
        return trainer.max_steps == -1 and self._validated_step == trainer.global_step

    def save(self, trainer: L.Trainer) -> None:
        """Write `last.ckpt`, in all processes together."""
        trainer.save_checkpoint(self.path, weights_only=False)
        self._saved_step = trainer.global_step


def _validation_follows(trainer: L.Trainer, batch_idx: int) -> bool:
    batches = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    every = trainer.val_check_batch
    return trainer.is_last_batch or (every is not None and (batches + 1) % every == 0)


def last_checkpoint(folder: Path) -> Path | None:
    """Return the checkpoint of a run's `checkpoints/` that a resume goes on from, or None.

    That is `last.ckpt` even where `best.ckpt` is newer: the latter is written in the middle of a validation, from where
    Lightning does not repeat the uninterrupted run. It only stands in for a damaged `last.ckpt`. A checkpoint is a zip
    file whose directory stands at its end, so a cut-off one is recognised without reading it.
    """
    last, best = folder / "last.ckpt", folder / "best.ckpt"
    candidates = (last, best) if last.exists() else ()
    return next((path for path in candidates if zipfile.is_zipfile(path)), None)
