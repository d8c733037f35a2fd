"""The end of a run before its budget: why, when, and how good it was."""

from pathlib import Path
from typing import Any

import lightning as L
from lightning.pytorch.callbacks import EarlyStopping, Timer

from lit_cv.runs.files import read_curve
from lit_cv.training.stop_request import StopRequest, has_stopped


def early_end(trainer: L.Trainer, folder: Path) -> dict[str, Any] | None:
    """Return the record of an early end, or None if the run has used its budget.

    Args:
        trainer: Trainer of the run, after its training.
        folder: Folder of the run.

    Returns:
        ``by`` (``Hyperband``, ``EarlyStopping`` or ``max_time``), ``reason``, ``step``; for ``EarlyStopping`` also
        ``metric``, ``best_step`` and ``best_value``, which are None before a first finite value.
    """
    callbacks, step = trainer.callbacks, trainer.global_step  # type: ignore[attr-defined]
    if any(part.stopped for part in callbacks if isinstance(part, StopRequest)):
        return {"by": "Hyperband", "reason": "Other runs of the sweep were better.", "step": step}
    if step >= trainer.max_steps and trainer.current_epoch >= (trainer.max_epochs or 0):
        return None
    for callback in callbacks:
        if has_stopped(callback):
            return {"by": "EarlyStopping", "reason": _reason(callback), "step": step, **_best(callback, folder)}
    if any(isinstance(part, Timer) for part in callbacks):
        return {"by": "max_time", "reason": "The time of trainer.max_time is over.", "step": step}
    return None


def _reason(callback: EarlyStopping) -> str:
    return str(callback.stopping_reason_message).removesuffix(" Signaling Trainer to stop.")


def _best(callback: EarlyStopping, folder: Path) -> dict[str, Any]:
    value = float(callback.best_score)
    steps = [step for step, logged in read_curve(folder, callback.monitor).items() if logged == value]
    # The log counts from 0.
    found = {"best_step": steps[0] + 1, "best_value": value} if steps else {"best_step": None, "best_value": None}
    return {"metric": callback.monitor, **found}
