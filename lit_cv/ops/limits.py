"""Limits of settings: a value that makes no sense is refused when the network or DataModule is built."""

from collections.abc import Sequence

from lit_cv.errors import UserError

Value = float | Sequence[float] | None


def at_least(least: int, **settings: Value) -> None:
    """Check numbers, or lists of numbers, by their names; null is accepted.

    Raises:
        UserError: One of them is below `least`.
    """
    for name, value in settings.items():
        if any(number < least for number in _numbers(value)):
            raise UserError(f"{name}: {_shown(value)} makes no sense; give at least {least}.")


def above_zero(**settings: Value) -> None:
    """Check numbers, or lists of numbers, by their names; null is accepted.

    Raises:
        UserError: One of them is 0 or negative.
    """
    for name, value in settings.items():
        if any(number <= 0 for number in _numbers(value)):
            raise UserError(f"{name}: {_shown(value)} makes no sense; give a number above 0.")


def fractions(**settings: Value) -> None:
    """Check numbers by their names; null is accepted.

    Raises:
        UserError: One of them is outside 0..1.
    """
    for name, value in settings.items():
        if any(not 0 <= number <= 1 for number in _numbers(value)):
            raise UserError(f"{name}: {_shown(value)} makes no sense; give a number from 0 to 1.")


def _numbers(value: Value) -> Sequence[float]:
    return value if isinstance(value, Sequence) else [] if value is None else [value]


def _shown(value: Value) -> str:
    return str(list(value)) if isinstance(value, Sequence) else f"{value:g}"
