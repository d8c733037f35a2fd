"""A packed data set of images with boxes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from datamodules.augmentation.mixing.base import Mixing, Scene, mix
from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.packed_boxes import Objects, PackedBoxes, Rows, kept_objects
from datamodules.boxes.proposals import StoredProposals
from datamodules.loading.dataset import PackedDataset, to_tensor
from datamodules.loading.sampling import Key
from lit_cv.contract import Sample, Target

_MIXING = 1  # number of the random stream of the mixing, beside that of the augmentation


class DetectionDataset(PackedDataset[PackedBoxes, Augmentation]):
    """Maps (epoch, index) to an image and its target.

    The target of a partner is rescaled to the size of the image.

    Args:
        everything: Whether to keep objects that are not trained on (difficult ones, crowds).
        proposals: Proposals of the same images, which targets then contain as ``proposals``. None: none.
        mixing: Mixings with other samples, before the augmentation.
        options: Those of :class:`PackedDataset`.
    """

    def __init__(
        self,
        *args: Any,
        everything: bool = True,
        proposals: StoredProposals | None = None,
        mixing: Sequence[Mixing] = (),
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.everything, self.proposals, self.mixing = everything, proposals, mixing

    def sample(self, key: Key) -> Sample:
        """Return the sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``boxes`` float32 (N, 4) xyxy in pixels, ``labels`` int64
            (N,) in 1..C, ``area`` float32 (N,) in square pixels, ``iscrowd`` int64 (N,), of VOC ``difficult`` bool
            (N,), ``image_id`` int64 scalar, the index; with proposals, also ``proposals`` float32 (P, 4) xyxy in
            pixels, best first.

        Raises:
            UserError: If the image cannot be read, or its size is not the annotated one.
        """
        _, index = key
        image, objects = self._mixed(key) if self.mixing else self._scene(index)
        proposals = np.zeros((0, 4), np.float32) if self.proposals is None else self.proposals.best(index)
        if (factors := self.scale(index)) is not None:
            proposals = proposals * np.tile(factors, 2).astype(np.float32)
        if self.augmentation:
            chance = self.random_seed(key)
            image, objects, proposals = self._augmented(self.augmentation, image, objects, proposals, chance)
        target = self._target(objects)
        target["image_id"] = torch.tensor(index)
        if self.proposals is not None:
            target["proposals"] = torch.from_numpy(proposals)
        return to_tensor(image), target

    def _scene(self, index: int) -> Scene:
        return Scene(self.read(index), self._objects(index))

    def _mixed(self, key: Key) -> Scene:
        # Its own stream, so that the augmentation of a sample does not depend on the mixing.
        rng = np.random.default_rng((self.random_seed(key), _MIXING))
        return mix(self.mixing, self._scene(key[1]), lambda: self._scene(int(rng.integers(len(self)))), rng)

    def _objects(self, index: int) -> Objects:
        """Return the objects that image ``index`` is trained or evaluated on."""
        table, owner = self.packed, self.owner(index)
        objects = table.objects(self._rows(owner))
        is_reduced = self.scale(index) is not None
        if owner != index or is_reduced:
            size = self.sizes[index]
            resize = size / table.sizes[owner]
            objects["boxes"] = objects["boxes"] * np.tile(resize, 2).astype(np.float32)
            if is_reduced:  # rounding may have moved a corner beyond the image
                objects["boxes"] = np.minimum(objects["boxes"], np.tile(size, 2).astype(np.float32))
            objects["area"] = objects["area"] * resize.prod().astype(np.float32)
        return objects

    def _rows(self, owner: int) -> Rows:
        rows = self.packed.rows(owner)
        return np.arange(rows.start, rows.stop) if self.everything else self.packed.trained(rows)

    def _augmented(
        self, augmentation: Augmentation, image: Image, objects: Objects, proposals: Boxes, chance: int
    ) -> tuple[Image, Objects, Boxes]:
        image, left, rows, proposals = augmentation.with_proposals(image, objects["boxes"], proposals, chance)
        return image, kept_objects(objects, left, rows), proposals

    def _target(self, objects: Objects) -> Target:
        return {name: torch.from_numpy(column) for name, column in objects.items()}
