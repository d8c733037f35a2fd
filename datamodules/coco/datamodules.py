"""COCO's boxes, instance masks and person keypoints (Lin et al. 2014, the 2017 split)."""

from collections.abc import Sequence
from typing import Any, ClassVar

from datamodules.base import SPLITS
from datamodules.boxes.datamodule import BoxDataModule
from datamodules.boxes.dataset import DetectionDataset
from datamodules.coco.dataset import InstanceDataset
from datamodules.coco.defects import survey_set
from datamodules.coco.files import Facts
from datamodules.coco.packed_coco import PackedCOCO
from datamodules.coco.packing import pack_files
from datamodules.coco.source import COCOSource, Objects
from datamodules.defects import Defect, Survey
from datamodules.joints import left_right_pairs
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
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
        options: Those of :class:`BoxDataModule`.

    Attributes:
        masks: Whether targets have masks.
    """

    objects: ClassVar[Objects] = "instances"
    masks = False

    def __init__(
        self,
        root: str,
        *args: Any,
        train_sets: Sequence[str] = ("train2017",),
        val_sets: Sequence[str] = ("val2017",),
        test_sets: Sequence[str] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(root, *args, **options)
        self.coco = COCOSource(self.root, self.source, self.shapes, self.objects, train_sets, val_sets, test_sets)

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

    def open_split(self, split: str) -> PackedCOCO | None:
        """Return the annotations of a split, packed on the first call; None if no set is named.

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
        """See :meth:`DataModule.survey`; each set is checked by itself."""
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
        """Return the samples of a split; crowds are evaluated, not trained on."""
        if not (self.masks or self.keypoints):
            return super().dataset(packed, training)
        return InstanceDataset(self.root, packed, masks=self.masks, **self.sampling(packed, training))


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


class COCOKeypointDataModule(COCODetectionDataModule):
    """People of COCO with their joints, in its official layout.

    Images are those that ``person_keypoints_<set>.json`` lists. Targets have ``keypoints`` (N, K, 3) and boxes; (0, 0)
    is the corner of the image: half a pixel is added to the annotated numbers, see :class:`InstanceDataset`. A person
    without labeled joints stays a box with unlabeled joints. A mirrored image swaps the joints whose names begin with
    ``left_`` and ``right_``. Joints outside an augmented image become unlabeled.

    Args:
        masks: Whether targets also have masks, as those of :class:`COCOInstanceDataModule`.
        options: Those of :class:`COCODetectionDataModule` except ``proposals``.
    """

    objects: ClassVar[Objects] = "person_keypoints"

    def __init__(self, *args: Any, masks: bool = False, **options: Any) -> None:
        super().__init__(*args, proposals=None, **options)
        self.masks = masks

    @property
    def joint_names(self) -> tuple[str, ...]:
        """The K names of the joints; known as soon as the files are there."""
        return self._facts.joints

    @property
    def joint_pairs(self) -> list[tuple[int, int]]:
        """(right, left) joints."""
        return left_right_pairs(self._facts.joints)

    @property
    def limbs(self) -> list[tuple[int, int]]:
        """Pairs of joints that a line connects in pictures."""
        return list(self._facts.limbs)
