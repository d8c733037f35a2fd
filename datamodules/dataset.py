"""A packed data set of images with boxes."""

from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset

from datamodules.annotations import PackedAnnotations
from datamodules.decode import check_size, read_image
from datamodules.loader import Sample, Target
from datamodules.proposals import StoredProposals
from datamodules.sampling import Key, sample_seed
from datamodules.transforms import Augmentation


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
        difficult: Whether difficult boxes are kept.
        partners: int64 (N,); image i gets the target of image ``partners[i]``, rescaled to its size. None: its own.
        proposals: Of the same images; with them targets have ``proposals``. None: none.
    """

    def __init__(
        self,
        root: Path,
        annotations: PackedAnnotations,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        difficult: bool = True,
        partners: NDArray[np.int64] | None = None,
        proposals: StoredProposals | None = None,
    ) -> None:
        self.root, self.annotations, self.augmentation = root, annotations, augmentation
        self.seed, self.difficult, self.partners, self.proposals = seed, difficult, partners, proposals

    def __len__(self) -> int:
        return len(self.annotations)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``boxes`` float32 (N, 4) xyxy in pixels, ``labels`` int64
            (N,) in 1..C, ``difficult`` bool (N,), ``area`` float32 (N,) in square pixels, ``iscrowd`` int64 (N,) zeros,
            ``image_id`` int64 scalar, the index; with proposals, those of the image: ``proposals`` float32 (P, 4) xyxy
            in pixels, best first.

        Raises:
            UserError: If the image cannot be read or is not of the annotated size.
        """
        epoch, index = key
        path = self.root / self.annotations.name(index)
        image = read_image(path)
        width, height = self.annotations.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height))
        boxes, labels, difficult = self._objects(index)
        proposals = np.zeros((0, 4), np.float32) if self.proposals is None else self.proposals.best(index)
        if self.augmentation:
            chance = sample_seed(self.seed, epoch, index)
            image, boxes, rows, proposals = self.augmentation.with_proposals(image, boxes, proposals, chance)
            labels, difficult = labels[rows], difficult[rows]
        corners = torch.from_numpy(boxes)
        target: Target = {
            "boxes": corners,
            "labels": torch.from_numpy(labels),
            "difficult": torch.from_numpy(difficult),
            "area": (corners[:, 2:] - corners[:, :2]).prod(dim=1),
            "iscrowd": torch.zeros(len(labels), dtype=torch.int64),
            "image_id": torch.tensor(index),
        }
        if self.proposals is not None:
            target["proposals"] = torch.from_numpy(proposals)
        return to_tensor(image), target

    def _objects(self, index: int) -> tuple[NDArray[np.float32], NDArray[np.int64], NDArray[np.bool_]]:
        """Writable copies of the boxes, labels and flags that image ``index`` is trained on."""
        table = self.annotations
        owner = index if self.partners is None else int(self.partners[index])
        rows = table.rows(owner)
        boxes, labels, difficult = table.boxes[rows], table.labels[rows], table.difficult[rows]
        if owner != index:
            boxes = boxes * np.tile(table.sizes[index] / table.sizes[owner], 2).astype(np.float32)
        keep = ~difficult | self.difficult
        return boxes[keep], labels[keep], difficult[keep]
