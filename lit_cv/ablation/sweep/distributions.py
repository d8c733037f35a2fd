"""The distributions of a W&B sweep, each as a quantile function from (0, 1) to the values of a parameter.

Names, keys and defaults are those of W&B's schema:
https://docs.wandb.ai/guides/sweeps/sweep-config-keys/#distribution-options-for-random-and-bayesian-search
"""

import bisect
import itertools
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

Coordinate = float | int  # position of a trial on a parameter's axis: a probability in (0, 1), or the index of a level
Numbers = Mapping[str, float]
Quantile = Callable[[float], float]

MOST_VALUES = 100_000  # of a grid
LARGEST = 2**53  # integers beyond are no floats
EDGE = 1e-6  # distance of a probability from 0 and 1 if the quantile of 0 is minus infinity
BOUNDS: tuple[tuple[str, ...], dict[str, float]] = (("min", "max"), {})
GAUSS: tuple[tuple[str, ...], dict[str, float]] = ((), {"mu": 0.0, "sigma": 1.0})
BETA: tuple[tuple[str, ...], dict[str, float]] = ((), {"a": 1.0, "b": 1.0})
FORMS: dict[str, tuple[tuple[str, ...], dict[str, float]]] = {  # required keys, optional ones with their defaults
    "uniform": BOUNDS,
    "log_uniform": BOUNDS,
    "log_uniform_values": BOUNDS,
    "inv_log_uniform": BOUNDS,
    "inv_log_uniform_values": BOUNDS,
    "normal": GAUSS,
    "log_normal": GAUSS,
    "beta": BETA,
}
QUANTIZED = ("uniform", "log_uniform", "log_uniform_values", "normal", "log_normal", "beta")
DEFAULT_Q = 1.0
NAMES = (
    "constant",
    "categorical",
    "categorical_w_probabilities",
    "int_uniform",
    *FORMS,
    *(f"q_{n}" for n in QUANTIZED),
)


@dataclass(frozen=True)
class Levels:
    """A parameter that takes one of several values.

    Attributes:
        values: The levels.
        probabilities: Probability of each level; None: all are equally likely.
        ordered: Whether neighbors in ``values`` are similar, as with integers.
    """

    values: Sequence[Any]
    probabilities: tuple[float, ...] | None = None
    ordered: bool = False

    def sample(self, u: float) -> int:
        """Return the index of the level at probability ``u`` in (0, 1)."""
        if self.probabilities is None:
            return min(int(u * len(self.values)), len(self.values) - 1)
        edges = list(itertools.accumulate(self.probabilities))
        return bisect.bisect(edges, u * edges[-1])

    def value(self, coordinate: Coordinate) -> Any:
        """Return the level with this index."""
        return self.values[int(coordinate)]


@dataclass(frozen=True)
class Continuous:
    """A parameter that takes any value in a range.

    Attributes:
        quantile: Quantile function.
        step: Values are rounded to multiples of this number.
        grid: Values in a grid, if W&B defines them (q_uniform: from ``min`` in steps of ``q``, without ``max``).
    """

    quantile: Quantile
    step: float | None = None
    grid: list[float] | None = None

    def sample(self, u: float) -> float:
        """Return ``u`` itself: the axis of the parameter is its probability."""
        return u

    def value(self, coordinate: Coordinate) -> float:
        """Return the value at this probability; an integer if ``step`` is one."""
        exact = self.quantile(coordinate)
        return exact if self.step is None else round(exact / self.step) * self.step


Distribution = Levels | Continuous


def make_distribution(spec: Mapping[str, Any]) -> Distribution:
    """Return the distribution of a parameter's block, ``{min: 0.1, max: 1.0}`` or ``{distribution: beta, a: 2}``.

    Without ``distribution``, W&B's rule applies: ``value`` is a constant, ``values`` are categorical, ``min`` and
    ``max`` are int_uniform if both are integers, otherwise uniform.

    Raises:
        ValueError: The block is invalid; the text completes a sentence that starts with the parameter's name.
    """
    name = str(spec.get("distribution") or _implied(spec))
    given = {key: value for key, value in spec.items() if key != "distribution"}
    if name == "constant":
        _check_keys(name, given, ("value",), ())
        return Levels((given["value"],))
    if name in ("categorical", "categorical_w_probabilities"):
        return _categorical(name, given)
    if name == "int_uniform":
        return _int_uniform(given)
    base = name.removeprefix("q_")
    if name not in NAMES:
        raise ValueError(f"has the distribution '{name}', which does not exist; write one of {', '.join(NAMES)}")
    required, defaults = FORMS[base]
    optional = defaults if base == name else defaults | {"q": DEFAULT_Q}
    _check_keys(name, given, required, optional)
    numbers = optional | {key: _number(key, value) for key, value in given.items()}
    return _continuous(base, numbers, numbers["q"] if base != name else None)


def _implied(spec: Mapping[str, Any]) -> str:
    if "value" in spec:
        return "constant"
    if "values" in spec:
        return "categorical"
    if "min" in spec and "max" in spec:
        return "int_uniform" if _is_integer(spec["min"]) and _is_integer(spec["max"]) else "uniform"
    raise ValueError("needs exactly one of value, values, parameters, or `min` and `max`, or a `distribution`")


