"""Predictions in the files of Pascal VOC's evaluation (devkit of VOC2012, sections 8 and 9)."""

from collections.abc import Sequence
from pathlib import Path

from lit_cv.contract import Ids
from lit_cv.predictions.files import Predictions
from lit_cv.renderers.canvas import write_mask
from lit_cv.runs.files import replaced


def write_detections(predictions: Predictions, ids: Ids, folder: Path, name: str) -> list[Path]:
    """Write ``<name>_<class>.txt`` for each class, all scores: image id, confidence, left, top, right, bottom.

    Corners are pixels that count from 1 and belong to the box, so boxes (x1, y1, x2, y2) become (x1 + 1, y1 + 1, x2,
    y2). All digits are written.

    Args:
        predictions: Boxes with labels and scores.
        ids: Ids of images and classes.
        folder: The folder.
        name: Beginning of the files' names, such as ``comp3_det_val``.

    Returns:
        The files.
    """
    lines: dict[int, list[str]] = {label: [] for label in range(1, len(predictions.class_names) + 1)}
    for index, image in enumerate(predictions.image_ids.tolist()):
        found = predictions[index]
        columns = (found["labels"].tolist(), found["scores"].tolist(), found["boxes"].tolist())
        for label, score, (left, top, right, bottom) in zip(*columns, strict=True):
            lines[label].append(f"{ids.images[image]} {score!r} {left + 1!r} {top + 1!r} {right!r} {bottom!r}\n")
    folder.mkdir(parents=True, exist_ok=True)
    files = [folder / f"{name}_{kind}.txt" for kind in predictions.class_names]
    for file, rows in zip(files, lines.values(), strict=True):
        with replaced(file) as temporary:
            temporary.write_text("".join(rows))
    return files


def write_masks(predictions: Predictions, names: Sequence[int | str], folder: Path) -> list[Path]:
    """Write ``<name>.png`` for each image: the class of each pixel as an index into VOC's palette.

    Args:
        predictions: Class masks.
        names: Name of each file, by ``image_id``.
        folder: The folder.

    Returns:
        The files.
    """
    files = [folder / f"{names[image]}.png" for image in predictions.image_ids.tolist()]
    for index, file in enumerate(files):
        file.parent.mkdir(parents=True, exist_ok=True)
        write_mask(file, predictions[index]["mask"])
    return files
