"""The base of the data sets of human poses: a sample is the crop of one person."""

from abc import abstractmethod
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from datamodules.base import DataModule
from datamodules.defects import Defect, Listed, Survey
from datamodules.joints import Skeleton
from datamodules.loading.dataset import PackedDataset, to_tensor
from datamodules.loading.decode import image_size
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.loading.sampling import Key
from datamodules.pose.checks import people_defects
from datamodules.pose.crops import CropAugmentation, crop_of
from datamodules.pose.mislabeled import mislabeled_orders
from datamodules.pose.packed_poses import PackedPoses, pack_people
from datamodules.pose.people import People
from lit_cv.contract import Sample
from lit_cv.errors import UserError


class PoseDataset(PackedDataset[PackedPoses, CropAugmentation]):
    """Maps (epoch, index) to the crop of a person and its joints.

    Joints that augmentation moves out of the crop stay labeled and are regressed, as Toshev & Szegedy 2014 do with
    joints outside a box. A partner's joints keep their place in the crop.

    Args:
        skeleton: The skeleton of the joints.
        crop_size: Side of a crop in pixels.
        orders: int64 (N, K), the joint that takes the place of each one, see :func:`mislabeled_orders`. None: itself.
        options: Those of :class:`PackedDataset`.
    """

    def __init__(
        self,
        *args: Any,
        skeleton: Skeleton,
        crop_size: int,
        orders: NDArray[np.int64] | None = None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self.mirrored, self.crop_size, self.orders = skeleton.mirrored, crop_size, orders

    def sample(self, key: Key) -> Sample:
        """Return the sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The crop, uint8 (3, S, S) RGB, and its target: ``keypoints`` float32 (1, K, 3), x and y in pixels of the
            crop, (0, 0) the center of the first one, and the flag 0 not labeled, 1 labeled but hidden, 2 labeled and
            visible; ``head_size`` and ``torso_size`` float32 scalars in the same pixels, NaN if unknown; ``image_id``
            int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read, or its size has changed.
        """
        _, index = key
        people, image = self.packed, self.read(index)
        center, side = people.centers[index], float(people.sides[index])
        if (factors := self.scale(index)) is not None:
            center, side = (center + 0.5) * factors - 0.5, side * float(np.sqrt(factors.prod()))
        if self.augmentation:
            crop = self.augmentation.crop(center, side, self.crop_size, self.random_seed(key))
        else:
            crop = crop_of(center, side, self.crop_size)
        owner = self.owner(index)
        joints, resize = people.joints[owner].astype(np.float64), side / float(people.sides[owner])
        joints[:, :2] = crop.move((joints[:, :2] - people.centers[owner]) * resize + center)
        joints[joints[:, 2] == 0] = 0
        if self.orders is not None:
            joints = joints[self.orders[owner]]
        if crop.mirrored:
            joints = joints[self.mirrored]
        scale = crop.scale * resize
        return to_tensor(crop.cut(image, self.crop_size)), {
            "keypoints": torch.from_numpy(joints.astype(np.float32))[None],
            "head_size": torch.tensor(people.head_sizes[owner] * scale, dtype=torch.float32),
            "torso_size": torch.tensor(people.torso_sizes[owner] * scale, dtype=torch.float32),
            "image_id": torch.tensor(index),
        }


class PoseDataModule(DataModule[PackedPoses]):
    """Base of the pose data sets.

    A subclass has a ``skeleton`` and overrides ``fetch``, :meth:`source_file` and :meth:`read_people`.

    Args:
        root: Folder that holds ``images`` and the annotations.
        source: ``local``: the files are there (the authors publish no checksums, so nothing is downloaded);
            ``shapes``: generate a small data set of stick figures in the official layout if there is none.
        val_fraction: Share of the groups of :meth:`members` to validate on, in (0, 1); ``source: shapes`` ignores it.
        batch_size: Crops of a global batch, see :class:`DataModule`.
        crop_size: Width and height of a crop in pixels.
        rotation: Maximum rotation of training crops, in degrees either way. Evaluation does not augment.
        scale_jitter: Maximum relative change of the scale of training crops, in [0, 1).
        flip: Probability of a mirrored training crop, in which left and right joints swap.
        mislabeled: A control for wrong labels: share of the training people, in [0, 1], whose labeled joints exchange
            their names. ``seed`` chooses people and names; they are the same in all epochs.
        options: Those of :class:`DataModule`.

    Attributes:
        skeleton: The joints, their limbs and their left-right pairs.
    """

    skeleton: ClassVar[Skeleton]

    def __init__(
        self,
        root: str,
        source: Literal["local", "shapes"] = "local",
        *,
        val_fraction: float,
        batch_size: int = 32,
        crop_size: int = 224,
        rotation: float = 30.0,
        scale_jitter: float = 0.25,
        flip: float = 0.5,
        mislabeled: float = 0.0,
        **options: Any,
    ) -> None:
        super().__init__(root, source, batch_size, **options)
        if not 0 <= mislabeled <= 1:
            raise UserError(f"mislabeled={mislabeled}: give a share of the training people between 0 and 1.")
        self.mislabeled = mislabeled
        if not 0 < val_fraction < 1 or crop_size < 1:
            raise UserError(
                f"val_fraction={val_fraction}, crop_size={crop_size}: give a fraction between 0 and 1, and pixels."
            )
        self.crop_size = crop_size
        shapes = self.shapes
        self.val_fraction = shapes.val / (shapes.train + shapes.val) if source == "shapes" else val_fraction
        self.augmentation = CropAugmentation(rotation, scale_jitter, flip)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the joints."""
        return self.skeleton.joints

    @abstractmethod
    def source_file(self, split: str) -> Path:
        """Return the annotation file of ``train`` or ``val``.

        Raises:
            UserError: If it or the folder of the images is missing.
        """

    @abstractmethod
    def read_people(self, source: Path, split: str) -> People:
        """Read the people of ``train`` or ``val`` from the annotation file.

        Raises:
            UserError: If the file is unusable, or the split empty.
        """

    def open_split(self, split: str) -> PackedPoses | None:
        """Return the people of ``train`` or ``val``, packed on the first call; None for ``test``.

        Raises:
            UserError: If the root, an annotation file or an image is missing or unusable, or a split is empty.
        """
        if split == "test":
            return None
        source = self.source_file(split)

        def build() -> Content:
            people = self.read_people(source, split)
            return pack_people(self.root, people, self.skeleton, source, self.reading.upright)

        facts = (split, self.val_fraction, self.root.resolve(), *self.reading_facts)
        key = source_key(self.root, [source, self.root / "images"], *facts)
        return open_packed(PackedPoses, cache_folder(self.root), key, build, *self.skeleton.joints)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; each person of the annotation file is checked by itself."""
        if split == "test":
            return Survey([], [])
        try:
            source = self.source_file(split)
            people = self.read_people(source, split)
        except UserError as error:
            return Survey([], [Defect.of(error, self.root, "unusable annotations")])
        images = [Listed(self.root / name, None, source) for name in dict.fromkeys(people.names)]
        sizes = {image.path: _size(image.path, source, self.reading.upright) for image in images}
        limits = np.array([sizes[self.root / name] for name in people.names], dtype=np.float64).reshape(-1, 2)
        return Survey(images, list(people_defects(people, limits, self.skeleton, source)))

    def dataset(self, packed: PackedPoses, training: bool) -> PoseDataset:
        """Return the samples of a split."""
        options = (self.augmentation, self.seed, self.partners(packed)) if training else ()
        orders = mislabeled_orders(packed.joints, self.mislabeled, self.seed) if training and self.mislabeled else None
        return PoseDataset(self.root, packed, *options, skeleton=self.skeleton, crop_size=self.crop_size, orders=orders)

    def members(self, groups: NDArray[np.int64], split: str, source: Path) -> NDArray[np.bool_]:
        """Return which people belong to a split, bool (N,); the last ``val_fraction`` of the groups are ``val``.

        Args:
            groups: int64 (N,), the video or image of each person, which is never divided.
            split: ``train`` or ``val``.
            source: The annotation file, named in errors.

        Raises:
            UserError: If one of the splits would be empty.
        """
        unique = np.unique(groups)
        val = round(self.val_fraction * len(unique))
        if not 0 < val < len(unique):
            raise UserError(
                f"val_fraction={self.val_fraction} of the {len(unique)} videos or images of {source} leaves a split "
                "empty: change it."
            )
        chosen: NDArray[np.bool_] = (groups >= unique[-val]) == (split == "val")
        return chosen


def _size(path: Path, source: Path, upright: bool) -> tuple[float, float]:
    """Return width and height; infinite if the image is unusable, which is a defect of its own."""
    try:
        return image_size(path, source, upright=upright)
    except UserError:
        return np.inf, np.inf
