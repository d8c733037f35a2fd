"""Generated stick figures, for tests and the quick start."""

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

_UNLABELED = 0.03  # share of the joints without a label
_RIGHT_ARM, _RIGHT_LEG, _LEFT_ARM, _LEFT_LEG = (235, 60, 50), (245, 165, 40), (50, 80, 235), (40, 205, 230)
_TRUNK, _FACE, _HAIR = (240, 240, 240), (250, 205, 165), (95, 55, 25)
# Drawn in this order, by MPII's numbers: trunk, legs, arms.
_LIMBS = (
    ((6, 7), _TRUNK), ((7, 8), _TRUNK), ((2, 3), _TRUNK), ((12, 13), _TRUNK),
    ((2, 1), _RIGHT_LEG), ((1, 0), _RIGHT_LEG), ((3, 4), _LEFT_LEG), ((4, 5), _LEFT_LEG),
    ((12, 11), _RIGHT_ARM), ((11, 10), _RIGHT_ARM), ((13, 14), _LEFT_ARM), ((14, 15), _LEFT_ARM),
)  # fmt: skip


class Person(NamedTuple):
    """A labeled person in MPII's terms.

    Attributes:
        joints: float64 (16, 2), x and y in pixels, (0, 0) the center of the first one.
        flags: int64 (16,), 0 not labeled, 1 labeled but hidden, 2 labeled and visible.
        head: Head box x1, y1, x2, y2 in the same pixels.
    """

    joints: NDArray[np.float64]
    flags: NDArray[np.int64]
    head: tuple[float, float, float, float]


class FigureScene(NamedTuple):
    """A drawn scene."""

    image: NDArray[np.uint8]  # (S, S, 3) RGB
    owner: NDArray[np.uint8]  # (S, S), 0 background, k for person k
    people: list[Person]


def draw_figures(rng: np.random.Generator, size: int, largest_group: int) -> FigureScene:
    """Draw one to ``largest_group`` people on an image of ``size`` x ``size`` pixels."""
    count = int(rng.integers(1, largest_group + 1))
    image = _background(rng, size)
    owner = np.zeros((size, size), dtype=np.uint8)
    figures = []
    for number in range(1, count + 1):
        height, facing = size * rng.uniform(0.5, 0.75), bool(rng.random() < 0.5)
        middle = (number - 0.5) / count * size + rng.uniform(-0.06, 0.06) * size
        joints = _pose(rng, facing) * height + np.array([middle, size * rng.uniform(0.46, 0.54)])
        width = max(2, round(0.045 * height))
        _draw_figure(image, joints, width, [*(color for _, color in _LIMBS), _FACE if facing else _HAIR])
        _draw_figure(owner, joints, width, [(number,)] * (len(_LIMBS) + 1))
        figures.append(joints)
    _draw_block(image, owner, rng)
    noisy = np.clip(image + rng.normal(0, 6, image.shape), 0, 255).astype(np.uint8)
    people = [_label(rng, joints, owner, number) for number, joints in enumerate(figures, start=1)]
    return FigureScene(noisy, owner, people)


def _pose(rng: np.random.Generator, facing: bool) -> NDArray[np.float64]:
    """Return the joints of a person of height 1 around the middle of the trunk: float64 (16, 2)."""
    lean = rng.normal(0, 0.15)
    up = np.array([np.sin(lean), -np.cos(lean)])
    right = np.array([up[1], -up[0]]) * (1 if facing else -1)  # left in the image, unless the back is visible
    joints = np.zeros((16, 2))
    joints[6], joints[7], joints[8] = -0.14 * up, 0.16 * up, 0.20 * up
    nod = lean + rng.normal(0, 0.2)
    joints[9] = joints[8] + 0.17 * np.array([np.sin(nod), -np.cos(nod)])
    for side, hip, knee, ankle, shoulder, elbow, wrist in ((1, 2, 1, 0, 12, 11, 10), (-1, 3, 4, 5, 13, 14, 15)):
        joints[hip] = joints[6] + 0.06 * side * right
        joints[shoulder] = joints[7] + 0.11 * side * right
        outward = side * right
        joints[knee] = joints[hip] + 0.22 * _swung(-up, outward, rng.uniform(-0.1, 0.9))
        joints[ankle] = joints[knee] + 0.22 * _swung(-up, outward, rng.uniform(-0.4, 0.5))
        raised = rng.uniform(0, 2.6)
        joints[elbow] = joints[shoulder] + 0.16 * _swung(-up, outward, raised)
        joints[wrist] = joints[elbow] + 0.15 * _swung(-up, outward, raised + rng.uniform(-0.3, 1.4))
    return joints


