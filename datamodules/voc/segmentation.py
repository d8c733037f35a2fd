"""Pascal VOC semantic segmentation (Everingham et al. 2015 §3.2), with SBD's extra masks (Hariharan et al. 2011)."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import albumentations as A
import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset
from tqdm import tqdm

from datamodules.augmentation.presets import MaskAugmentation, MaskPreset, make_mask_augmentation
from datamodules.base import DataModule
from datamodules.boxes.dataset import to_tensor
from datamodules.defects import Defect, Listed, Survey
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.download import fetch_archive
from datamodules.loading.packed import cache_folder, source_key
from datamodules.loading.sampling import Key, sample_seed
from datamodules.shapes.settings import Shapes
from datamodules.voc.archives import SBD_ARCHIVE
from datamodules.voc.mask_files import MaskedImage, read_mask, read_mask_record, sbd_images, voc_image
from datamodules.voc.packed_masks import VOID, Mask, MaskRecord, PackedMasks, open_masks
from datamodules.voc.source import Source, VOCSource
from lit_cv.contract import Sample
from lit_cv.errors import UserError

_SBD = "sbd_"


class SegmentationDataset(Dataset[Sample]):
    """Maps (epoch, index) to an image and its mask.

    Args:
        root: Folder that the names in ``masks`` are relative to.
        masks: The masks of all images.
        augmentation: Applied to image and mask; None for none.
        seed: With epoch and index it determines the augmentation, see :func:`sample_seed`.
        partners: int64 (N,); image i gets the mask of image ``partners[i]``, resized to its size (nearest neighbor).
            None: its own.
    """

    def __init__(
        self,
        root: Path,
        masks: PackedMasks,
        augmentation: MaskAugmentation | None = None,
        seed: int = 0,
        partners: NDArray[np.int64] | None = None,
    ) -> None:
        self.root, self.masks, self.augmentation = root, masks, augmentation
        self.seed, self.partners = seed, partners

    def __len__(self) -> int:
        return len(self.masks)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``mask`` uint8 (H, W), 0 background, 1..C, 255 void;
            ``image_id`` int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read or is not of its mask's size.
        """
        epoch, index = key
        path = self.root / self.masks.name(index)
        image = read_image(path)
        width, height = self.masks.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height))
        mask = self._mask(index, (width, height))
        if self.augmentation:
            image, mask = self.augmentation(image, mask, sample_seed(self.seed, epoch, index))
        return to_tensor(image), {"mask": torch.from_numpy(mask), "image_id": torch.tensor(index)}

    def _mask(self, index: int, size: tuple[int, int]) -> Mask:
        if self.partners is None:
            return self.masks.mask(index)
        other = self.masks.mask(int(self.partners[index]))
        return np.asarray(cv2.resize(other, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)


class VOCSegmentationDataModule(DataModule[PackedMasks]):
    """Class masks of Pascal VOC in its official layout, and of SBD beside it.

    Masks are the palette indices of ``SegmentationClass/<id>.png``: 0 background, 1..C in the order of the classes, 255
    void (the border of objects and what is hard to tell). All of them are read and checked once, then cached. An image
    whose mask is all void is left out and counted.

    A set named ``sbd_<list>`` is the list ``<root>/benchmark_RELEASE/dataset/<list>.txt`` of the Semantic Boundaries
    Dataset, with its ``img/<id>.jpg`` and ``cls/<id>.mat``. SBD has no void: its classes reach up to the border. Its
    own lists ``train`` and ``val`` hold images of VOC's lists, which is refused: put a list without them beside these,
    for instance the usual ``train_noval`` (which is not in the archive), without the images of VOC's train if that is
    trained on as well.

    Args:
        root: Folder that holds ``VOCdevkit`` (or that folder itself), and ``benchmark_RELEASE`` if SBD is used.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small VOCdevkit of shapes (VOC2012 only) if there is none.
        train_sets: Image lists to train on, ``<year>_<list>`` or ``sbd_<list>``; the latter come last.
        val_sets: Image lists to validate on.
        test_sets: Image lists to test on; null for none.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip`` or a list of albumentations transforms; see :func:`make_mask_augmentation`.
        shuffle_targets: A control without any signal: each training image gets the mask of another one.
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
        augmentation: MaskPreset | list[A.BasicTransform] = "flip",
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
    ) -> None:
        sets = {"train": list(train_sets), "val": list(val_sets), "test": list(test_sets or ())}
        official = [[name for name in names if not name.startswith(_SBD)] for names in sets.values()]
        self.voc = VOCSource(root, source, shapes, "Segmentation", *official)
        self.sbd = {
            split: [name.removeprefix(_SBD) for name in names if name.startswith(_SBD)] for split, names in sets.items()
        }
        super().__init__(str(self.voc.root), batch_size, num_workers, shuffle_targets, seed)
        self.augmentation = make_mask_augmentation(augmentation)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The 20 official names, or those of ``VOCdevkit/classes.txt`` where there is one."""
        return self.voc.class_names

    def fetch(self) -> None:
        """Download or generate what is missing, as ``source`` says."""
        self.voc.fetch()
        if self.voc.source == "download" and any(self.sbd.values()):
            fetch_archive(SBD_ARCHIVE, self.root)

    def open_split(self, split: str) -> PackedMasks | None:
        """The masks of ``train``, ``val`` or ``test``, packed on the first call; None if no set is named.

        Raises:
            UserError: If the root, a list, a mask or an image is missing or unusable, or an image is in two lists.
        """
        images, names = self._images(split), self.class_names
        if not images:
            return None
        if split == "train":
            self._refuse_leaks(images)

        def records() -> Iterator[MaskRecord]:
            for image in tqdm(images, desc=f"Checking the {split} masks", unit="image", delay=2):
                yield read_mask_record(self.root, image, len(names))

        files = (file for image in images for file in (image.mask, image.picture))
        key = source_key(self.root, files, names, self.root.resolve())
        packed = open_masks(cache_folder(self.root), key, records, names)
        if not len(packed):
            raise UserError(f"All masks of {split}_sets are void ({images[0].mask}, ...): restore them.")
        return packed

    def dataset(self, packed: PackedMasks, training: bool) -> SegmentationDataset:
        """The samples of a split."""
        if not training:
            return SegmentationDataset(self.root, packed)
        return SegmentationDataset(self.root, packed, self.augmentation, self.seed, self.partners(packed))

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each mask is read by itself."""
        listed, defects = self.voc.survey(split)
        files = [voc_image(self.voc.devkit, year, image) for year, image in listed]
        for name in self.sbd[split]:
            try:
                files += sbd_images(self.root, name)
            except UserError as error:
                defects.append(Defect.of(error, self.root, "unusable image list"))
        images = []
        for image in tqdm(files, desc=f"Reading the {split} masks", unit="image", delay=2):
            size = None
            try:
                mask = read_mask(image.mask, len(self.class_names))
                size = mask.shape[1], mask.shape[0]
                if (mask == VOID).all():
                    defects.append(Defect(image.mask, "is all void, so the image is left out: restore it", "void mask"))
            except UserError as error:
                defects.append(Defect.of(error, image.mask, "unusable mask"))
            images.append(Listed(image.picture, size, image.mask))
        return Survey(images, defects)

    def _images(self, split: str) -> list[MaskedImage]:
        """The files of a split, each photograph once."""
        images = [voc_image(self.voc.devkit, year, image) for year, image in self.voc.images(split)]
        for name in self.sbd[split]:
            images += sbd_images(self.root, name)
        seen: set[str] = set()
        for image in images:
            if image.image_id in seen:
                raise UserError(
                    f"{split}_sets name {image.image_id} twice, the second time {image.picture}: "
                    "choose lists without overlap, or write one without it."
                )
            seen.add(image.image_id)
        return images

    def _refuse_leaks(self, trained: list[MaskedImage]) -> None:
        known = {image.image_id for image in trained}
        for split in ("val", "test"):
            shared = [image for image in self._images(split) if image.image_id in known]
            if shared:
                raise UserError(
                    f"train_sets and {split}_sets share {len(shared)} images ({shared[0].picture}, ...): "
                    "evaluate on lists that nothing is trained on."
                )
