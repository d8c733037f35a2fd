"""What a run does between its last training step and its final validation."""

from abc import ABC, abstractmethod
from pathlib import Path

from lightning.pytorch import Callback, LightningModule, Trainer


class AfterTraining(Callback, ABC):
    """A callback with work of its own after the training, still part of the run's `fit`."""

    @abstractmethod
    def after_training(self, trainer: Trainer, pl_module: LightningModule, folder: Path) -> None:
        """Do the work; after a kill it is called again, also where the training itself has nothing left to do.

        Args:
            trainer: The run's, after its `fit`.
            pl_module: With the final weights, on the CPU.
            folder: The run's.
        """
