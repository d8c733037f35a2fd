"""The folder of the log that W&B's service, a process of its own, keeps about itself. Imports nothing heavy."""

import os
import tempfile
from pathlib import Path


def give_log_a_folder() -> None:
    """Set ``WANDB_CACHE_DIR`` where the user has no cache folder that can be written.

    Without one the service writes its log to the console.
    """
    caches = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("HOME") and f"{os.environ['HOME']}/.cache")
    if "WANDB_CACHE_DIR" not in os.environ and not (caches and _can_be_written(Path(caches))):
        os.environ["WANDB_CACHE_DIR"] = str(Path(tempfile.gettempdir()) / f"wandb-{os.getuid()}")


def _can_be_written(folder: Path) -> bool:
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    return existing.is_dir() and os.access(existing, os.W_OK)
