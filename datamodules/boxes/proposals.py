"""Stored proposals of a data set's images: their location, access to them, and whether they are up to date."""

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

ALGORITHM = 2  # raise it when Selective Search finds other boxes, so that older proposals are refused
FIX = "compute them again with `litcv proposals CONFIG`"


@dataclass(frozen=True)
class Proposals:
    """Settings of the proposals that targets contain: the boxes of Selective Search (Uijlings et al. 2013).

    Args:
        mode: Set of strategies, see :func:`lit_cv.ops.selective_search.search.selective_search`.
        limit: Maximum number of proposals per image; the best are kept. All are stored, so another limit needs no new
            search.
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
        boxes: float32 (M, 4), xyxy in pixels of the image file; the best of an image come first.
        digests: uint8 (N, 32), SHA-256 of the image files.
        stats: int64 (N, 2), size in bytes and modification time in nanoseconds of the image files.
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
        """Return a copy of the best proposals of image ``index``, float32 (P, 4), P <= limit, best first."""
        start, stop = self.spans[index].tolist()
        return self.boxes[start : min(stop, start + self.limit)].copy()

    @property
    def total(self) -> int:
        """Number of proposals of all images, within the limit."""
        return int(np.minimum(self.spans[:, 1] - self.spans[:, 0], self.limit).sum())

    def changed(self, root: Path) -> str | None:
        """Return the first image that changed after its proposals were computed; None if there is none.

        The size and modification time of each file are compared, and its content where they differ.
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
        """Return the SHA-256 of the file of image ``index``, 32 bytes."""
        return bytes(self.digests[index])


def proposal_folder(root: Path, names: Sequence[str], mode: Mode) -> Path:
    """Return the folder of the proposals of these images: one for each root, list of images and mode."""
    content = "\n".join([str(root.resolve()), *names])
    key = hashlib.sha256(content.encode()).hexdigest()[:32]
    return cache_folder(root) / f"{StoredProposals.KIND}-{mode}-{key}"


def open_proposals(root: Path, names: Sequence[str], settings: Proposals) -> StoredProposals:
    """Open the proposals of a list of images.

    Args:
        root: Folder that the names are relative to.
        names: Paths of the images.
        settings: The proposals' settings.

    Returns:
        The proposals, in the order of ``names``.

    Raises:
        UserError: If they are missing, or were computed for other images or settings.
    """
    folder = proposal_folder(root, names, settings.mode)
    if not folder.exists():
        raise UserError(f"The proposals {folder} are missing: compute them with `litcv proposals CONFIG`.")
    stored = StoredProposals(folder, settings.limit)
    now = search_settings(settings.mode)
    if stored.settings != now:
        raise UserError(f"The proposals {folder} were computed with {stored.settings}, not with {now}: {FIX}.")
    if [stored.name(index) for index in range(len(stored))] != list(names):
        raise UserError(f"The proposals {folder} belong to another list of images: {FIX}.")
    if (name := stored.changed(root)) is not None:
        raise UserError(
            f"The proposals {folder} were computed for another version of {root / name}: restore the image, or {FIX}."
        )
    return stored


def search_settings(mode: Mode) -> dict[str, Any]:
    """Return the settings that the boxes of an image depend on."""
    return {"mode": mode, "algorithm": ALGORITHM}


def digest_of(file: Path) -> bytes:
    """Return the SHA-256 of a file's content, 32 bytes."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").digest()
