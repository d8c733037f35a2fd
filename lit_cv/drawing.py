"""Boxes with names and scores drawn into images, legible on small ones too."""

import colorsys
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from lit_cv.errors import UserError

Picture = NDArray[np.uint8]

_LEGIBLE_SIDE = 480
_FONT, _FONT_SCALE, _MARGIN, _GAP, _CAPTION = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 3, 8, 22
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)


def draw_boxes(
    image: Tensor, boxes: Tensor, labels: Tensor, class_names: Sequence[str], scores: Tensor | None = None
) -> Picture:
    """The image with each box outlined and named; a small image is enlarged first, so that names can be read.

    Args:
        image: uint8 (3, H, W) RGB.
        boxes: (N, 4) xyxy in pixels of `image`.
        labels: int64 (N,) in 1..C; label i is `class_names[i - 1]`.
        class_names: the C names.
        scores: (N,) in [0, 1], written behind the names; the best box is drawn last, on top.

    Returns:
        uint8 (H', W', 3) RGB; H'/H = W'/W is a whole number ≥ 1.
    """
    zoom = max(1, round(_LEGIBLE_SIDE / max(image.shape[1:])))
    picture: Picture = np.ascontiguousarray(image.cpu().permute(1, 2, 0).numpy())
    picture = np.repeat(np.repeat(picture, zoom, axis=0), zoom, axis=1)
    texts = [class_names[label - 1] for label in labels.tolist()]
    order = list(range(len(texts)))
    if scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, scores.tolist(), strict=True)]
        order = scores.argsort().tolist()
    corners = (boxes * zoom).round().long().tolist()
    colors = [_color(label) for label in labels.tolist()]
    for index in order:
        x1, y1, x2, y2 = corners[index]
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colors[index], 2)
    for index in order:
        _draw_name(picture, corners[index], texts[index], colors[index])
    return picture


def side_by_side(pictures: Sequence[Picture], captions: Sequence[str]) -> Picture:
    """Pictures of one height in a row, each under its caption, on white."""
    columns = []
    for picture, caption in zip(pictures, captions, strict=True):
        column = np.pad(picture, ((_CAPTION, 0), (0, _GAP), (0, 0)), constant_values=255)
        cv2.putText(column, caption, (_MARGIN, _CAPTION - 7), _FONT, _FONT_SCALE, _BLACK, 1, cv2.LINE_AA)
        columns.append(column)
    return np.concatenate(columns, axis=1)[:, :-_GAP]


def write_png(path: Path, picture: Picture) -> None:
    """Write an RGB picture; the folder is made when it is missing.

    Raises:
        UserError: the file cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data.tobytes())
    except OSError as error:
        raise UserError(f"{path}: cannot write the picture ({error.strerror}); choose a writable folder") from error


def _draw_name(picture: Picture, corners: Sequence[int], text: str, color: tuple[int, int, int]) -> None:
    x1, y1, _, _ = corners
    (width, height), baseline = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    width, height = width + 2 * _MARGIN, height + baseline + _MARGIN
    # The name stands on the box, or inside it at the upper edge, and never leaves the picture.
    left = max(0, min(x1, picture.shape[1] - width))
    top = max(0, min(y1 - height if y1 >= height else y1, picture.shape[0] - height))
    cv2.rectangle(picture, (left, top), (left + width, top + height), color, cv2.FILLED)
    ink = _BLACK if np.dot(color, (0.299, 0.587, 0.114)) > 140 else _WHITE
    cv2.putText(picture, text, (left + _MARGIN, top + height - baseline), _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)


def _color(label: int) -> tuple[int, int, int]:
    """A strong colour per class; hues a golden section apart keep neighbours distinct."""
    red, green, blue = colorsys.hsv_to_rgb(label * 0.618034 % 1, 0.85, 0.95)
    return round(255 * red), round(255 * green), round(255 * blue)
