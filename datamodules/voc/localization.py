"""Pascal VOC with one object per image, for classification with localization."""

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation.presets import Augmentation
from datamodules.augmentation.ssd_transforms import Boxes, Image
from datamodules.boxes.dataset import DetectionDataset
from datamodules.loading.packed import Content, cache_folder, open_packed
from datamodules.voc.detection import VOCDetectionDataModule
from datamodules.voc.packed_voc import PackedAnnotations


class LargestObjects(PackedAnnotations):
    """Packed boxes, one for each image.

    Attributes:
        counts: Number of images, of images left out because they have no object (``without_object``), of difficult
            boxes among the chosen ones, and of all annotated boxes that were clipped or dropped.
    """

    KIND: ClassVar[str] = "largest-2"


class VOCLocalizationDataModule(VOCDetectionDataModule):
    """The largest object of each image of Pascal VOC, in its official layout.

    The largest object has the box, clipped to the image, with the largest area. Objects that are flagged as difficult
    count only if all of an image are; ties go to the first. Images without an object are left out and counted. Batches
    are those of ``VOCDetectionDataModule`` with exactly one box, ``(1, 4)``, and one label, ``(1,)``, per image, in
    training and evaluation.

    If an augmentation loses the object (a crop beside it), the image stays unchanged. ``ssd`` keeps the center of the
    object in its patch and clips the box to the patch.

    Args:
        options: Those of :class:`VOCDetectionDataModule` except ``difficult``, ``proposals`` and
            ``mixing``.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, difficult=True, proposals=None, mixing=None, **options)

    def open_split(self, split: str) -> LargestObjects | None:
        """Return the objects of a split, packed on the first call; None if no list is named.

        Raises:
            UserError: If the root, a list, an annotation or an image is missing or unusable.
        """
        packed = super().open_split(split)
        if packed is None:
            return None
        cache, key = cache_folder(self.root), packed.fingerprint[:32]
        return open_packed(LargestObjects, cache, key, lambda: largest_objects(packed), *self.class_names)

    def dataset(self, packed: PackedAnnotations, training: bool) -> DetectionDataset:
        """Return the samples of a split."""
        dataset = super().dataset(packed, training)
        if dataset.augmentation:
            dataset.augmentation = KeepObject(dataset.augmentation)
        return dataset


class KeepObject(Augmentation):
    """An augmentation that leaves a sample unchanged if it would lose all objects.

    Args:
        augmentation: The augmentation of all other samples.
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
    """Choose the largest object of each image: not difficult before difficult, then by area, then in file order."""
    lengths = np.diff(packed.offsets)
    owners = np.repeat(np.arange(len(packed)), lengths)
    sides = (packed.boxes[:, 2:] - packed.boxes[:, :2]).astype(np.float64)
    order = np.lexsort((-sides.prod(axis=1), packed.difficult, owners))
    kept = lengths > 0
    # Images keep their order, so each image's rows still start at its offset, now with the best object.
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
    left = counts["without_object"]
    notes = [f"{left} of {len(packed)} images have no object and are left out."] if left else []
    return Content(arrays, counts, (*packed.notes, *notes))
