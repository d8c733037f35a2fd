"""Hyperband early termination as in W&B: stops active runs that are not among the best at their last rung.

Li et al. 2018, "Hyperband: A Novel Bandit-Based Approach to Hyperparameter Optimization", section 3, without
synchronization: a run is compared with the runs that have reached the same rung so far.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

KEYS = ("type", "min_iter", "max_iter", "s", "eta", "strict")
LARGEST = 1e9  # iterations
LARGEST_EXPONENT = 600.0  # e to this power, times the largest number, fits a float
MOST_RUNGS = 100


@dataclass(frozen=True)
class Hyperband:
    """The ``early_terminate`` block of a sweep.

    Attributes:
        rungs: Iterations at which runs are compared, ascending; an iteration is one logged value of the metric.
        eta: One in ``eta`` runs passes a rung.
        strict: Compare a run's value at the rung; otherwise its best value so far.
    """

    rungs: tuple[int, ...]
    eta: float
    strict: bool

    def stops(self, histories: Mapping[str, Sequence[float]], running: Collection[str], *, maximize: bool) -> list[str]:
        """Return the active runs that should end.

        Args:
            histories: Maps every run, active or ended, to the values of its metric, one per iteration.
            running: The active runs.
            maximize: Whether a higher value is better.
        """
        sign = -1.0 if maximize else 1.0
        losses = {run: [sign * value for value in values if math.isfinite(value)] for run, values in histories.items()}
        return [run for run in losses if run in running and self._fails(losses[run], list(losses.values()))]

    def _fails(self, losses: Sequence[float], of_all: Sequence[Sequence[float]]) -> bool:
        reached = [rung for rung in self.rungs if rung <= len(losses)]
        if not reached:
            return False
        at_rung = sorted(others[reached[-1] - 1] for others in of_all if len(others) >= reached[-1])
        threshold = at_rung[int(len(at_rung) / self.eta)]
        return (losses[reached[-1] - 1] if self.strict else min(losses)) > threshold


def make_hyperband(spec: Any) -> Hyperband:
    """Read an ``early_terminate`` block; W&B's defaults are ``eta: 3`` and ``strict: true``.

    Raises:
        ValueError: The block is invalid; the text is one sentence without the file name.
    """
    if not isinstance(spec, dict) or spec.get("type") != "hyperband":
        raise ValueError(f"`early_terminate` is {spec!r}; write {{type: hyperband, min_iter: 3}}.")
    for key in spec:
        if key not in KEYS:
            raise ValueError(f"unknown key of `early_terminate`: `{key}`; known: {', '.join(KEYS)}.")
    eta, strict = spec.get("eta", 3), spec.get("strict", True)
    if not _is_number(eta) or eta <= 1:
        raise ValueError(f"`early_terminate` has `eta` {eta!r}; write a number above 1, such as 3.")
    if not isinstance(strict, bool):
        raise ValueError(f"`early_terminate` has `strict` {strict!r}; write true or false.")
    return Hyperband(_rungs(spec, eta), eta, strict)


def _rungs(spec: Mapping[str, Any], eta: float) -> tuple[int, ...]:
    """Return ``min_iter · eta^i`` upwards, or ``max_iter / eta^i`` downwards, ``s`` times."""
    name = "max_iter" if "max_iter" in spec else "min_iter"
    for key in (name, "s") if name == "max_iter" else (name,):
        if not _is_number(spec.get(key)) or spec[key] < 1:
            raise ValueError(
                "`early_terminate` needs `min_iter`, or `max_iter` and `s`, as numbers of at least 1; "
                f"`{key}` is {spec.get(key)!r}."
            )
    if name == "min_iter":
        powers = [power for power in range(MOST_RUNGS) if power * math.log(eta) < LARGEST_EXPONENT]
        return tuple(int(spec["min_iter"] * eta**power) for power in powers)
    most = min(int(spec["s"]), MOST_RUNGS)
    powers = [power for power in range(most, 0, -1) if power * math.log(eta) < LARGEST_EXPONENT]
    rungs = [int(spec["max_iter"] / eta**power) for power in powers]
    if not any(rungs):
        raise ValueError("`early_terminate` compares runs at no iteration; raise `max_iter` or lower `eta`.")
    return tuple(rung for rung in rungs if rung)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= LARGEST
