"""Outlines of the shapes that generated scenes are made of."""

import numpy as np
from numpy.typing import NDArray

_TURN = 2 * np.pi


def _polygon(radii: tuple[float, ...], corners: int, first: float) -> NDArray[np.float64]:
    """Return corners at equal angles, starting at ``first``, whose distances from the center repeat ``radii``."""
    angles = first + _TURN / corners * np.arange(corners)
    return np.stack([np.resize(radii, corners), angles], axis=1)


def _polar(*points: tuple[float, float]) -> NDArray[np.float64]:
    x, y = np.array(points, dtype=np.float64).T
    return np.stack([np.hypot(x, y), np.arctan2(y, x)], axis=1)


def _moon() -> NDArray[np.float64]:
    """Return the left half of the unit circle with an elliptic notch."""
    angles = np.linspace(0.25, 0.75, 17) * _TURN
    outer = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    inner = outer[::-1] * (0.45, 1.0)
    return _polar(*np.concatenate([outer, inner]))


OUTLINES: dict[str, tuple[NDArray[np.float64], ...]] = {
    "square": (_polygon((1.0,), 4, np.pi / 4),),
    "triangle": (_polygon((1.0,), 3, np.pi / 6),),
    "diamond": (_polygon((1.0, 0.6), 4, np.pi / 2),),
    "star": (_polygon((1.0, 0.4), 10, -np.pi / 2),),
    "cross": (_polar(*((x * a, y * b) for x, y, a, b in [
        (1, 1, 0.3, 0.95), (1, 1, 0.3, 0.3), (1, 1, 0.95, 0.3), (1, -1, 0.95, 0.3), (1, -1, 0.3, 0.3),
        (1, -1, 0.3, 0.95), (-1, -1, 0.3, 0.95), (-1, -1, 0.3, 0.3), (-1, -1, 0.95, 0.3), (-1, 1, 0.95, 0.3),
        (-1, 1, 0.3, 0.3), (-1, 1, 0.3, 0.95)])),),
    "ring": (_polygon((1.0,), 32, 0.0), _polygon((0.55,), 32, 0.0)),
    "moon": (_moon(),),
    "arrow": (_polar((0, -1), (0.75, -0.1), (0.25, -0.1), (0.25, 0.95), (-0.25, 0.95), (-0.25, -0.1), (-0.75, -0.1)),),
    "bar": (_polar((0.97, 0.22), (0.97, -0.22), (-0.97, -0.22), (-0.97, 0.22)),),
}  # fmt: skip
"""Contours of each kind of shape, float64 (P, 2): distance of a corner from the center, in [0, 1], and its angle.
The second contour is a hole."""
