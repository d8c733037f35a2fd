import random

import albumentations as A
import cv2
import numpy as np
import pytest

from datamodules.augmentation.presets import Augmentation, make_augmentation
from datamodules.augmentation.ssd_transforms import IoUCrop, PhotometricDistortion, ZoomOut
from lit_cv.errors import UserError


def scene(seed: int = 0, objects: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    image = cv2.GaussianBlur(rng.integers(0, 256, (60, 90, 3), dtype=np.uint8), (9, 9), 0)
    corner = rng.uniform(0, [60, 40], (objects, 2))
    return image, np.concatenate([corner, corner + rng.uniform(5, [30, 20], (objects, 2))], axis=1).astype(np.float32)


@pytest.mark.parametrize("preset", ["flip", "ssd", "ssd_zoom"])
def test_the_seed_alone_determines_the_result(preset: str) -> None:
    image, boxes = scene()
    augment, other = make_augmentation(preset), make_augmentation(preset)
    assert augment
    assert other
    results = [augment(image, boxes, seed) for seed in range(20)]
    for seed in reversed(range(20)):  # in another order, by another object
        for mine, theirs in zip(results[seed], other(image, boxes, seed), strict=True):
            assert np.array_equal(mine, theirs)
    assert len({result[0].tobytes() for result in results}) > (1 if preset == "flip" else 15)


@pytest.mark.parametrize("preset", ["flip", "ssd", "ssd_zoom"])
def test_boxes_stay_valid_and_rows_name_their_origin(preset: str) -> None:
    augment = make_augmentation(preset)
    assert augment
    for seed in range(200):
        image, boxes = scene(seed, objects=seed % 5)
        result, left, rows = augment(image, boxes, seed)
        height, width = result.shape[:2]
        assert result.dtype == np.uint8
        assert left.dtype == np.float32
        assert left.shape == (len(rows), 4)
        assert len(set(rows.tolist())) == len(rows)
        assert set(rows.tolist()) <= set(range(len(boxes)))
        assert (left[:, :2] >= 0).all()
        assert (left[:, 2:] <= [width, height]).all()
        assert (left[:, 2:] > left[:, :2]).all()
        assert len(rows) or not len(boxes)  # a patch always contains the center of an object


def test_flip_mirrors_image_and_boxes() -> None:
    image, boxes = scene()
    result, left, rows = Augmentation([A.HorizontalFlip(p=1)])(image, boxes, 0)
    assert np.array_equal(result, image[:, ::-1])
    np.testing.assert_allclose(
        left, np.stack([90 - boxes[:, 2], boxes[:, 1], 90 - boxes[:, 0], boxes[:, 3]], 1), atol=1e-4
    )
    assert rows.tolist() == [0, 1, 2, 3]


def test_transforms_of_a_chain_are_independent() -> None:
    augment = Augmentation([A.HorizontalFlip(p=0.5), A.VerticalFlip(p=0.5)])
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, 2)
    corners = [augment(image, np.zeros((0, 4), np.float32), seed)[0][0, 0, 0] for seed in range(400)]
    assert (np.bincount(corners, minlength=4) > 60).all()  # all four combinations, a quarter each


def test_crop_follows_the_rules_of_ssd() -> None:
    crop = IoUCrop(p=1)
    image, boxes = scene()
    relative = (boxes / [90, 60, 90, 60]).astype(np.float32)
    smaller = 0
    for seed in range(300):
        crop.set_random_state(np.random.default_rng(seed), random.Random(seed))
        x1, y1, x2, y2 = crop.get_params_dependent_on_data({"shape": image.shape}, {"bboxes": relative})["patch"]
        assert 0 <= x1 < x2 <= 90
        assert 0 <= y1 < y2 <= 60
        if (x2 - x1, y2 - y1) != (90, 60):
            smaller += 1
            assert 0.5 <= (x2 - x1) / (y2 - y1) <= 2
            assert x2 - x1 >= 0.3 * 90 - 1
            assert y2 - y1 >= 0.3 * 60 - 1
        result, left, rows = crop.apply(image, (x1, y1, x2, y2)), *_cropped(crop, relative, (x1, y1, x2, y2))
        center = (boxes[:, :2] + boxes[:, 2:]) / 2
        inside = ((center > [x1, y1]) & (center < [x2, y2])).all(axis=1)
        assert rows.tolist() == np.flatnonzero(inside).tolist()
        expected = np.clip(boxes[inside], [x1, y1, x1, y1], [x2, y2, x2, y2]) - [x1, y1, x1, y1]
        np.testing.assert_allclose(left * np.tile(result.shape[1::-1], 2), expected, atol=1e-3)
    assert 200 < smaller < 290  # the whole image is one of seven choices


