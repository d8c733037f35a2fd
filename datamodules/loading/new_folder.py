"""Folders that appear only when they are complete."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder beside ``folder`` and rename it to ``folder`` at the end.

    Several processes may do this at once: the first one to rename its folder wins, and the others' are deleted. After
    an exception nothing is left.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        yield temporary
        temporary.chmod(0o755)  # only the owner can open a folder of mkdtemp
        os.rename(temporary, folder)
    except OSError:
        if not (folder.is_dir() and any(folder.iterdir())):
            raise
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
