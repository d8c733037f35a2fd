"""Features of many regions on disk: appended in parts, read in any order, consistent after any kill."""

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
    """Rows of float16 in ``<name>.f16``, read through a memory map, with their number in ``<name>.json``.

    Half precision halves the file; its relative error is 2^-11. Rows are written to the file and not to the map, since
    writing to a map on a full disk kills the process.

    Args:
        path: Folder and ``<name>``.
        rows: Final number of rows.
        width: Length of a row.

    Attributes:
        images: Number of images written so far; a resumed run continues with the next.
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
        """Print the size of the file.

        Raises:
            UserError: The disk has too little space.
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
            UserError: The disk is full, or a feature is outside the range of half precision.
        """
        halves = features.half().cpu()
        if not halves.isfinite().all():
            raise UserError(f"{self.file}: a feature is not finite or above 65,504; check the network's weights.")
        try:
            with self.file.open("r+b" if self.file.exists() else "wb") as handle:
                handle.seek(2 * self.written * self.width)  # overwrites rows that a kill left unrecorded
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
        """Return the factor that gives the features a mean length of ``NORM``; 1 if all are zero."""
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
    """Tell whether a full disk caused an error; torch.save hides the cause behind an error of its own."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return True
        error = error.__context__
    return False


def gigabytes(size: int) -> str:
    """Return a number of bytes as text, in a suitable unit."""
    return f"{size / 1e9:,.1f} GB" if size >= 1e8 else f"{size / 1e6:,.2f} MB"
