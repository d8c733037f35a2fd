"""A packed data set of images with regions and phrases."""

from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.augmentation.presets import ColorAugmentation
from datamodules.boxes.dataset import to_tensor
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.sampling import Key, sample_seed
from datamodules.visual_genome.packed_regions import PackedRegions
from lit_cv.contract import Sample, Target


class RegionDataset(Dataset[Sample]):
    """Maps (epoch, index) to an image and its regions.

    Args:
        root: Folder that the names in ``regions`` are relative to.
        regions: Boxes and phrases of all images.
        max_words: Columns of ``tokens``; no phrase is longer.
        augmentation: Changes of color; None for none.
        seed: With epoch and index it determines the augmentation, see :func:`sample_seed`.
        partners: int64 (M,); region r gets the phrase of region ``partners[r]``. None: its own.
    """

    def __init__(
        self,
        root: Path,
        regions: PackedRegions,
        max_words: int,
        augmentation: ColorAugmentation | None = None,
        seed: int = 0,
        partners: NDArray[np.int64] | None = None,
    ) -> None:
        self.root, self.regions, self.max_words = root, regions, max_words
        self.augmentation, self.seed, self.partners = augmentation, seed, partners

    def __len__(self) -> int:
        return len(self.regions)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``boxes`` float32 (N, 4) xyxy in pixels, ``labels`` int64
            (N,) ones, ``tokens`` int64 (N, max_words) ids of the words, padded with 0, ``phrases`` the N normalized
            texts, unknown words as they are, ``area`` float32 (N,) in square pixels, ``iscrowd`` int64 (N,) zeros,
            ``image_id`` int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read or is not of the listed size.
        """
        epoch, index = key
        path = self.root / self.regions.name(index)
        image = read_image(path)
        width, height = self.regions.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height))
        if self.augmentation:
            image = self.augmentation(image, sample_seed(self.seed, epoch, index))
        rows = self.regions.rows(index)
        spoken = np.arange(rows.start, rows.stop)
        if self.partners is not None:
            spoken = self.partners[spoken]
        corners = torch.from_numpy(self.regions.boxes[rows].copy())
        target: Target = {
            "boxes": corners,
            "labels": torch.ones(len(corners), dtype=torch.int64),
            "tokens": torch.from_numpy(self.regions.tokens(spoken, self.max_words)),
            "phrases": self.regions.phrases(spoken),
            "area": (corners[:, 2:] - corners[:, :2]).prod(dim=1),
            "iscrowd": torch.zeros(len(corners), dtype=torch.int64),
            "image_id": torch.tensor(index),
        }
        return to_tensor(image), target
