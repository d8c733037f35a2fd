"""Predictions of a whole split as a folder of memory-mapped arrays, complete or absent."""

import errno
import json
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from lit_cv.errors import UserError
from lit_cv.predictions.records import ImageRecord, Record, Unkept, to_prediction

VERSION = 1
META = "meta.json"
FORMAT = "lit-cv predictions"
BEST = "val_best"  # the validation of the weights in best.ckpt
NAMES = ("val", BEST, "test", "predict")  # of folders of predictions
TEXT = "text"


class Predictions:
    """Read access to a folder of predictions: ``len``, and ``[i]``, the prediction of the i-th image.

    A prediction is the dictionary that the network gave, on the CPU: ``boxes`` float32 (M, 4), ``scores`` float32 (M,),
    ``labels`` int64 (M,), masks as runs (see ``MaskRuns``), ``keypoints``, ``phrases``, or ``mask`` uint8 (H, W).

    Args:
        folder: The folder; use ``Predictions.open``.
        meta: The content of its ``meta.json``.

    Attributes:
        image_ids: int64 (N,), ascending: ``image_id`` of each image in its data set.
        sizes: int32 (N, 2), width and height of each image in pixels.
        names: The files of the images, relative to the root of the data.
        split: ``val``, ``test`` or ``predict``.
        class_names: Names of labels 1..C; of joints for poses.
        tasks: Names of the task's class and its bases.
        columns: Names of the columns of a prediction, with their dtypes.
        meta: Everything that is recorded: the fingerprints of weights and data, the step, the version.
    """

    def __init__(self, folder: Path, meta: Mapping[str, Any]) -> None:
        self.folder, self.meta = folder, meta
        self.split: str = meta["split"]
        self.class_names: list[str] = meta["class_names"]
        self.tasks: list[str] = meta["tasks"]
        self.columns: dict[str, str] = meta["columns"]
        self.image_ids = self._array("image_ids")
        self.sizes = self._array("sizes")
        self.names: list[str] = self._array("names").tobytes().decode().split("\n") if len(self.image_ids) else []
        self._offsets = self._array("offsets")
        self._columns = {name: self._array(name) for name in self.columns}
        self._ends = {name: self._array(f"{name}_ends") for name, kind in self.columns.items() if kind == TEXT}

    @classmethod
    def open(cls, folder: str | os.PathLike[str]) -> "Predictions":
        """Open a folder of predictions.

        Raises:
            UserError: It is no such folder, is damaged, or was written by a newer version.
        """
        path = Path(folder)
        if not is_predictions(path):
            inside = sorted(file.parent for pattern in ("*", "*/*") for file in path.glob(f"{pattern}/{META}"))
            near = next(filter(is_predictions, inside), "RUN/predictions/val")
            raise UserError(f"{path}: is no folder of predictions; give one, such as {near}.")
        try:
            meta = json.loads((path / META).read_bytes())
            if meta["version"] > VERSION:
                raise UserError(f"{path}: has version {meta['version']}, newer than {VERSION}; update lit-cv.")
            opened = cls(path, meta)
            opened.check()
        except (OSError, ValueError, KeyError, TypeError, EOFError, IndexError) as error:
            raise UserError(f"{path}: is damaged ({error}); delete it and evaluate again.") from None
        return opened

    def check(self) -> None:
        """Check that the lengths of all arrays fit.

        Raises:
            ValueError: They do not.
        """
        rows = int(self._offsets[-1])
        for name, column in self._columns.items():
            ends = self._ends.get(name)
            fits = len(column) == rows if ends is None else len(ends) == rows and len(column) == (ends[-1:].sum() or 0)
            if not fits:
                raise ValueError(f"{name}.npy does not have {rows} rows")
        if {len(self.image_ids), len(self.sizes), len(self.names), len(self._offsets) - 1} != {len(self)}:
            raise ValueError("its arrays differ in length")

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, index: int) -> dict[str, Any]:
        """Return the prediction of the image ``image_ids[index]``."""
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is not within the {len(self)} images")
        width, height = self.sizes[index].tolist()
        return to_prediction(self._record(index % len(self)), (width, height), self.columns)

    @property
    def has_rows(self) -> bool:
        """Whether any image has an object."""
        return bool(self._offsets[-1])

    def _record(self, index: int) -> Record:
        first, last = self._offsets[index : index + 2].tolist()
        return {name: self._rows(name, first, last) for name in self.columns}

    def _rows(self, name: str, first: int, last: int) -> NDArray[Any] | list[bytes]:
        column = self._columns[name]
        if name not in self._ends:
            return column[first:last]
        ends = [0 if first == 0 else int(self._ends[name][first - 1]), *self._ends[name][first:last].tolist()]
        return [column[start:end].tobytes() for start, end in pairwise(ends)]

    def _array(self, name: str) -> NDArray[Any]:
        # as a plain array on the mapped memory: indexing np.memmap itself goes through Python
        array: NDArray[Any] = np.load(self.folder / f"{name}.npy", mmap_mode="r").view(np.ndarray)
        return array


