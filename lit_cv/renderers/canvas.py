"""Drawing of boxes with names and scores, and of class masks with a legend; small images are enlarged."""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from lit_cv.errors import UserError
from lit_cv.ops.palette import VOID, Color, Picture, strong_color, voc_colors

_LEGIBLE_SIDE = 480
_FONT, _FONT_SCALE, _MARGIN, _GAP, _CAPTION = cv2.FONT_HERSHEY_SIMPLEX, 0.45, 3, 8, 22
_WHITE, _BLACK = (255, 255, 255), (0, 0, 0)
_SWATCH, _LEGEND_ROW, _LEGEND_ROWS = 14, 20, 4
_OPACITY, _CONTOUR, _HATCH = 0.55, 2, 4
_CUT = ".."


def draw_boxes(
    image: Tensor, boxes: Tensor, labels: Tensor, class_names: Sequence[str], scores: Tensor | None = None
) -> Picture:
    """Return the image with each box outlined and named; a small image is enlarged first, so that names are legible.

    Args:
        image: uint8 (3, H, W) RGB.
        boxes: (N, 4) xyxy in pixels of ``image``.
        labels: int64 (N,) in 1..C; label i is ``class_names[i - 1]``.
        class_names: The C names.
        scores: (N,) in [0, 1], written after the names; the box with the highest score is drawn last, on top.

    Returns:
        uint8 (H', W', 3) RGB; H'/H = W'/W is an integer ≥ 1.
    """
    zoom = legible_zoom(image)
    picture = enlarged(image.permute(1, 2, 0), zoom)
    texts = [class_names[label - 1] for label in labels.tolist()]
    order = list(range(len(texts)))
    if scores is not None:
        texts = [f"{text} {score:.2f}" for text, score in zip(texts, scores.tolist(), strict=True)]
        order = scores.argsort().tolist()
    outline_boxes(picture, boxes * zoom, texts, [strong_color(label) for label in labels.tolist()], order)
    return picture


def outline_boxes(
    picture: Picture, boxes: Tensor, texts: Sequence[str], colors: Sequence[Color], order: Sequence[int]
) -> None:
    """Outline and name boxes in a picture; no name covers another.

    Args:
        picture: uint8 (H, W, 3) RGB, modified in place.
        boxes: (N, 4) xyxy in pixels of the picture.
        texts: N names; a name wider than the picture is truncated.
        colors: N colors.
        order: Indices of the boxes to draw, the last one on top.
    """
    corners = boxes.round().long().tolist()
    for index in order:
        x1, y1, x2, y2 = corners[index]
        cv2.rectangle(picture, (x1, y1), (x2 - 1, y2 - 1), colors[index], 2)
    taken = np.zeros(picture.shape[:2], np.bool_)
    for index in reversed(order):  # the name of the box on top has the first choice
        _draw_name(picture, corners[index], texts[index], colors[index], taken)


def tint(picture: Picture, inside: NDArray[np.bool_], color: Color) -> None:
    """Draw an area, bool (H, W), into a picture, uint8 (H, W, 3), translucent and with a contour inside its edge."""
    tinted = cv2.addWeighted(_gray(picture), 1 - _OPACITY, np.full_like(picture, color), _OPACITY, 0)
    eroded = cv2.erode(inside.astype(np.uint8), np.ones((2 * _CONTOUR + 1, 2 * _CONTOUR + 1), np.uint8))
    picture[inside] = tinted[inside]
    picture[inside & (eroded == 0)] = color


