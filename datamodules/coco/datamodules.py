"""COCO's boxes, instance masks and person keypoints (Lin et al. 2014, the 2017 split)."""

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from datamodules.augmentation.presets import make_augmentation
from datamodules.base import SPLITS
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.coco.augmentation import mirrors, refuse_unfit_for_masks, without_mirrors
from datamodules.coco.categories import Facts
from datamodules.coco.checks import nothing_to_train
from datamodules.coco.dataset import InstanceDataset
from datamodules.coco.defects import survey_set
from datamodules.coco.own.layout import OwnLayout
from datamodules.coco.packed_coco import PackedCOCO
from datamodules.coco.packing import listed_ids, pack_files
from datamodules.coco.source import COCOSource, Objects
from datamodules.defects import Defect, Survey, stop_at, tell
from datamodules.joints import left_right_pairs, mirrored_order, named_pairs, side_doubts
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.splits import Split
from lit_cv.contract import Ids
from lit_cv.errors import UserError


class COCODetectionDataModule(BoxDataModule[PackedCOCO]):
    """Boxes of COCO in its official layout.

    Boxes are those of the annotations, clipped to the image; ``area`` is that of the segmentation, as in the official
    evaluation. Labels count the categories of the annotation file in ascending order of their ids, from 1: the official
    ids, 1 to 90 with gaps, become 1 to 80, see :data:`datamodules.coco.files.CATEGORIES`. Crowd regions are kept for
    evaluation (``iscrowd`` 1) and left out of training. Images without objects are trained on. Generated data has the
    sets train2017 and val2017 only.

    Args:
        root: Folder that holds ``annotations/<objects>_<set>.json`` and the images in ``<set>``; objects are
            ``instances``, for keypoints ``person_keypoints``.
        train_sets: Sets to train on.
        val_sets: Sets to validate on.
        test_sets: Sets to test on; null for none.
        annotations: Annotation files with any names, relative to ``root``, in place of the official layout: one file
            for everything, or one for each of ``train``, ``val`` and ``test``. Classes are those of the training file;
            equal names are the same class.
        images: Folder of the images, relative to ``root``, or one for each split; null finds it beside the annotation
            file, see :func:`datamodules.coco.own.folders.images_folder`.
        split: Divides one annotation file; null takes the default shares for a single file.
        categories: Names of the classes to take from your own files, such as those of one skeleton; objects of others
            are left out and counted. Null takes all.
        options: Those of :class:`BoxDataModule`.
    """

    objects: ClassVar[Objects] = "instances"

    def __init__(
        self,
        root: str,
        *args: Any,
        train_sets: Sequence[str] = ("train2017",),
        val_sets: Sequence[str] = ("val2017",),
        test_sets: Sequence[str] | None = None,
        annotations: str | dict[str, str | None] | None = None,
        images: str | dict[str, str | None] | None = None,
        split: Split | None = None,
        categories: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, *args, **options)
        sets = (train_sets, val_sets, test_sets)
        own = None
        if annotations is None and (images or split or categories):
            what = "categories is a setting" if categories else "images and split are settings"
            raise UserError(f"{what} of your own files: name these with annotations.")
        if annotations is not None:
            self._check_own(sets)
            own = OwnLayout(self.root, annotations, images, split, categories)
            self.trained_on = "the training images"
        self.own_files = own is not None
        upright = self.reading.upright
        self.coco = COCOSource(self.root, self.source, self.shapes, self.objects, *sets, own=own, upright=upright)

    def _check_own(self, sets: tuple[Sequence[str] | None, ...]) -> None:
        """Refuse settings of the official layout beside those of own files."""
        if [list(names or ()) for names in sets] != [["train2017"], ["val2017"], []]:
            raise UserError(
                "annotations and train_sets, val_sets or test_sets exclude each other: keep one of the two."
            )
        if self.source != "local":
            raise UserError(
                f"annotations names files of your own, but source is {self.source}: set data.source to local."
            )

    @property
    def keypoints(self) -> bool:
        """Whether targets have joints."""
        return self.objects == "person_keypoints"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the annotation file's categories, in ascending order of their ids."""
        known = None if self.splits else self.coco.known_names  # there may be no file yet
        return known or self._facts.classes

    @property
    def _facts(self) -> Facts:
        for packed in self.splits.values():
            return packed.facts
        return self.coco.facts

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says."""
        self.coco.fetch()

    def prepare_data(self) -> None:
        """Fetch the files, and check and pack the annotations; runs once per machine.

        Raises:
            UserError: If the splits differ in their categories.
        """
        super().prepare_data()
        opened = [self.open_split(split) for split in SPLITS]
        if len({packed.facts[:2] for packed in opened if packed is not None}) > 1:
            raise UserError(f"The splits {self.coco.sets} differ in their categories: choose sets that agree.")

    def remarks(self) -> list[str]:
        """See :meth:`DataModule.remarks`; also how one file was divided."""
        counts = {name: len(packed) for name, packed in self.splits.items()}
        return [*super().remarks(), *(self.coco.own.division(counts) if self.coco.own else [])]

    def open_split(self, split: str) -> PackedCOCO | None:
        """Return the annotations of a split, packed on the first call; None if no set is named.

        Raises:
            UserError: If a file is missing or unusable, or there is nothing to train on.
        """
        sets = self.coco.files(split)
        if not sets:
            return None
        files = [path for source in sets for path in (source.file, source.images)]
        own = [source.own for source in sets if source.own]
        files += [path for part in own for path in part.files]
        parts = [(part.name, part.split, *(part.categories or ())) for part in own]
        key = source_key(self.root, files, self.masks, self.keypoints, self.root.resolve(), *parts, *self.reading_facts)

        def build() -> Content:
            return pack_files(self.root, sets, self.masks, self.keypoints)

        packed = open_packed(PackedCOCO, cache_folder(self.root), key, build)
        if split == "train":
            stop_at(nothing_to_train(sets[0].file, packed.counts, self.keypoints))
        return packed

    def ids(self, split: str) -> Ids:
        """Return the ids of an opened split: those of its annotation files."""
        images, classes = listed_ids(self.root, self.coco.files(split), self.class_names)
        return Ids([images[name] for name in self.image_names(split)], classes)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each set is checked by itself."""
        survey, counts = Survey([], []), Counter[str]()
        first = self.coco.annotation_files[0]
        try:
            sources = list(self.coco.listed(split))
        except UserError as error:
            return Survey([], [Defect.of(error, self.root, "unusable annotations")])
        for source in sources:
            try:
                self.coco.check(source.file)
                found, counted = survey_set(source, first, self.masks, self.keypoints)
                counts.update(counted)
            except UserError as error:
                found = Survey([], [Defect.of(error, source.file, "unusable annotations")])
            survey = Survey(survey.images + found.images, survey.defects + found.defects)
        read = not any(defect.kind == "unusable record" for defect in survey.defects)
        if split == "train" and counts and read:
            survey.defects.extend(nothing_to_train(first, counts, self.keypoints))
        return survey

    def dataset(self, packed: PackedCOCO, training: bool) -> DetectionDataset:
        """Return the samples of a split; crowds are evaluated, not trained on."""
        if not (self.masks or self.keypoints):
            return super().dataset(packed, training)
        options = self.sampling(packed, training)
        return InstanceDataset(self.root, packed, masks=self.masks, mirrored=self.mirrored, **options)

    @property
    def mirrored(self) -> NDArray[np.int64] | None:
        """For each joint, the one that replaces it in a mirrored image, int64 (K,); None if unknown."""
        return np.zeros(0, dtype=np.int64)


