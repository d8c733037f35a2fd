"""The categories of COCO's annotation files: their rules, and the facts that all sets share."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from datamodules.coco.tables import Categories
from datamodules.defects import Defect, repeated


class Facts(NamedTuple):
    """The facts that all sets of a data set share.

    Attributes:
        classes: Names of labels 1..C.
        joints: The K names of the joints; empty without joints.
        limbs: Pairs of joints that a line connects in pictures, from 0.
    """

    classes: tuple[str, ...]
    joints: tuple[str, ...]
    limbs: tuple[tuple[int, int], ...]

    @classmethod
    def of(cls, categories: Categories, keypoints: bool) -> "Facts":
        """Return the facts of categories that :func:`category_errors` accepts.

        Args:
            categories: In ascending order of their ids.
            keypoints: Whether objects have joints.
        """
        classes = tuple(kind["name"] for kind in categories)
        if not keypoints:
            return cls(classes, (), ())
        return cls(classes, tuple(joints_of(categories)), tuple(_limbs(categories)[0]))


def joints_of(categories: Categories) -> list[str]:
    """Return the names of the joints of the first category that has joints; empty without any."""
    return next((kind["keypoints"] for kind in categories if kind["keypoints"]), [])


def in_order(categories: Iterable[dict[str, Any]]) -> Categories:
    """Return categories in ascending order of their ids."""
    return sorted(categories, key=lambda category: int(category["id"]))


def synthetic_root(categories: Categories, annotated: Iterable[int]) -> dict[str, Any] | None:
    """Return the category that an annotation tool has put above the classes.

    It comes before the classes, has no annotation, and has the name of one of them, or is the supercategory of all of
    them and has none itself, as Roboflow writes it.

    Args:
        categories: In ascending order of their ids.
        annotated: The ids that annotations have.
    """
    if len(categories) < 2 or categories[0]["id"] == categories[1]["id"]:
        return None
    root, *others = categories
    named = root["name"] in {kind["name"] for kind in others}
    above = root.get("supercategory") == "none" and all(kind.get("supercategory") == root["name"] for kind in others)
    return root if (named or above) and root["id"] not in set(annotated) else None


def category_errors(path: Path, categories: Categories, keypoints: bool) -> Iterator[Defect]:
    """Yield the defects of a file's categories.

    Args:
        path: The annotation file.
        categories: Its categories.
        keypoints: Whether they need joints; those without joints are boxes only.
    """
    if not categories:
        yield Defect(path, "has no categories: it is no COCO file of objects; fix data.root", "unusable categories")
    joints = joints_of(categories)
    names, ids = (np.array([category[key] for category in categories]) for key in ("name", "id"))
    if keypoints and any(kind["keypoints"] not in ([], joints) for kind in categories):
        counts = ", ".join(f"{kind['name']}: {len(kind['keypoints'])}" for kind in categories if kind["keypoints"])
        what = (
            f"has categories with different joints ({counts}): set data.categories to those of one skeleton, and "
            "train one network for each"
        )
        yield Defect(path, what, "unusable categories")
    elif keypoints and categories and not joints:
        what = "has no joints in its categories: use person_keypoints_<set>.json"
        yield Defect(path, what, "unusable categories")
    for name in names[repeated(names)].tolist():
        yield Defect(path, f"has two categories named {name!r}: fix the file", "unusable categories")
    for number in ids[repeated(ids)].tolist():
        yield Defect(path, f"has two categories with the id {number}: fix the file", "duplicate id")


def category_notes(
    path: Path, categories: Categories, root: dict[str, Any] | None, keypoints: bool
) -> Iterator[Defect]:
    """Yield notes about a root that is left out, and limbs that are.

    Args:
        path: The annotation file.
        categories: Its categories without the root.
        root: See :func:`synthetic_root`.
        keypoints: Whether objects have joints.
    """
    if root is not None:
        named = root["name"] in {kind["name"] for kind in categories}
        reason = "named {!r} like another one" if named else "{!r}, the supercategory of all others"
        what = f"has no annotation of the category {root['id']}, {reason.format(root['name'])}: it is left out"
        yield Defect(path, what, "unannotated root category", note=True)
    if keypoints:
        _, unusable = _limbs(categories)
        for limb in unusable:
            count = len(joints_of(categories))
            what = (
                f"has the limb {limb} in its skeleton, but joints 1 to {count}: pictures leave it out; fix the skeleton"
            )
            yield Defect(path, what, "unusable limb")


def disagreement(path: Path, facts: Facts, first: Path, expected: Facts) -> Iterator[Defect]:
    """Yield a defect if the facts of a file differ from those of the first one."""
    if facts != expected:
        yield Defect(path, f"has other categories than {first}: choose sets that agree", "unusable categories")


def _limbs(categories: Categories) -> tuple[list[tuple[int, int]], list[Any]]:
    """Return the limbs of the first category with joints, from 0, and the entries that name no two joints."""
    joints = joints_of(categories)
    skeleton = next((kind.get("skeleton") or [] for kind in categories if kind["keypoints"]), [])
    limbs, unusable = [], []
    for limb in skeleton if isinstance(skeleton, list) else [skeleton]:
        ends = limb if isinstance(limb, list) else []
        if len(ends) == 2 and all(type(end) is int and 1 <= end <= len(joints) for end in ends):
            limbs.append((ends[0] - 1, ends[1] - 1))
        else:
            unusable.append(limb)
    return limbs, unusable
