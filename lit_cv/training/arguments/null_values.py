"""Null as the value of a setting that has another type: the parser takes each null for a setting that is left out."""

import json
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from inspect import Parameter, isclass
from types import NoneType
from typing import Any, Literal, get_args, get_origin

from jsonargparse import Namespace

from lit_cv.training.arguments.signatures import Setting, kinds_of, setting_of
from lit_cv.training.arguments.wrong_setting import KINDS

TOP = {"trainer": "lightning.pytorch.Trainer", "run": "lit_cv.training.lightning_cli.RunOptions"}


def misplaced_null(config: Namespace) -> str | None:
    """Return one sentence for the first null whose setting has another type; None if there is none."""
    for name in ("model", "data", *TOP):
        owner = _imported(TOP[name]) if name in TOP else None
        for path, setting in _misplaced(config.get(name), owner, name):
            kinds = " or ".join(dict.fromkeys(map(_word, kinds_of(setting.kind))))
            return f"{path}: expects {kinds}, not null; {_fix(setting.default)}."
    return None


def _misplaced(found: Any, owner: Any, path: str) -> Iterator[tuple[str, Setting]]:
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
        setting = setting_of(owner, name) if owner is not None else None
        if value is None and setting and setting.default is not None and not _takes_null(setting.kind):
            yield f"{path}.{name}", setting
        groups = [kind for kind in kinds_of(setting.kind) if isclass(kind)] if setting else []
        yield from _misplaced(value, groups[0] if groups else None, f"{path}.{name}")


def _imported(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    with suppress(ImportError):  # of a class inside a class
        return getattr(import_module(module), name)
    return None


def _takes_null(kind: Any) -> bool:
    return any(one in (Any, object, NoneType) or None in get_args(one) for one in kinds_of(kind))


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