def draw_mask(image: Tensor, mask: Tensor, class_names: Sequence[str]) -> Picture:
    """Return the image with classes outlined and in VOC's colors, void hatched, and a legend below.

    The background is unchanged. A small image is enlarged as in ``draw_boxes``. The legend names the classes that
    occur, the largest first. Its size depends only on ``class_names`` and the size of the image, so that pictures of
    different masks have the same size.

    Args:
        image: uint8 (3, H, W) RGB.
        mask: uint8 (H, W), 0 background, 1..C, 255 void; label i is ``class_names[i - 1]``.
        class_names: The C names.

    Returns:
        uint8 (H', W', 3) RGB.
    """
    zoom = legible_zoom(image)
    picture, labels = enlarged(image.permute(1, 2, 0), zoom), enlarged(mask, zoom)
    colors = voc_colors()
    inside = (labels > 0) & (labels != VOID)
    tinted = cv2.addWeighted(_gray(picture), 1 - _OPACITY, colors[labels], _OPACITY, 0)
    kernel = np.ones((2 * _CONTOUR + 1, 2 * _CONTOUR + 1), np.uint8)
    outline = inside & (cv2.morphologyEx(labels, cv2.MORPH_GRADIENT, kernel) > 0)
    picture[inside] = tinted[inside]
    picture[outline] = colors[labels[outline]]
    _hatch(picture, labels == VOID)
    counts = np.bincount(labels.reshape(-1), minlength=VOID + 1)
    return _with_legend(picture, counts, class_names)


def _gray(picture: Picture) -> Picture:
    """Return the picture without its hues, so that those of the masks over it are those of the legend."""
    gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return gray.astype(np.uint8, copy=False)


def captioned(picture: Picture, caption: str) -> Picture:
    """Return the picture under a caption on white; a caption wider than the picture is truncated."""
    column: Picture = np.pad(picture, ((_CAPTION, 0), (0, 0), (0, 0)), constant_values=255)
    while cv2.getTextSize(caption, _FONT, _FONT_SCALE, 1)[0][0] > picture.shape[1] - _MARGIN and len(caption) > 2:
        caption = caption.removesuffix(_CUT)[:-1] + _CUT
    cv2.putText(column, caption, (_MARGIN, _CAPTION - 7), _FONT, _FONT_SCALE, _BLACK, 1, cv2.LINE_AA)
    return column


def side_by_side(pictures: Sequence[Picture], captions: Sequence[str]) -> Picture:
    """Return pictures of equal height in a row on white, each under its caption."""
    columns = [captioned(picture, caption) for picture, caption in zip(pictures, captions, strict=True)]
    gap = np.full((columns[0].shape[0], _GAP, 3), 255, np.uint8)
    return np.concatenate([part for column in columns for part in (column, gap)][:-1], axis=1)


def write_png(path: Path, picture: Picture) -> None:
    """Write an RGB picture; a missing folder is created.

    Raises:
        UserError: If the file cannot be written.
    """
    _, data = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))
    _write(path, data.tobytes())


def write_mask(path: Path, mask: Tensor) -> None:
    """Write a mask, uint8 (H, W), as a PNG of class indices with VOC's palette; a missing folder is created.

    Raises:
        UserError: If the file cannot be written.
    """
    image, data = Image.fromarray(mask.cpu().numpy()), BytesIO()
    image.putpalette(voc_colors().tobytes())
    image.save(data, "PNG")
    _write(path, data.getvalue())


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise UserError(f"{path}: cannot write the picture ({error.strerror}); choose a writable folder") from error


def legible_zoom(image: Tensor) -> int:
    """Return the factor that enlarges an image, uint8 (3, H, W), so that text in it is legible; 1 for large images."""
    return max(1, round(_LEGIBLE_SIDE / max(image.shape[1:])))


def enlarged(pixels: Tensor, zoom: int) -> Picture:
    """Return a copy of uint8 (H, W, ...) with every pixel enlarged to ``zoom`` x ``zoom``."""
    array = pixels.cpu().numpy().repeat(zoom, axis=0)
    return np.ascontiguousarray(array.repeat(zoom, axis=1))


def _hatch(picture: Picture, area: NDArray[np.bool_]) -> None:
    """Fill an area with diagonal stripes in light and dark gray."""
    y, x = np.nonzero(area)
    light = (x + y) // _HATCH % 2 == 0
    picture[y, x] = np.where(light, 225, 110)[:, None]


