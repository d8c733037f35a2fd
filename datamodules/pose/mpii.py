"""MPII Human Pose (Andriluka et al. 2014)."""

from pathlib import Path
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.joints import Skeleton
from datamodules.loading.packed import Content, Packed, cache_folder, open_packed, source_key
from datamodules.pose.datamodule import PoseDataModule, Source
from datamodules.pose.generated import write_mpii
from datamodules.pose.mpii_files import Annotations, find_mat, read_json, read_mat
from datamodules.pose.packed_poses import People
from datamodules.shapes.settings import Shapes
from lit_cv.errors import UserError

HEIGHT = 200  # pixels of a person of scale 1
MARGIN = 1.25  # from a person's height to the side of the crop (Newell et al. 2016, their code)
SHIFT = 15  # pixels at scale 1 by which the crop's center lies below the person's, which is above the hips (same code)

_JSON = {"train": "train", "val": "valid"}

SKELETON = Skeleton(
    joints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "pelvis", "thorax",
        "upper_neck", "head_top", "right_wrist", "right_elbow", "right_shoulder", "left_shoulder", "left_elbow",
        "left_wrist",
    ),
    limbs=(
        (0, 1), (1, 2), (2, 6), (6, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 9),
        (10, 11), (11, 12), (12, 7), (7, 13), (13, 14), (14, 15),
    ),
    pairs=((0, 5), (1, 4), (2, 3), (10, 15), (11, 14), (12, 13)),
    head=(8, 9),
    torso=(13, 2),
    left_out=(6, 7),
)  # fmt: skip


class ParsedMat(Packed):
    """The people of the official .mat as they are there, parsed once for all splits; see ``Annotations``."""

    KIND: ClassVar[str] = "mpii-mat-1"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "videos", "joints", "positions", "scales", "head_sizes")
    videos: NDArray[np.int64]
    joints: NDArray[np.float64]
    positions: NDArray[np.float64]
    scales: NDArray[np.float64]
    head_sizes: NDArray[np.float64]


class MPIIPoseDataModule(PoseDataModule):
    """The people of MPII Human Pose, each one a sample, also where several are in one image.

    A crop is a square of 1.25 times the person's height, 15 pixels (at a height of 200) below the annotated center, as
    in the code of Newell et al. 2016, which most papers follow; the authors give both only roughly. Only the official
    training images have labels, hence there is no test split. Joints that are NaN or outside the image count as not
    labeled; people without any labeled joint, center or scale are dropped; both are counted. Images are checked to
    be there when the annotations are packed, and to be whole when they are read.

    Args:
        root: Folder that holds ``images`` and the annotations.
        source: ``local``: the files are there (the authors publish no checksums, so nothing is downloaded);
            ``shapes``: generate a small data set of stick figures in the layout of the official .mat if there is none.
        annotations: ``mat``: the official ``mpii_human_pose_v1_u12_1.mat``, in ``root`` or its folder
            ``mpii_human_pose_v1_u12_2``; ``json``: ``annot/train.json`` and ``annot/valid.json``, which have no head
            boxes, so that the size of a head is the distance from the upper neck to the head top, which is about as
            long as 0.6 times the diagonal of the box.
        val_fraction: Of ``mat``: the images of the last so many of the videos are validated on, in (0, 1). Images of
            one video are never divided; those without one are trained on.
        batch_size: Crops of a global batch; each of W processes takes ``batch_size / W`` of them.
        num_workers: Loading processes of each loader; 0 loads in the training process.
        crop_size: Width and height of a crop in pixels.
        rotation: Training crops are turned by up to so many degrees either way.
        scale_jitter: The scale of training crops varies by up to this share.
        flip: Probability of a mirrored training crop, in which left and right joints change places.
        shuffle_targets: A control without any signal: each training crop gets the joints of another person.
        seed: Seed of order and augmentation; null takes the run's (``seed_everything``).
        shapes: What ``source: shapes`` generates; it then decides on the split, too.
    """

    skeleton: ClassVar[Skeleton] = SKELETON

    def __init__(
        self,
        root: str,
        source: Source = "local",
        annotations: Literal["mat", "json"] = "mat",
        val_fraction: float = 0.1,
        batch_size: int = 32,
        num_workers: int = 0,
        crop_size: int = 224,
        rotation: float = 30.0,
        scale_jitter: float = 0.25,
        flip: float = 0.5,
        shuffle_targets: bool = False,
        seed: int | None = None,
        shapes: Shapes = Shapes(),  # noqa: B008  (frozen)
    ) -> None:
        super().__init__(
            *(root, source, val_fraction, batch_size, num_workers, crop_size),
            *(rotation, scale_jitter, flip, shuffle_targets, seed, shapes),
        )
        self.annotations = annotations

    def fetch(self) -> None:
        """Generate what is missing, if ``source`` says so."""
        if self.source == "shapes":
            write_mpii(self.root, self.shapes)

    def source_file(self, split: str) -> Path:
        """The official .mat, of both splits, or the split's JSON."""
        images = self.root / "images"
        if not images.is_dir():
            raise UserError(f"{images} is no folder: set root to the folder that holds MPII's images and annotations.")
        if self.annotations == "mat":
            return find_mat(self.root)
        source = self.root / "annot" / f"{_JSON[split]}.json"
        if not source.exists():
            raise UserError(f"{source} is missing: put it there, or set annotations to mat.")
        return source

    def read_people(self, source: Path, split: str) -> People:
        """See :func:`read_mat` and :func:`read_json`."""
        return _people(self._read_mat(source, split) if self.annotations == "mat" else read_json(source))

    def _read_mat(self, path: Path, split: str) -> Annotations:
        def parse() -> Content:
            found = read_mat(path)
            names = np.array([name.encode() for name in found.names], dtype=np.bytes_)
            others = {name: np.asarray(getattr(found, name)) for name in ParsedMat.ARRAYS[1:]}
            return Content({"names": names, **others}, {"people": len(names)})

        key = source_key(self.root, [path], self.root.resolve())
        parsed = open_packed(ParsedMat, cache_folder(self.root), key, parse)
        chosen = np.flatnonzero(self.members(parsed.videos, split, path))
        names = [parsed.name(index) for index in chosen.tolist()]
        return Annotations(names, *(getattr(parsed, name)[chosen] for name in ParsedMat.ARRAYS[1:]))


def _people(found: Annotations) -> People:
    return People(
        [f"images/{name}" for name in found.names],
        found.joints,
        found.positions + np.array([0, SHIFT]) * found.scales[:, None],
        found.scales * HEIGHT * MARGIN,
        found.head_sizes,
    )
