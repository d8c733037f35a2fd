"""Short texts for swept values, their keys and durations."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

from lit_cv.runs.settings import canonical, distinct, flatten, plain

CLASS = "class_path"
CONFIG = "config"  # name of the swept parameter that selects the experiment file


def show(value: Any) -> str:
    """Return a value as shown in a table: ``[128, 256]`` is ``128 256``, nested lists are JSON."""
    if isinstance(value, str):
        return value
    if is_object(value):
        return str(name_levels([value])[0])
    if isinstance(value, float) and abs(value) >= 1e16:
        return f"{value:g}"  # JSON would write out all zeros
    items = value if isinstance(value, list) else []
    if items and all(is_object(item) or not isinstance(item, list | dict) for item in items):
        return (" + " if any(map(is_object, items)) else " ").join(show(item) for item in items)
    return json.dumps(plain(value), default=str)


def is_object(value: Any) -> bool:
    """Return whether a value is an object of a config: a mapping with a ``class_path``."""
    return isinstance(value, Mapping) and isinstance(value.get(CLASS), str)


def name_levels(levels: Sequence[Any]) -> list[Any]:
    """Replace the objects among the levels of one factor by their class and the arguments in which they differ.

    Other levels are returned as they are.

    Example: ``{"class_path": "torch.optim.SGD", "init_args": {"lr": 0.1}}`` becomes ``SGD(lr=0.1)``.
    """
    objects = [flatten(level) for level in levels if is_object(level)]
    names = short_names(distinct(settings[CLASS] for settings in objects))
    given = distinct(key for settings in objects for key in settings if key != CLASS)
    differing = [
        key for key in given if len(objects) == 1 or len(distinct([s.get(key), key in s] for s in objects)) > 1
    ]

    def name(settings: Mapping[str, Any]) -> str:
        words = [f"{key}={show(settings[key])}" for key in differing if key in settings]
        return str(names[settings[CLASS]]) + (f"({', '.join(words)})" if words else "")

    return [name(flatten(level)) if is_object(level) else level for level in levels]


def with_names(arms: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the swept values of all arms with the objects of each factor replaced by names; see ``name_levels``."""
    keys = distinct(key for values in arms for key in values)
    levels = {key: distinct(values[key] for values in arms if key in values) for key in keys}
    names = {
        key: dict(zip(map(canonical, found), name_levels(found), strict=True))
        for key, found in levels.items()
        if any(map(is_object, found))
    }
    return [
        {key: names[key][canonical(value)] if key in names else value for key, value in values.items()}
        for values in arms
    ]


def show_level(key: str, value: Any) -> str:
    """Return the value of a factor as shown in a table; an experiment file is shown by its name only."""
    return PurePath(value).stem if key == CONFIG and isinstance(value, str) else show(value)


def level(key: str, value: Any) -> str:
    """Return the value of a factor, with at most five digits; the CSV file has all digits."""
    return f"{value:.5g}" if isinstance(value, float) else show_level(key, value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Map each dotted key to its shortest unique ending with a letter: ``model.network.backbone`` to ``backbone``."""
    return {key: next(end for end in _endings(key) if _is_unique(end, keys)) for key in keys}


def _endings(key: str) -> Iterator[str]:
    parts = key.split(".")
    last = max((place for place, part in enumerate(parts) if any(map(str.isalnum, part))), default=0)  # no lone `*`
    return (".".join(parts[start:]) for start in range(last, -1, -1))


def _is_unique(ending: str, keys: Sequence[str]) -> bool:
    return sum(key == ending or key.endswith(f".{ending}") for key in keys) == 1 or ending in keys


def duration(seconds: float) -> str:
    """Return a readable duration: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