def _with_legend(picture: Picture, counts: NDArray[np.int64], class_names: Sequence[str]) -> Picture:
    names = dict(enumerate(class_names, start=1)) | {VOID: "void"}
    column = _SWATCH + 2 * _GAP + max(cv2.getTextSize(name, _FONT, _FONT_SCALE, 1)[0][0] for name in names.values())
    columns = max(1, picture.shape[1] // column)
    rows = min(-(-len(names) // columns), _LEGEND_ROWS)
    width = max(picture.shape[1], column)
    legend: Picture = np.full((rows * _LEGEND_ROW + _MARGIN, width, 3), 255, np.uint8)
    found = sorted((label for label in names if counts[label]), key=lambda label: -counts[label])
    entries = [(label, names[label]) for label in found]
    if len(entries) > rows * columns:
        shown = rows * columns - 1
        entries = [*entries[:shown], (0, f"+ {len(found) - shown} more")]
    for place, (label, text) in enumerate(entries):
        row, left = place // columns, place % columns * column
        _draw_entry(legend[row * _LEGEND_ROW + _MARGIN : (row + 1) * _LEGEND_ROW, left : left + column], label, text)
    picture = np.pad(picture, ((0, 0), (0, width - picture.shape[1]), (0, 0)), constant_values=255)
    return np.concatenate([picture, legend])


def _draw_entry(cell: Picture, label: int, text: str) -> None:
    """Draw the color of a label (none for 0) and a text."""
    swatch = cell[:_SWATCH, _MARGIN : _MARGIN + _SWATCH]
    if label == VOID:
        _hatch(swatch, np.ones(swatch.shape[:2], np.bool_))
    elif label:
        swatch[:] = voc_colors()[label]
    written = np.ascontiguousarray(cell)
    cv2.putText(written, text, (_SWATCH + _GAP, _SWATCH - 3), _FONT, _FONT_SCALE, _BLACK, 1, cv2.LINE_AA)
    cell[:] = written


def _draw_name(picture: Picture, corners: Sequence[int], text: str, color: Color, taken: NDArray[np.bool_]) -> None:
    """Draw a name at the first free place: above its box, inside, below, or else nearest to it; none is left: no name.

    Args:
        picture: uint8 (H, W, 3) RGB, modified in place.
        corners: xyxy of the box.
        text: The name; it is truncated to the width of the picture.
        color: Color of the plate.
        taken: bool (H, W), the area of the plates so far; modified in place.
    """
    (width, height), baseline = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)
    while width + 2 * _MARGIN > picture.shape[1] and len(text) > len(_CUT):
        text = text.removesuffix(_CUT)[:-1] + _CUT
        width = cv2.getTextSize(text, _FONT, _FONT_SCALE, 1)[0][0]
    width, height = width + 2 * _MARGIN + 1, height + baseline + _MARGIN + 1
    place = _free_place(corners, width, height, taken)
    if place is None:
        return
    left, top = place
    taken[top : top + height, left : left + width] = True
    cv2.rectangle(picture, (left, top), (left + width - 1, top + height - 1), color, cv2.FILLED)
    ink = _BLACK if np.dot(color, (0.299, 0.587, 0.114)) > 140 else _WHITE
    cv2.putText(picture, text, (left + _MARGIN, top + height - 1 - baseline), _FONT, _FONT_SCALE, ink, 1, cv2.LINE_AA)


def _free_place(corners: Sequence[int], width: int, height: int, taken: NDArray[np.bool_]) -> tuple[int, int] | None:
    """Return (left, top) of a free rectangle within the picture, near a box; None if there is none in its columns."""
    x1, y1, x2, y2 = corners
    right, bottom = max(0, taken.shape[1] - width), max(0, taken.shape[0] - height)
    above = y1 - height + 1 if y1 >= height - 1 else y1
    others = sorted(range(0, bottom + 1, height), key=lambda top: abs(top - y1))
    for left in (x1, x2 - width):
        left = min(max(0, left), right)
        for top in (above, y1, y2, y2 - height, *others):
            top = min(max(0, top), bottom)
            if not taken[top : top + height, left : left + width].any():
                return left, top
    return None
