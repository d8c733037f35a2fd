"""The part of a run's settings that decides its result: the data and not its path, the weights and not their file.

Run ids cover the paths, because the data may be absent when an id is needed.
"""

import hashlib
from collections.abc import Collection, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from lit_cv.errors import UserError
from lit_cv.runs.backbone_weights import backbone_beside, backbone_file
from lit_cv.runs.initial_weights import weights_file
from lit_cv.runs.settings import canonical

LOADING = ("num_workers", "cache", "pin_memory", "persistent_workers", "prefetch_factor")
PLACES = ("data.root", *(f"data.{name}" for name in LOADING))
NOT_SETTINGS = ("run", "resume")


def essence(settings: Mapping[str, Any], swept: Collection[str] = ()) -> str:
    """Return a digest that runs share if they differ only in where their files lie and how these are loaded.

    Such runs are the same if their data has the same fingerprint.

    Args:
        settings: Flat settings of a run.
        swept: Keys that a sweep varies, which therefore count.
    """
    counted = {
        key: contents(key, value, settings)
        for key, value in settings.items()
        if key.split(".")[0] not in NOT_SETTINGS and (key not in PLACES or key in swept)
    }
    return hashlib.sha256(canonical(counted).encode()).hexdigest()[:16]


def contents(key: str, value: Any, settings: Mapping[str, Any]) -> Any:
    """Return a digest of the file of weights that one of the flat settings names; other values as they are."""
    name = key.split(".")[-1]
    if name not in ("weights", "initial_weights") or not isinstance(value, str):
        return value
    file: Path | None = Path(value)
    with suppress(UserError):  # a file that is missing is named by its path
        file = (
            weights_file(value) if name == "initial_weights" else backbone_file(value, backbone_beside(key, settings))
        )
    return digest(file) if file is not None and file.is_file() else value


def digest(file: Path) -> str:
    """Return the SHA-256 digest of a file, in hexadecimal digits; a file that has not changed is not read again."""
    state = file.stat()
    return _digest(str(file.resolve()), state.st_mtime_ns, state.st_size)


@cache
def _digest(path: str, *_state: int) -> str:
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
