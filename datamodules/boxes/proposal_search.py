"""Compute the proposals of a data set's images: in parallel, resumable, each image once."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from datamodules.boxes.proposal_journal import Boxes, Journal, Stat
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
    with Journal(folder.with_name(f".{folder.name}-{algorithm}.part")) as journal:
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
