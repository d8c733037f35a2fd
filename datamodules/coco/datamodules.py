"""COCO's boxes, instance masks and person keypoints (Lin et al. 2014, the 2017 split)."""

from collections.abc import Sequence

import albumentations as A

from datamodules.augmentation.presets import Preset, make_augmentation
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.boxes.proposals import Proposals
from datamodules.coco.dataset import InstanceDataset
from datamodules.coco.defects import survey_set
from datamodules.coco.packed_coco import PackedCOCO
from datamodules.coco.packing import pack_files
from datamodules.coco.source import COCOSource, Source
from datamodules.defects import Defect, Survey
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.shapes.settings import Shapes
from lit_cv.errors import UserError


class COCODataModule(BoxDataModule[PackedCOCO]):
    """Base of COCO's data sets: where the files are, and the classes.

    Labels count the categories of the annotation file in ascending order of their ids, from 1: of the official files,
    the 91 ids become 1 to 80, see :data:`datamodules.coco.files.CATEGORIES`.

    Args:
        coco: The files.
        masks: Whether objects have masks.
        batch_size: See :class:`DataModule`.
        num_workers: Likewise.
        augmentation: See :func:`make_augmentation`.
        shuffle_targets: See :class:`DataModule`.
        seed: Likewise.
        proposals: See :class:`BoxDataModule`.
    """

    def __init__(
        self,
        coco: COCOSource,
        masks: bool,
        batch_size: int,
        num_workers: int,
        augmentation: Preset | list[A.BasicTransform],
        shuffle_targets: bool,
        seed: int | None,
        proposals: Proposals | None = None,
    ) -> None:
        super().__init__(str(coco.root), batch_size, num_workers, shuffle_targets, seed, proposals)
        self.coco, self.masks, self.augmentation = coco, masks, augmentation

    @property
    def keypoints(self) -> bool:
        """Whether objects have joints."""
        return self.coco.objects == "person_keypoints"

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the annotation file's categories, in ascending order of their ids."""
        known = None if self.splits else self.coco.known_names  # there may be no file yet
        return known or tuple(bytes(name).decode() for name in self._any_split().classes)

    def fetch(self) -> None:
        """Download or generate what is missing, as ``source`` says."""
        self.coco.fetch()

    def prepare_data(self) -> None:
        """Fetch the files and pack the annotations, which checks them; runs once per machine.

        Raises:
            UserError: If the splits differ in their categories.
        """
        super().prepare_data()
        splits = {split: self.open_split(split) for split in ("train", "val", "test")}
        opened = [packed for packed in splits.values() if packed is not None]
        kinds = {(*packed.classes.tolist(), *packed.joint_names.tolist()) for packed in opened}
        if len(kinds) > 1:
            raise UserError(f"The splits {self.coco.sets} differ in their categories: choose sets that agree.")

    def open_split(self, split: str) -> PackedCOCO | None:
        """The annotations of ``train``, ``val`` or ``test``, packed on the first call; None if no set is named.

        Raises:
            UserError: If a file is missing or unusable.
        """
        sets = self.coco.files(split)
        if not sets:
            return None
        files = [path for pair in sets for path in pair]
        key = source_key(self.root, files, self.masks, self.keypoints, self.root.resolve())

        def build() -> Content:
            return pack_files(self.root, sets, self.masks, self.keypoints)

        return open_packed(PackedCOCO, cache_folder(self.root), key, build)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each set is read by itself, past the records that cannot be used."""
        survey = Survey([], [])
        first = next(self.coco.named(name) for names in self.coco.sets.values() for name in names)
        for name in dict.fromkeys(self.coco.sets[split]):
            source = self.coco.named(name)
            try:
                self.coco.check(source)
                found = survey_set(source, first, self.masks, self.keypoints)
            except UserError as error:
                found = Survey([], [Defect.of(error, source.file, "unusable annotations")])
            survey = Survey(survey.images + found.images, survey.defects + found.defects)
        return survey

    def dataset(self, packed: PackedCOCO, training: bool) -> DetectionDataset:
        """The samples of a split; crowds are evaluated, not trained on."""
        if not training:
            return InstanceDataset(self.root, packed, self.masks)
        augmentation, partners = make_augmentation(self.augmentation), self.partners(packed)
        return InstanceDataset(self.root, packed, self.masks, augmentation, self.seed, False, partners)

    def _any_split(self) -> PackedCOCO:
        for split in ("train", "val", "test"):
            packed = self.splits[split] if split in self.splits else self.open_split(split)
            if packed is not None:
                return packed
        raise UserError("No COCO set is named: set train_sets or val_sets.")


class COCODetectionDataModule(COCODataModule):
    """Boxes of COCO in its official layout.

    Boxes are those of the annotations, clipped to the image; ``area`` is that of the segmentation, as the official
    evaluation has it. Crowd regions are kept for evaluation (``iscrowd`` 1) and left out of training. Images without
    objects are trained on as well.

    Args:
        root: Folder that holds ``annotations/instances_<set>.json`` and the images in ``<set>``.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small data set of shapes and stick figures if there is none.
        train_sets: Sets to train on.
        val_sets: Sets to validate on.
        test_sets: Sets to test on; null for none.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip``, ``ssd``, ``ssd_zoom`` or a list of albumentations transforms; see
            :func:`make_augmentation`.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates.
        proposals: What is attached to the targets as ``proposals``, computed by ``litcv proposals`` or before the first
            run; null for none.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        train_sets: Sequence[str] = ("train2017",),
        val_sets: Sequence[str] = ("val2017",),
        test_sets: Sequence[str] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        augmentation: Preset | list[A.BasicTransform] = "flip",
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
        proposals: Proposals | None = None,
    ) -> None:
        coco = COCOSource(root, source, shapes, "instances", train_sets, val_sets, test_sets)
        super().__init__(coco, False, batch_size, num_workers, augmentation, shuffle_targets, seed, proposals)

    def dataset(self, packed: PackedCOCO, training: bool) -> DetectionDataset:
        """The samples of a split; crowds are evaluated, not trained on."""
        proposals = self.attached(packed)
        if not training:
            return DetectionDataset(self.root, packed, proposals=proposals)
        augmentation, partners = make_augmentation(self.augmentation), self.partners(packed)
        return DetectionDataset(self.root, packed, augmentation, self.seed, False, partners, proposals)


