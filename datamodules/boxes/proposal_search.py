"""Compute the proposals of a data set's images: in parallel, resumable, each image once."""

import hashlib
import json
import os
import shutil
import time
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.boxes.proposals import (
    Proposals,
    StoredProposals,
    digest_of,
    open_proposals,
    proposal_folder,
    search_settings,
)
from datamodules.loading.decode import read_image
from datamodules.loading.packed import stat_of
from datamodules.loading.pool import Pool
from datamodules.loading.waiting_lock import waiting_lock
from lit_cv.errors import UserError
from lit_cv.ops.selective_search.search import Mode, selective_search

Boxes = NDArray[np.float32]
Stat = tuple[int, int]
ROW = 16  # bytes of a box
RECORD = np.dtype([("digest", "V32"), ("rows", "<i8"), ("checksum", "<u4")])


class Found(NamedTuple):
    """The result of a search.

    Attributes:
        stored: The proposals, in the order of the images.
        computed: Number of images whose proposals were computed by this call.
        seconds: Duration of the call.
    """

    stored: StoredProposals
    computed: int
    seconds: float


def find_proposals(
    root: Path, names: Sequence[str], settings: Proposals, label: str = "", replace: bool = False
) -> Found:
    """Compute the proposals of a list of images, unless they are stored already.

    Images are processed in parallel, one per core of this process. An interrupted search resumes where it stopped.
    Boxes that are stored for another folder or list with the same images are copied. If several processes call this,
    one searches and the others wait.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the images.
        settings: The proposals' settings.
        label: Name of the images, for the progress bar.
        replace: Replace proposals that were computed for other images or settings; otherwise they are refused.

    Returns:
        The proposals, and the amount of work done.

    Raises:
        UserError: If an image cannot be read, the disk is full, or stored proposals are refused.
    """
    begin = time.monotonic()
    folder = proposal_folder(root, names, settings.mode)
    computed = 0
    with waiting_lock(folder.with_name(f".{folder.name}.lock"), "computes these proposals"):
        try:
            stored = open_proposals(root, names, settings)
        except UserError:
            if folder.exists() and not replace:
                raise
            computed = _search(root, names, settings.mode, folder, label)
            stored = StoredProposals(folder, settings.limit)
    return Found(stored, computed, time.monotonic() - begin)


def _search(root: Path, names: Sequence[str], mode: Mode, folder: Path, label: str) -> int:
    """Add missing images to the journal and turn it into the folder; return the number of computed images."""
    known = _known(folder.parent, mode)
    computed = 0
    algorithm = search_settings(mode)["algorithm"]
    with _Journal(folder.with_name(f".{folder.name}-{algorithm}.part")) as journal:
        present = known.keys() | journal.spans.keys()

        def work(name: str) -> tuple[bytes, Stat, Boxes | None]:
            file = root / name
            stat, digest = stat_of(file), digest_of(file)
            return digest, stat, None if digest in present else selective_search(read_image(file), mode, threads=1)

        digests, stats = [], []
        with Pool() as pool:
            bar = tqdm(pool.map(work, names), f"Proposals ({mode}), {label}", len(names), unit="image", delay=2)
            for digest, stat, boxes in bar:
                digests.append(digest)
                stats.append(stat)
                if digest in journal.spans:
                    continue
                if boxes is None:
                    stored, index = known[digest]
                    boxes = stored.best(index)
                else:
                    computed += 1
                journal.append(digest, boxes)
        journal.finish(folder, names, digests, stats, mode)
    return computed


def _known(cache: Path, mode: Mode) -> dict[bytes, tuple[StoredProposals, int]]:
    """Map the digest of each image with stored proposals of this mode to their file and index."""
    known: dict[bytes, tuple[StoredProposals, int]] = {}
    for folder in sorted(cache.glob(f"{StoredProposals.KIND}-{mode}-*")):
        try:
            stored = StoredProposals(folder, limit=np.iinfo(np.int64).max)
        except UserError:  # a damaged folder is reported when its own data set opens it
            continue
        if stored.settings == search_settings(mode):
            known |= {stored.digest(index): (stored, index) for index in range(len(stored))}
    return known


class _Journal:
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

    def __enter__(self) -> "_Journal":
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
            "names": np.array([name.encode() for name in names], dtype=np.bytes_),
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
