"""Drawing of skeletons with separate colors for right and left."""

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
from torch import Tensor

from lit_cv.ops.objects import Objects
from lit_cv.ops.palette import Picture
from lit_cv.renderers.base import Renderer
from lit_cv.renderers.canvas import enlarged, legible_zoom

RIGHT, LEFT, MIDDLE = (255, 120, 0), (0, 170, 255), (90, 230, 90)  # RGB
_EDGE = (0, 0, 0)
_SHIFT = 4  # number of fractional bits in OpenCV's fixed-point coordinates


class PoseRenderer(Renderer):
    """Draw ``keypoints`` as a skeleton: the person's right side in orange, the left side in blue, the rest in green.

    A joint that is labeled but hidden is drawn as a ring. An unlabeled joint is omitted together with its limbs. W&B
    has no layer for joints, so the picture itself is logged.

    Args:
        joint_names: Names of the K joints.
        limbs: Pairs of joints that a line connects.
        pairs: Pairs (right, left) of corresponding joints.
    """

    def __init__(
        self, joint_names: Sequence[str], limbs: Sequence[Sequence[int]], pairs: Sequence[Sequence[int]]
    ) -> None:
        self.joint_names, self.limbs = list(joint_names), [tuple(limb) for limb in limbs]
        self.colors = [MIDDLE] * len(self.joint_names)
        for right, left in pairs:
            self.colors[right], self.colors[left] = RIGHT, LEFT

    def draw(self, image: Tensor, objects: Objects) -> Picture:
        """Draw the skeletons of a target, (P, K, 3), or of a prediction, (P, K, 2); a small image is enlarged first."""
        zoom = legible_zoom(image)
        picture = enlarged(image.permute(1, 2, 0), zoom)
        self.draw_people(picture, objects["keypoints"], zoom)
        return picture

    def draw_people(self, picture: Picture, keypoints: Tensor, zoom: int) -> None:
        """Draw skeletons, (P, K, 3) or (P, K, 2), into a picture that is enlarged ``zoom`` times."""
        thickness = max(2, round(max(picture.shape) / 150))
        for person in keypoints.cpu().double().numpy():
            flags = person[:, 2] if person.shape[1] == 3 else np.full(len(person), 2)
            # A prediction may lie far outside the image, and OpenCV's coordinates have a limited range.
            corners = np.clip((person[:, :2] + 0.5) * zoom - 0.5, -(2**14), 2**14)
            fixed = np.round(corners * 2**_SHIFT).astype(int).tolist()
            self._draw_person(picture, fixed, flags.tolist(), thickness)

    def describe(self, found: Objects) -> dict[str, Any]:
        """Return ``joints``: a mapping from joint names to [x, y] in pixels of the image."""
        points = found["keypoints"][0, :, :2].tolist()
        return {"joints": dict(zip(self.joint_names, points, strict=True))}

    def _draw_person(self, picture: Picture, points: list[list[int]], flags: list[float], thickness: int) -> None:
        for start, end in self.limbs:
            if flags[start] and flags[end]:
                # A limb takes the side of either joint; if both sides occur (hips, shoulders), it is middle.
                sides = {self.colors[start], self.colors[end]} - {MIDDLE}
                color = sides.pop() if len(sides) == 1 else MIDDLE
                cv2.line(picture, points[start], points[end], color, thickness, cv2.LINE_AA, _SHIFT)
        radius = round(1.4 * thickness * 2**_SHIFT)
        for point, flag, color in zip(points, flags, self.colors, strict=True):
            if flag == 1:
                cv2.circle(picture, point, radius, _EDGE, cv2.FILLED, cv2.LINE_AA, _SHIFT)
                cv2.circle(picture, point, radius, color, max(2, thickness // 2), cv2.LINE_AA, _SHIFT)
            elif flag:
                cv2.circle(picture, point, radius, color, cv2.FILLED, cv2.LINE_AA, _SHIFT)
                cv2.circle(picture, point, radius, _EDGE, 1, cv2.LINE_AA, _SHIFT)
