"""Generated scenes of shapes, for tests and the quick start."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from datamodules.shapes.outlines import OUTLINES

CLASS_NAMES = ("circle", "square", "triangle")
Paint = Callable[[np.random.Generator, NDArray[np.float64]], NDArray[np.float64]]


@dataclass
class Scene:
    """A drawn image and its visible objects."""

    image: NDArray[np.uint8]  # (S, S, 3) RGB
    owner: NDArray[np.uint8]  # (S, S), 0 background, k for object k
    labels: list[int]
    boxes: NDArray[np.int64]  # (N, 4) in VOC's coordinates: from 1, both ends included
    difficult: list[bool]


def draw_scene(
    rng: np.random.Generator,
    size: int,
    paint: Paint | None = None,
    kinds: Sequence[str] = CLASS_NAMES,
    touching: float = 0.0,
) -> Scene:
    """Draw one to three shapes, which may overlap.

    Args:
        rng: Generator that determines the scene.
        size: Width and height in pixels.
        paint: Chooses a shape's color, RGB in [0, 255], from the pixels behind it, float64 (P, 3); None: a random color
            that contrasts with them.
        kinds: Kinds of shapes: ``circle`` and those of :data:`datamodules.shapes.outlines.OUTLINES`; labels count them
            from 1.
        touching: Probability that a shape after the first has the class of the one before and touches it.
    """
    paint = paint or _contrasting
    image = background(rng, size)
    owner = np.zeros((size, size), dtype=np.uint8)
    labels: list[int] = []
    shapes: list[NDArray[np.bool_]] = []
    for number in range(1, int(rng.integers(1, 4)) + 1):
        if shapes and touching and rng.random() < touching:
            label = labels[-1]
            shape = _draw_beside(rng, kinds[label - 1], shapes[-1])
        else:
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
    """Return a color gradient in a random direction: float64 (size, size, 3) in [0, 255]."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    ramp = (np.cos(angle) * x + np.sin(angle) * y + 0.7) / 1.4
    first, last = rng.uniform(60, 190, (2, 3))
    gradient: NDArray[np.float64] = first + ramp[..., None] * (last - first)
    return gradient


def _draw_shape(rng: np.random.Generator, kind: str, size: int) -> NDArray[np.bool_]:
    """Return the pixels of one shape: bool (size, size)."""
    radius = _radius(rng, size)
    center = rng.uniform(0.8 * radius, size - 0.8 * radius, 2)  # some cross the edge
    return _filled(kind, center, radius, 0.0 if kind == "circle" else _turn(rng), size)


def _draw_beside(rng: np.random.Generator, kind: str, other: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return the pixels of a shape that comes from outside and stops as soon as it covers a pixel of another one."""
    size = len(other)
    places = np.argwhere(other)[:, ::-1]
    middle = places.mean(axis=0)
    while True:
        radius, turn, angle = _radius(rng, size), _turn(rng), rng.uniform(0, 2 * np.pi)
        far = radius + np.linalg.norm(places - middle, axis=1).max() + 1
        for distance in np.arange(far, 0, -1):
            center = middle + distance * np.array([np.cos(angle), np.sin(angle)])
            shape = _filled(kind, center, radius, turn, size)
            if (shape & other).any():
                break
        if (center > 0.8 * radius).all() and (center < size - 0.8 * radius).all():
            return shape


def _radius(rng: np.random.Generator, size: int) -> float:
    low, high = (0.3, 0.6) if rng.random() < 0.7 else (0.18, 0.3)
    return float(rng.uniform(low, high) * size / 2)


def _turn(rng: np.random.Generator) -> float:
    return float(rng.uniform(-0.2, 0.2))


def _filled(kind: str, center: NDArray[np.float64], radius: float, turn: float, size: int) -> NDArray[np.bool_]:
    canvas = np.zeros((size, size), dtype=np.uint8)
    if kind == "circle":
        cv2.circle(canvas, np.round(center).astype(int).tolist(), round(radius), 1, cv2.FILLED)
    else:
        cv2.fillPoly(canvas, _contours(kind, center, radius, turn), 1)
    return canvas.astype(bool)


def _contours(kind: str, center: NDArray[np.float64], radius: float, turn: float) -> list[NDArray[np.int32]]:
    polar = [(part[:, :1], part[:, 1] + turn) for part in OUTLINES[kind]]
    points = [center + radius * far * np.stack([np.cos(angles), np.sin(angles)], axis=1) for far, angles in polar]
    return [np.round(part).astype(np.int32) for part in points]


def _contrasting(rng: np.random.Generator, behind: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a color far from the mean of the pixels behind: each channel is near the farther end of the range."""
    mean = behind.mean(axis=0)
    color: NDArray[np.float64] = np.where(mean < 128, 255, 0) + rng.uniform(0, 60, 3) * np.where(mean < 128, -1, 1)
    return color
