"""The proposals of a data set's images: where they are kept, reading them, and whether they are those of now."""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from jsonargparse.typing import PositiveInt
from numpy.typing import NDArray

from datamodules.loading.packed import Packed, cache_folder, stat_of
from datamodules.loading.pool import Pool
from lit_cv.errors import UserError
from lit_cv.ops.selective_search.search import Mode

ALGORITHM = 2  # raise it when Selective Search finds other boxes, to have those of older versions refused
MEND = "compute them anew with `litcv proposals CONFIG`"


@dataclass(frozen=True)
class Proposals:
    """What is attached to the targets as ``proposals``: the boxes of Selective Search (Uijlings et al. 2013).

    Args:
        mode: Number of strategies, see :func:`lit_cv.ops.selective_search.search.selective_search`.
        limit: Of each image so many at most, the best. All are stored, so that another limit needs no new search.
    """

    mode: Mode = "fast"
    limit: PositiveInt = 2000


class StoredProposals(Packed):
    """Read access to the proposals of a list of images.

    Args:
        folder: A folder written by :func:`datamodules.boxes.proposal_search.find_proposals`.
        limit: See :class:`Proposals`.

    Attributes:
        names: bytes (N,), path of each image relative to the root, UTF-8.
        spans: int64 (N, 2); rows ``spans[i, 0]:spans[i, 1]`` of ``boxes`` belong to image i.
        boxes: float32 (M, 4), xyxy in pixels of the image file, those of an image best first.
        digests: uint8 (N, 32), SHA-256 of the image files.
        stats: int64 (N, 2), size in bytes and time of the last change in nanoseconds of the image files.
        settings: Mode of the search and version of the algorithm.
        fingerprint: SHA-256 of ``settings``, ``digests`` and the boxes.
    """

    KIND: ClassVar[str] = "proposals-1"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "spans", "boxes", "digests", "stats")
    spans: NDArray[np.int64]
    boxes: NDArray[np.float32]
    digests: NDArray[np.uint8]
    stats: NDArray[np.int64]

    def __init__(self, folder: Path, limit: int) -> None:
        super().__init__(folder)
        self.limit = limit
        self.settings: dict[str, Any] = json.loads((folder / "meta.json").read_text())["settings"]

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.folder, self.limit)

    def best(self, index: int) -> NDArray[np.float32]:
        """A copy of the best proposals of image ``index``, float32 (P, 4), P <= limit, best first."""
        start, stop = self.spans[index].tolist()
        return self.boxes[start : min(stop, start + self.limit)].copy()

    @property
    def total(self) -> int:
        """Number of proposals of all images, within the limit."""
        return int(np.minimum(self.spans[:, 1] - self.spans[:, 0], self.limit).sum())

    def changed(self, root: Path) -> str | None:
        """The first image that is not the one the proposals were computed for; None if there is none.

        Size and time of the last change of each file are compared, and its content where they differ.
        """
        files = [root / self.name(index) for index in range(len(self))]
        now = np.array([stat_of(file) for file in files], dtype=np.int64).reshape(-1, 2)
        suspects = np.flatnonzero((now != self.stats).any(axis=1)).tolist()
        with Pool() as pool:
            contents = pool.map(digest_of, [files[index] for index in suspects])
            differ = (index for index, digest in zip(suspects, contents, strict=True) if digest != self.digest(index))
            first = next(differ, None)
        return None if first is None else self.name(first)

    def digest(self, index: int) -> bytes:
        """SHA-256 of the file of image ``index``, 32 bytes."""
        return bytes(self.digests[index])


def proposal_folder(root: Path, names: Sequence[str], mode: Mode) -> Path:
    """Where the proposals of these images are kept: a place for each root, list of images and mode."""
    content = "\n".join([str(root.resolve()), *names])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    return cache_folder(root) / f"{StoredProposals.KIND}-{mode}-{key}"


def open_proposals(root: Path, names: Sequence[str], settings: Proposals) -> StoredProposals:
    """Open the proposals of a list of images.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the images.
        settings: What is attached.

    Returns:
        The proposals, in the order of ``names``.

    Raises:
        UserError: If they are missing, or were computed for other images or settings than now.
    """
    folder = proposal_folder(root, names, settings.mode)
    if not folder.exists():
        raise UserError(f"The proposals {folder} are missing: compute them with `litcv proposals CONFIG`.")
    stored = StoredProposals(folder, settings.limit)
    now = search_settings(settings.mode)
    if stored.settings != now:
        raise UserError(f"The proposals {folder} were computed with {stored.settings}, but now it is {now}: {MEND}.")
    if [stored.name(index) for index in range(len(stored))] != list(names):
        raise UserError(f"The proposals {folder} are those of another list of images: {MEND}.")
    if (name := stored.changed(root)) is not None:
        raise UserError(
            f"The proposals {folder} were computed for another {root / name} than is there now: restore the image, "
            f"or {MEND}."
        )
    return stored


def search_settings(mode: Mode) -> dict[str, Any]:
    """What the boxes of an image depend on."""
    return {"mode": mode, "algorithm": ALGORITHM}


def digest_of(file: Path) -> bytes:
    """SHA-256 of a file's content, 32 bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
