"""A packed data set of images with boxes."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.packed_boxes import Objects, PackedBoxes, Rows
from datamodules.boxes.proposals import StoredProposals
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.sampling import Key, sample_seed
from lit_cv.contract import Sample, Target


def to_tensor(image: NDArray[np.uint8]) -> Tensor:
    """An image uint8 (H, W, 3) as a contiguous tensor uint8 (3, H, W)."""
    planes = np.empty((3, *image.shape[:2]), dtype=np.uint8)
    cv2.split(image, list(planes))  # several times faster than a transposing copy
    return torch.from_numpy(planes)


class DetectionDataset(Dataset[Sample]):
    """Maps (epoch, index) to an image and its target.

    Args:
        root: Folder that the names in ``annotations`` are relative to.
        annotations: Boxes, labels and flags of all images.
        augmentation: Applied to image and boxes; None for none.
        seed: With epoch and index it determines the augmentation, see :func:`sample_seed`.
        everything: Whether objects that are not trained on (difficult ones, crowds) are kept.
        partners: int64 (N,); image i gets the target of image ``partners[i]``, rescaled to its size. None: its own.
        proposals: Of the same images; with them targets have ``proposals``. None: none.
    """

    def __init__(
        self,
        root: Path,
        annotations: PackedBoxes,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        everything: bool = True,
        partners: NDArray[np.int64] | None = None,
        proposals: StoredProposals | None = None,
    ) -> None:
        self.root, self.annotations, self.augmentation = root, annotations, augmentation
        self.seed, self.everything, self.partners, self.proposals = seed, everything, partners, proposals

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``boxes`` float32 (N, 4) xyxy in pixels, ``labels`` int64
            (N,) in 1..C, ``area`` float32 (N,) in square pixels, ``iscrowd`` int64 (N,), of VOC ``difficult`` bool
            (N,), ``image_id`` int64 scalar, the index; with proposals, those of the image: ``proposals`` float32
            (P, 4) xyxy in pixels, best first.

        Raises:
            UserError: If the image cannot be read or is not of the annotated size.
        """
        epoch, index = key
        path = self.root / self.annotations.name(index)
        image = read_image(path)
        width, height = self.annotations.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height))
        objects = self._objects(index)
        proposals = np.zeros((0, 4), np.float32) if self.proposals is None else self.proposals.best(index)
        if self.augmentation:
            chance = sample_seed(self.seed, epoch, index)
            image, objects, proposals = self._augmented(self.augmentation, image, objects, proposals, chance)
        target = self._target(objects)
        target["image_id"] = torch.tensor(index)
        if self.proposals is not None:
            target["proposals"] = torch.from_numpy(proposals)
        return to_tensor(image), target

    def _objects(self, index: int) -> Objects:
        """What image ``index`` is trained or evaluated on."""
        table, owner = self.annotations, self._owner(index)
        objects = table.objects(self._rows(owner))
        if owner != index:
            resize = table.sizes[index] / table.sizes[owner]
            objects["boxes"] = objects["boxes"] * np.tile(resize, 2).astype(np.float32)
            objects["area"] = objects["area"] * resize.prod().astype(np.float32)
        return objects

    def _owner(self, index: int) -> int:
        """The image whose target image ``index`` gets."""
        return index if self.partners is None else int(self.partners[index])

    def _rows(self, owner: int) -> Rows:
        rows = self.annotations.rows(owner)
        return np.arange(rows.start, rows.stop) if self.everything else self.annotations.trained(rows)

    def _augmented(
        self, augmentation: Augmentation, image: Image, objects: Objects, proposals: Boxes, chance: int
    ) -> tuple[Image, Objects, Boxes]:
        image, left, rows, proposals = augmentation.with_proposals(image, objects["boxes"], proposals, chance)
        return image, kept_objects(objects, left, rows), proposals

    def _target(self, objects: Objects) -> Target:
        return {name: torch.from_numpy(column) for name, column in objects.items()}


def kept_objects(objects: Objects, boxes: Boxes, rows: Rows) -> Objects:
    """The objects that an augmentation has left, with their new boxes; areas shrink or grow as the boxes do.

    Args:
        objects: The N objects before.
        boxes: float32 (K, 4), the new boxes.
        rows: int64 (K,), the object of each.
    """
    kept: Objects = {name: column[rows] for name, column in objects.items()}
    before, after = ((corners[:, 2:] - corners[:, :2]).prod(axis=1) for corners in (kept["boxes"], boxes))
    return kept | {"boxes": boxes, "area": kept["area"] * (after / before)}
