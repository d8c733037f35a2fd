"""A quick later start with many label files: a result of the last start is used again while no folder has changed.

Listing 100,000 pictures and looking at their labels takes seconds. A file that is added, removed or renamed changes its
folder's times, so a look at the folders tells whether the files are the same ones. A file that is edited in place does
not change its folder. Therefore :meth:`Remembered.confirm` compares size and time of every file afterwards. Loaders
call it when their first batch is there and workers load the next ones, and hand it out only then.
"""

import hashlib
import json
import os
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple
from zipfile import BadZipFile

import numpy as np
from numpy.typing import NDArray

from datamodules.loading.picture_folders import Looked, folders_below, stamp
from lit_cv.errors import UserError

_SETTLED = 2_000_000_000  # nanoseconds: within the clock of a file system, a second change may show no other time
_ARRAYS = ("folders", "times", "files", "stamps", "value")


class _Start(NamedTuple):
    """A result of an earlier start and everything that it depends on.

    Attributes:
        folders: The paths of all folders that were listed.
        times: int64 (D, 3), their times and number.
        files: The paths of all files that were looked at.
        stamps: int64 (N, 2), their sizes and times.
        value: The result.
    """

    folders: list[bytes]
    times: NDArray[np.int64]
    files: list[bytes]
    stamps: NDArray[np.int64]
    value: Any


class Remembered:
    """Results about many files, kept in the cache from one start to the next."""

    def __init__(self) -> None:
        self._values: dict[Path, Any] = {}
        self._unconfirmed: dict[Path, _Start] = {}

    def recall(
        self, cache: Path, facts: Iterable[object], places: Iterable[Path], look: Callable[[], tuple[Any, Looked]]
    ) -> Any:
        """Return a result of the last start if the same files are there, else that of ``look``.

        Args:
            cache: Folder of all caches.
            facts: Everything that the result depends on besides files.
            places: The folders, with those in them, whose content the result depends on, and single files such as
                lists of images.
            look: Looks at the files; returns a result that JSON can hold, and the files that it depends on.

        Raises:
            UserError: See :meth:`confirm`: what is new is not mixed with what may be old.
        """
        digest = hashlib.sha256(repr((os.getcwd(), *facts)).encode(errors="surrogateescape")).hexdigest()[:32]
        file = cache / f"start-1-{digest}.npz"
        if file in self._values:
            return self._values[file]
        known = _load(file)
        if known is not None and np.array_equal(known.times, _times(known.folders)):
            self._unconfirmed[file] = known
            self._values[file] = known.value
            return known.value
        self.confirm()
        begin = time.time_ns()
        folders = _folders(places)
        times = _times(folders)
        value, looked = look()
        if times[:, :2].max(initial=0) < begin - _SETTLED:
            _save(file, _Start(folders, times, [os.fsencode(path) for path in looked.files], looked.stamps, value))
        self._values[file] = value
        return value

    def confirm(self) -> None:
        """Look at all files that recalled results depend on; later calls do nothing.

        Raises:
            UserError: If a file was edited in place; the next start reads all of them.
        """
        starts, self._unconfirmed = self._unconfirmed, {}
        equal = set[bytes]()
        for start in starts.values():
            for path, known in zip(start.files, start.stamps.tolist(), strict=True):
                if path not in equal and [*stamp(path)] != known:
                    for file in starts:
                        file.unlink(missing_ok=True)
                    raise UserError(
                        f"{os.fsdecode(path)} was edited after the last start, whose labels this start took: start "
                        "again, and all labels are read again."
                    )
                equal.add(path)


def _folders(places: Iterable[Path]) -> list[bytes]:
    """Return the places and the folders in them."""
    return list(dict.fromkeys(os.fsencode(path) for place in places for path in (str(place), *_below(place))))


def _below(place: Path) -> list[str]:
    return [path for path, _ in folders_below(place)]


def _times(folders: Iterable[bytes]) -> NDArray[np.int64]:
    """Return the times of modification and of any change, and the numbers of folders, int64 (D, 3); -1 if missing."""
    rows = []
    for folder in folders:
        try:
            found = os.stat(folder)
        except OSError:
            rows.append((-1, -1, -1))
        else:
            rows.append((found.st_mtime_ns, found.st_ctime_ns, found.st_ino))
    return np.array(rows, dtype=np.int64).reshape(-1, 3)


def _load(file: Path) -> _Start | None:
    """Return what is kept in a file; None if there is none, or it is damaged."""
    try:
        with np.load(file) as kept:
            folders, times, files, stamps, value = (kept[name] for name in _ARRAYS)
    except (OSError, ValueError, KeyError, BadZipFile):
        return None
    return _Start(_paths(folders), times, _paths(files), stamps, json.loads(value.tobytes()))


def _paths(joined: NDArray[np.uint8]) -> list[bytes]:
    return joined.tobytes().split(b"\0") if len(joined) else []


def _save(file: Path, start: _Start) -> None:
    texts = b"\0".join(start.folders), b"\0".join(start.files), json.dumps(start.value).encode()
    folders, files, value = (np.frombuffer(text, dtype=np.uint8) for text in texts)
    file.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=file.parent, prefix=".start-", delete=False) as temporary:
        np.savez(temporary, folders=folders, times=start.times, files=files, stamps=start.stamps, value=value)
    os.replace(temporary.name, file)
