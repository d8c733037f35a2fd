"""The base of all DataModules: loaders, sharding over ranks, seeds, and the data's record in a run."""

import hashlib
import os
from abc import ABC, abstractmethod
from pathlib import Path
from typing import Generic, Literal

from lightning.pytorch import LightningDataModule
from numpy import int64
from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.defects import Defect, Listed, Survey, tell
from datamodules.loading.cached_pictures import open_pictures
from datamodules.loading.dataset import BlackPictures, PackedDataset
from datamodules.loading.decode import Reading
from datamodules.loading.depth import deep_images
from datamodules.loading.loader import Loader
from datamodules.loading.orientation import EXAMINED, turned_images
from datamodules.loading.packed import P
from datamodules.loading.remembered import Remembered
from datamodules.loading.sampling import EvalBatches, TrainBatches, derangement
from datamodules.shapes.settings import Shapes
from lit_cv.contract import Ids, Sample
from lit_cv.errors import UserError
from lit_cv.ops.limits import at_least

SPLITS = ("train", "val", "test")
Source = Literal["local", "download", "shapes"]


class DataModule(LightningDataModule, ABC, Generic[P]):
    """Base of the data sets: a subclass finds the annotations and makes samples of them.

    A subclass overrides ``class_names``, :meth:`fetch`, :meth:`open_split`, :meth:`dataset` and :meth:`survey`. Use the
    Trainer with ``use_distributed_sampler=False``: the loaders shard themselves by rank.

    Args:
        root: Folder that holds the data set in its official layout.
        source: ``local``: the files are there; ``download``: fetch the official archives that are missing; ``shapes``:
            generate a small data set of shapes or stick figures in the same layout if there is none.
        batch_size: Samples of a global batch; each of W processes takes ``batch_size / W`` of them, so the learning
            rate does not depend on W. Evaluation batches are smaller, see ``EvalBatches``.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        shuffle_targets: A control without any signal: each training sample gets the target of another one.
        seed: Seed of order and augmentation; null takes the run's seed (``seed_everything``).
        shapes: Settings of the data that ``source: shapes`` generates.
        cache: ``decoded`` keeps the decoded pictures of a split in one file in the cache folder, for all workers and
            processes; samples are the same. Null decodes each file whenever it is needed.
        max_size: Longer side of training pictures in pixels; larger ones, with their targets, are reduced when they are
            read. Evaluation reads pictures as they are. Null: no limit.
        exif: ``apply`` turns pictures upright as their EXIF orientation says, which is how labeling tools show them;
            ``ignore`` reads them as stored; null: ``ignore`` in the official layouts, ``apply`` for files of your own.
        bits: Number of bits, 8 to 16, that pictures of 16 bits use; they are scaled to 8. Null: as many as the largest
            value of each picture needs.

    Attributes:
        own_files: Whether the files are not in the data set's official layout.
        targets_only: Whether samples have black pictures, which are not decoded, for a user of the targets alone.
        remembered: Results about many label files that the last start left; loaders call its ``confirm``, and
            so must code that records something about data which no loader has read.
    """

    own_files = False
    targets_only = False

    def __init__(
        self,
        root: str,
        source: Source = "local",
        batch_size: int = 8,
        num_workers: int = 0,
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
        cache: Literal["decoded"] | None = None,
        max_size: int | None = None,
        exif: Literal["apply", "ignore"] | None = None,
        bits: int | None = None,
    ) -> None:
        super().__init__()
        at_least(0, num_workers=num_workers, seed=seed)
        at_least(1, max_size=max_size)
        self.root = Path(root)
        self.source, self.shapes = source, shapes
        self.batch_size, self.num_workers = batch_size, num_workers
        self.shuffle_targets = shuffle_targets
        self._seed = seed
        self.cache, self.max_size, self.exif, self.bits = cache, max_size, exif, bits
        if bits is not None and not 8 <= bits <= 16:
            raise UserError(f"bits: {bits} makes no sense; give a number from 8 to 16.")
        self.splits: dict[str, P] = {}
        self.remembered = Remembered()

    @property
    @abstractmethod
    def class_names(self) -> tuple[str, ...]:
        """Names of labels 1..C, without the background; known as soon as the files are there."""

    def fetch(self) -> None:
        """Download or generate missing files, as ``source`` says; runs once per machine."""

    @abstractmethod
    def open_split(self, split: str) -> P | None:
        """Return the annotations of ``train``, ``val`` or ``test``, packed on the first call; None if there are none.

        Raises:
            UserError: If a file is missing or unusable.
        """

    @abstractmethod
    def dataset(self, packed: P, training: bool) -> Dataset[Sample]:
        """Return the samples of a split by (epoch, index).

        Args:
            packed: The split.
            training: Whether to augment the samples, and to shuffle their targets if ``shuffle_targets`` is set.
        """

    def survey(self, split: str) -> Survey:
        """Return the images of a split and the defects of its annotations, for ``litcv doctor``.

        This implementation calls :meth:`open_split`, whose reader stops at the first defect; a data set overrides it
        to report all of them. The survey of a split without annotations is empty.
        """
        try:
            packed = self.open_split(split)
        except UserError as error:
            return Survey([], [Defect.of(error, self.root, "unusable annotations")])
        names = dict.fromkeys(packed.name(index) for index in range(len(packed))) if packed is not None else ()
        return Survey([Listed(self.root / name, None, self.root) for name in names], [])

    @property
    def seed(self) -> int:
        """Seed of order and augmentation."""
        return int(os.environ.get("PL_GLOBAL_SEED", 0)) if self._seed is None else self._seed

    @property
    def fingerprint(self) -> str:
        """16 hexadecimal digits over names, order and annotations of all splits; equal data, equal fingerprint."""
        content = "".join(f"{name} {split.fingerprint}\n" for name, split in sorted(self.splits.items()))
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def counts(self) -> dict[str, int]:
        """Counts by ``<split>/<name>``: images, annotations, and those that were clipped or dropped."""
        return {f"{name}/{key}": n for name, split in self.splits.items() for key, n in split.counts.items()}

    def image_names(self, split: str) -> list[str]:
        """Return the path of each image of an opened split relative to the root; its ``image_id`` is the index."""
        packed = self._split(split)
        return [packed.name(index) for index in range(len(packed))]

    def ids(self, split: str) -> Ids:
        """Return the ids of an opened split: names of image files without ending, and labels."""
        names = self.image_names(split)
        stems = [Path(name).stem for name in names]
        labels = range(1, len(self.class_names) + 1)
        return Ids(stems if len(set(stems)) == len(set(names)) else names, labels)

    def prepare_data(self) -> None:
        """Fetch the files, and check and pack the annotations; runs once per machine."""
        self.fetch()
        for split in SPLITS:
            self.open_split(split)

    def setup(self, stage: str | None = None) -> None:
        """Open the annotations of all splits, so that the fingerprint is the same in every stage; tell their notes."""
        if not self.splits:
            opened = {split: self.open_split(split) for split in SPLITS}
            self.splits = {split: packed for split, packed in opened.items() if packed is not None}
            notes = [note for packed in self.splits.values() for note in packed.notes]
            tell(dict.fromkeys([*notes, *self.remarks()]))

    def remarks(self) -> list[str]:
        """Return sentences about the opened splits that each run says once, besides the notes of their packing."""
        packed, reading = self.splits.get("train"), self.reading
        count = 0 if packed is None else len(packed)
        names = [packed.name(index) for index in range(0, count, -(-count // EXAMINED) or 1)] if packed else []
        return [*turned_images(self.root, names, reading.upright), *deep_images(self.root, names, reading.bits)]

    @property
    def reading(self) -> Reading:
        """The way to read image files that ``exif`` and ``bits`` ask for."""
        return Reading(self.own_files if self.exif is None else self.exif == "apply", self.bits)

    @property
    def reading_facts(self) -> tuple[object, ...]:
        """The part of :attr:`reading` that packed annotations depend on; empty if images are read as stored."""
        return ("upright",) if self.reading.upright else ()

    def partners(self, packed: P) -> NDArray[int64] | None:
        """Return the sample whose target each training sample gets, int64 (N,); None: its own."""
        return derangement(len(packed), self.seed) if self.shuffle_targets else None

    def samples(self, packed: P, training: bool, cached: bool = True) -> Dataset[Sample]:
        """Return :meth:`dataset` with its pictures as ``cache``, ``max_size``, ``exif`` and ``bits`` say.

        Args:
            packed: The split.
            training: See :meth:`dataset`.
            cached: False decodes each file although ``cache`` is set.

        Raises:
            UserError: The data set does not know these settings, or a picture or the disk does not allow the cache.
        """
        dataset = self.dataset(packed, training)
        if not isinstance(dataset, PackedDataset):
            for name, value in {"cache": self.cache, "max_size": self.max_size}.items():
                if value is not None:
                    kind = type(dataset).__name__
                    raise UserError(
                        f"data.{name}: {kind} is no PackedDataset, which knows this setting; set it to null."
                    )
            return dataset
        dataset.reading = self.reading
        if self.targets_only:
            dataset.pictures = BlackPictures(dataset.sizes)
            return dataset
        if training and self.max_size is not None:
            dataset.reduce(self.max_size)
        if cached and self.cache is not None:
            reading = dataset.reading
            dataset.pictures = open_pictures(self.root, dataset.packed, dataset.sizes, dataset.decode, reading)
        return dataset

    def train_dataloader(self) -> Loader:
        """Return this process's share of shuffled, augmented global batches."""
        packed = self._split("train")
        batches = TrainBatches(len(packed), self.batch_size, self.seed, *self._ranks())
        return self._loader(self.samples(packed, training=True), batches)

    def val_dataloader(self) -> Loader:
        """Return the validation samples in order, sharded by rank, without padding."""
        return self._eval_loader("val")

    def test_dataloader(self) -> Loader:
        """Return the test samples in order, sharded by rank, without padding."""
        return self._eval_loader("test")

    def train_in_order(self, first: int = 0) -> Loader:
        """Return the training samples from index ``first``, in order and without augmentation.

        Stages that follow the training use them.
        """
        return self._eval_loader("train", first)

    def _eval_loader(self, split: str, first: int = 0) -> Loader:
        packed = self._split(split)
        batches = EvalBatches(len(packed), self.batch_size, *self._ranks(), first)
        return self._loader(self.samples(packed, training=False), batches)

    def _loader(self, dataset: Dataset[Sample], batches: TrainBatches | EvalBatches) -> Loader:
        return Loader(dataset, batches, self.num_workers, self._pin_memory(), self.remembered.confirm)

    def _split(self, split: str) -> P:
        if not self.splits:
            raise UserError("The data is not open: call prepare_data() and setup() before a loader is asked for.")
        if split not in self.splits:
            fix = f"name files for {split}, or divide those of train with data.split" if self.own_files else None
            raise UserError(f"No {split} data is configured: {fix or f'set data.{split}_sets'}.")
        return self.splits[split]

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _pin_memory(self) -> bool:
        return bool(self.trainer and self.trainer.strategy.root_device.type != "cpu")
