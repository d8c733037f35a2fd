"""Generated scenes of shapes in the official layout of Pascal VOC, for tests and the quick start."""

import json
import os
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm  # type: ignore[import-untyped]

from datamodules.outlines import OUTLINES
from lit_cv.drawing import voc_colors
from lit_cv.errors import UserError

CLASS_NAMES = ("circle", "square", "triangle")
Paint = Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.float64]]
_VOID = 255
_VERSION = 1  # raise it when the same settings give other scenes


@dataclass(frozen=True)
class Shapes:
    """What to generate.

    Attributes:
        train: Number of training images.
        val: Number of validation images.
        size: Width and height of an image in pixels, >= 32.
        seed: Seed of the scenes: same settings, same bytes. Independent of a run's seed, so that runs share their data.
    """

    train: int = 400
    val: int = 100
    size: int = 128
    seed: int = 0


@dataclass
class Scene:
    """A drawn image and what is visible in it."""

    image: NDArray[np.uint8]  # (S, S, 3) RGB
    owner: NDArray[np.uint8]  # (S, S), 0 background, k for object k
    labels: list[int]
    boxes: NDArray[np.int64]  # (N, 4) as VOC counts: from 1, both ends included
    difficult: list[bool]


def write_voc(root: Path | str, settings: Shapes = Shapes()) -> Path:
    """Write ``VOCdevkit/VOC2012`` with images, XML, lists and segmentations, unless it is there already.

    It is written under a temporary name and renamed, so a broken run leaves no half data set.

    Args:
        root: Folder that is to hold VOCdevkit; created if missing.
        settings: What to generate.

    Returns:
        The VOCdevkit folder.

    Raises:
        UserError: If another VOCdevkit is there, or a setting is out of range.
    """

    def write(folder: Path) -> None:
        _write_devkit(folder, settings)

    return write_once(Path(root) / "VOCdevkit", {"version": _VERSION}, settings, write)


def write_once(folder: Path, layout: dict[str, Any], settings: Shapes, write: Callable[[Path], None]) -> Path:
    """Let ``write`` fill a folder, under a temporary name and renamed, unless it is there already.

    Args:
        folder: The folder; missing, empty, or written before with the same settings.
        layout: With the settings it says what the folder holds.
        settings: What to generate.
        write: Fills the folder that it is given.

    Returns:
        ``folder``.

    Raises:
        UserError: If something else is there, or a setting is out of range.
    """
    described = json.dumps({**layout, **asdict(settings)}, indent=2) + "\n"
    if folder.is_dir() and any(folder.iterdir()):
        _check_present(folder, described)
        return folder
    if settings.size < 32 or settings.train < 1 or settings.val < 1 or settings.seed < 0:
        raise UserError(f"{settings}: size must be at least 32, train and val at least 1, and seed at least 0.")
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        write(temporary)
        (temporary / "shapes.json").write_text(described)
        temporary.chmod(0o755)  # mkdtemp's folders are for their owner alone
        os.rename(temporary, folder)
    except OSError:
        if not (folder / "shapes.json").exists():
            raise
        _check_present(folder, described)  # another process was faster
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return folder


def _check_present(folder: Path, described: str) -> None:
    marker = folder / "shapes.json"
    if not marker.exists():
        raise UserError(f"{folder} is not a generated data set: choose another root, or set source to local.")
    if marker.read_text() != described:
        raise UserError(f"{folder} was generated with other settings ({marker}): choose another root or delete it.")


def _write_devkit(devkit: Path, settings: Shapes) -> None:
    year = devkit / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "SegmentationObject"):
        (year / folder).mkdir(parents=True)
    palette = voc_colors().tobytes()
    names = [f"shape_{i:06d}" for i in range(settings.train + settings.val)]
    for index, name in enumerate(tqdm(names, desc="Drawing shapes", unit="image", delay=2)):
        scene = draw_scene(np.random.default_rng((settings.seed, index)), settings.size)
        bgr = cv2.cvtColor(scene.image, cv2.COLOR_RGB2BGR)
        cv2.imwrite(str(year / "JPEGImages" / f"{name}.jpg"), bgr, [cv2.IMWRITE_JPEG_QUALITY, 92])
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


