"""Pascal VOC semantic segmentation (Everingham et al. 2015 §3.2), with SBD's extra masks (Hariharan et al. 2011)."""

from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import cv2
import numpy as np
import torch
from tqdm import tqdm

from datamodules.augmentation.checks import FILLS, Transform, single_transforms
from datamodules.augmentation.presets import MaskAugmentation, MaskPreset, make_mask_augmentation
from datamodules.defects import Defect, Listed, Report, Survey, stop
from datamodules.loading.dataset import PackedDataset, to_tensor
from datamodules.loading.download import fetch_archive
from datamodules.loading.packed import cache_folder, source_key
from datamodules.loading.sampling import Key
from datamodules.voc.archives import SBD_ARCHIVE
from datamodules.voc.datamodule import VOCDataModule
from datamodules.voc.lists import Task
from datamodules.voc.mask_files import Coding, MaskedImage, read_mask, read_mask_record, sbd_images, voc_image
from datamodules.voc.own.masks import OwnMasks
from datamodules.voc.packed_masks import VOID, Mask, MaskRecord, PackedMasks, open_masks
from lit_cv.contract import Sample
from lit_cv.errors import UserError

_SBD = "sbd_"


class SegmentationDataset(PackedDataset[PackedMasks, MaskAugmentation]):
    """Maps (epoch, index) to an image and its mask; a partner's mask is resized to the image (nearest neighbor)."""

    def sample(self, key: Key) -> Sample:
        """Return the sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The image, uint8 (3, H, W) RGB, and its target: ``mask`` uint8 (H, W), 0 background, 1..C, 255 void;
            ``image_id`` int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read, or its size is not that of its mask.
        """
        _, index = key
        image = self.read(index)
        mask = self._mask(index)
        if self.augmentation:
            image, mask = self.augmentation(image, mask, self.random_seed(key))
        return to_tensor(image), {"mask": torch.from_numpy(mask), "image_id": torch.tensor(index)}

    def _mask(self, index: int) -> Mask:
        mask = self.packed.mask(self.owner(index))
        if self.partners is None and self.scale(index) is None:
            return mask
        size = self.sizes[index].tolist()
        return np.asarray(cv2.resize(mask, size, interpolation=cv2.INTER_NEAREST_EXACT), dtype=np.uint8)


