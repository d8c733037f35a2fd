"""Generated scenes of shapes in the official layout of Pascal VOC, for tests and the quick start."""

from pathlib import Path
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from datamodules.shapes.scenes import CLASS_NAMES, Scene, draw_scene
from datamodules.shapes.settings import Shapes, write_jpeg, write_once
from lit_cv.ops.palette import voc_colors

_VOID = 255
_VERSION = 1  # raise it when the same settings give other scenes


def write_voc(root: Path | str, settings: Shapes = Shapes()) -> Path:  # noqa: B008  (frozen)
    """Write ``VOCdevkit/VOC2012`` with images, XML, lists and segmentations, unless it is there already.

    The folder is written under a temporary name and renamed, so an interrupted run leaves no incomplete data set.

    Args:
        root: Destination of ``VOCdevkit``; created if missing.
        settings: Settings of the scenes.

    Returns:
        The VOCdevkit folder.

    Raises:
        UserError: If another VOCdevkit is there, or a setting is out of range.
    """

    def write(folder: Path) -> None:
        _write_devkit(folder, settings)

    return write_once(Path(root) / "VOCdevkit", {"version": _VERSION}, settings, write)


def _write_devkit(devkit: Path, settings: Shapes) -> None:
    year = devkit / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (year / folder).mkdir(parents=True)
    palette = voc_colors().tobytes()
    names = [f"shape_{i:06d}" for i in range(settings.train + settings.val)]
    for index, name in enumerate(tqdm(names, desc="Drawing shapes", unit="image", delay=2)):
        rng = np.random.default_rng((settings.seed, index))
        scene = draw_scene(rng, settings.size, touching=settings.touching)
        write_jpeg(year / "JPEGImages" / f"{name}.jpg", scene.image)
        (year / "Annotations" / f"{name}.xml").write_text(_xml(name, scene))
        classes = np.array([0, *scene.labels] + [0] * (255 - len(scene.labels)), dtype=np.uint8)
        classes[_VOID] = _VOID
        objects = _with_border(scene.owner)
        _write_mask(year / "SegmentationObject" / f"{name}.png", objects, palette)
        _write_mask(year / "SegmentationClass" / f"{name}.png", classes[objects], palette)
    lists = {"train": names[: settings.train], "val": names[settings.train :], "trainval": names}
    for task in ("Main", "Segmentation"):
        (year / "ImageSets" / task).mkdir(parents=True)
        for split, members in lists.items():
            (year / "ImageSets" / task / f"{split}.txt").write_text("\n".join(members) + "\n")
    (devkit / "classes.txt").write_text("\n".join(CLASS_NAMES) + "\n")


def _with_border(owner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Add void pixels along the outlines, as in the official masks."""
    edge = cv2.morphologyEx(owner, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8)) > 0
    bordered = owner.copy()
    bordered[edge] = _VOID
    return bordered


def _write_mask(path: Path, mask: NDArray[np.uint8], palette: bytes) -> None:
    image = Image.fromarray(mask, mode="P")
    image.putpalette(palette)
    image.save(path, compress_level=1)


def _xml(name: str, scene: Scene) -> str:
    height, width, depth = scene.image.shape
    objects = "".join(
        f"  <object>\n    <name>{escape(CLASS_NAMES[label - 1])}</name>\n    <pose>Unspecified</pose>\n"
        f"    <truncated>{int(min(x1, y1) == 1 or x2 == width or y2 == height)}</truncated>\n"
        f"    <difficult>{int(flag)}</difficult>\n    <bndbox>\n      <xmin>{x1}</xmin>\n      <ymin>{y1}</ymin>\n"
        f"      <xmax>{x2}</xmax>\n      <ymax>{y2}</ymax>\n    </bndbox>\n  </object>\n"
        for label, (x1, y1, x2, y2), flag in zip(scene.labels, scene.boxes.tolist(), scene.difficult, strict=True)
    )
    return (
        f"<annotation>\n  <folder>VOC2012</folder>\n  <filename>{name}.jpg</filename>\n"
        f"  <size>\n    <width>{width}</width>\n    <height>{height}</height>\n    <depth>{depth}</depth>\n  </size>\n"
        f"  <segmented>1</segmented>\n{objects}</annotation>\n"
    )
