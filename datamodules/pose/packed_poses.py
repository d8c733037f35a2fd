"""The people of a whole data set, cleaned and packed."""

from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.joints import Skeleton
from datamodules.loading.decode import image_size
from datamodules.loading.packed import Content, PackedImages, as_bytes
from datamodules.pose.checks import Flaws, find_flaws
from datamodules.pose.people import People
from lit_cv.errors import UserError

BOX_MARGIN = 1.25  # side of the crop over the longer side of the labeled joints' box, for hands, feet and hair


class PackedPoses(PackedImages):
    """Packed people; a sample is one person.

    Attributes:
        joints: float32 (N, K, 3), x and y in pixels inside the image (zeros if not labeled) and the flag 0, 1 or 2.
        centers: float32 (N, 2), center of the crop.
        sides: float32 (N,), side of the square crop in pixels, > 0.
        head_sizes: float32 (N,), in pixels, NaN if unknown.
        torso_sizes: float32 (N,), in pixels, NaN if unknown.
        counts: Numbers of images, people and labeled joints; of dropped joints (NaN or outside the image); of dropped
            people (no labeled joint, no center, or a crop without area); of people without a size of the head or torso.
    """

    KIND: ClassVar[str] = "poses-2"
    ARRAYS: ClassVar[tuple[str, ...]] = (
        "names", "sizes", "joints", "centers", "sides", "head_sizes", "torso_sizes"
    )  # fmt: skip
    joints: NDArray[np.float32]
    centers: NDArray[np.float32]
    sides: NDArray[np.float32]
    head_sizes: NDArray[np.float32]
    torso_sizes: NDArray[np.float32]


def pack_people(root: Path, people: People, skeleton: Skeleton, source: Path, upright: bool = False) -> Content:
    """Read the sizes of the images, drop flawed joints and people, and count.

    Args:
        root: Folder that ``people.names`` are relative to.
        people: The people of ``source``.
        skeleton: Its joints.
        source: The annotation file, named in errors.
        upright: Whether the joints refer to the upright images.

    Returns:
        The arrays of ``PackedPoses``.

    Raises:
        UserError: If an image is missing or unreadable, or nobody is left.
    """
    sizes = _image_sizes(root, people.names, source, upright)
    flaws = find_flaws(people, sizes)
    dropped = flaws.not_finite | flaws.outside
    labeled = (people.joints[..., 2] > 0) & ~dropped
    joints = np.where(labeled[..., None], people.joints, 0.0)
    box_centers, box_sides = _squares(joints)
    centers = box_centers if people.centers is None else people.centers
    sides = box_sides if people.sides is None else people.sides
    flaws = find_flaws(People(people.names, joints, centers, sides), sizes)
    kept = np.flatnonzero(~(flaws.without_joint | flaws.without_center | flaws.without_scale))
    if not len(kept):
        raise UserError(_nobody(source, flaws, int(dropped.sum()), scaled=people.sides is not None))
    heads = people.head_sizes
    if heads is None:
        heads = skeleton.head_share * _distances(joints, skeleton.head)
    torsos = _distances(joints, skeleton.torso)
    names = as_bytes(people.names[index] for index in kept)
    arrays = {
        "names": names,
        "sizes": sizes[kept],
        "joints": joints[kept].astype(np.float32),
        "centers": centers[kept].astype(np.float32),
        "sides": sides[kept].astype(np.float32),
        "head_sizes": heads[kept].astype(np.float32),
        "torso_sizes": torsos[kept].astype(np.float32),
    }
    counts = {
        "images": len(np.unique(names)),
        "people": len(kept),
        "joints": int(labeled[kept].sum()),
        "joints_dropped": int(dropped.sum()),
        "people_dropped": len(people.names) - len(kept),
        "people_without_head": int(np.isnan(heads[kept]).sum()),
        "people_without_torso": int(np.isnan(torsos[kept]).sum()),
    }
    return Content(arrays, counts)


def _nobody(source: Path, flaws: Flaws, joints_dropped: int, scaled: bool) -> str:
    """Return the sentence for a split in which nobody is left; each person counts for the first reason."""
    joint, center = flaws.without_joint, flaws.without_center
    reasons = {
        "without a labeled joint": joint,
        "without a center": center & ~joint,
        "without a usable scale" if scaled else "with one labeled joint alone": flaws.without_scale & ~(joint | center),
    }
    parts = [f"{int(rows.sum())} {reason}" for reason, rows in reasons.items() if rows.any()]
    if joints_dropped:
        parts.append(f"and {joints_dropped} joints are outside their image or not finite")
    people = len(flaws.without_joint)
    return f"{source} leaves nobody in this split: of {people} people, {', '.join(parts)}; fix it or change the split."


def _image_sizes(root: Path, names: list[str], source: Path, upright: bool) -> NDArray[np.int32]:
    """Return width and height of each name's image, int32 (N, 2); only the files' headers are read."""
    unique, inverse = np.unique(np.array(names), return_inverse=True)
    bar = tqdm(unique.tolist(), desc=f"Images of {source.name}", unit="image", delay=2)
    sizes = [image_size(root / name, source, upright=upright) for name in bar]
    return np.array(sizes, dtype=np.int32).reshape(-1, 2)[inverse]


def _squares(joints: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return center (N, 2) and side (N,) of the square around each person's labeled joints, with its margin."""
    labeled = joints[..., 2:] > 0
    lower = np.where(labeled, joints[..., :2], np.inf).min(axis=1)
    upper = np.where(labeled, joints[..., :2], -np.inf).max(axis=1)
    with np.errstate(invalid="ignore"):  # a person without labels gives inf - inf
        return (lower + upper) / 2, BOX_MARGIN * (upper - lower).max(axis=1)


def _distances(joints: NDArray[np.float64], ends: tuple[int, int]) -> NDArray[np.float64]:
    """Return the distance of two joints, (N,); NaN if one is not labeled or both are the same point."""
    first, second = joints[:, ends[0]], joints[:, ends[1]]
    length = np.hypot(*(first - second)[:, :2].T)
    distances: NDArray[np.float64] = np.where((first[:, 2] > 0) & (second[:, 2] > 0) & (length > 0), length, np.nan)
    return distances
