"""Leeds Sports Pose (Johnson & Everingham 2010) and its extended training set (Johnson & Everingham 2011)."""

from pathlib import Path
from typing import ClassVar

import numpy as np
import scipy.io

from datamodules.joints import HIDDEN, VISIBLE, Skeleton
from datamodules.pose.datamodule import PoseDataModule, Source
from datamodules.pose.generated import write_lsp
from datamodules.pose.packed_poses import People
from datamodules.shapes.settings import Shapes
from lit_cv.errors import UserError

SKELETON = Skeleton(
    joints=(
        "right_ankle", "right_knee", "right_hip", "left_hip", "left_knee", "left_ankle", "right_wrist", "right_elbow",
        "right_shoulder", "left_shoulder", "left_elbow", "left_wrist", "neck", "head_top",
    ),
    limbs=(
        (0, 1), (1, 2), (2, 3), (3, 4), (4, 5), (6, 7), (7, 8), (8, 12), (12, 9), (9, 10), (10, 11), (12, 13),
        (8, 2), (9, 3),
    ),
    pairs=((0, 5), (1, 4), (2, 3), (6, 11), (7, 10), (8, 9)),
    head=(12, 13),
    torso=(9, 2),
)  # fmt: skip


class LSPPoseDataModule(PoseDataModule):
    """The people of Leeds Sports Pose (LSP) or of its extended training set (LSPET), one in each image.

    A crop is a square of 1.25 times the longer side of the box of the labeled joints, around its center: neither set
    has another position. Joints that are NaN or outside the image count as not labeled; people with fewer than two
    joints apart are dropped; both are counted. The size of a head is the distance from neck to head top. Images are
    checked to be there when the annotations are packed, and to be whole when they are read.

    Neither set has an official validation set, and LSPET has only training images. LSP's official halves (Johnson &
    Everingham 2010) are ``val_fraction: 0.5``.

    Args:
        root: Folder that holds ``joints.mat`` and ``images``.
        source: ``local``: the files are there (the authors publish no checksums, so nothing is downloaded);
            ``shapes``: generate a small data set of stick figures in the layout of LSPET if there is none.
        val_fraction: The last so many of the images are validated on, in (0, 1).
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

    def fetch(self) -> None:
        """Generate what is missing, if ``source`` says so."""
        if self.source == "shapes":
            write_lsp(self.root, self.shapes)

    def source_file(self, split: str) -> Path:
        """``joints.mat``, of both splits."""
        source = self.root / "joints.mat"
        if not (source.is_file() and (self.root / "images").is_dir()):
            raise UserError(f"{self.root} does not hold joints.mat and images: set root to the folder of LSP or LSPET.")
        return source

    def read_people(self, source: Path, split: str) -> People:
        """See :func:`read_joints`."""
        people = read_joints(source)
        chosen = np.flatnonzero(self.members(np.arange(len(people.names)), split, source))
        return People([people.names[index] for index in chosen.tolist()], people.joints[chosen])


def read_joints(path: Path) -> People:
    """Read ``joints.mat`` of either set.

    LSPET: 14 x 3 x N, the third row is 1 where the joint is labeled. LSP: 3 x 14 x N, all joints are labeled, and the
    third row is 1 where the joint is hidden (its read-me calls it visibility, the values say the contrary). Coordinates
    are taken to count pixels from 1, as MATLAB does; the authors do not say.

    Raises:
        UserError: If the file cannot be read, or has no array ``joints`` of one of these shapes.
    """
    try:
        table = np.asarray(scipy.io.loadmat(path, variable_names=["joints"])["joints"], dtype=np.float64)
    except Exception as error:  # scipy raises what zlib, struct and its own parser raise
        raise UserError(f"{path} is no MATLAB 5 file with an array `joints` ({error}): fetch it again.") from None
    count = len(SKELETON.joints)
    if table.ndim != 3 or table.shape[:2] not in ((count, 3), (3, count)):
        raise UserError(
            f"{path}: `joints` has the shape {table.shape}, not (14, 3, N) as in LSPET or (3, 14, N) as in LSP: "
            "fetch it again."
        )
    if table.shape[0] == count:
        joints, digits = table.transpose(2, 0, 1), 5
        flags = np.where(joints[..., 2] == 1, VISIBLE, 0)
    else:
        joints, digits = table.transpose(2, 1, 0), 4
        flags = np.where(joints[..., 2] == 1, HIDDEN, VISIBLE)
    names = [f"images/im{number:0{digits}d}.jpg" for number in range(1, len(joints) + 1)]
    return People(names, np.concatenate([joints[..., :2] - 1, flags[..., None]], axis=2))
