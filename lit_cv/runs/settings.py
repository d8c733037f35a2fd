"""Arguments of a run as flat settings, and their canonical form."""

import json
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from lit_cv.runs.files import read_yaml
from lit_cv.runs.yaml_text import parse_yaml

UNHOLDABLE = "\0"  # no argument of a command line holds a zero byte
TEXTS = ("run.group", "run.root", "run.project")  # what the user writes is their value: 2024_01 is no number
NULLS = ("null", "Null", "NULL", "~", "None")  # None: as W&B writes null
NUMBER = re.compile(r"[-+]?(0|[1-9][\d_]*|(?=\.\d))(\.[\d_]*)?([eE][-+]?\d+)?")  # neither 010 nor 0x1F nor 1:30


def split_arguments(args: Sequence[str]) -> list[tuple[str, Any]]:
    """Split `fit --config x.yaml --a.b=1 --flag` into `[("config", "x.yaml"), ("a.b", 1), ("flag", True)]`.

    The subcommand (and any other bare word) is left out, and so are the `init_args` levels of a key. Values are read as
    YAML scalars, lists or mappings.
    """
    pairs: list[tuple[str, Any]] = []
    waiting = False
    for word in args:
        if word.startswith("--"):
            key, equals, value = word[2:].partition("=")
            pairs.append((dotted(key), _value(value, dotted(key)) if equals else True))
            waiting = not equals
        elif word == "-c":
            pairs.append(("config", True))
            waiting = True
        elif waiting:
            pairs[-1] = (pairs[-1][0], _value(word, pairs[-1][0]))
            waiting = False
    return pairs


def merged_arguments(args: Sequence[str]) -> dict[str, Any]:
    """Merge the config files and the dotted overrides of a command line into flat `{"model.network.backbone": ...}`.

    `init_args` levels are left out of the keys, as on the command line. Later values win.

    Raises:
        UserError: A config file cannot be read.
    """
    merged: dict[str, Any] = {}
    for key, value in split_arguments(args):
        merged.update(_flat_file(Path(str(value))) if key == "config" else flatten({key: value}))
    return merged


def _flat_file(path: Path) -> dict[str, Any]:
    """Read a config file; many runs share one, so a file that has not changed is not read again."""
    state = path.stat() if path.is_file() else None
    return _flat_content(path, state and (state.st_mtime_ns, state.st_size, state.st_ino))


@cache
def _flat_content(path: Path, _state: object) -> dict[str, Any]:
    return flatten(read_yaml(path))


def _value(text: str, key: str) -> Any:
    """Read the value of a key of the command line.

    A text that only YAML 1.1 takes for something else, such as `on`, stays a text. The parser decides by the type of a
    setting, which is not known here: `#1`, `1:30` or `yes` may be texts.
    """
    if key in TEXTS:
        return None if text in NULLS else text
    try:
        value = parse_yaml(text)
    except ValueError:  # such as 2024-13-45, which looks like a date
        return text
    if text.strip() == "-":
        return text
    if isinstance(value, list | dict) or (isinstance(value, str) and "#" not in text and value != "None"):
        return float(value) if isinstance(value, str) and NUMBER.fullmatch(value) else value  # YAML reads 1e-4 as text
    if text in NULLS:
        return None
    if NUMBER.fullmatch(text) or text.lower() in ("true", "false", ".inf", "-.inf", ".nan"):
        return value
    return text


def canonical(value: Any) -> str:
    """Return a text that two values share if and only if they are the same argument: 1 and 1.0 are, 1 and true not."""
    return json.dumps(plain(value), sort_keys=True, default=str)


def portable(value: Any) -> Any:
    """Return a `plain` value with everything that JSON cannot hold as tagged lists, each different from all others."""
    if isinstance(value, float) and not math.isfinite(value):
        return [UNHOLDABLE, str(value)]
    if isinstance(value, int) and not -(2**63) <= value < 2**64:
        return [UNHOLDABLE, str(value)]
    if isinstance(value, str) and any("\ud800" <= letter <= "\udfff" for letter in value):  # half a character
        return [UNHOLDABLE, ascii(value)]
    if isinstance(value, dict):
        return {key: portable(item) for key, item in value.items()}
    return [portable(item) for item in value] if isinstance(value, list) else value


def plain(value: Any) -> Any:
    """Return the value with whole floats as integers: W&B's server sends 1.0 as 1, and both mean the same run."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return value


def flatten(nested: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return dotted keys as they are written on the command line: `init_args` is left out, lists are leaves.

    Example: `{"model": {"init_args": {"lr": 1}}}` becomes `{"model.lr": 1}`.
    """
    flat: dict[str, Any] = {}
    for key, value in nested.items():
        level = dotted(str(key))
        name = f"{prefix}{level}." if level else prefix
        if isinstance(value, Mapping) and value:
            flat |= flatten(value, name)
        else:
            flat[name.removesuffix(".")] = value
    return flat


def dotted(key: str) -> str:
    """Return a key without its `init_args` levels: `model.init_args.lr` and `model.lr` are the same setting."""
    return ".".join(part for part in key.split(".") if part != "init_args")


def setting(flat: Mapping[str, Any], key: str) -> Any:
    """Return one setting of a flat config; settings below the key become one mapping. None if there is nothing.

    Example: of `{"model.optimizer.class_path": "SGD", "model.optimizer.lr": 1}`, `model.optimizer` is
    `{"class_path": "SGD", "lr": 1}`.
    """
    if key in flat:
        return flat[key]
    return {name.removeprefix(f"{key}."): value for name, value in flat.items() if name.startswith(f"{key}.")} or None


def distinct(values: Iterable[Any]) -> list[Any]:
    """Return the values without repetition, in order of first appearance."""
    found: dict[str, Any] = {}
    for value in values:
        found.setdefault(canonical(value), value)
    return list(found.values())
