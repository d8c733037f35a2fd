"""Selective Search against plain Python, against equations worked by hand, and on degenerate images."""

import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import ndimage

from lit_cv.ops.boxes import pairwise_iou
from lit_cv.ops.compiled import compiled
from lit_cv.ops.selective_search.graph_segmentation import STEPS, segment, sorted_edges
from lit_cv.ops.selective_search.ranking import rank
from lit_cv.ops.selective_search.region_features import TEXTURE_STEP, Regions, find_regions, texture_bins
from lit_cv.ops.selective_search.region_merging import group, merge, similarity
from lit_cv.ops.selective_search.search import CTSF, TSF, F, Mode, S, convert, selective_search

C, T = (True, False, False, False), (False, True, False, False)
Use = tuple[bool, bool, bool, bool]


def photo(height: int, width: int, channels: int = 3, seed: int = 0) -> NDArray[np.uint8]:
    """Return smooth blobs of color with a little noise."""
    random = np.random.default_rng(seed)
    coarse = random.uniform(0, 255, (max(1, height // 4), max(1, width // 4), channels)).astype(np.float32)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).reshape(height, width, channels)
    return np.clip(smooth + random.normal(0, 4, smooth.shape), 0, 255).astype(np.uint8)


def rectangles() -> tuple[NDArray[np.uint8], list[list[int]]]:
    image = np.full((90, 120, 3), (40, 90, 160), np.uint8)
    boxes = [[8, 10, 40, 50], [60, 5, 110, 35], [50, 50, 100, 80]]
    for (x1, y1, x2, y2), color in zip(boxes, [(220, 30, 30), (30, 200, 60), (240, 230, 70)], strict=True):
        image[y1:y2, x1:x2] = color
    return image, boxes


def felzenszwalb(planes: NDArray[np.float32], k: float, min_size: int) -> list[list[int]]:
    """Segment by a literal version of the paper's algorithm 1, with sets of pixels."""
    _, height, width = planes.shape
    edges = []
    for direction, (down, right) in enumerate(((0, 1), (1, 0), (1, 1), (1, -1))):
        for y in range(height - down):
            for x in range(max(0, -right), width - max(0, right)):
                distance = math.dist(planes[:, y, x].tolist(), planes[:, y + down, x + right].tolist())
                edge = (round(distance * STEPS) / STEPS, direction, y * width + x, (y + down) * width + x + right)
                edges.append(edge)
    regions = {pixel: frozenset([pixel]) for pixel in range(height * width)}
    inner = dict.fromkeys(regions.values(), 0.0)

    def join(one: frozenset[int], other: frozenset[int], weight: float) -> None:
        union = one | other
        inner[union] = weight
        regions.update(dict.fromkeys(union, union))

    for weight, _, first, second in sorted(edges):
        one, other = regions[first], regions[second]
        if one != other and weight <= min(inner[one] + k / len(one), inner[other] + k / len(other)):
            join(one, other, weight)
    for weight, _, first, second in sorted(edges):
        one, other = regions[first], regions[second]
        if one != other and min(len(one), len(other)) < min_size:
            join(one, other, weight)
    numbers = {region: number for number, region in enumerate(dict.fromkeys(regions[p] for p in sorted(regions)))}
    return [[numbers[regions[y * width + x]] for x in range(width)] for y in range(height)]


@pytest.mark.parametrize(("k", "min_size", "channels"), [(20, 1, 3), (60, 1, 3), (60, 8, 3), (200, 5, 1), (1, 1, 2)])
def test_segmentation_matches_the_algorithm_of_the_paper(k: int, min_size: int, channels: int) -> None:
    planes = photo(17, 22, channels, seed=k).transpose(2, 0, 1).astype(np.float32) + np.float32(0.3)
    labels, count = segment(sorted_edges(np.ascontiguousarray(planes)), 17, 22, k, min_size)
    expected = felzenszwalb(planes, k, min_size)
    assert labels.tolist() == expected
    assert count == np.max(expected) + 1 > 1


def test_edges_are_sorted_and_complete() -> None:
    planes = photo(9, 7).transpose(2, 0, 1).astype(np.float32)
    edges, ends = sorted_edges(np.ascontiguousarray(planes))
    assert len(set(edges.tolist())) == len(edges) == ends[-1] == 9 * 6 + 8 * 7 + 2 * 8 * 6
    first, (down, right) = edges // 4, np.array([(0, 1), (1, 0), (1, 1), (1, -1)]).T[:, edges % 4]
    flat = planes.reshape(3, -1)
    weights = np.linalg.norm(flat[:, first] - flat[:, first + 7 * down + right], axis=0)
    np.testing.assert_allclose(
        np.searchsorted(ends, np.arange(len(edges)), side="right") / STEPS, weights, atol=0.51 / STEPS
    )


def two_regions() -> tuple[NDArray[np.int32], NDArray[np.uint8]]:
    """Return two regions. Left: 2 columns, level 0. Right: 4 columns, upper half level 0, lower half level 255."""
    labels = np.zeros((6, 6), np.int32)
    labels[:, 2:] = 1
    image = np.zeros((6, 6, 1), np.uint8)
    image[3:, 2:] = 255
    return labels, image


def test_regions_and_similarities_by_hand() -> None:
    labels, image = two_regions()
    texture = np.zeros((6, 6, 4), np.uint8)
    texture[..., 1:] = np.array([10, 20, 30])
    texture[0, :, 0] = 3  # in the first row, bin 3 of the first orientation
    texture[1, 2:, 0] = 47  # in the second row on the right, bin 7 of the opposite one
    regions = find_regions(labels, 2, image, texture)
    assert regions.sizes.tolist() == [12, 24]
    assert regions.boxes.tolist() == [[0, 0, 2, 6], [2, 0, 6, 6]]
    assert regions.pairs.tolist() == [[0, 1]]
    assert {bin: share for bin, share in enumerate(regions.color[1].tolist()) if share} == {0: 0.5, 24: 0.5}
    left, right = regions.texture.reshape(2, 8, 10) * 8
    np.testing.assert_allclose(left.sum(axis=1), 1, rtol=1e-6)
    np.testing.assert_allclose(left[0, [0, 3]], [5 / 6, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(right[[0, 0, 4, 4], [0, 3, 0, 7]], [5 / 6, 1 / 6, 5 / 6, 1 / 6], rtol=1e-6)
    np.testing.assert_allclose(right[[1, 2, 3, 5, 6, 7], 0], 1, rtol=1e-6)
    expected = {C: 0.5, T: (7 + 5 / 6) / 8, S: 1 - 36 / 50, F: 1 - (36 - 12 - 24) / 50}
    for use, value in {**expected, CTSF: sum(expected.values())}.items():
        assert similarity(regions, 0, 1, 50, use) == pytest.approx(value, rel=1e-6)


def test_fill_counts_pixels_of_the_joint_box_outside_both_regions() -> None:
    labels = np.array([[0, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 1], [1, 1, 1, 2]], np.int32)
    image = np.zeros((4, 4, 3), np.uint8)
    regions = find_regions(labels, 3, image, texture_bins(image))
    assert similarity(regions, 0, 2, 16, F) == pytest.approx(1 - (16 - 1 - 1) / 16)
    assert sorted(regions.pairs.tolist()) == [[0, 1], [1, 2]]


def test_texture_is_gaussian_derivatives_in_eight_orientations() -> None:
    image = photo(40, 50, seed=3)
    bins = texture_bins(image).reshape(40, 50, 3, 4).astype(int)
    plane = image[..., 1].astype(np.float64)
    dx, dy = (ndimage.gaussian_filter(plane, 1, order, mode="mirror") for order in ((0, 1), (1, 0)))
    agreeing = []
    for orientation in range(8):
        angle = orientation * math.pi / 4
        response = np.maximum(math.cos(angle) * dx + math.sin(angle) * dy, 0)
        expected = np.minimum(response / TEXTURE_STEP, 9).astype(int)
        found = bins[:, :, 1, orientation % 4]
        agreeing.append(np.where(found // 10 == orientation, found % 10, 0) == expected)
        assert len(np.unique(expected)) > 2
    assert np.mean(agreeing) > 0.995  # the rest lies on a bin edge


def segmented(image: NDArray[np.uint8], k: int) -> tuple[NDArray[np.int32], Regions]:
    planes = np.ascontiguousarray(image.transpose(2, 0, 1).astype(np.float32))
    labels, count = segment(sorted_edges(planes), *image.shape[:2], k, 20)
    return labels, find_regions(labels, count, image, texture_bins(image))


def test_histograms_of_a_union_match_its_pixels() -> None:
    image = photo(48, 64, seed=5)
    labels, regions = segmented(image, 60)
    first, second = regions.pairs[len(regions.pairs) // 2]
    merge(regions, first, second)
    alive, joint = np.unique(np.where(labels == second, first, labels), return_inverse=True)
    expected = find_regions(joint.reshape(labels.shape).astype(np.int32), len(alive), image, texture_bins(image))
    for found, value in zip(regions[:4], expected[:4], strict=True):
        np.testing.assert_allclose(found[first], value[np.searchsorted(alive, first)], atol=1e-6)


def group_by_pixels(labels: NDArray[np.int32], image: NDArray[np.uint8], use: Use) -> list[list[int]]:
    """Group by a literal version of the paper's algorithm 1, computing all features again after each merge."""
    names, texture = labels.copy(), texture_bins(image)
    boxes = find_regions(labels, int(labels.max()) + 1, image, texture).boxes.tolist()
    while np.ptp(names):
        alive, places = np.unique(names, return_inverse=True)
        regions = find_regions(places.reshape(names.shape).astype(np.int32), len(alive), image, texture)
        values = [similarity(regions, a, b, names.size, use) for a, b in regions.pairs.tolist()]
        pairs = np.sort(alive[regions.pairs], axis=1).tolist()
        _, first, second = min((-value, *pair) for value, pair in zip(values, pairs, strict=True))
        names[(names == first) | (names == second)] = len(boxes)
        ys, xs = np.nonzero(names == len(boxes))
        boxes.append([int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1])
    return boxes


@pytest.mark.parametrize("use", [CTSF, TSF, F, S, C])
def test_hierarchy_matches_the_algorithm_of_the_paper(use: Use) -> None:
    image = photo(60, 72, seed=7)
    labels, regions = segmented(image, 30)
    assert len(regions.sizes) > 25
    before = [values.copy() for values in regions]
    assert group(regions, labels.size, use).tolist() == group_by_pixels(labels, image, use)
    assert all(np.array_equal(value, copy) for value, copy in zip(regions, before, strict=True))


@pytest.mark.parametrize("mode", ["single", "fast", "quality"])
def test_flat_rectangles_are_found_exactly(mode: Mode) -> None:
    image, boxes = rectangles()
    found = selective_search(image, mode)
    assert found.dtype == np.float32
    assert {(0.0, 0.0, 120.0, 90.0), *(tuple(map(float, box)) for box in boxes)} <= set(map(tuple, found.tolist()))


def test_color_spaces() -> None:
    image = np.array([[[255, 0, 0], [50, 100, 50], [0, 0, 0], [80, 80, 80]]], np.uint8)
    gray = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[0].tolist()
    assert convert(image, "rgi")[0].tolist() == [[255, 0, gray[0]], [63, 127, gray[1]], [0, 0, 0], [85, 85, 80]]
    assert convert(image, "i")[0, :, 0].tolist() == gray
    assert convert(image, "hsv")[0, 2:].tolist() == [[0, 0, 0], [0, 0, 80]]
    assert np.array_equal(convert(image, "h"), convert(image, "hsv")[..., :1])


def test_proposals_do_not_depend_on_threads_or_memory_layout() -> None:
    image = photo(120, 160, seed=2)
    boxes = selective_search(image, threads=1)
    for again in (selective_search(image, threads=2), selective_search(image), selective_search(image, threads=1)):
        assert np.array_equal(boxes, again)
    assert np.array_equal(boxes, selective_search(image[:, :, ::-1].copy()[:, :, ::-1]))
    assert np.array_equal(boxes, selective_search(np.asfortranarray(image)))


def test_order_is_position_times_random_number_then_small_boxes_then_near_duplicates() -> None:
    ranks = np.random.default_rng(0).random(4) * [4, 3, 2, 1]
    assert np.argsort(ranks).tolist() == [3, 2, 1, 0]
    whole, large, almost, small = [0, 0, 100, 100], [0, 0, 60, 60], [0, 0, 60, 59], [70, 70, 95, 85]
    found = rank([np.array([whole, large, almost, small], np.int32)])
    assert found.tolist() == [almost, whole, small, large]  # by rank: small, almost, large, whole


def test_proposals_are_distinct_boxes_inside_the_image_large_ones_first_on_average() -> None:
    boxes = selective_search(photo(150, 200, seed=4))
    assert len(np.unique(boxes, axis=0)) == len(boxes) > 50
    assert boxes.min() == 0
    assert boxes[:, 2].max() == 200
    assert boxes[:, 3].max() == 150
    sizes = boxes[:, 2:] - boxes[:, :2]
    assert sizes.min() >= 1
    areas, part = sizes.prod(axis=1), len(boxes) // 4
    assert areas[:part].mean() > 2 * areas[2 * part : 3 * part].mean()  # the rest has near duplicates of any size


@pytest.mark.parametrize("mode", ["single", "fast", "quality"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 50), (50, 1), (2, 3), (5, 5), (1, 300), (40, 40)])
@pytest.mark.parametrize(
    "fill", [lambda *s: np.full(s, 137, np.uint8), photo, lambda *s: photo(*s).max(2, keepdims=True)]
)
def test_degenerate_images(mode: Mode, shape: tuple[int, int], fill: Callable[..., NDArray[np.uint8]]) -> None:
    image = np.ascontiguousarray(np.broadcast_to(fill(*shape, 3), (*shape, 3)))
    boxes = selective_search(image, mode)
    assert boxes.dtype == np.float32
    assert [0, 0, shape[1], shape[0]] in boxes.tolist()
    if np.ptp(image) == 0:
        assert len(boxes) == 1


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((8, 8, 3), np.float32),
        np.zeros((8, 8), np.uint8),
        np.zeros((3, 8, 8), np.uint8),
        np.zeros((8, 8, 4), np.uint8),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_images_other_than_rgb_uint8_are_rejected(image: NDArray[np.uint8]) -> None:
    with pytest.raises(ValueError, match=r"takes uint8 \(H, W, 3\)"):
        selective_search(image)


def test_functions_compile_without_a_cache_folder() -> None:
    namespace: dict[str, Callable[[int], int]] = {}
    exec("def double(x): return 2 * x", namespace)  # numba cannot cache code without a source file
    assert compiled(namespace["double"])(21) == 42


def test_recall_on_real_photos(real_data: Path) -> None:
    voc, best = real_data / "VOCdevkit" / "VOC2012", []
    for name in (voc / "ImageSets" / "Main" / "val.txt").read_text().split()[::18]:
        image = cv2.imread(str(voc / "JPEGImages" / f"{name}.jpg"))[..., ::-1]
        root = ElementTree.parse(voc / "Annotations" / f"{name}.xml").getroot()
        sides = [
            [float(box.findtext(side)) for side in ("xmin", "ymin", "xmax", "ymax")] for box in root.iter("bndbox")
        ]
        objects = torch.tensor(sides) - torch.tensor([1.0, 1.0, 0.0, 0.0])
        best.append(pairwise_iou(objects, torch.from_numpy(selective_search(image)[:2000])).amax(dim=1))
    assert (torch.cat(best) >= 0.5).float().mean() >= 0.92
