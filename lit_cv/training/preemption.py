"""Preemption by Slurm: the run saves itself, returns to the queue and continues later."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback

from lit_cv.errors import UserError
from lit_cv.training import slurm_task
from lit_cv.training.checkpoints import LastCheckpoint


class Preempted(Exception):
    """The run has saved itself and exits, in all its processes at once."""

    def __init__(self, requeue: bool, step: int) -> None:
        super().__init__(f"step {step}")
        self.requeue, self.step = requeue, step


class Preemption(Callback):
    """After SIGUSR1 or SIGTERM, save `last.ckpt` at the next step from which a resume repeats the run, and exit.

    The processes agree on that step, since a signal reaches each at a different time. They exit before the next batch
    and not at once, so that the numbers of the last batch are logged.

    Args:
        checkpoint: Callback that knows the right moments; it must precede this one in the trainer's callbacks.
    """

    def __init__(self, checkpoint: LastCheckpoint) -> None:
        self.checkpoint = checkpoint
        self._leaving = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if asked to leave and a run can continue from this step."""
        if self.checkpoint.can_save_after(trainer, batch_idx):
            self._save_if_asked(trainer)

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if asked to leave and the epoch ended with a validation."""
        if self.checkpoint.can_save_after_epoch(trainer):
            self._save_if_asked(trainer)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Exit if the processes have agreed on it.

        Raises:
            Preempted: They have.
        """
        if self._leaving:
            ending = trainer.strategy.reduce_boolean_decision(slurm_task.asked_to_end(), all=False)
            raise Preempted(not ending, trainer.global_step)

    def _save_if_asked(self, trainer: L.Trainer) -> None:
        self._leaving = trainer.strategy.reduce_boolean_decision(slurm_task.asked_to_leave(), all=False)
        if self._leaving:
            self.checkpoint.save(trainer)


@contextmanager
def leaving_when_preempted() -> Iterator[None]:
    """Turn `Preempted` into an orderly end of this process: close W&B's files and, if asked, requeue the job.

    Raises:
        UserError: The run was stopped and its job is not requeued.
    """
    try:
        yield
    except Preempted as notice:
        if not notice.requeue:
            raise UserError(f"stopped at step {notice.step}, which is saved; the same command continues.") from None
        if "wandb" in sys.modules:
            sys.modules["wandb"].finish()  # after the requeue only seconds are left
        if os.environ["SLURM_PROCID"] == "0":
            print(f"preempted at step {notice.step}, which is saved; back in the queue.", flush=True)
            slurm_task.requeue()
    except Exception as error:
        if not slurm_task.asked_to_end():
            raise
        # SIGTERM has ended W&B's service or another process first
        raise UserError(f"stopped by SIGTERM ({error}); the same command continues from the checkpoint.") from error
