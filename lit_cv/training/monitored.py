"""The metrics that a run logs, and the callbacks that wait for one of them."""

from collections.abc import Iterable, Sequence
from typing import Any

import lightning as L

from lit_cv.callbacks.ema import EMA, of_average
from lit_cv.errors import UserError, did_you_mean, nearest
from lit_cv.metrics.facts import Fact
from lit_cv.runs.prose import say
from lit_cv.tasks.base import Task

ALWAYS = ("epoch", "step", "train/lr")  # names that a callback may monitor besides metrics
KNOWN = ("lightning.", "lit_cv.")  # packages whose callbacks and tasks log nothing under other names


def known_metrics(task: Task, callbacks: Iterable[Any], class_names: Sequence[str] | None = None) -> dict[str, Fact]:
    """Return unit and direction of each metric that a run logs, by its full name.

    Args:
        task: The task.
        callbacks: The run's callbacks, built or as parsed settings.
        class_names: See ``Task.logged_metrics``.
    """
    facts = task.logged_metrics(class_names)
    averages = any(isinstance(callback, EMA) or _path(callback) in _PATHS for callback in callbacks)
    return facts | of_average(facts) if averages else facts


def refuse_unknown_monitors(trainer: L.Trainer, task: L.LightningModule) -> None:
    """Check, before the first step, that each metric that a callback waits for will come.

    Tasks and callbacks of the user may log more; where there are any, nothing is checked.

    Raises:
        UserError: A callback monitors a name that is never logged.
    """
    callbacks = trainer.callbacks  # type: ignore[attr-defined]
    if not isinstance(task, Task) or not all(type(part).__module__.startswith(KNOWN) for part in [task, *callbacks]):
        return
    facts = known_metrics(task, callbacks)
    known = {name for name in facts if not name.startswith("test/")}
    for callback in callbacks:
        name = getattr(callback, "monitor", None)
        if trainer.is_global_zero and name in known and (note := _other_direction(callback, facts[name])):
            say(f"note: trainer.callbacks: {note}")
        if name is None or name in known or name in ALWAYS:
            continue
        hint = did_you_mean(name, known) or f"; choose from {', '.join(nearest(name, sorted(known)))}."
        raise UserError(
            f"trainer.callbacks: {type(callback).__name__} monitors {name!r}, which {type(task).__name__} does not log"
            f"{hint}"
        )


def _other_direction(callback: Any, fact: Fact) -> str:
    """Return the note that a callback waits for the worst value, which is Lightning's default; empty if it does not."""
    mode, best = getattr(callback, "mode", None), "max" if fact.higher_is_better else "min"
    if mode not in ("min", "max") or mode == best:
        return ""
    words = f"{type(callback).__name__} monitors {callback.monitor} with mode {mode}"
    return f"{words}, but {callback.monitor} is best at its {best}imum; set its mode to {best}."


def _path(callback: Any) -> str:
    return str(getattr(callback, "class_path", ""))


_PATHS = ("lit_cv.callbacks.EMA", f"{EMA.__module__}.{EMA.__name__}")
