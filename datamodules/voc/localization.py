"""Pascal VOC with one object an image, for classification with localization."""

from collections.abc import Sequence
from typing import Any, ClassVar

import albumentations as A
import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation.presets import Augmentation, Preset
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.dataset import DetectionDataset
from datamodules.loading.packed import Content, cache_folder, open_packed
from datamodules.shapes.settings import Shapes
from datamodules.voc.detection import VOCDetectionDataModule
from datamodules.voc.packed_voc import PackedAnnotations
from datamodules.voc.source import Source


class LargestObjects(PackedAnnotations):
    """Packed boxes, one for each image.

    Attributes:
        counts: Number of images, of those left out because they have no object (``without_object``), of difficult boxes
            among the chosen, and of all annotated boxes that were clipped or dropped.
    """

    KIND: ClassVar[str] = "largest-1"


class VOCLocalizationDataModule(VOCDetectionDataModule):
    """The largest object of each image of Pascal VOC, in its official layout.

    It is the one whose box, clipped to the image, has the largest area among those not flagged as difficult, or, where
    all are, among those (of equals the first). Images without an object are left out and counted. Batches are those of
    ``VOCDetectionDataModule`` with exactly one box, ``(1, 4)``, and one label, ``(1,)``, an image, in training and in
    evaluation.

    Where an augmentation loses the object (a crop beside it), the image stays as it is. ``ssd`` keeps the center of the
    object in its patch and clips the box to it.

    Args:
        root: Folder that holds ``VOCdevkit`` (or that folder itself).
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small VOCdevkit of shapes (VOC2012 only) if there is none.
        train_sets: Image lists to train on, ``<year>_<list>``: ``[2007_trainval, 2012_trainval]`` is 07+12.
        val_sets: Image lists to validate on.
        test_sets: Image lists to test on; null for none.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip``, ``ssd`` or a list of albumentations transforms; see :func:`make_augmentation`.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        train_sets: Sequence[str] = ("2012_train",),
        val_sets: Sequence[str] = ("2012_val",),
        test_sets: Sequence[str] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        augmentation: Preset | list[A.BasicTransform] = "flip",
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__(
            root, source, train_sets, val_sets, test_sets, batch_size, num_workers, augmentation,
            difficult=True, shuffle_targets=shuffle_targets, seed=seed, shapes=shapes,
        )  # fmt: skip

    def open_split(self, split: str) -> LargestObjects | None:
        """The objects of ``train``, ``val`` or ``test``, packed on the first call; None if no set is named.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        packed = super().open_split(split)
        if packed is None:
            return None
        cache, key = cache_folder(self.root), packed.fingerprint[:32]
        return open_packed(LargestObjects, cache, key, lambda: largest_objects(packed), *self.class_names)

    def dataset(self, packed: PackedAnnotations, training: bool) -> DetectionDataset:
        """The samples of a split."""
        dataset = super().dataset(packed, training)
        if dataset.augmentation:
            dataset.augmentation = KeepObject(dataset.augmentation)
        return dataset


class KeepObject(Augmentation):
    """An augmentation that leaves a sample as it is where it would lose all its objects.

    Args:
        augmentation: Applied otherwise.
    """

    def __init__(self, augmentation: Augmentation) -> None:
        self.compose = augmentation.compose

    def move(
        self, image: Image, boxes: Boxes, others: dict[str, Any], seed: int
    ) -> tuple[Image, Boxes, NDArray[np.int64], dict[str, Any]]:
        """Augment one sample; see :meth:`Augmentation.move`."""
        changed, left, rows, moved = super().move(image, boxes, others, seed)
        return (changed, left, rows, moved) if len(rows) else (image, boxes, np.arange(len(boxes)), others)


def largest_objects(packed: PackedAnnotations) -> Content:
    """Choose the largest object of each image: the not difficult first, then the largest area, then the first."""
    lengths = np.diff(packed.offsets)
    owners = np.repeat(np.arange(len(packed)), lengths)
    sides = (packed.boxes[:, 2:] - packed.boxes[:, :2]).astype(np.float64)
    order = np.lexsort((-sides.prod(axis=1), packed.difficult, owners))
    kept = lengths > 0
    # Sorted by image first, so the rows of an image begin where they began, now with the best one.
    chosen = order[packed.offsets[:-1][kept]]
    arrays = {
        "names": packed.names[kept],
        "sizes": packed.sizes[kept],
        "offsets": np.arange(len(chosen) + 1, dtype=np.int64),
        "boxes": packed.boxes[chosen],
        "labels": packed.labels[chosen],
        "difficult": packed.difficult[chosen],
    }
    counts = {
        "images": len(chosen),
        "without_object": int((~kept).sum()),
        "difficult": int(arrays["difficult"].sum()),
        "clipped": packed.counts["clipped"],
        "dropped": packed.counts["dropped"],
    }
    return Content(arrays, counts)