class COCOInstanceDataModule(COCODataModule):
    """Boxes and masks of COCO in its official layout.

    As :class:`COCODetectionDataModule`; besides, targets have the masks of all objects as runs (:class:`MaskRuns`, in
    ``mask_runs``, ``mask_lengths`` and ``mask_size``), exactly those of pycocotools. Objects without a usable mask are
    dropped and counted.

    Args:
        root: Folder that holds ``annotations/instances_<set>.json`` and the images in ``<set>``.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small data set of shapes and stick figures if there is none.
        train_sets: Sets to train on.
        val_sets: Sets to validate on.
        test_sets: Sets to test on; null for none.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip``, ``ssd``, ``ssd_zoom`` or a list of albumentations transforms; see
            :func:`make_augmentation`.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        train_sets: Sequence[str] = ("train2017",),
        val_sets: Sequence[str] = ("val2017",),
        test_sets: Sequence[str] | None = None,
        batch_size: int = 8,
        num_workers: int = 0,
        augmentation: Preset | list[A.BasicTransform] = "flip",
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
    ) -> None:
        coco = COCOSource(root, source, shapes, "instances", train_sets, val_sets, test_sets)
        super().__init__(coco, True, batch_size, num_workers, augmentation, shuffle_targets, seed)


class COCOKeypointDataModule(COCODataModule):
    """People of COCO with their joints, in its official layout.

    Images are those that ``person_keypoints_<set>.json`` lists. Targets have ``keypoints`` (N, K, 3) beside the boxes;
    (0, 0) is the corner of the image: half a pixel is added to the annotated numbers, see :class:`InstanceDataset`.
    Somebody without a labeled joint stays a box with joints that are all not labeled. A mirrored image swaps the
    joints whose names begin with ``left_`` and ``right_``.

    Args:
        root: Folder that holds ``annotations/person_keypoints_<set>.json`` and the images in ``<set>``.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small data set of shapes and stick figures if there is none.
        train_sets: Sets to train on.
        val_sets: Sets to validate on.
        test_sets: Sets to test on; null for none.
        masks: Whether targets have masks, too, as :class:`COCOInstanceDataModule` has them.
        batch_size: Images of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        augmentation: ``none``, ``flip``, ``ssd``, ``ssd_zoom`` or a list of albumentations transforms; see
            :func:`make_augmentation`. Joints outside the augmented image are not labeled there.
        shuffle_targets: A control without any signal: each training image gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates.
    """

    def __init__(
        self,
        root: str,
        source: Source = "local",
        train_sets: Sequence[str] = ("train2017",),
        val_sets: Sequence[str] = ("val2017",),
        test_sets: Sequence[str] | None = None,
        masks: bool = False,
        batch_size: int = 8,
        num_workers: int = 0,
        augmentation: Preset | list[A.BasicTransform] = "flip",
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
    ) -> None:
        coco = COCOSource(root, source, shapes, "person_keypoints", train_sets, val_sets, test_sets)
        super().__init__(coco, masks, batch_size, num_workers, augmentation, shuffle_targets, seed)

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The K names of the joints."""
        return tuple(bytes(name).decode() for name in self._any_split().joint_names)

    @property
    def joint_pairs(self) -> list[tuple[int, int]]:
        """(right, left) joints."""
        return self._any_split().joint_pairs

    @property
    def limbs(self) -> list[tuple[int, int]]:
        """Pairs of joints that a line connects in pictures."""
        return [(start, end) for start, end in self._any_split().limbs.tolist()]
