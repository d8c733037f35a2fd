"""Null as the value of a setting that has another type: the parser takes each null for a setting that is left out."""

import json
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from inspect import Parameter, isclass, signature
from types import NoneType, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

from jsonargparse import Namespace

from lit_cv.training.arguments.wrong_setting import KINDS

TOP = {"trainer": "lightning.pytorch.Trainer", "run": "lit_cv.training.lightning_cli.RunOptions"}


class _Setting(NamedTuple):
    kind: Any
    default: Any


def misplaced_null(config: Namespace) -> str | None:
    """Return one sentence for the first null in a parsed experiment whose setting has another type, or None."""
    for name in ("model", "data", *TOP):
        owner = _imported(TOP[name]) if name in TOP else None
        for path, setting in _misplaced(config.get(name), owner, name):
            kinds = " or ".join(dict.fromkeys(map(_word, _kinds(setting.kind))))
            return f"{path}: expects {kinds}, not null; {_fix(setting.default)}."
    return None


def _misplaced(found: Any, owner: Any, path: str) -> Iterator[tuple[str, _Setting]]:
    """Yield each null that its setting does not take, with its path.

    Args:
        found: A parsed value.
        owner: Class whose settings the value is; of a value with a `class_path` its own.
        path: Dotted name of the value.
    """
    if isinstance(found, list | tuple):
        for item in found:
            yield from _misplaced(item, None, path)
    if not isinstance(found, Namespace):
        return
    if "class_path" in found:
        yield from _misplaced(found.get("init_args"), _imported(found.class_path), path)
        return
    for name, value in vars(found).items():
        setting = _setting(owner, name) if owner is not None else None
        if value is None and setting and setting.default is not None and not _takes_null(setting.kind):
            yield f"{path}.{name}", setting
        groups = [kind for kind in _kinds(setting.kind) if isclass(kind)] if setting else []
        yield from _misplaced(value, groups[0] if groups else None, f"{path}.{name}")


def _imported(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(import_module(module), name)


def _setting(owner: Any, name: str) -> _Setting | None:
    """Return type and default of an argument of a function, or of a class or its nearest base that names it."""
    found = (_settings(holder).get(name) for holder in getattr(owner, "__mro__", (owner,)))
    return next((setting for setting in found if setting), None)


@cache
def _settings(holder: Any) -> dict[str, _Setting]:
    made = holder.__init__ if isclass(holder) else holder
    try:
        hints, parameters = get_type_hints(made), signature(made).parameters.values()
    except (NameError, TypeError, ValueError):  # a type that is imported for checks alone, or code in C
        return {}
    return {one.name: _Setting(hints[one.name], one.default) for one in parameters if one.name in hints}


def _kinds(kind: Any) -> tuple[Any, ...]:
    """Return the members of a union, or the type itself."""
    return get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)


def _takes_null(kind: Any) -> bool:
    return any(one in (Any, object, NoneType) or None in get_args(one) for one in _kinds(kind))


def _word(kind: Any) -> str:
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    plain = get_origin(kind) or kind
    bases = [f"{base.__module__}.{base.__name__}".removeprefix("builtins.") for base in getattr(plain, "__mro__", ())]
    return next((KINDS[base] for base in bases if base in KINDS), "a class or a value of its own")


def _fix(default: Any) -> str:
    if default is Parameter.empty:
        return "give it a value"
    shown = f", {json.dumps(default)}" if isinstance(default, bool | int | float | str) else ""
    return f"leave it out for its default{shown}"
