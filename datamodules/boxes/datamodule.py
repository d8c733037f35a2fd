"""The base of the data sets of boxes: augmentation, and proposals in the targets."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.augmentation.checks import Transform
from datamodules.augmentation.mixing.base import Mixing, refuse_unfit_mixing
from datamodules.augmentation.presets import Preset, make_augmentation
from datamodules.base import SPLITS, DataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.boxes.packed_boxes import B
from datamodules.boxes.proposal_search import Found, find_proposals
from datamodules.boxes.proposals import Proposals, StoredProposals, open_proposals
from datamodules.loading.orientation import orientation
from lit_cv.errors import UserError


class BoxDataModule(DataModule[B]):
    """Base of the data sets of boxes.

    Args:
        augmentation: ``none``, ``flip``, ``ssd``, ``ssd_zoom`` or a list of albumentations transforms; see
            :func:`make_augmentation`. Evaluation does not augment.
        proposals: Proposals that targets contain as ``proposals``, computed by ``litcv proposals`` or before the first
            run; null for none.
        mixing: Mixings of training samples with others of the split (``Mosaic``, ``MixUp``, ``ScaleJitter``,
            ``CopyPaste`` of ``datamodules.augmentation.mixing``), in order, before the augmentation; null for none.
        options: Those of :class:`DataModule`.

    Attributes:
        difficult: Whether to train on objects that are flagged as difficult.
        masks: Whether targets have masks.
        trained_on: The words for the setting that names the training images.
    """

    difficult = False
    masks = False
    trained_on = "train_sets"

    def __init__(
        self,
        root: str,
        *args: Any,
        augmentation: Preset | list[Transform] = "flip",
        proposals: Proposals | None = None,
        mixing: list[Mixing] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, *args, **options)
        self.augmentation, self.proposals, self.mixing = augmentation, proposals, mixing or []
        refuse_unfit_mixing(self.mixing, self.masks, proposals is not None)
        self._augment = make_augmentation(augmentation)
        self._stored: dict[Path, StoredProposals] = {}

    @property
    def fingerprint(self) -> str:
        """The fingerprint of :class:`DataModule`; with proposals, it also covers these."""
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
        """The counts of :class:`DataModule`; with proposals, also ``<split>/proposals``, those within the limit."""
        if self.proposals is None:
            return super().counts
        attached = {
            f"{name}/proposals": self._opened(self.proposals, split).total for name, split in self.splits.items()
        }
        return super().counts | attached

    def setup(self, stage: str | None = None) -> None:
        """Open the annotations of all splits, see :meth:`DataModule.setup`.

        Raises:
            UserError: If no object is left to train on.
        """
        super().setup(stage)
        packed = self.splits.get("train")
        if packed is None or stage not in ("fit", None):
            return
        every = slice(0, len(packed.boxes))
        if not len(packed.boxes[every] if self.difficult else packed.trained(every)):
            counts = ", ".join(f"{name}: {count}" for name, count in packed.counts.items())
            raise UserError(
                f"{self.root}: {self.trained_on} have no object to train on ({counts}): choose other sets, or fix "
                "their annotations, whose defects `litcv doctor` lists."
            )

    def prepare_data(self) -> None:
        """Fetch the files, pack the annotations and compute missing proposals; runs once per machine."""
        super().prepare_data()
        self.prepare_proposals()

    def prepare_proposals(self, replace: bool = False) -> dict[str, Found]:
        """Compute the proposals of each split unless they are stored; see :func:`find_proposals`."""
        if self.proposals is None:
            return {}
        opened = {split: self.open_split(split) for split in SPLITS}
        self.remembered.confirm()
        if self.reading.upright and (turned := _turned(self.root, [*filter(None, opened.values())])):
            raise UserError(
                f"proposals are boxes in the pixels as they are stored, but {turned} is not stored upright: set exif "
                "to ignore, or turn the pixels of the file."
            )
        return {
            split: find_proposals(self.root, _names(packed), self.proposals, f"{split} images", replace)
            for split, packed in opened.items()
            if packed is not None
        }

    def dataset(self, packed: B, training: bool) -> DetectionDataset:
        """Return the samples of a split."""
        return DetectionDataset(self.root, packed, **self.sampling(packed, training))

    def sampling(self, packed: B, training: bool) -> dict[str, Any]:
        """Return the options of a split's :class:`DetectionDataset`."""
        proposals = self.attached(packed)
        if not training:
            return {"proposals": proposals}
        return {
            "augmentation": self._augment,
            "seed": self.seed,
            "partners": self.partners(packed),
            "everything": self.difficult,
            "proposals": proposals,
            "mixing": self.mixing,
        }

    def attached(self, packed: B) -> StoredProposals | None:
        """Return the proposals of a split; None for none."""
        return None if self.proposals is None else self._opened(self.proposals, packed)

    def _opened(self, proposals: Proposals, packed: B) -> StoredProposals:
        if packed.folder not in self._stored:  # opening them looks at every image file
            self._stored[packed.folder] = open_proposals(self.root, _names(packed), proposals)
        return self._stored[packed.folder]


def _names(packed: B) -> list[str]:
    return [packed.name(index) for index in range(len(packed))]


def _turned(root: Path, opened: Sequence[B]) -> Path | None:
    """Return the first image that is not stored upright; None without one."""
    paths = (root / name for packed in opened for name in _names(packed))
    return next((path for path in paths if orientation(path) != 1), None)