def draw_scene(
    rng: np.random.Generator, size: int, paint: Paint | None = None, kinds: Sequence[str] = CLASS_NAMES
) -> Scene:
    """Draw one to three shapes, of which some cover parts of others.

    Args:
        rng: What the scene depends on.
        size: Width and height in pixels.
        paint: Chooses a shape's colour, RGB in [0, 255], by the pixels behind it, float64 (P, 3); None: any that
            contrasts with them.
        kinds: What is drawn: ``circle`` and those of :data:`datamodules.outlines.OUTLINES`; labels count them from 1.
    """
    paint = paint or _contrasting
    image = background(rng, size)
    owner = np.zeros((size, size), dtype=np.uint8)
    labels, shapes = [], []
    for number in range(1, int(rng.integers(1, 4)) + 1):
        label = int(rng.integers(len(kinds))) + 1
        shape = _draw_shape(rng, kinds[label - 1], size)
        image[shape] = paint(rng, image[shape])
        owner[shape] = number
        labels.append(label)
        shapes.append(shape)
    noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    visible = np.array([np.count_nonzero(owner == k + 1) / np.count_nonzero(shape) for k, shape in enumerate(shapes)])
    seen = np.flatnonzero(visible > 0.1)
    renumber = np.zeros(256, dtype=np.uint8)
    renumber[seen + 1] = np.arange(1, len(seen) + 1)
    boxes = np.array([cv2.boundingRect((owner == k + 1).astype(np.uint8)) for k in seen]).reshape(-1, 4)
    boxes = np.concatenate([boxes[:, :2] + 1, boxes[:, :2] + boxes[:, 2:]], axis=1)
    flags = (visible[seen] < 0.4).tolist()
    return Scene(noisy, renumber[owner], [labels[k] for k in seen], boxes, flags)


def background(rng: np.random.Generator, size: int) -> NDArray[np.float64]:
    """A colour gradient in a random direction: float64 (size, size, 3) in [0, 255]."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    ramp = (np.cos(angle) * x + np.sin(angle) * y + 0.7) / 1.4
    first, last = rng.uniform(60, 190, (2, 3))
    gradient: NDArray[np.float64] = first + ramp[..., None] * (last - first)
    return gradient


def _draw_shape(rng: np.random.Generator, kind: str, size: int) -> NDArray[np.bool_]:
    """The pixels of one shape: bool (size, size)."""
    low, high = (0.3, 0.6) if rng.random() < 0.7 else (0.18, 0.3)
    radius = rng.uniform(low, high) * size / 2
    centre = rng.uniform(0.8 * radius, size - 0.8 * radius, 2)  # some reach over the edge
    canvas = np.zeros((size, size), dtype=np.uint8)
    if kind == "circle":
        cv2.circle(canvas, np.round(centre).astype(int).tolist(), round(radius), 1, cv2.FILLED)
    else:
        cv2.fillPoly(canvas, _contours(kind, centre, radius, rng.uniform(-0.2, 0.2)), 1)
    return canvas.astype(bool)


def _contours(kind: str, centre: NDArray[np.float64], radius: float, turn: float) -> list[NDArray[np.int32]]:
    polar = [(part[:, :1], part[:, 1] + turn) for part in OUTLINES[kind]]
    points = [centre + radius * far * np.stack([np.cos(angles), np.sin(angles)], axis=1) for far, angles in polar]
    return [np.round(part).astype(np.int32) for part in points]


def _contrasting(rng: np.random.Generator, behind: NDArray[np.float64]) -> NDArray[np.float64]:
    """A colour far from the mean of the pixels behind: each channel moves to the farther end of the range."""
    mean = behind.mean(axis=0)
    colour: NDArray[np.float64] = np.where(mean < 128, 255, 0) + rng.uniform(0, 60, 3) * np.where(mean < 128, -1, 1)
    return colour


def _with_border(owner: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Void pixels along the outlines, as the official masks have them."""
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
