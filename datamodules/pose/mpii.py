"""MPII Human Pose (Andriluka et al. 2014)."""

from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from datamodules.joints import Skeleton
from datamodules.loading.packed import Content, Packed, as_bytes, cache_folder, open_packed, source_key
from datamodules.pose.datamodule import PoseDataModule
from datamodules.pose.generated import write_mpii
from datamodules.pose.mpii_files import Annotations, find_mat, read_json, read_mat
from datamodules.pose.people import People
from lit_cv.errors import UserError

HEIGHT = 200  # pixels of a person of scale 1
MARGIN = 1.25  # side of the crop over the person's height (Newell et al. 2016, their code)
SHIFT = 15  # pixels at scale 1 from the person's center, which is above the hips, down to that of the crop (same code)

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
    # The official size is 0.6 of the diagonal of the head's box, and the files place these joints 0.8 of it apart.
    head_share=0.75,
)  # fmt: skip


class ParsedMat(Packed):
    """The people of the official .mat, parsed once for all splits; see :class:`Annotations`."""

    KIND: ClassVar[str] = "mpii-mat-2"
    ARRAYS: ClassVar[tuple[str, ...]] = ("names", "videos", "joints", "positions", "scales", "head_sizes")
    videos: NDArray[np.int64]
    joints: NDArray[np.float64]
    positions: NDArray[np.float64]
    scales: NDArray[np.float64]
    head_sizes: NDArray[np.float64]


class MPIIPoseDataModule(PoseDataModule):
    """The people of MPII Human Pose; each person is a sample, even if an image shows several.

    A crop is a square of 1.25 times the person's height, 15 pixels (at a height of 200) below the annotated center, as
    in the code of Newell et al. 2016, which most papers follow; the annotations of both are rough. Only the official
    training images have labels, so there is no test split. With ``mat``, images of one video are never divided between
    splits, and images without a video are trained on. Joints that are NaN or outside the image count as not labeled;
    people without any labeled joint, center or scale are dropped; both are counted. Packing checks that the images
    exist; reading checks that they are complete.

    Args:
        annotations: ``mat``: the official ``mpii_human_pose_v1_u12_1.mat``, in ``root`` or its folder
            ``mpii_human_pose_v1_u12_2``; ``json``: ``annot/train.json`` and ``annot/valid.json``. These have no head
            boxes; the size of a head is then 0.75 of the distance from upper neck to head top. This is the official
            size, 0.6 of the diagonal of the box, because in MPII the two joints are 0.8 of the diagonal apart.
        val_fraction: With ``mat``, share of the videos to validate on, in (0, 1): the last ones. ``json`` has a split
            of its own, and ``source: shapes`` sets it itself.
        options: Those of :class:`PoseDataModule`.
    """

    skeleton: ClassVar[Skeleton] = SKELETON

    def __init__(
        self, *args: Any, annotations: Literal["mat", "json"] = "mat", val_fraction: float = 0.1, **options: Any
    ) -> None:
        super().__init__(*args, val_fraction=val_fraction, **options)
        self.annotations = annotations

    def fetch(self) -> None:
        """Generate missing files if ``source`` says so."""
        if self.source == "shapes":
            write_mpii(self.root, self.shapes)

    def source_file(self, split: str) -> Path:
        """Return the official .mat, which serves both splits, or the split's JSON."""
        images = self.root / "images"
        if not images.is_dir():
            raise UserError(
                f"{images} is no folder: set data.root to the folder that holds MPII's images and annotations."
            )
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
            names = as_bytes(found.names)
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
        found.positions
        + np.array([0, SHIFT]) * np.nan_to_num(found.scales)[:, None],  # a missing scale has its own flag
        found.scales * HEIGHT * MARGIN,
        found.head_sizes,
    )
