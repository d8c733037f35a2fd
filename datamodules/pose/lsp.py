"""Leeds Sports Pose (Johnson & Everingham 2010) and its extended training set (Johnson & Everingham 2011)."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from datamodules.joints import HIDDEN, VISIBLE, Skeleton, is_origin
from datamodules.loading.matlab import read_variable
from datamodules.pose.datamodule import PoseDataModule
from datamodules.pose.generated import write_lsp
from datamodules.pose.people import People
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

    ``root`` holds ``joints.mat`` and ``images``. A crop is a square around the center of the labeled joints' box, with
    1.25 times its longer side: neither set has other positions. Joints that are NaN or outside the image count as not
    labeled; people with fewer than two distinct joints are dropped; both are counted. The size of a head is the
    distance from neck to head top. Packing checks that the images exist; reading checks that they are complete.

    Neither set has an official validation set, and LSPET has only training images. ``val_fraction: 0.5`` gives LSP's
    official halves (Johnson & Everingham 2010).

    Args:
        val_fraction: Share of the images to validate on, in (0, 1): the last ones. ``source: shapes`` sets it itself.
        options: Those of :class:`PoseDataModule`.
    """

    skeleton: ClassVar[Skeleton] = SKELETON

    def __init__(self, *args: Any, val_fraction: float = 0.1, **options: Any) -> None:
        super().__init__(*args, val_fraction=val_fraction, **options)

    def fetch(self) -> None:
        """Generate missing files if ``source`` says so."""
        if self.source == "shapes":
            write_lsp(self.root, self.shapes)

    def source_file(self, split: str) -> Path:
        """Return ``joints.mat``, which serves both splits."""
        source = self.root / "joints.mat"
        if not (source.is_file() and (self.root / "images").is_dir()):
            raise UserError(
                f"{self.root} does not hold joints.mat and images: set data.root to the folder of LSP or LSPET."
            )
        return source

    def read_people(self, source: Path, split: str) -> People:
        """See :func:`read_joints`."""
        people = read_joints(source)
        chosen = np.flatnonzero(self.members(np.arange(len(people.names)), split, source))
        return People([people.names[index] for index in chosen.tolist()], people.joints[chosen])


def read_joints(path: Path) -> People:
    """Read ``joints.mat`` of either set.

    LSPET: 14 x 3 x N, the third row is 1 if the joint is labeled. LSP: 3 x 14 x N, all joints except those at (0, 0)
    are labeled, and the third row is 1 if the joint is hidden (its read-me calls it visibility; the values show the
    opposite). Coordinates are assumed to count pixels from 1, as in MATLAB; the authors do not say.

    Raises:
        UserError: If the file cannot be read, or has no array ``joints`` of one of these shapes.
    """
    try:
        table = np.asarray(read_variable(path.read_bytes(), "joints"), dtype=np.float64)
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
        flags[is_origin(joints[..., :2])] = 0
    names = [f"images/im{number:0{digits}d}.jpg" for number in range(1, len(joints) + 1)]
    return People(names, np.concatenate([joints[..., :2] - 1, flags[..., None]], axis=2))
