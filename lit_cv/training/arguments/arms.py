"""Parses the arms of a sweep: those that differ only in plain values once, and then each value alone."""

from collections.abc import Callable, Iterator, Sequence
from functools import cache
from importlib import import_module
from inspect import isclass
from typing import Any

from jsonargparse import ArgumentError, Namespace

from lit_cv.errors import UserError
from lit_cv.runs.settings import dotted
from lit_cv.training.arguments.null_values import TOP
from lit_cv.training.arguments.parsing import Parser, refuse_values
from lit_cv.training.arguments.wrong_setting import settings_of

Parse = Callable[[Sequence[str]], Any]
NULLS = ("null", "None")


def parsed_arms(arms: Sequence[Sequence[str]], parse: Parse) -> Iterator[Any]:
    """Yield the parsed experiment (`fit`) of each arm, as `parse` reads it.

    An arm whose arguments name the same files and classes as those of an earlier arm is not parsed again: its other
    values are checked one by one, against the type of their setting. If a value does not pass, or belongs to no such
    setting, the arm is parsed as a whole, which gives the sentence that names the mistake.

    Args:
        arms: Arguments of each arm.
        parse: Parses one arm.

    Raises:
        UserError: An argument is wrong.
    """
    bases: dict[tuple[str, ...], list[Any]] = {}
    for args in arms:
        keys = tuple(arg.partition("=")[0] for arg in args)
        found = next((one for base in bases.get(keys, ()) if (one := _changed(base, args)) is not None), None)
        if found is None:
            found = parse(args).fit
            bases.setdefault(keys, []).append((list(args), found))
        yield found


def _changed(base: Any, args: Sequence[str]) -> Any:
    """Return the experiment of a base arm with the values of another arm; None if it has to be parsed."""
    theirs, experiment = base
    changes = [new for new, old in zip(args, theirs, strict=True) if new != old]
    if any(_place(experiment, arg) is None for arg in changes):
        return None
    changed = experiment.clone()
    try:
        for arg in changes:
            if place := _place(changed, arg):
                owner, holder, rest = place
                _set(holder, rest, _read(owner, ".".join(rest), arg.partition("=")[2]))
        refuse_values(changed)
    except (ArgumentError, UserError, KeyError, TypeError, _NoPlainValue):
        return None
    return changed


class _NoPlainValue(Exception):
    """A value names a class."""


def _place(experiment: Any, arg: str) -> tuple[str, Any, list[str]] | None:
    """Return the class that has the setting of an argument, its settings, and the rest of the key.

    None if it is no setting with a plain value, such as a file, a class, a list of classes, or null.
    """
    name, _, text = arg[2:].partition("=")
    if not arg.startswith("--") or name.endswith("+") or text in NULLS or not text:
        return None
    first, *rest = dotted(name).split(".")
    owner, holder = TOP.get(first, ""), experiment.get(first)
    while isinstance(holder, Namespace) and rest:
        if "class_path" in holder:
            owner, holder = holder.class_path, holder.get("init_args")
        elif _is_class(value := holder.get(rest[0])):
            holder, rest = value, rest[1:]
        else:
            value = _get(holder, rest)
            return (owner, holder, rest) if owner and not _has_class(value) else None
        if holder is None:
            return None
    return None


def _is_class(value: Any) -> bool:
    return isinstance(value, Namespace) and "class_path" in value


def _has_class(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return any(map(_has_class, value))
    return isinstance(value, Namespace) or (isinstance(value, dict) and any(map(_has_class, value.values())))


def _get(holder: Any, path: Sequence[str]) -> Any:
    for name in path:
        holder = holder.get(name) if isinstance(holder, Namespace | dict) else None
    return holder


def _set(holder: Any, path: Sequence[str], value: Any) -> None:
    for name in path[:-1]:
        if isinstance(holder[name], dict):  # which a clone shares
            holder[name] = dict(holder[name])
        holder = holder[name]
    holder[path[-1]] = value


def _read(owner: str, key: str, text: str) -> Any:
    """Return a value of the command line as the class with this setting reads it.

    Raises:
        ArgumentError: It has another type.
    """
    first = key.partition(".")[0]
    value = _get(_parser(owner, first).parse_args([f"--{key}={text}"]), key.split("."))
    if _has_class(value):
        raise _NoPlainValue
    return value


@cache
def _parser(owner: str, first: str) -> Parser:
    """Return a parser for one setting of a class or function."""
    module, _, name = owner.rpartition(".")
    found = getattr(import_module(module), name)
    names = (key.partition(".")[0] for key in settings_of(owner))
    others: set[str | int] = {other for other in names if other != first}
    parser = Parser()
    add = parser.add_class_arguments if isclass(found) else parser.add_function_arguments
    add(found, fail_untyped=False, skip=others)
    return parser