def _check_keys(
    name: str, given: Mapping[str, Any], required: Sequence[str], optional: Sequence[str] | Numbers
) -> None:
    for key in required:
        if key not in given:
            raise ValueError(f"has the distribution {name}, which needs `{key}`")
    for key in given:
        if key not in required and key not in optional:
            known = ", ".join([*required, *optional])
            raise ValueError(f"has `{key}`, which the distribution {name} does not take; it takes {known}")


def _categorical(name: str, given: Mapping[str, Any]) -> Levels:
    _check_keys(name, given, ("values",), ("probabilities",))
    values, probabilities = given["values"], given.get("probabilities")
    if not isinstance(values, list) or not values:
        raise ValueError(f"must have a list with at least one value as `values`, not {values!r}")
    if probabilities is None:
        return Levels(values)
    if not isinstance(probabilities, list) or len(probabilities) != len(values):
        raise ValueError(f"needs as many `probabilities` as `values` ({len(values)}), not {probabilities!r}")
    weights = tuple(_number("probabilities", weight) for weight in probabilities)
    if min(weights) < 0 or not math.isclose(sum(weights), 1, rel_tol=1e-5):
        raise ValueError(f"has the `probabilities` {probabilities}; write non-negative numbers that sum to 1")
    return Levels(values, weights)


def _int_uniform(given: Mapping[str, Any]) -> Levels:
    _check_keys("int_uniform", given, ("min", "max"), ())
    low, high = given["min"], given["max"]
    if not (_is_integer(low) and _is_integer(high)):
        raise ValueError(f"is int_uniform with `min` {low!r} and `max` {high!r}; write integers, or uniform")
    _check_order(low, high)
    if high - low >= LARGEST:
        raise ValueError(f"is int_uniform with `min` {low} and `max` {high}, too many integers; write uniform")
    return Levels(range(low, high + 1), ordered=True)


def _continuous(base: str, numbers: Numbers, step: float | None) -> Continuous:
    if "min" in numbers:
        _check_order(numbers["min"], numbers["max"])
    if base.endswith("_values") and numbers["min"] <= 0:
        raise ValueError(f"is {base} with `min` {numbers['min']}, but a logarithm needs numbers above 0")
    for key in ("sigma", "a", "b", "q"):
        if numbers.get(key, 1) <= 0:
            raise ValueError(f"has `{key}` {numbers[key]}; write a number above 0")
    quantile = _QUANTILES[base](numbers)
    try:
        ends = quantile(0), quantile(1)
    except OverflowError:
        ends = (math.inf, math.inf)
    if not all(map(math.isfinite, ends)):
        hint = f"; {base}_values takes the values themselves" if base in ("log_uniform", "inv_log_uniform") else ""
        raise ValueError(f"reaches values that are too large for a number{hint}")
    steps = (numbers["max"] - numbers["min"]) / step if base == "uniform" and step else math.inf
    grid = _range(numbers["min"], numbers["max"], step) if step and steps <= MOST_VALUES else None
    return Continuous(quantile, step, grid)


def _range(low: float, high: float, step: float) -> list[float]:
    return [low + i * step for i in range(math.ceil((high - low) / step))]


def _check_order(low: float, high: float) -> None:
    if low >= high:
        raise ValueError(f"has `min` {low} and `max` {high}; `min` must be less than `max`")


def _number(key: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) <= sys.float_info.max:
        raise ValueError(f"has `{key}` {value!r}, which is not a number")
    return value


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _uniform(numbers: Numbers) -> Quantile:
    low, high = numbers["min"], numbers["max"]
    return lambda u: low + u * (high - low)


def _log_uniform(numbers: Numbers) -> Quantile:
    exponent = _uniform(numbers)
    return lambda u: math.exp(exponent(u))


def _log_uniform_values(numbers: Numbers) -> Quantile:
    low, high = numbers["min"], numbers["max"]
    exponent = _uniform({"min": math.log(low), "max": math.log(high)})
    return lambda u: min(max(math.exp(exponent(u)), low), high)


def _inv_log_uniform(numbers: Numbers) -> Quantile:
    """Return the quantile function of X, where log(1 / X) is uniform between ``min`` and ``max``."""
    exponent = _uniform(numbers)
    return lambda u: math.exp(-exponent(1 - u))


def _normal(numbers: Numbers) -> Quantile:
    inverse = NormalDist(numbers["mu"], numbers["sigma"]).inv_cdf
    return lambda u: inverse(min(max(u, EDGE), 1 - EDGE))


def _log_normal(numbers: Numbers) -> Quantile:
    exponent = _normal(numbers)
    return lambda u: math.exp(exponent(u))


def _beta(numbers: Numbers) -> Quantile:
    def quantile(u: float) -> float:
        from scipy.special import betaincinv  # imported here because few sweeps need it and it is slow to import

        return float(betaincinv(numbers["a"], numbers["b"], u))

    return quantile


_QUANTILES: dict[str, Callable[[Numbers], Quantile]] = {
    "uniform": _uniform,
    "log_uniform": _log_uniform,
    "log_uniform_values": _log_uniform_values,
    "inv_log_uniform": _inv_log_uniform,
    "inv_log_uniform_values": _log_uniform_values,  # 1 / X is log-uniform if X is
    "normal": _normal,
    "log_normal": _log_normal,
    "beta": _beta,
}
