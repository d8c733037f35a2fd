"""Features of many regions on disk: appended piece by piece, read at random, whole after any kill."""

import errno
import os
import shutil
from pathlib import Path

import numpy as np
import orjson
import torch
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.runs.files import write_json

NORM = 20.0  # mean length to which features are scaled (R-CNN's published code)
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class FeatureDump:
    """Rows of float16 in ``<name>.f16``, read through a memory map, and in ``<name>.json`` how many of them are there.

    Half precision halves the file; its relative error is 2^-11. The file is written and not mapped for that, since
    writing to a map on a full disk kills the process.

    Args:
        path: Folder and ``<name>``.
        rows: How many there will be.
        width: Length of a row.

    Attributes:
        images: How many images are written, so where a resumed run goes on.
        size: Bytes of the whole file.
    """

    def __init__(self, path: Path, rows: int, width: int) -> None:
        self.file, self.record = path.with_suffix(".f16"), path.with_suffix(".json")
        self.rows, self.width = rows, width
        self.size = 2 * rows * width
        known = orjson.loads(self.record.read_bytes()) if self.record.exists() else {}
        self.images: int = known.get("images", 0)
        self.written: int = known.get("rows", 0)
        self._norms: float = known.get("norms", 0.0)

    def announce(self) -> None:
        """Say how much room the file takes.

        Raises:
            UserError: There is too little on the disk.
        """
        missing = self.size - 2 * self.written * self.width
        free = shutil.disk_usage(self.file.parent).free
        done = f", {gigabytes(self.size - missing)} of it there already" if self.written else ""
        print(
            f"{self.file}: features of {self.rows:,} regions take {gigabytes(self.size)}{done}; "
            f"{gigabytes(free)} are free.",
            flush=True,
        )
        if missing > free:
            raise self._full(free)

    def append(self, features: Tensor, images: int) -> None:
        """Write the features (n, D) of the next images.

        Raises:
            UserError: The disk is full, or a feature is no number that half precision can hold.
        """
        halves = features.half().cpu()
        if not halves.isfinite().all():
            raise UserError(f"{self.file}: a feature is not finite or above 65,504; check the network's weights.")
        try:
            with self.file.open("r+b" if self.file.exists() else "wb") as handle:
                handle.seek(2 * self.written * self.width)  # over what a kill has left unrecorded
                handle.write(halves.numpy().data)
                handle.flush()
                os.fsync(handle.fileno())
            written = self.written + len(halves)
            norms = self._norms + float(halves.double().norm(dim=1).sum())
            write_json(self.record, {"images": self.images + images, "rows": written, "norms": norms})
        except OSError as error:
            if ran_full(error):
                raise self._full(shutil.disk_usage(self.file.parent).free) from None
            raise
        self.images, self.written, self._norms = self.images + images, written, norms

    def _full(self, free: int) -> UserError:
        missing = self.size - 2 * self.written * self.width
        return UserError(
            f"{self.file}: the features need {gigabytes(missing)} more and {gigabytes(free)} can be had; make room and "
            "add --resume: nothing is lost."
        )

    @property
    def scale(self) -> float:
        """The factor that gives the features a mean length of ``NORM``; 1 where all are zero."""
        return NORM * self.written / self._norms if self._norms else 1.0

    def read(self, rows: Tensor) -> Tensor:
        """Return rows, int64 (n,), as float32 (n, D), scaled."""
        if not len(rows):  # an empty file cannot be mapped
            return torch.zeros(0, self.width)
        table = np.memmap(self.file, np.float16, "r", shape=(self.rows, self.width))
        return torch.from_numpy(table[rows.numpy()]).float().mul_(self.scale)

    def delete(self) -> None:
        """Remove both files."""
        self.file.unlink(missing_ok=True)
        self.record.unlink(missing_ok=True)


def ran_full(error: BaseException | None) -> bool:
    """Tell whether a full disk is behind an error; torch.save hides it behind one of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__context__
    return False


def gigabytes(size: int) -> str:
    """Write a number of bytes in a unit that suits it."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.2f} MB"
