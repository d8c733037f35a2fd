"""What the data sets of boxes share: proposals that are attached to their targets."""

import hashlib
from pathlib import Path

from datamodules.base import DataModule
from datamodules.boxes.packed_boxes import B
from datamodules.boxes.proposal_search import Found, find_proposals
from datamodules.boxes.proposals import Proposals, StoredProposals, open_proposals


class BoxDataModule(DataModule[B]):
    """Base of the data sets of boxes.

    Args:
        root: Folder that holds the official layout.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        proposals: What is attached to the targets as ``proposals``, computed by ``litcv proposals`` or before the first
            run; null for none.
    """

    def __init__(
        self,
        root: str,
        batch_size: int,
        num_workers: int,
        shuffle_targets: bool,
        seed: int | None,
        proposals: Proposals | None,
    ) -> None:
        super().__init__(root, batch_size, num_workers, shuffle_targets, seed)
        self.proposals = proposals
        self._stored: dict[Path, StoredProposals] = {}

    @property
    def fingerprint(self) -> str:
        """That of :class:`DataModule`; with proposals it covers these, too."""
        fingerprint = super().fingerprint
        if self.proposals is None:
            return fingerprint
        content = [fingerprint, str(self.proposals.limit)]
        content += [
            f"{name} {self._opened(self.proposals, split).fingerprint}" for name, split in sorted(self.splits.items())
        ]
        return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]

    @property
    def counts(self) -> dict[str, int]:
        """That of :class:`DataModule`, and ``<split>/proposals``: the number of them within the limit."""
        if self.proposals is None:
            return super().counts
        attached = {
            f"{name}/proposals": self._opened(self.proposals, split).total for name, split in self.splits.items()
        }
        return super().counts | attached

    def prepare_data(self) -> None:
        """Fetch the files, pack the annotations and compute the proposals that are missing; runs once per machine."""
        super().prepare_data()
        self.prepare_proposals()

    def prepare_proposals(self, replace: bool = False) -> dict[str, Found]:
        """Compute the proposals of each split unless they are there; see :func:`find_proposals`.

        Args:
            replace: Replace those that were computed for other images or settings; otherwise they are refused.
        """
        if self.proposals is None:
            return {}
        opened = {split: self.open_split(split) for split in ("train", "val", "test")}
        return {
            split: find_proposals(self.root, _names(packed), self.proposals, f"{split} images", replace)
            for split, packed in opened.items()
            if packed is not None
        }

    def attached(self, packed: B) -> StoredProposals | None:
        """The proposals of a split; None for none."""
        return None if self.proposals is None else self._opened(self.proposals, packed)

    def _opened(self, proposals: Proposals, packed: B) -> StoredProposals:
        if packed.folder not in self._stored:  # opening them looks at every image file
            self._stored[packed.folder] = open_proposals(self.root, _names(packed), proposals)
        return self._stored[packed.folder]


def _names(packed: B) -> list[str]:
    return [packed.name(index) for index in range(len(packed))]