class COCOInstanceDataModule(COCODetectionDataModule):
    """Boxes and masks of COCO in its official layout.

    Targets are those of :class:`COCODetectionDataModule` with the masks of all objects as runs (:class:`MaskRuns`, in
    ``mask_runs``, ``mask_lengths`` and ``mask_size``), exactly those of pycocotools. Objects without a usable mask are
    dropped and counted.

    Args:
        options: Those of :class:`COCODetectionDataModule` except ``proposals``.
    """

    masks = True

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, proposals=None, **options)
        refuse_unfit_for_masks(self._augment)


class COCOKeypointDataModule(COCODetectionDataModule):
    """People of COCO with their joints, in its official layout.

    Images are those that ``person_keypoints_<set>.json`` lists. Targets have ``keypoints`` (N, K, 3) and boxes; (0, 0)
    is the corner of the image: half a pixel is added to the annotated numbers, see :class:`InstanceDataset`. A person
    without labeled joints stays a box with unlabeled joints. A mirrored image swaps the joints of ``flip_pairs``; if
    these are not known, images are not mirrored. Joints outside an augmented image become unlabeled.

    Args:
        masks: Whether targets also have masks, as those of :class:`COCOInstanceDataModule`.
        flip_pairs: Names of the joints that a mirrored image swaps, (right, left); empty if no joint changes sides.
            Null takes those whose names differ only in the side, see :func:`datamodules.joints.left_right_pairs`.
        joint_pairs: Older name of ``flip_pairs``.
        options: Those of :class:`COCODetectionDataModule` except ``proposals``.
    """

    objects: ClassVar[Objects] = "person_keypoints"

    def __init__(
        self,
        *args: Any,
        masks: bool = False,
        flip_pairs: Sequence[tuple[str, str]] | None = None,
        joint_pairs: Sequence[tuple[str, str]] | None = None,
        **options: Any,
    ) -> None:
        self.masks = masks  # before the base class checks the mixing
        super().__init__(*args, proposals=None, **options)
        if flip_pairs is not None and joint_pairs is not None:
            raise UserError("flip_pairs and joint_pairs are two names of one setting: keep flip_pairs.")
        self._setting = "flip_pairs" if joint_pairs is None else "joint_pairs"
        self._pairs = flip_pairs if joint_pairs is None else joint_pairs
        if masks:
            refuse_unfit_for_masks(self._augment)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The K names of the joints; known as soon as the files are there."""
        return self._facts.joints

    @property
    def joint_pairs(self) -> list[tuple[int, int]]:
        """(right, left) joints.

        Raises:
            UserError: If the setting names an unknown joint, or a joint twice.
        """
        names = self._facts.joints
        return left_right_pairs(names) if self._pairs is None else named_pairs(names, self._pairs, self._setting)

    @property
    def mirrored(self) -> NDArray[np.int64] | None:
        """For each joint, the one that replaces it in a mirrored image, int64 (K,); None if unknown."""
        return None if self._doubts else mirrored_order(len(self._facts.joints), self.joint_pairs)

    @property
    def _doubts(self) -> str | None:
        """The reason why images are not mirrored; None if the pairs are known."""
        pairs = self.joint_pairs
        return side_doubts(self._facts.joints, pairs) if self._pairs is None else None

    def sampling(self, packed: PackedCOCO, training: bool) -> dict[str, Any]:
        """Return the options of a split's data set; it does not mirror images if the pairs are not known."""
        options = super().sampling(packed, training)
        if training and self._doubts:
            options["augmentation"] = without_mirrors(options["augmentation"])
        return options

    def setup(self, stage: str | None = None) -> None:
        """Open the annotations of all splits; tell their notes, and whether images are not mirrored."""
        first = not self.splits
        super().setup(stage)
        if first:
            tell(str(note.error) for note in self._mirror_notes())

    def survey(self, split: str) -> Survey:
        """See :meth:`COCODetectionDataModule.survey`."""
        found = super().survey(split)
        joints: tuple[str, ...] = ()
        with suppress(UserError):  # a file without usable joints is a defect of its own
            joints = self.joint_names
        if split == "train" and joints:
            found.defects.extend(self._mirror_notes())
        return found

    def _mirror_notes(self) -> Iterator[Defect]:
        doubts, names = self._doubts, mirrors(make_augmentation(self.augmentation))
        if names and doubts:
            what = (
                f"lets no image be mirrored ({', '.join(names)} is left out): {doubts}; set flip_pairs to the "
                "names of the (right, left) joints, or to [] if none changes sides"
            )
            yield Defect(self.coco.annotation_files[0], what, "joints without sides", note=True)

    @property
    def limbs(self) -> list[tuple[int, int]]:
        """Pairs of joints that a line connects in pictures."""
        return list(self._facts.limbs)