class VOCSegmentationDataModule(VOCDataModule[PackedMasks]):
    """Class masks of Pascal VOC in its official layout, and of SBD beside it, or in folders of your own.

    Masks are the palette indices of ``SegmentationClass/<id>.png``: 0 background, 1..C in the order of the classes, 255
    void (borders of objects and ambiguous pixels). All masks are read and checked once, then cached. An image whose
    mask is all void is left out and counted.

    A set named ``sbd_<list>`` is the list ``<root>/benchmark_RELEASE/dataset/<list>.txt`` of the Semantic Boundaries
    Dataset, with its ``img/<id>.jpg`` and ``cls/<id>.mat``; its images follow those of VOC. SBD has no void: its
    classes extend to the border. Its own lists ``train`` and ``val`` contain images of VOC's lists, which is refused.
    Put another list beside them, for example the usual ``train_noval`` (not in the archive); it must also exclude the
    images of VOC's train if these are trained on.

    Args:
        augmentation: ``none``, ``flip`` or a list of albumentations transforms; see :func:`make_mask_augmentation`.
        mask_values: Values in the files that differ from the class of their pixels, and this class: ``{255: 1}`` for
            masks that show a single class in white, which is void otherwise.
        masks: Folder of the masks, relative to ``root``, in place of the official layout, or one for each of ``train``,
            ``val`` and ``test``. Null is the folder of the pictures, if another setting names own folders.
        mask_suffix: Ending of the names of own masks: ``_mask`` if ``a_mask.png`` is the mask of ``a.jpg``.
        palette: The color of each class in own masks, ``{name: [red, green, blue]}``; null for masks of class indices,
            or with the colors of ``labelmap.txt``. Black is the background unless it is named.
        options: Those of :class:`VOCDataModule`.
    """

    task: ClassVar[Task] = "Segmentation"

    def __init__(
        self,
        *args: Any,
        augmentation: MaskPreset | list[Transform] = "flip",
        mask_values: dict[int, int] | None = None,
        masks: str | dict[str, str | None] | None = None,
        mask_suffix: str = "",
        palette: dict[str, list[int]] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.mask_values = mask_values or {}
        self.augmentation = make_mask_augmentation(augmentation)
        self.sbd = self.voc.take(_SBD)
        self._choose_layout("masks", masks, {"mask_suffix": mask_suffix, "palette": palette})
        self.files = None
        if self.own:
            self.files = OwnMasks(self.own, self.classes, mask_suffix, palette, self.mask_values, self.remembered)
            self.sbd = {split: [] for split in self.sbd}

    @property
    def class_names(self) -> tuple[str, ...]:
        """The listed names; of your own masks those of ``classes``, of a list in the root, or of the palette."""
        return self.files.listed.names if self.files else super().class_names

    @property
    def coding(self) -> Coding:
        """The meaning of the pixels of the masks."""
        return self.files.coding if self.files else Coding(self.mask_values)

    def named(self, split: str) -> str:
        """Return the words for the setting that names the images of a split."""
        return f"the {split} images" if self.own else f"{split}_sets"

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        super().fetch()
        if self.source == "download" and any(self.sbd.values()):
            fetch_archive(SBD_ARCHIVE, self.root)

    def open_split(self, split: str) -> PackedMasks | None:
        """Return the masks of a split, packed on the first call; None if no set is named.

        Raises:
            UserError: If the root, a list, a mask or an image is missing or unusable, or an image is in two lists.
        """
        if split == "train" and self.own is None:
            self._refuse_leaks(self._images(split))
        key, names = self._key(split), self.class_names
        if key is None:
            return None
        unknown = [label for label in self.mask_values.values() if not (0 <= label <= len(names) or label == VOID)]
        if unknown:
            raise UserError(
                f"mask_values gives the class {unknown[0]}, but classes are 0..{len(names)}, void is {VOID}: change it."
            )

        def records() -> Iterator[MaskRecord]:
            for image in tqdm(self._images(split), desc=f"Checking the {split} masks", unit="image", delay=2):
                yield read_mask_record(self.root, image, len(names), self.coding, self.reading.upright)

        packed = open_masks(cache_folder(self.root), key, records, names)
        if not len(packed):
            raise UserError(
                f"All masks of {self.named(split)} are void ({self._images(split)[0].mask}, ...): restore them."
            )
        return packed

    def _key(self, split: str) -> str | None:
        """Return the key of the packed masks of a split; None without images."""
        if self.files:
            return self.files.key(split, *self.reading_facts)
        images = self._images(split)
        files = (file for image in images for file in (image.mask, image.picture))
        facts = (self.class_names, self.root.resolve(), self.mask_values, *self.reading_facts)
        return source_key(self.root, files, *facts) if images else None

    def setup(self, stage: str | None = None) -> None:
        """Open the masks of all splits, see :meth:`DataModule.setup`.

        Raises:
            UserError: If no pixel to train on belongs to a class, or a transform fills masks with an unknown one.
        """
        super().setup(stage)
        self._refuse_unknown_fills()
        packed = self.splits.get("train")
        if (
            packed is not None
            and stage in ("fit", None)
            and (reason := no_class(self.named("train"), np.unique(packed.values)))
        ):
            raise UserError(f"{self.root}: {reason}.")

    def _refuse_unknown_fills(self) -> None:
        count = len(self.class_names)
        transforms = self.augmentation.compose.transforms if self.augmentation else ()
        for transform in single_transforms(transforms):
            for setting in FILLS:
                value = getattr(transform, setting, None)
                if isinstance(value, int | float) and value not in (*range(count + 1), VOID):
                    raise UserError(
                        f"augmentation has {type(transform).__name__}, whose {setting} is {value:g}, but classes are "
                        f"0..{count} and void is {VOID}: set it to {VOID}."
                    )

    def remarks(self) -> list[str]:
        """Return those of :class:`VOCDataModule`, and the splits to evaluate on that have no class."""
        others = {split: no_class(self.named(split), np.unique(self.splits[split].values)) for split in self.splits}
        found = [f"{self.root}: {reason}." for split, reason in others.items() if split != "train" and reason]
        files, facts = self.files, self.reading_facts
        notes = [note for split in self.splits for note in files.told(split, *facts)] if files else []
        return [*super().remarks(), *dict.fromkeys(notes), *found]

    def dataset(self, packed: PackedMasks, training: bool) -> SegmentationDataset:
        """Return the samples of a split."""
        options = (self.augmentation, self.seed, self.partners(packed)) if training else ()
        return SegmentationDataset(self.root, packed, *options)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each mask is checked by itself."""
        images, defects, present = [], list[Defect](), set[int]()
        try:
            defects += self.files.notes(split) if self.files else self.voc.notes()
            files = self._images(split, defects.append)
        except UserError as error:
            if self.own is None:
                raise
            return Survey([], [Defect.of(error, self.root, "unusable folders")])
        for image in tqdm(files, desc=f"Reading the {split} masks", unit="image", delay=2):
            size = None
            try:
                mask = read_mask(image.mask, len(self.class_names), self.coding)
                size = mask.shape[1], mask.shape[0]
                present |= set(np.unique(mask).tolist())
                if (mask == VOID).all():
                    defects.append(Defect(image.mask, "is all void, so the image is left out: restore it", "void mask"))
            except UserError as error:
                defects.append(Defect.of(error, image.mask, "unusable mask"))
            images.append(Listed(image.picture, size, image.mask))
        if present and (reason := no_class(self.named(split), present)):
            defects.append(Defect(self.root, reason, "masks without a class"))
        return Survey(images, defects)

    def _images(self, split: str, report: Report = stop) -> list[MaskedImage]:
        """Return the files of a split; each photograph may occur once."""
        if self.files:
            return self.files.images(split, report)
        images = [voc_image(self.voc.devkit, year, image) for year, image in self.voc.images(split, report)]
        for name in self.sbd[split]:
            try:
                images += sbd_images(self.root, name)
            except UserError as error:
                report(Defect.of(error, self.root, "unusable image list"))
        seen: set[str] = set()
        for image in images:
            if image.image_id in seen:
                what = (
                    f"is the photograph {image.image_id}, which {split}_sets already name: choose lists without "
                    "overlap, or write one without it"
                )
                report(Defect(image.picture, what, "duplicate id"))
            seen.add(image.image_id)
        return images

    def _refuse_leaks(self, trained: list[MaskedImage]) -> None:
        known = {image.image_id for image in trained}
        for split in ("val", "test") if trained else ():
            shared = [image for image in self._images(split) if image.image_id in known]
            if shared:
                raise UserError(
                    f"train_sets and {split}_sets share {len(shared)} images ({shared[0].picture}, ...): "
                    "evaluate on lists that are not trained on."
                )


def no_class(images: str, values: Iterable[int]) -> str:
    """Return the reason why the masks of images show no class, given all values in them; empty if they show one."""
    if not {int(value) for value in values} <= {0, VOID}:
        return ""
    found = " and ".join(str(value) for value in sorted(values))
    return (
        f"the masks of {images} hold only {found} (0 is the background, {VOID} void), so no pixel has a class: "
        "write the indices of the classes into the masks, or say with data.mask_values which class a value means, "
        f"{{{VOID}: 1}} for objects in white"
    )
