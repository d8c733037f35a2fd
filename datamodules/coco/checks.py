"""The rules that COCO's annotations must follow."""

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from datamodules.coco.files import Annotations, Segmentations
from datamodules.defects import ROUNDING, repeated
from datamodules.joints import inside_image

Flags = NDArray[np.bool_]
Finding = tuple[Flags, str, Callable[[int], str]]


def _field_findings(annotations: Annotations, owners: NDArray[np.int64], categories: list[int]) -> Iterator[Finding]:
    def category(row: int) -> str:
        return f"has the category {annotations.categories[row]}, which the file does not name: mend it"

    yield repeated(annotations.ids), "duplicate id", lambda _: "has an id that another one has, too: mend the file"
    yield owners < 0, "annotation without image", lambda _: "is of an image that the file does not list: mend it"
    yield ~np.isin(annotations.categories, categories), "unknown category", category
    yield annotations.crowds < 0, "missing iscrowd", lambda _: "has no iscrowd and is taken for one object: add it"
    yield annotations.crowds > 1, "unusable iscrowd", lambda _: "has an iscrowd other than 0 and 1: mend it"
    yield ~np.isfinite(annotations.areas), "area not finite", lambda _: "has an area that is not finite: mend it"


def _mask_findings(masks: Segmentations, sizes: NDArray[np.float64]) -> Iterator[Finding]:
    def other_size(row: int) -> str:
        (width, height), (expected, tall) = masks.sizes[row].tolist(), sizes[row].tolist()
        return f"has an RLE of {width}x{height} pixels in an image of {expected:g}x{tall:g}: mend it"

    encoded = masks.lengths > 0
    unlike = (masks.sizes != sizes).any(axis=1) & np.isfinite(sizes).all(axis=1)
    yield encoded & unlike, "RLE of another size", other_size
    yield (
        masks.dropped > 0,
        "empty polygon",
        lambda row: (
            f"has {masks.dropped[row]} polygons with fewer than three corners, which are dropped: mend or remove them"
        ),
    )
    yield (
        ~encoded & (masks.polygons == 0),
        "object without mask",
        lambda _: "has no usable mask and is dropped: mend it",
    )
    yield (
        _leaving(masks, sizes),
        "polygon outside the image",
        lambda _: "has a polygon that reaches outside its image and is clipped: mend it",
    )


def _leaving(masks: Segmentations, sizes: NDArray[np.float64]) -> Flags:
    """Which annotations have a polygon that reaches outside, bool (M,)."""
    outside = np.zeros(len(sizes), dtype=np.bool_)
    if len(masks.corners):
        points, starts = masks.points.reshape(-1, 2), (np.cumsum(masks.corners) - masks.corners) // 2
        low, high = (extreme.reduceat(points, starts) for extreme in (np.minimum, np.maximum))
        of_polygon = np.repeat(np.arange(len(sizes)), masks.polygons)
        outside[of_polygon[((low < -ROUNDING) | (high > sizes[of_polygon] + ROUNDING)).any(axis=1)]] = True
    return outside


def _joint_findings(annotations: Annotations, sizes: NDArray[np.float64], names: list[str]) -> Iterator[Finding]:
    counted = annotations.joint_counts == 3 * len(names)
    joints = np.zeros((len(sizes), len(names), 3))
    joints[counted] = annotations.joints[np.repeat(counted, annotations.joint_counts)].reshape(-1, len(names), 3)
    usable = np.isin(joints[..., 2], (0, 1, 2)) & (np.abs(joints) < 1e6).all(axis=2)
    labeled = usable & (joints[..., 2] > 0)
    outside, count = labeled & ~inside_image(joints, sizes), labeled.sum(axis=1)
    told = annotations.labeled

    def which(flags: Flags) -> Callable[[int], str]:
        return lambda row: ", ".join(names[joint] for joint in np.flatnonzero(flags[row]).tolist())

    yield (
        ~counted,
        "keypoints of another count",
        lambda row: (
            f"has {annotations.joint_counts[row]} keypoint numbers, but its category has {len(names)} joints of three "
            "each: mend it"
        ),
    )
    yield (
        ~np.all(usable, axis=1),
        "unusable keypoint",
        lambda row: f"has a joint that is not finite or whose flag is not 0, 1 or 2 ({which(~usable)(row)}): mend it",
    )
    yield (
        np.any(outside, axis=1),
        "keypoint outside the image",
        lambda row: f"has labeled joints outside its image ({which(outside)(row)}): mend them",
    )
    yield (
        counted & (told >= 0) & (told != count),
        "num_keypoints disagrees",
        lambda row: f"says num_keypoints {told[row]} and labels {count[row]} joints: mend it",
    )
