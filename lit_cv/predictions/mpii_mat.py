"""Predicted poses in the file that MPII's evaluation reads.

Source: the README of the evaluation toolkit evalMPII.zip (human-pose.mpi-inf.mpg.de, "Evaluation"), single-person pose
estimation: a struct array ``pred`` of images in ``pred_keypoints_mpii.mat``, with
``pred(image).annorect(person).annopoints.point(k).x``, ``y`` and ``id``. ``evaluatePCKh.m`` loads it.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from datamodules.pose.crops import crop_of
from datamodules.pose.generated import save_mat, structs
from datamodules.pose.mpii import MPIIPoseDataModule
from lit_cv.errors import UserError
from lit_cv.predictions.files import Predictions

FILE = "pred_keypoints_mpii.mat"


def write_mat(predictions: Predictions, data: MPIIPoseDataModule, folder: Path) -> Path:
    """Write the poses of a split in pixels of the whole images, which count from 1; joints are numbered from 0.

    Images are those of the split in the order of the annotation file, and people keep their places in it. A person
    that is no sample, because it has no labeled joint, has no points.

    Args:
        predictions: Poses in crops.
        data: The opened data.
        folder: The folder.

    Returns:
        The file.

    Raises:
        UserError: The annotation file has changed.
    """
    split = predictions.split
    people, packed = data.read_people(data.source_file(split), split), data.splits[split]
    assert people.centers is not None  # MPII has them
    poses: dict[str, list[NDArray[np.float64] | None]] = {}
    places = {image: place for place, image in enumerate(predictions.image_ids.tolist())}
    sample = 0
    for name, center in zip(people.names, people.centers.astype(np.float32), strict=True):
        own = sample < len(packed) and packed.name(sample) == name and bool((packed.centers[sample] == center).all())
        pose = None
        if own:
            if sample in places:
                crop = crop_of(packed.centers[sample], float(packed.sides[sample]), data.crop_size)
                points = predictions[places[sample]]["keypoints"][0].numpy().astype(np.float64)
                pose = (points - crop.matrix[:, 2]) @ np.linalg.inv(crop.matrix[:, :2]).T
            sample += 1
        poses.setdefault(name, []).append(pose)
    if sample != len(packed):
        raise UserError(f"{data.source_file(split)} has changed since it was packed; evaluate the run again.")
    rows = [(structs(("name",), [(Path(name).name,)]), _rectangles(group)) for name, group in poses.items()]
    folder.mkdir(parents=True, exist_ok=True)
    save_mat(folder / FILE, {"pred": structs(("image", "annorect"), rows)})
    return folder / FILE


def _rectangles(poses: list[NDArray[np.float64] | None]) -> NDArray[np.void]:
    rows = []
    for pose in poses:
        points = [] if pose is None else [(x + 1, y + 1, float(joint)) for joint, (x, y) in enumerate(pose.tolist())]
        rows.append((structs(("point",), [(structs(("x", "y", "id"), points),)]) if points else np.zeros((0, 0)),))
    return structs(("annopoints",), rows)
