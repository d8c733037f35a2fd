"""Generated scenes of shapes with phrases about them, in the layout of Visual Genome, for tests and the quick start."""

from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import orjson
from numpy.typing import NDArray
from tqdm import tqdm

from datamodules.shapes.outlines import OUTLINES
from datamodules.shapes.scenes import Scene, draw_scene
from datamodules.shapes.settings import Shapes, write_jpeg, write_once
from datamodules.visual_genome.files import DENSECAP, FOLDERS, IMAGES, REGIONS

_VERSION = 3  # raise it when the same settings give other scenes or phrases
COLORS = {
    "red": (225, 30, 30),
    "green": (25, 165, 45),
    "blue": (35, 55, 225),
    "yellow": (245, 225, 40),
    "purple": (150, 35, 175),
    "black": (10, 10, 10),
    "white": (250, 250, 250),
    "orange": (250, 130, 20),
    "brown": (115, 65, 25),
    "pink": (250, 150, 190),
    "cyan": (40, 215, 220),
}
KINDS = ("circle", *OUTLINES)
_PALETTE = np.array(list(COLORS.values()), dtype=np.float64)
_APART = 0.12  # of the image's side: pairs with centers farther apart get a relation
_JITTER = 2  # pixels: maximum difference of two boxes of the same object


class _Thing(NamedTuple):
    box: NDArray[np.int64]  # x, y, width, height, from 0
    color: str
    kind: str

    @property
    def name(self) -> str:
        return f"{self.color} {self.kind}"

    @property
    def center(self) -> NDArray[np.float64]:
        center: NDArray[np.float64] = self.box[:2] + self.box[2:] / 2
        return center


def write_visual_genome(root: Path | str, settings: Shapes = Shapes()) -> Path:  # noqa: B008  (frozen)
    """Write images, ``image_data.json``, ``region_descriptions.json`` and splits, unless they are there already.

    Each shape has two regions ("red circle", "circle, red"). Each pair of shapes whose centers are apart has two more,
    with the box around both ("red circle left of blue square", and the reverse). No word occurs in most phrases, so
    METEOR gives a low score to a phrase that does not depend on the image. As in Visual Genome, boxes of the same
    object differ by some pixels, and some phrases have capitals, full stops and trailing blanks.
    ``densecap_splits.json`` lists the training and validation images. The folder is written under a temporary name and
    renamed, so an interrupted run leaves no incomplete data set.

    Args:
        root: The folder to write; missing, empty, or written before with the same settings.
        settings: Settings of the scenes; same settings, same bytes.

    Returns:
        ``root``.

    Raises:
        UserError: If something else is there, or a setting is out of range.
    """

    def write(folder: Path) -> None:
        _write(folder, settings)

    return write_once(Path(root), {"layout": "Visual Genome", "version": _VERSION}, settings, write)


def _write(folder: Path, settings: Shapes) -> None:
    (folder / FOLDERS[0]).mkdir()
    numbers = range(1, settings.train + settings.val + 1)
    described: list[dict[str, Any]] = []
    for number in tqdm(numbers, desc="Drawing shapes", unit="image", delay=2):
        rng = np.random.default_rng((settings.seed, number))
        scene = draw_scene(rng, settings.size, _named_color, KINDS, settings.touching)
        write_jpeg(folder / FOLDERS[0] / f"{number}.jpg", scene.image)
        phrases = enumerate(_phrases(rng, scene))
        regions = [_region(rng, number, k, box, text, settings.size) for k, (box, text) in phrases]
        described.append({"id": number, "regions": regions})
    sizes = [{"image_id": number, "width": settings.size, "height": settings.size} for number in numbers]
    splits = {"train": numbers[: settings.train], "val": numbers[settings.train :], "test": ()}
    (folder / REGIONS).write_bytes(orjson.dumps(described))
    (folder / IMAGES).write_bytes(orjson.dumps(sizes))
    (folder / DENSECAP).write_bytes(orjson.dumps({name: list(members) for name, members in splits.items()}))


def _named_color(rng: np.random.Generator, behind: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a color of the palette that is none of the four nearest to the mean of the pixels behind."""
    order = np.argsort(np.linalg.norm(_PALETTE - behind.mean(axis=0), axis=1))
    color: NDArray[np.float64] = _PALETTE[order[int(rng.integers(4, len(order)))]]
    return color


def _things(scene: Scene) -> list[_Thing]:
    things = []
    for number, (label, corners) in enumerate(zip(scene.labels, scene.boxes, strict=True), start=1):
        pixels = scene.image[scene.owner == number]
        nearest = np.linalg.norm(_PALETTE - np.median(pixels, axis=0), axis=1).argmin()
        box = np.concatenate([corners[:2] - 1, corners[2:] - corners[:2] + 1])
        things.append(_Thing(box, list(COLORS)[nearest], KINDS[label - 1]))
    return things


def _phrases(rng: np.random.Generator, scene: Scene) -> list[tuple[NDArray[np.int64], str]]:
    things = _things(scene)
    found = []
    for thing in things:
        found += [(thing.box, thing.name), (thing.box, f"{thing.kind}, {thing.color}")]
    for first, second in combinations(things, 2):
        offset = second.center - first.center
        if np.abs(offset).max() < _APART * len(scene.image):
            continue
        words = ("left of", "right of") if abs(offset[0]) > abs(offset[1]) else ("above", "below")
        there, back = words if offset[np.abs(offset).argmax()] > 0 else words[::-1]
        corner = np.minimum(first.box[:2], second.box[:2])
        end = np.maximum(first.box[:2] + first.box[2:], second.box[:2] + second.box[2:])
        around = np.concatenate([corner, end - corner])
        found.append((around, f"{first.name} {there} {second.name}"))
        found.append((around, f"{second.name} {back} {first.name}"))
    return [found[k] for k in rng.permutation(len(found))]


def _region(
    rng: np.random.Generator, image: int, place: int, box: NDArray[np.int64], text: str, size: int
) -> dict[str, Any]:
    """Return a region whose box differs by some pixels from that of its object, inside the image."""
    x, y, width, height = (box + rng.integers(-_JITTER, _JITTER, 4, endpoint=True)).tolist()
    left, top = np.clip([x, y], 0, size - 1).tolist()
    width, height = min(x + width, size) - left, min(y + height, size) - top
    text = text.capitalize() if rng.random() < 0.3 else text
    text += str(rng.choice(["", ".", ". ", " "], p=[0.7, 0.1, 0.1, 0.1]))
    place_of = {"x": left, "y": top, "width": max(width, 1), "height": max(height, 1)}
    return {"region_id": image * 100 + place, "image_id": image, "phrase": text, **place_of}
