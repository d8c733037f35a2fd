"""Quiet libraries: their reports about themselves are switched off, their complaints become one sentence."""

import logging
import os
import textwrap
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.fabric.utilities.rank_zero import LightningDeprecationWarning
from lightning.fabric.utilities.warnings import PossibleUserWarning
from lightning.pytorch.callbacks import BatchSizeFinder, LearningRateFinder

from lit_cv.errors import UserError, expected_failure

LOGGERS = ("lightning.pytorch", "lightning.fabric")
EXPECTED = (
    "Be aware that when using `ckpt_path`, callbacks",  # evaluating a checkpoint needs none of them
    "Checkpoint directory .* exists and is not empty",  # a run that continues
)
ADVICE = (PossibleUserWarning, LightningDeprecationWarning, DeprecationWarning, FutureWarning)


@contextmanager
def quiet() -> Iterator[None]:
    """Silence Lightning's and W&B's reports in a ``with`` block: loggers, advice to programmers, W&B's banner.

    Lightning's advice to log with ``sync_dist`` is wrong here: metrics are equal in all processes.
    """
    former = {name: logging.getLogger(name).level for name in LOGGERS}
    os.environ.setdefault("WANDB_SILENT", "true")
    with warnings.catch_warnings():
        for category in ADVICE:
            warnings.simplefilter("ignore", category)
        for message in EXPECTED:
            warnings.filterwarnings("ignore", message)
        for name in LOGGERS:
            logging.getLogger(name).setLevel(logging.WARNING)
        try:
            yield
        finally:
            for name, level in former.items():
                logging.getLogger(name).setLevel(level)


@contextmanager
def lightning_reasons() -> Iterator[None]:
    """Turn an error that Lightning raises about settings of the trainer or of its callbacks into one sentence.

    Raises:
        UserError: Lightning refuses a setting.
    """
    try:
        yield
    except MisconfigurationException as error:
        raise UserError(_sentence(error)) from error
    except (ValueError, RuntimeError) as error:
        place = traceback.extract_tb(error.__traceback__)[-1].filename.replace(os.sep, "/")
        parts = ("lightning/pytorch/callbacks/", *(["lightning/"] if isinstance(error, ValueError) else []))
        if not any(f"/{part}" in place for part in parts):
            raise
        raise UserError(_sentence(error)) from error


@contextmanager
def restoring(checkpoint: Path | None) -> Iterator[None]:
    """Turn an error of restoring a checkpoint, in a ``with`` block that may do more, into one sentence.

    A checkpoint may be damaged anywhere, and each part of it is restored by other code, which checks nothing.

    Args:
        checkpoint: The checkpoint; None if nothing is restored.

    Raises:
        UserError: The checkpoint cannot be read, or does not fit the model and the trainer.
    """
    try:
        yield
    except Exception as error:
        places = traceback.extract_tb(error.__traceback__)
        restores = any(Path(place.filename).name == "checkpoint_connector.py" for place in places)
        if not restores or expected_failure(error):
            raise
        reason = textwrap.shorten(str(error), 200).rstrip(".") or type(error).__name__
        raise UserError(
            f"{checkpoint}: is damaged, or of another experiment ({reason}); restore it, or give another checkpoint."
        ) from error


def refuse_tuners(callbacks: Sequence[L.Callback]) -> None:
    """Refuse callbacks that change the settings of a run behind its record.

    Raises:
        UserError: There is such a callback.
    """
    for callback in callbacks:
        if isinstance(callback, LearningRateFinder | BatchSizeFinder):
            key = "data.batch_size" if isinstance(callback, BatchSizeFinder) else "model.optimizer.lr"
            raise UserError(
                f"trainer.callbacks: {type(callback).__name__} changes a setting that the run records and the report "
                f"compares; remove it and compare values of {key} in a sweep."
            )


def _sentence(error: Exception) -> str:
    text = " ".join(str(error).split()).rstrip(".!")
    if "gpu backend" in text:
        return "trainer.accelerator: PyTorch finds no GPU on this machine; take cpu, or leave the setting out."
    return f"trainer: {text}; fix the setting of `trainer` or of its callbacks."
