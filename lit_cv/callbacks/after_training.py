"""Work of a run between its last training step and its final validation."""

from abc import ABC, abstractmethod
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


class AfterTraining(Callback, ABC):
    """A callback that works after the training, as a part of the run's ``fit``."""

    @abstractmethod
    def after_training(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> None:
        """Do the work. After a kill it is called again, even if the training itself is complete.

        Args:
            trainer: Trainer of the run, after its ``fit``.
            pl_module: The task with its final weights, on the CPU.
            folder: Folder of the run.
        """
