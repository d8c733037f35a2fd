"""Short texts for swept values, their keys and durations."""

import json
from collections.abc import Iterator, Sequence
from pathlib import PurePath
from typing import Any

from lit_cv.runs.settings import plain

CONFIG = "config"  # name of the swept parameter that selects the experiment file


def show(value: Any) -> str:
    """Return a value as shown in a table: ``[128, 256]`` is ``128 256``, nested lists are JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and abs(value) >= 1e16:
        return f"{value:g}"  # JSON would write out all zeros
    if isinstance(value, list) and value and not any(isinstance(item, list | dict) for item in value):
        return " ".join(show(item) for item in value)
    return json.dumps(plain(value), default=str)


def show_level(key: str, value: Any) -> str:
    """Return the value of a factor as shown in a table; an experiment file is shown by its name only."""
    return PurePath(value).stem if key == CONFIG and isinstance(value, str) else show(value)


def level(key: str, value: Any) -> str:
    """Return the value of a factor, with at most five digits; the CSV file has all digits."""
    return f"{value:.5g}" if isinstance(value, float) else show_level(key, value)


def short_names(keys: Sequence[str]) -> dict[str, str]:
    """Map each dotted key to its shortest unique ending: ``model.network.backbone`` to ``backbone``."""
    return {key: next(end for end in _endings(key) if _is_unique(end, keys)) for key in keys}


def _endings(key: str) -> Iterator[str]:
    parts = key.split(".")
    return (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1))


def _is_unique(ending: str, keys: Sequence[str]) -> bool:
    return sum(key == ending or key.endswith(f".{ending}") for key in keys) == 1 or ending in keys


def duration(seconds: float) -> str:
    """Return a readable duration: ``45 s``, ``12 min``, ``3.5 h``."""
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