def _cropped(crop: IoUCrop, relative: np.ndarray, patch: tuple[int, int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows = np.arange(len(relative), dtype=np.float32)[:, None]
    result = crop.apply_to_bboxes(np.concatenate([relative, rows], axis=1), patch, shape=(60, 90, 3))
    return result[:, :4], result[:, 4].astype(int)


def test_crop_leaves_an_image_without_objects_whole() -> None:
    image, _ = scene()
    result, left, _ = Augmentation([IoUCrop(p=1)])(image, np.zeros((0, 4), np.float32), 3)
    assert result.shape == image.shape
    assert left.shape == (0, 4)


def test_zoom_out_puts_image_and_boxes_on_a_canvas_of_the_mean() -> None:
    augment = Augmentation([ZoomOut(p=1)])
    ratios, places = [], []
    for seed in range(300):
        image, boxes = scene(seed)
        result, left, rows = augment(image, boxes, seed)
        height, width = result.shape[:2]
        ratios.append(height / 60)
        assert abs(width / 90 - ratios[-1]) < 1 / 60
        assert 60 <= height <= 240
        assert rows.tolist() == [0, 1, 2, 3]
        shift = left - boxes  # the same for all boxes and for both of their corners
        x, y = np.round(shift[0, :2]).astype(int)
        np.testing.assert_allclose(shift, np.tile([x, y, x, y], (4, 1)), atol=2e-3)
        assert np.array_equal(result[y : y + 60, x : x + 90], image)
        outside = np.ones((height, width), dtype=bool)
        outside[y : y + 60, x : x + 90] = False
        assert (result[outside] == (123, 117, 104)).all()
        if height > 120:
            places.append((x / (width - 90), y / (height - 60)))
    quarters = np.histogram(ratios, bins=[1, 1.75, 2.5, 3.25, 4])[0]
    assert (quarters > 45).all()  # 75 each
    corners = np.histogram2d(*np.transpose(places), bins=2, range=[[0, 1], [0, 1]])[0]
    assert (corners > len(places) / 6).all()


def test_ssd_zoom_zooms_out_in_every_second_image() -> None:
    augment = make_augmentation("ssd_zoom")
    assert augment
    zoom = next(part for part in augment.compose.transforms if isinstance(part, ZoomOut))
    image, _ = scene()
    grown = 0
    for seed in range(300):
        augment.seeded(seed)
        grown += zoom(image=image, bboxes=np.zeros((0, 5), np.float32))["image"].size > image.size
    assert 120 < grown < 180


def test_photometric_steps_match_their_definition() -> None:
    image, _ = scene()
    distort = PhotometricDistortion()
    neutral = {"shift": 0.0, "contrast": 1.0, "saturation": 1.0, "turn": 0.0, "contrast_last": False}
    assert np.array_equal(distort.apply(image, **neutral), image)
    float_image = image.astype(np.float32)
    brighter = distort.apply(image, **{**neutral, "shift": 20.0})
    assert np.array_equal(brighter, np.clip(float_image + 20, 0, 255).astype(np.uint8))
    for last in (False, True):
        stronger = distort.apply(image, **{**neutral, "contrast": 1.5, "contrast_last": last})
        assert np.array_equal(stronger, np.clip(np.round(float_image * 1.5), 0, 255).astype(np.uint8))
    gray = distort.apply(image, **{**neutral, "saturation": 0.0})
    assert np.ptp(gray, axis=2).max() == 0
    hsv = cv2.cvtColor(image, cv2.COLOR_RGB2HSV)
    hsv[..., 0] = (hsv[..., 0].astype(int) + 7) % 180
    assert np.array_equal(distort.apply(image, **{**neutral, "turn": 7.0}), cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))


def test_unusable_boxes_are_clipped_or_dropped_not_fatal() -> None:
    image, _ = scene()
    boxes = np.array([[-10, -10, 20, 20], [95, 10, 120, 20], [5, 5, 5, 30], [10, 10, 30, 30]], np.float32)
    _, left, rows = Augmentation([A.NoOp()])(image, boxes, 0)
    assert rows.tolist() == [0, 3]
    np.testing.assert_allclose(left, [[0, 0, 20, 20], [10, 10, 30, 30]], atol=1e-4)


def test_unknown_preset_is_refused() -> None:
    with pytest.raises(UserError, match="'strong'"):
        make_augmentation("strong")
