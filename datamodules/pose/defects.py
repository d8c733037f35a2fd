"""What is wrong with the people of a pose data set."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from datamodules.defects import Defect
from datamodules.joints import Skeleton, inside_image
from datamodules.pose.packed_poses import People


def people_defects(root: Path, people: People, skeleton: Skeleton, source: Path) -> list[Defect]:
    """The joints and people that loading drops, named by the person's number in the split and its image.

    Args:
        root: Folder that ``people.names`` are relative to.
        people: What ``source`` says.
        skeleton: Its joints.
        source: The annotation file.
    """
    sizes = {name: _size(root / name) for name in dict.fromkeys(people.names)}
    limits = np.array([sizes[name] for name in people.names], dtype=np.float64).reshape(-1, 2)
    labeled = people.joints[..., 2] > 0
    finite = np.isfinite(people.joints[..., :2]).all(axis=2)
    outside = labeled & finite & ~inside_image(people.joints, limits)
    defects: list[Defect] = []

    def report(rows: NDArray[np.int64], kind: str, what: str) -> None:
        """Of each of the rows (person,) or (person, joint)."""
        for person, *joint in rows.tolist():
            of_joint = f"the {skeleton.joints[joint[0]]} of " if joint else ""
            text = f"{of_joint}person {person + 1} of the split, in {people.names[person]}, {what}"
            defects.append(Defect(source, text, kind))

    report(np.argwhere(labeled & ~finite), "joint not finite", "is labeled but not finite, and dropped: fix it")
    report(np.argwhere(outside), "joint outside the image", "lies outside the image and is dropped: fix it")
    lost = np.argwhere(~labeled.any(axis=1))
    report(lost, "person without joint", "has no labeled joint and is dropped: remove it")
    for name, column in (("center", people.centers), ("scale", people.sides)):
        if column is not None:
            unknown = ~np.isfinite(column).reshape(len(column), -1).all(axis=1)
            report(np.argwhere(unknown), f"person without {name}", f"has no {name} and is dropped: fix or remove it")
    return defects


def _size(path: Path) -> tuple[float, float]:
    """Width and height; infinite where the image cannot be read, which is a defect of its own."""
    try:
        with Image.open(path) as image:
            return image.size
    except OSError:
        return np.inf, np.inf
