"""A run that is asked to end, by a signal or by Slurm: it saves itself between two steps and continues later."""

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.connectors.signal_connector import _SignalConnector
from lightning.pytorch.trainer.states import TrainerFn

from lit_cv.errors import UserError
from lit_cv.tracking.run import finish
from lit_cv.training import slurm_task
from lit_cv.training.checkpoints import LastCheckpoint
from lit_cv.training.signals import SIGNALS_OF_THIS_PROCESS, end_by


class Stopped(Exception):
    """The run has saved itself, if it could, and exits, in all its processes at once.

    Attributes:
        progress: Step of the run and what is saved, in words.
        requeue: Whether Slurm shall start the run again.
    """

    def __init__(self, progress: str, requeue: bool) -> None:
        super().__init__(progress)
        self.progress, self.requeue = progress, requeue


class NoSignalHandlers(_SignalConnector):
    """Lightning's handlers, switched off: the one for SIGTERM starts a broadcast within another collective."""

    def register_signal_handlers(self) -> None:
        """Leave the handlers of this process as they are."""


class StopBetweenSteps(Callback):
    """After a signal, save `last.ckpt` at the next step from which a resume repeats the run, and exit.

    The processes agree on that step, since a signal reaches each at a different time, or only one of them. They exit
    before the next batch and not at once, so that the numbers of the last batch are logged. A run that finds no such
    step in time, such as in a long validation, exits without saving, except for Slurm's signals, whose time is Slurm's.

    Args:
        checkpoint: Callback that knows the right moments; it must precede this one in the trainer's callbacks.
    """

    def __init__(self, checkpoint: LastCheckpoint) -> None:
        self.checkpoint = checkpoint
        self._leaving = False

    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Hold signals back from now on."""
        SIGNALS_OF_THIS_PROCESS.training = True

    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Exit if a signal came in the last step; from now on signals end the run at once, for its training is saved.

        Raises:
            Stopped: The run exits.
        """
        SIGNALS_OF_THIS_PROCESS.training = False
        if _agree(trainer, SIGNALS_OF_THIS_PROCESS.received is not None):
            raise Stopped(self._progress(trainer), requeue=False)

    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Let a further signal end the run at once."""
        SIGNALS_OF_THIS_PROCESS.training = False

    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save if asked to leave and a run can continue from this step."""
        self._decide(trainer, self.checkpoint.can_save_after(trainer, batch_idx))

    def on_train_epoch_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Save if asked to leave and the epoch ended with a validation."""
        if self.checkpoint.can_save_after_epoch(trainer):
            self._decide(trainer, True)

    def on_train_batch_start(
        self, trainer: L.Trainer, pl_module: L.LightningModule, batch: Any, batch_idx: int
    ) -> None:
        """Exit if the processes have agreed on it.

        Raises:
            Stopped: They have.
        """
        if self._leaving:
            requeue = slurm_task.is_task() and not _agree(trainer, _asked_to_end())
            raise Stopped(self._progress(trainer), requeue)

    def on_validation_batch_end(self, trainer: L.Trainer, pl_module: L.LightningModule, *_: Any) -> None:
        """Exit if the validation takes too long. The processes may have different numbers of batches: none is asked.

        Raises:
            Stopped: The run exits; the other processes end with the first.
        """
        if trainer.state.fn == TrainerFn.FITTING and SIGNALS_OF_THIS_PROCESS.overdue:
            if trainer.is_global_zero:
                raise Stopped(self._progress(trainer), requeue=False)
            end_by(SIGNALS_OF_THIS_PROCESS.received or signal.SIGTERM)

    def _decide(self, trainer: L.Trainer, can_save: bool) -> None:
        asked = slurm_task.asked_to_leave() or SIGNALS_OF_THIS_PROCESS.received is not None
        if self._leaving or not _agree(trainer, asked):
            return
        if can_save:
            self.checkpoint.save(trainer)
        self._leaving = can_save or _agree(trainer, SIGNALS_OF_THIS_PROCESS.overdue)

    def _progress(self, trainer: L.Trainer) -> str:
        step, saved = trainer.global_step, self.checkpoint.saved_step
        of = f" of {trainer.max_steps}" if trainer.max_steps > 0 else ""
        if saved == step:
            return f"step {step}{of}, which is saved"
        return f"step {step}{of}; " + (
            f"step {saved} is saved" if self.checkpoint.path.exists() else "nothing is saved"
        )


def _agree(trainer: L.Trainer, wish: bool) -> bool:
    return trainer.strategy.reduce_boolean_decision(wish, all=False)


def _asked_to_end() -> bool:
    return slurm_task.asked_to_end() or SIGNALS_OF_THIS_PROCESS.received is not None


@contextmanager
def orderly_end(folder: Path, command: str, first: bool) -> Iterator[None]:
    """Turn `Stopped` into an orderly end of this process: close W&B's files and, if asked, requeue the job.

    A run that a signal has stopped ends by this signal. Processes other than the first return: Lightning would take
    another end for a crash and kill the first.

    Args:
        folder: Folder of the run.
        command: Command that continues the run.
        first: Whether this is the first process of the run.

    Raises:
        UserError: The run was stopped and its job is not requeued.
    """
    try:
        yield
    except Stopped as notice:
        if notice.requeue:
            _requeue(notice.progress)
        elif slurm_task.is_task():
            raise UserError(f"stopped at {notice.progress}; the same command continues.") from None
        elif first:
            _end_by_signal(folder, f"stopped at {notice.progress}; continue with: {command}")
    except Exception as error:
        if not slurm_task.asked_to_end():
            raise
        # SIGTERM has ended W&B's service or another process first
        raise UserError(f"stopped by SIGTERM ({error}); the same command continues from the checkpoint.") from error


def _requeue(progress: str) -> None:
    if "wandb" in sys.modules:
        sys.modules["wandb"].finish()  # after the requeue only seconds are left
    if os.environ["SLURM_PROCID"] == "0":
        print(f"preempted at {progress}; back in the queue.", flush=True)
        slurm_task.requeue()


def _end_by_signal(folder: Path, sentence: str) -> None:
    number = SIGNALS_OF_THIS_PROCESS.received or signal.SIGTERM  # another process has received it
    print(f"litcv: {sentence}", file=sys.stderr, flush=True)
    finish(folder, 128 + number)
    end_by(number)
