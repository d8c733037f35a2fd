"""End a run that its sweep has asked to stop, or that has stopped before a kill."""

from pathlib import Path

import lightning as L
from lightning.pytorch.callbacks import Callback, EarlyStopping
from lightning.pytorch.callbacks.early_stopping import EarlyStoppingReason
from lightning.pytorch.trainer.states import TrainerFn

from lit_cv.runs.folder import STOP_FILE


class StopRequest(Callback):
    """Look for the file `stop` in the run's folder after each validation, and end the training if it is there.

    The run then ends like every run, with a result. A run that was killed after the request obeys it after its next
    validation.

    Args:
        folder: Folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.file, self.stopped = folder / STOP_FILE, False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """End a continued training at once if ``EarlyStopping`` had ended it before the kill."""
        if any(map(has_stopped, trainer.callbacks)):  # type: ignore[attr-defined]
            trainer.should_stop = True

    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Stop all processes if the first one finds the file."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        asked = trainer.is_global_zero and self.file.exists()
        if trainer.strategy.reduce_boolean_decision(asked, all=False):
            self.stopped = trainer.should_stop = True


def has_stopped(callback: L.Callback) -> bool:
    """Tell whether a callback is an ``EarlyStopping`` that has ended its training, before a kill perhaps."""
    return isinstance(callback, EarlyStopping) and callback.stopping_reason != EarlyStoppingReason.NOT_STOPPED
