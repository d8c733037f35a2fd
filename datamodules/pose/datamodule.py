"""What the data sets of human poses share: a sample is the crop of one person."""

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset

from datamodules.base import DataModule
from datamodules.boxes.dataset import to_tensor
from datamodules.defects import Defect, Listed, Survey
from datamodules.joints import Skeleton
from datamodules.loading.decode import check_size, read_image
from datamodules.loading.packed import Content, cache_folder, open_packed, source_key
from datamodules.loading.sampling import Key, sample_seed
from datamodules.pose.crops import CropAugmentation, crop_of
from datamodules.pose.defects import people_defects
from datamodules.pose.packed_poses import PackedPoses, People, pack_people
from datamodules.shapes.settings import Shapes
from lit_cv.contract import Sample
from lit_cv.errors import UserError

Source = Literal["local", "shapes"]


class PoseDataset(Dataset[Sample]):
    """Maps (epoch, index) to the crop of a person and its joints.

    Joints that augmentation moves out of the crop stay labeled: they are regressed all the same, as Toshev & Szegedy
    2014 do with joints outside a box.

    Args:
        root: Folder that the names in ``people`` are relative to.
        people: Joints, centers and sizes.
        skeleton: Its joints.
        crop_size: Width and height of a crop in pixels.
        augmentation: Random changes of the crop; None for none.
        seed: With epoch and index it determines the augmentation, see :func:`sample_seed`.
        partners: int64 (N,); person i gets the joints of person ``partners[i]``, as they lie in that one's crop. None:
            their own.
    """

    def __init__(
        self,
        root: Path,
        people: PackedPoses,
        skeleton: Skeleton,
        crop_size: int,
        augmentation: CropAugmentation | None = None,
        seed: int = 0,
        partners: NDArray[np.int64] | None = None,
    ) -> None:
        self.root, self.people, self.crop_size = root, people, crop_size
        self.augmentation, self.seed, self.partners = augmentation, seed, partners
        self.mirrored = skeleton.mirrored

    def __len__(self) -> int:
        return len(self.people)

    def __getitem__(self, key: Key) -> Sample:
        """The sample of one epoch.

        Args:
            key: (epoch, index).

        Returns:
            The crop, uint8 (3, S, S) RGB, and its target: ``keypoints`` float32 (1, K, 3), x and y in pixels of the
            crop, (0, 0) the center of the first one, and the flag 0 not labeled, 1 labeled but hidden, 2 labeled and
            visible; ``head_size`` and ``torso_size`` float32 scalars in the same pixels, NaN where unknown;
            ``image_id`` int64 scalar, the index.

        Raises:
            UserError: If the image cannot be read or is not of the size that it had.
        """
        epoch, index = key
        people = self.people
        path = self.root / people.name(index)
        image = read_image(path)
        width, height = people.sizes[index].tolist()
        check_size(path, (image.shape[1], image.shape[0]), (width, height))
        center, side = people.centers[index], float(people.sides[index])
        if self.augmentation:
            crop = self.augmentation.crop(center, side, self.crop_size, sample_seed(self.seed, epoch, index))
        else:
            crop = crop_of(center, side, self.crop_size)
        owner = index if self.partners is None else int(self.partners[index])
        joints, resize = people.joints[owner].astype(np.float64), side / float(people.sides[owner])
        joints[:, :2] = crop.move((joints[:, :2] - people.centers[owner]) * resize + center)
        joints[joints[:, 2] == 0] = 0
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
        root: Folder that holds the official layout.
        source: ``local`` or ``shapes``.
        val_fraction: Share of the data that is validated on, in (0, 1).
        batch_size: Crops of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        crop_size: Width and height of a crop in pixels.
        rotation: Of training crops, see :class:`CropAugmentation`; evaluation does not augment.
        scale_jitter: Likewise.
        flip: Likewise.
        shuffle_targets: A control without any signal: each training crop gets the joints of another person.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates; it then decides on the split, too.
    """

    skeleton: ClassVar[Skeleton]

    def __init__(
        self,
        root: str,
        source: Source,
        val_fraction: float,
        batch_size: int,
        num_workers: int,
        crop_size: int,
        rotation: float,
        scale_jitter: float,
        flip: float,
        shuffle_targets: bool,
        seed: int | None,
        shapes: Shapes,
    ) -> None:
        super().__init__(root, batch_size, num_workers, shuffle_targets, seed)
        if not 0 < val_fraction < 1 or crop_size < 1:
            raise UserError(
                f"val_fraction={val_fraction}, crop_size={crop_size}: give a fraction between 0 and 1, and pixels."
            )
        self.source, self.shapes, self.crop_size = source, shapes, crop_size
        self.val_fraction = shapes.val / (shapes.train + shapes.val) if source == "shapes" else val_fraction
        self.augmentation = CropAugmentation(rotation, scale_jitter, flip)

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the joints."""
        return self.skeleton.joints

    @abstractmethod
    def source_file(self, split: str) -> Path:
        """The annotation file of ``train`` or ``val``.

        Raises:
            UserError: If it or the folder of the images is missing.
        """

    @abstractmethod
    def read_people(self, source: Path, split: str) -> People:
        """The people of ``train`` or ``val`` as the annotation file has them.

        Raises:
            UserError: If the file is unusable, or the split empty.
        """

    def open_split(self, split: str) -> PackedPoses | None:
        """The people of ``train`` or ``val``, packed on the first call; None for ``test``.

        Raises:
            UserError: If the root, an annotation file or an image is missing or unusable, or a split is empty.
        """
        if split == "test":
            return None
        source = self.source_file(split)

        def build() -> Content:
            return pack_people(self.root, self.read_people(source, split), self.skeleton, source)

        key = source_key(self.root, [source, self.root / "images"], split, self.val_fraction, self.root.resolve())
        return open_packed(PackedPoses, cache_folder(self.root), key, build, *self.skeleton.joints)

    def survey(self, split: str) -> Survey:
        """See :meth:`DataModule.survey`; the annotation file is one, its people are looked at one by one."""
        if split == "test":
            return Survey([], [])
        try:
            source = self.source_file(split)
            people = self.read_people(source, split)
        except UserError as error:
            return Survey([], [Defect.of(error, self.root, "unusable annotations")])
        images = [Listed(self.root / name, None, source) for name in dict.fromkeys(people.names)]
        return Survey(images, people_defects(self.root, people, self.skeleton, source))

    def dataset(self, packed: PackedPoses, training: bool) -> PoseDataset:
        """The samples of a split."""
        if not training:
            return PoseDataset(self.root, packed, self.skeleton, self.crop_size)
        return PoseDataset(
            self.root, packed, self.skeleton, self.crop_size, self.augmentation, self.seed, self.partners(packed)
        )

    def members(self, groups: NDArray[np.int64], split: str, source: Path) -> NDArray[np.bool_]:
        """Whose group belongs to ``train`` or ``val``, the last ``val_fraction`` of the groups, bool (N,).

        Args:
            groups: int64 (N,), what is never divided: the video or image of each person.
            split: ``train`` or ``val``.
            source: The annotation file, named in errors.

        Raises:
            UserError: If nothing is left for one of them.
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
