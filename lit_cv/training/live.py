"""The output of `litcv fit`: one live line, a line after each validation, and the end; and of an evaluation."""

import shlex
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import lightning as L
from lightning.fabric.utilities.exceptions import MisconfigurationException
from lightning.pytorch.callbacks import Callback
from lightning.pytorch.trainer.states import TrainerFn
from lightning.pytorch.utilities import rank_zero_only
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lit_cv.runs.prose import say
from lit_cv.training.checkpoints import BestCheckpoint

REDRAW_SECONDS = 0.25
PLAIN_SECONDS = 60.0  # between two lines about progress where there is no terminal
WARM_UP = 5  # steps before the time left is estimated: the first ones are slow
MEMORY = 0.9  # weight of the former steps in the mean duration of a step


class LiveLine(Callback):
    """Shows step, loss, speed and time left in one line of the terminal, or now and then in a log.

    Args:
        folder: Folder of the run.
        best: Callback that knows the monitored metric and its best value.
    """

    def __init__(self, folder: Path, best: BestCheckpoint) -> None:
        self.folder, self.best = folder, best
        self.console = Console(highlight=False, soft_wrap=True)
        self._live = Live(console=self.console, auto_refresh=False, transient=True)
        self._total = 0
        self._step_seconds = self._validation_seconds = 0.0
        self._last = self._shown = 0.0
        self._validations = self._first_step = 0

    @rank_zero_only
    def on_train_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Say which run starts, and warn if no validation will come."""
        with suppress(MisconfigurationException, OverflowError):  # batches per step change; or there is no end
            self._total = int(trainer.estimated_stepping_batches)
        self._first_step, self._last, self._shown = trainer.global_step, time.monotonic(), time.monotonic()
        whole = f"steps: {self._total}" if self._total else "no fixed number of steps"
        begun = f", continues at step {trainer.global_step}" if trainer.global_step else ""
        self._say(f"run: {self.folder} ({whole}{begun})")
        if note := without_validation(trainer, self._total):
            say(f"note: {note}")
        if self.console.is_terminal:
            self._live.start()

    @rank_zero_only
    def on_train_batch_end(
        self, trainer: L.Trainer, pl_module: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Redraw the line if it is time."""
        now = time.monotonic()
        took, self._last = now - self._last, now
        self._step_seconds = MEMORY * self._step_seconds + (1 - MEMORY) * took if self._step_seconds else took
        if now - self._shown < (REDRAW_SECONDS if self.console.is_terminal else PLAIN_SECONDS):
            return
        images = len(batch[0]) * trainer.world_size / max(self._step_seconds, 1e-9)
        loss = [f"loss {float(outputs['loss']):.4g}"] if isinstance(outputs, Mapping) and "loss" in outputs else []
        parts = [self._step(trainer), *loss, f"{images:.3g} images/s"]
        self._show(" · ".join([*parts, *self._time_left(trainer)]))

    @rank_zero_only
    def on_validation_start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Start the clock of the validation."""
        self._last = time.monotonic()

    @rank_zero_only
    def on_validation_batch_end(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Show how far the validation is."""
        if self._live.is_started and time.monotonic() - self._shown > REDRAW_SECONDS:
            batches = sum(trainer.num_val_batches) if trainer.state.fn == TrainerFn.FITTING else 0
            of = f" of {batches}" if batches else ""
            self._show(f"{self._step(trainer)} · validation, batch {batch_idx + 1}{of}")

    @rank_zero_only
    def on_validation_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Print the monitored metric."""
        if trainer.sanity_checking or trainer.state.fn != TrainerFn.FITTING:
            return
        now = time.monotonic()
        self._validation_seconds, self._last = now - self._last, now
        self._validations += 1
        name, best = str(self.best.monitor), self.best.best_model_score
        value = trainer.callback_metrics.get(name)
        if value is None:
            return
        better = best is None or (value > best if self.best.mode == "max" else value < best)
        self._say(f"{self._step(trainer)}: {name} {value:.4g} ({'best' if better else f'best {best:.4g}'})")

    @rank_zero_only
    def on_train_end(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        """Remove the line."""
        self._live.stop()

    @rank_zero_only
    def on_exception(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException) -> None:
        """Remove the line."""
        self._live.stop()

    def _step(self, trainer: L.Trainer) -> str:
        return f"step {trainer.global_step}" + (f" of {self._total}" if self._total else "")

    def _time_left(self, trainer: L.Trainer) -> list[str]:
        done, left = trainer.global_step - self._first_step, self._total - trainer.global_step
        if not self._total or done < WARM_UP:
            return []
        steps = left * self._step_seconds * trainer.accumulate_grad_batches
        seconds = int(steps + left * self._validations / done * self._validation_seconds)
        hours, minutes = divmod(seconds // 60, 60)
        return [f"{hours} h {minutes:02} min left" if hours else f"{minutes}:{seconds % 60:02} left"]

    def _show(self, line: str) -> None:
        self._shown = time.monotonic()
        if self._live.is_started:
            self._live.update(Text(line, no_wrap=True, overflow="ellipsis"), refresh=True)
        else:
            self._say(line)

    def _say(self, line: str) -> None:
        self.console.print(line, markup=False)


class EvaluationLine(Callback):
    """Shows in one line of the terminal how far `validate`, `test` or `predict` is."""

    def __init__(self) -> None:
        self._live = Live(console=Console(highlight=False), auto_refresh=False, transient=True)
        self._shown = 0.0

    @rank_zero_only
    def _start(self, trainer: L.Trainer, pl_module: L.LightningModule) -> None:
        if self._live.console.is_terminal:
            self._live.start()

    @rank_zero_only
    def _show(
        self,
        trainer: L.Trainer,
        pl_module: L.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        if not self._live.is_started or time.monotonic() - self._shown < REDRAW_SECONDS:
            return
        self._shown = time.monotonic()
        batches = {
            TrainerFn.VALIDATING: trainer.num_val_batches,
            TrainerFn.TESTING: trainer.num_test_batches,
            TrainerFn.PREDICTING: trainer.num_predict_batches,
        }[TrainerFn(trainer.state.fn)]
        self._live.update(Text(f"batch {batch_idx + 1} of {sum(batches):.0f}"), refresh=True)

    @rank_zero_only
    def _stop(self, trainer: L.Trainer, pl_module: L.LightningModule, exception: BaseException | None = None) -> None:
        self._live.stop()

    on_validation_start = on_test_start = on_predict_start = _start
    on_validation_batch_end = on_test_batch_end = on_predict_batch_end = _show
    on_validation_end = on_test_end = on_predict_end = on_exception = _stop


def without_validation(trainer: L.Trainer, total: int) -> str | None:
    """Return a sentence if the training itself will not validate, else None.

    Args:
        trainer: Trainer of a run that starts.
        total: Number of optimizer steps; 0 if unknown.
    """
    if not trainer.enable_validation or not sum(trainer.num_val_batches):
        return (
            "this run will never validate (trainer.limit_val_batches, data.val_sets), so its result has no metrics of "
            "the validation and it keeps no best.ckpt."
        )
    every, batches = trainer.val_check_batch, total * trainer.accumulate_grad_batches
    per_epoch = trainer.check_val_every_n_epoch
    if per_epoch is not None and every is not None:
        every += (per_epoch - 1) * trainer.num_training_batches
    if total and every is not None and every > batches:
        return (
            f"the first validation would come after {every:.0f} batches, but the training has {batches}: only the "
            "final weights are validated, and there is no best.ckpt; lower trainer.val_check_interval."
        )
    return None


def tell_result(folder: Path, metrics: Mapping[str, float], best: BestCheckpoint) -> None:
    """Print the end of a run: the metric, its best value, the result's file, and what to do next."""
    name = str(best.monitor)
    if name in metrics:
        score = "" if best.best_model_score is None else f" (best {float(best.best_model_score):.4g})"
        print(f"{name} {metrics[name]:.4g}{score}")
    print(f"result: {folder / 'result.json'}")
    print(f"next: litcv predict {shlex.quote(str(folder))} IMAGES", flush=True)