def is_predictions(folder: Path) -> bool:
    """Tell whether a folder is one of predictions, by its ``meta.json``."""
    try:
        meta = json.loads((folder / META).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(meta, dict) and meta.get("format") == FORMAT


def write_predictions(
    folder: Path, records: Sequence[ImageRecord], names: Sequence[str], meta: Mapping[str, Any]
) -> None:
    """Write predictions under a temporary name, then put them in the place of older ones.

    Args:
        folder: The folder.
        records: The images in ascending order of ``image_id``.
        names: The file of each one, relative to the root of the data.
        meta: What else is recorded: ``split``, ``class_names``, ``tasks``, ``weights``, ``data``, ``step``.

    Raises:
        UserError: The disk is full, or ``folder`` exists and holds something else.
        Unkept: The predictions of the images differ in their columns.
    """
    if folder.exists() and not is_predictions(folder):
        raise UserError(f"{folder}: exists and is no folder of predictions; move it away.")
    temporary = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        columns = _write_arrays(temporary, records, names)
        content = {"format": FORMAT, "version": VERSION, "images": len(records), **meta, "columns": columns}
        (temporary / META).write_text(json.dumps(content, indent=1) + "\n")
        temporary.chmod(0o755)  # only the owner can open a folder of mkdtemp
        _put(temporary, folder)
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT, None)  # numpy raises one without a number for a short write
        reason = "the disk is full; free some space" if full else f"{str(error.strerror).lower()}; choose another place"
        raise UserError(f"{folder}: the predictions cannot be written: {reason}.") from None
    finally:
        if temporary:
            shutil.rmtree(temporary, ignore_errors=True)


def copy_predictions(folder: Path, place: Path) -> None:
    """Put a copy of predictions in the place of older ones.

    Raises:
        UserError: The disk is full.
    """
    temporary = place.with_name(f".{place.name}-{os.getpid()}")
    try:
        shutil.copytree(folder, temporary)
        _put(temporary, place)
    except OSError:
        raise UserError(f"{place}: the predictions cannot be kept; free some space.") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _put(temporary: Path, folder: Path) -> None:
    if folder.exists():
        old = temporary.with_name(f"{temporary.name}-old")
        folder.rename(old)
        temporary.rename(folder)
        shutil.rmtree(old, ignore_errors=True)
    else:
        temporary.rename(folder)


def _write_arrays(folder: Path, records: Sequence[ImageRecord], names: Sequence[str]) -> dict[str, str]:
    """Write all arrays; return the columns with their dtypes."""
    first = records[0].found if records else {}
    for record in records:
        if record.found.keys() != first.keys():
            raise Unkept(f"images differ in their columns, {sorted(first)} and {sorted(record.found)}")
    counts = [len(next(iter(record.found.values()), ())) for record in records]
    np.save(folder / "image_ids.npy", np.array([record.image_id for record in records], dtype=np.int64))
    np.save(folder / "sizes.npy", np.array([record.size for record in records], dtype=np.int32).reshape(-1, 2))
    np.save(folder / "offsets.npy", np.cumsum([0, *counts], dtype=np.int64))
    np.save(folder / "names.npy", np.frombuffer("\n".join(names).encode(), dtype=np.uint8))
    return {name: _write_column(folder, name, [record.found[name] for record in records]) for name in first}


def _write_column(folder: Path, name: str, parts: Sequence[NDArray[Any] | list[bytes]]) -> str:
    if isinstance(parts[0], list):
        texts = [text for part in parts for text in part]
        np.save(folder / f"{name}.npy", np.frombuffer(b"".join(texts), dtype=np.uint8))
        np.save(folder / f"{name}_ends.npy", np.cumsum([len(text) for text in texts], dtype=np.int64))
        return TEXT
    shapes = {np.shape(part)[1:] for part in parts}
    if len(shapes) > 1:
        raise Unkept(f"{name} has rows of different shapes, {sorted(shapes)}")
    column = np.concatenate([np.asarray(part) for part in parts])
    kind = str(column.dtype)
    if np.issubdtype(column.dtype, np.integer):  # labels take one byte, not eight
        low, high = int(column.min(initial=0)), int(column.max(initial=0))
        column = column.astype(np.result_type(np.min_scalar_type(low), np.min_scalar_type(high)))
    np.save(folder / f"{name}.npy", column)
    return kind
