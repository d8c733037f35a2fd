"""The time of steps and validations in this process of a run."""

import time
from typing import Any


class Pace:
    """Counts seconds by step and by validation; the first step, in which much happens once, counts for itself."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._steps, self._training = 0, 0.0
        self._validations, self._validation, self._batches = 0, 0.0, 0
        self.begin()

    def begin(self) -> None:
        """Start counting for a step or a validation."""
        self._last = time.monotonic()

    def step(self) -> None:
        """End a batch of the training; the next one begins."""
        if self._first is None:
            self._first = self._passed()
        else:
            self._steps += 1
            self._training += self._passed()

    def validated(self, batches: int) -> None:
        """End a validation of some batches; a batch of the training follows."""
        self._validations, self._batches = self._validations + 1, batches
        self._validation += self._passed()

    def record(self) -> dict[str, Any]:
        """Return the seconds of the first batch, of a later one (None without) and of a validation, and of all."""
        first = self._first or 0.0
        return {
            "first_step": first,
            "step": self._training / self._steps if self._steps else None,
            "validation": self._validation / max(1, self._validations),
            "batches": self._batches,
            "total": first + self._training + self._validation,
        }

    def _passed(self) -> float:
        last, self._last = self._last, time.monotonic()
        return self._last - last
