"""A packed data set of images with regions and phrases."""

from typing import Any

import numpy as np
import torch

from datamodules.augmentation.presets import ColorAugmentation
from datamodules.loading.dataset import PackedDataset, to_tensor
from datamodules.loading.sampling import Key
from datamodules.visual_genome.packed_regions import PackedRegions
from lit_cv.contract import Sample, Target


class RegionDataset(PackedDataset[PackedRegions, ColorAugmentation]):
    """Maps (epoch, index) to an image and its regions.

    ``partners`` maps regions, not images: int64 (M,), region r gets the phrase of region ``partners[r]``.

    Args:
        max_words: Columns of ``tokens``; no phrase is longer.
        options: Those of :class:`PackedDataset`.
    """

    def __init__(self, *args: Any, max_words: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.max_words = max_words

    def sample(self, key: Key) -> Sample:
        """Return the sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``boxes`` float32 (N, 4) xyxy in pixels, ``labels`` int64
            (N,) ones, ``tokens`` int64 (N, max_words) ids of the words, padded with 0, ``phrases`` the N normalized
            texts, including unknown words, ``area`` float32 (N,) in square pixels, ``iscrowd`` int64 (N,) zeros,
            ``image_id`` int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read, or its size is not the listed one.
        """
        _, index = key
        image = self.read(index)
        if self.augmentation:
            image = self.augmentation(image, self.random_seed(key))
        rows = self.packed.rows(index)
        spoken = np.arange(rows.start, rows.stop)
        if self.partners is not None:
            spoken = self.partners[spoken]
        corners = torch.from_numpy(self.packed.boxes[rows].copy())
        if (factors := self.scale(index)) is not None:
            corners *= torch.from_numpy(np.tile(factors, 2).astype(np.float32))
        target: Target = {
            "boxes": corners,
            "labels": torch.ones(len(corners), dtype=torch.int64),
            "tokens": torch.from_numpy(self.packed.tokens(spoken, self.max_words)),
            "phrases": self.packed.phrases(spoken),
            "area": (corners[:, 2:] - corners[:, :2]).prod(dim=1),
            "iscrowd": torch.zeros(len(corners), dtype=torch.int64),
            "image_id": torch.tensor(index),
        }
        return to_tensor(image), target