def _swung(down: NDArray[np.float64], outward: NDArray[np.float64], angle: float) -> NDArray[np.float64]:
    """Return the direction ``down``, rotated by an angle toward ``outward``."""
    direction: NDArray[np.float64] = np.cos(angle) * down + np.sin(angle) * outward
    return direction


def _draw_figure(
    canvas: NDArray[np.uint8], joints: NDArray[np.float64], width: int, inks: Sequence[Sequence[float]]
) -> None:
    """Draw each limb in its ink, and the head in the last ink."""
    shift = 4  # binary digits of OpenCV's fixed-point coordinates
    fixed = np.round(joints * 2**shift).astype(int)
    for ((start, end), _), ink in zip(_LIMBS, inks[:-1], strict=True):
        cv2.line(canvas, fixed[start].tolist(), fixed[end].tolist(), ink, width, cv2.LINE_8, shift)
    middle, radius = (fixed[8] + fixed[9]) // 2, round(np.hypot(*(fixed[8] - fixed[9])) / 2)
    cv2.circle(canvas, middle.tolist(), radius, inks[-1], cv2.FILLED, cv2.LINE_8, shift)


def _label(rng: np.random.Generator, joints: NDArray[np.float64], owner: NDArray[np.uint8], number: int) -> Person:
    """Return the annotation of figure ``number``."""
    size = len(owner)
    x, y = np.round(joints).astype(int).T
    inside = (x >= 0) & (x < size) & (y >= 0) & (y < size)
    seen = owner[y.clip(0, size - 1), x.clip(0, size - 1)] == number
    flags = np.where(inside & (rng.random(len(joints)) >= _UNLABELED), np.where(seen, 2, 1), 0)
    flags[[8, 9]] = np.where(inside[[8, 9]], 2, 0)
    middle, radius = joints[[8, 9]].mean(axis=0), np.hypot(*(joints[8] - joints[9])) / 2
    return Person(joints, flags, (*(middle - radius), *(middle + radius)))


def _background(rng: np.random.Generator, size: int) -> NDArray[np.uint8]:
    """Return muted blocks and lines on a gradient: uint8 (size, size, 3)."""
    angle = rng.uniform(0, 2 * np.pi)
    y, x = np.mgrid[:size, :size] / size - 0.5
    ramp = (np.cos(angle) * x + np.sin(angle) * y + 0.7) / 1.4
    first, last = rng.uniform(60, 150, (2, 3))
    image: NDArray[np.uint8] = (first + ramp[..., None] * (last - first)).astype(np.uint8)
    for _ in range(12):
        gray, tint = rng.uniform(50, 170), rng.uniform(-25, 25, 3)
        corners = rng.integers(-size // 8, size + size // 8, (2, 2)).tolist()
        if rng.random() < 0.5:
            cv2.line(image, corners[0], corners[1], (gray + tint).tolist(), max(1, size // 40))
        else:
            end = corners[0] + (rng.uniform(0.05, 0.25, 2) * size).astype(int)
            cv2.rectangle(image, corners[0], end.tolist(), (gray + tint).tolist(), cv2.FILLED)
    return image


def _draw_block(image: NDArray[np.uint8], owner: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Draw a block in the lower half that hides parts of the figures."""
    size = len(owner)
    start = (rng.uniform((0.1, 0.5), (0.8, 0.9)) * size).astype(int)
    end = start + (rng.uniform(0.08, 0.2, 2) * size).astype(int)
    for canvas, ink in ((image, rng.uniform(60, 160, 3).tolist()), (owner, (0,))):
        cv2.rectangle(canvas, start.tolist(), end.tolist(), ink, cv2.FILLED)
