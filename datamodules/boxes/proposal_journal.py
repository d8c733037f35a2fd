"""The growing file of a search for proposals, which survives a kill and a power failure."""

import hashlib
import json
import os
import shutil
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.boxes.proposals import search_settings
from datamodules.loading.packed import as_bytes
from lit_cv.errors import UserError
from lit_cv.ops.selective_search.search import Mode

Boxes = NDArray[np.float32]
Stat = tuple[int, int]
ROW = 16  # bytes of a box
RECORD = np.dtype([("digest", "V32"), ("rows", "<i8"), ("checksum", "<u4")])


class Journal:
    """A growing folder of proposals: ``boxes.npy``, to which rows are appended, and a record for each image.

    A record is written after its rows and contains their checksum: after a kill or a power failure, complete images are
    kept and the rest is cut off.

    Args:
        folder: The folder; an existing one is continued.

    Attributes:
        spans: Maps the digest of each image file to its rows: the first one, and the one after the last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.spans: dict[bytes, tuple[int, int]] = {}
        self._rows = 0

    def __enter__(self) -> "Journal":
        self.folder.mkdir(exist_ok=True)
        self._boxes, self._records = (_open(self.folder / name) for name in ("boxes.npy", "records"))
        self._write_header(0)
        begin = self._boxes.tell()
        content = self._records.read()
        left = (self._boxes.seek(0, os.SEEK_END) - begin) // ROW
        self._boxes.seek(begin)
        for digest, rows, checksum in np.frombuffer(content, RECORD, len(content) // RECORD.itemsize).tolist():
            if not 0 <= rows <= left - self._rows or _checksum(digest, self._boxes.read(rows * ROW)) != checksum:
                break
            self._note(digest, rows)
        for file, end in ((self._boxes, begin + self._rows * ROW), (self._records, len(self.spans) * RECORD.itemsize)):
            file.truncate(end)
            file.seek(end)
        return self

    def __exit__(self, *_: object) -> None:
        self._boxes.close()
        self._records.close()

    def append(self, digest: bytes, boxes: Boxes) -> None:
        """Add the proposals, float32 (P, 4), of an image."""
        content = np.ascontiguousarray(boxes, dtype="<f4").tobytes()
        with _explained(self.folder):
            _write(self._boxes, content)
            _write(self._records, np.array((digest, len(boxes), _checksum(digest, content)), RECORD).tobytes())
        self._note(digest, len(boxes))

    def finish(
        self, folder: Path, names: Sequence[str], digests: Sequence[bytes], stats: Sequence[Stat], mode: Mode
    ) -> None:
        """Add the names and digests of the images, then rename the journal to ``folder``, which it replaces."""
        spans = np.array([self.spans[digest] for digest in digests], dtype=np.int64).reshape(-1, 2)
        arrays = {
            "names": as_bytes(names),
            "spans": spans,
            "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(-1, 32),
            "stats": np.array(stats, dtype=np.int64).reshape(-1, 2),
        }
        with _explained(self.folder):
            self._write_header(self._rows)
            os.fsync(self._boxes.fileno())
            for name, array in arrays.items():
                np.save(self.folder / f"{name}.npy", array)
            meta = {
                "counts": {"images": len(names), "proposals": int((spans[:, 1] - spans[:, 0]).sum())},
                "fingerprint": self._fingerprint(digests, mode),
                "settings": search_settings(mode),
            }
            (self.folder / "meta.json").write_text(json.dumps(meta))
            old = self.folder.with_suffix(".old")
            if folder.exists():
                shutil.rmtree(old, ignore_errors=True)
                folder.rename(old)  # processes that have opened it can still read it
            self.folder.rename(folder)
            (folder / "records").unlink()  # not earlier: a search that is killed here would start from the beginning
            shutil.rmtree(old, ignore_errors=True)

    def _fingerprint(self, digests: Sequence[bytes], mode: Mode) -> str:
        boxes = np.load(self.folder / "boxes.npy", mmap_mode="r")
        total = hashlib.sha256(json.dumps(search_settings(mode)).encode())
        for digest in digests:
            start, stop = self.spans[digest]
            total.update(digest + stop.to_bytes(8, "little") + boxes[start:stop].tobytes())
        return total.hexdigest()

    def _note(self, digest: bytes, rows: int) -> None:
        self.spans[digest] = (self._rows, self._rows + rows)
        self._rows += rows

    def _write_header(self, rows: int) -> None:
        """Write the header of ``boxes.npy``; its length does not depend on the number of rows (NumPy leaves space)."""
        self._boxes.seek(0)
        header = {"descr": "<f4", "fortran_order": False, "shape": (rows, 4)}
        np.lib.format.write_array_header_1_0(self._boxes, header)


def _open(file: Path) -> FileIO:
    """Open a file for reading and writing without a buffer, so that written bytes survive the process."""
    file.touch()
    return FileIO(file, "r+")


def _write(file: FileIO, content: bytes) -> None:
    """Write all bytes: a disk that is nearly full first writes a part and only then reports an error."""
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]


def _checksum(digest: bytes, boxes: bytes) -> int:
    return zlib.crc32(boxes, zlib.crc32(digest))


@contextmanager
def _explained(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{folder} cannot be written ({error.strerror}): free space or set LITCV_CACHE to another folder, and run "
            "it again; complete images are kept."
        ) from None
