"""Callbacks that keep the best and the last checkpoint of a run."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.callbacks.model_checkpoint import ModelCheckpoint


class BestCheckpoint(ModelCheckpoint):
    """Lightning's ModelCheckpoint for `best.ckpt`, which keeps its best score when the run's folder is moved.

    Args:
        folder: Folder of `best.ckpt`.
        monitor: Metric that decides.
        mode: `max` or `min`.
        own: Whether the checkpoint that is loaded, if any, is one of this run; another run's best score does not count.
        then: Called in the first process after `best.ckpt` was saved.
    """

    def __init__(
        self, folder: Path, monitor: str, mode: str, own: bool = True, then: Callable[[], None] = lambda: None
    ) -> None:
        super().__init__(folder, "best", monitor, mode=mode, enable_version_counter=False)
        self.own, self.then = own, then

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if the metric is the best so far."""
        with self._noticing(trainer):
            super().on_validation_end(trainer, pl_module)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if the validation at the end of the epoch is the best so far."""
        with self._noticing(trainer):
            super().on_train_epoch_end(trainer, pl_module)

    @contextmanager
    def _noticing(self, trainer: L.Trainer) -> Iterator[None]:
        before = self.best_model_score
        yield
        if self.best_model_score is not before and trainer.is_global_zero:
            self.then()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from a checkpoint; the files that it names are now in the folder of this run."""
        if not self.own:
            return

        def here(path: str) -> str:
            return str(Path(str(self.dirpath)) / Path(path).name) if path else path

        paths = {key: here(state_dict[key]) for key in ("best_model_path", "kth_best_model_path", "last_model_path")}
        best = {here(path): score for path, score in state_dict["best_k_models"].items()}
        super().load_state_dict(state_dict | paths | {"best_k_models": best, "dirpath": self.dirpath})


class LastCheckpoint(Callback):
    """Keep `last.ckpt`: about every `every` steps, after a validation that ends an epoch, and at the end of the run.

    Lightning repeats the uninterrupted run only from some moments: the end of a batch that neither ends an epoch nor
    is followed by a validation, and, if the run's length is given in epochs, the end of an epoch that a validation
    closed. From another end of an epoch it would repeat or skip a batch. If a multiple of `every` falls on another
    moment, the next batch is taken.

    Args:
        folder: Folder of `last.ckpt`.
        every: Number of optimizer steps between two checkpoints.

    Attributes:
        saved_step: Step of the newest checkpoint, or of the start.
    """

    def __init__(self, folder: Path, every: int) -> None:
        self.path, self.every = folder / "last.ckpt", every
        self.saved_step = self._validated_step = 0

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Count from the step where the run starts or continues."""
        self.saved_step = trainer.global_step

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save when `every` steps have passed."""
        if trainer.global_step - self.saved_step >= self.every and self.can_save_after(trainer, batch_idx):
            self.save(trainer)

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Record the step of the validation."""
        self._validated_step = trainer.global_step

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if the epoch ended with a validation."""
        if self.can_save_after_epoch(trainer):
            self.save(trainer)

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save the final weights."""
        self.save(trainer)

    def can_save_after(self, trainer: L.Trainer, batch_idx: int) -> bool:
        """Tell whether a run can continue from the end of this batch: an optimizer step that no validation follows."""
        stepped = (batch_idx + 1) % trainer.accumulate_grad_batches == 0
        return stepped and not _validation_follows(trainer, batch_idx)

    def can_save_after_epoch(self, trainer: L.Trainer) -> bool:
        """Tell whether a run can continue here: a validation closed the epoch, and the length is given in epochs."""
        return trainer.max_steps == -1 and self._validated_step == trainer.global_step

    def save(self, trainer: L.Trainer) -> None:
        """Write `last.ckpt`, in all processes together."""
        trainer.save_checkpoint(self.path, weights_only=False)
        self.saved_step = trainer.global_step


def _validation_follows(trainer: L.Trainer, batch_idx: int) -> bool:
    batches = trainer.fit_loop.total_batch_idx if trainer.check_val_every_n_epoch is None else batch_idx
    every = trainer.val_check_batch
    return trainer.is_last_batch or (every is not None and (batches + 1) % every == 0)


def in_other_batches(fit_loop: dict[str, Any], former: int, size: int) -> None:
    """Change the position in the epoch of a saved `fit_loop` to batches of another size.

    The images that the epoch has seen are left out, except for those of a batch of the new size that is not complete.

    Args:
        fit_loop: `checkpoint["loops"]["fit_loop"]`; changed in place.
        former: Images of a batch so far.
        size: Images of a batch from now on.
    """
    for position in fit_loop["state_dict"].get("combined_loader", []):
        position["batch"] = position["batch"] * former // size
    current = fit_loop["epoch_loop.batch_progress"]["current"]
    seen = current["processed"] * former // size
    for name, count in current.items():
        current[name] = seen + count - current["processed"] if name != "processed" else count
    current["processed"] = seen
