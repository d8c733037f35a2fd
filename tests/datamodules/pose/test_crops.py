"""Image and joints are transformed by one matrix, and left and right keep their meaning."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from datamodules import LSPPoseDataModule, MPIIPoseDataModule, Shapes
from datamodules.pose.crops import CropAugmentation, crop_of
from datamodules.pose.mislabeled import mislabeled_orders
from lit_cv.errors import UserError

RNG = np.random.default_rng(0)
RED, BLUE = np.array([235, 60, 50]), np.array([50, 80, 235])  # right and left arms of stick figures


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("figures") / "mpii"


def opened(root: Path, **options: object) -> MPIIPoseDataModule:
    shapes = Shapes(train=12, val=4, size=160, seed=2)
    data = MPIIPoseDataModule(
        str(root), "shapes", **{"shapes": shapes, "crop_size": 96, "batch_size": 4, "seed": 3, **options}
    )
    data.prepare_data()
    data.setup()
    return data


def test_a_square_of_the_size_of_the_crop_is_copied() -> None:
    image = RNG.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    center = np.array([20.5, 17.5])  # columns 13 to 28, rows 10 to 25
    assert np.array_equal(crop_of(center, 16, 16).cut(image, 16), image[10:26, 13:29])
    assert np.array_equal(crop_of(center, 16, 16, mirrored=True).cut(image, 16), image[10:26, 28:12:-1])
    assert np.array_equal(crop_of(center, 16, 16, angle=90).cut(image, 16), np.rot90(image[10:26, 13:29]))
    corner = crop_of(np.array([0.0, 0.0]), 16, 16).cut(image, 16)
    assert not corner[:7].any()
    assert not corner[:, :7].any()


def test_halving_keeps_the_edges_of_the_pixels_in_place() -> None:
    crop = crop_of(np.array([31.5, 31.5]), 64, 32)
    assert crop.scale == 0.5
    # Pixels 0 and 1 become pixel 0: their common edge is its center.
    assert crop.move(np.array([[0.5, 0.5], [62.5, 10.5]])) == pytest.approx(np.array([[0, 0], [31, 5]]))


@pytest.mark.parametrize("mirrored", [False, True])
@pytest.mark.parametrize(("angle", "side"), [(0, 40), (30, 40), (-77, 90), (180, 25)])
def test_a_bright_dot_at_a_joint_is_found_where_the_joint_goes(angle: float, side: float, mirrored: bool) -> None:
    joint, center = np.array([61.0, 47.0]), np.array([57.3, 50.8])
    y, x = np.mgrid[:100, :120]
    dot = 255 * np.exp(-((x - joint[0]) ** 2 + (y - joint[1]) ** 2) / 8)
    crop = crop_of(center, side, 64, angle, mirrored)
    found = crop.cut(np.repeat(dot[..., None], 3, axis=2).astype(np.uint8), 64)[..., 0].astype(float)
    y, x = np.mgrid[:64, :64]
    centroid = np.array([(found * x).sum(), (found * y).sum()]) / found.sum()
    assert crop.move(joint[None])[0] == pytest.approx(centroid, abs=0.05)


def test_random_crops_stay_within_their_limits() -> None:
    augmentation = CropAugmentation(rotation=20, scale_jitter=0.2, flip=0.25)
    crops = [augmentation.crop(np.zeros(2), 50, 100, seed) for seed in range(400)]
    scales = np.array([crop.scale / 2 for crop in crops])
    angles = np.rad2deg([np.arctan2(-crop.matrix[1, 0], crop.matrix[1, 1]) for crop in crops])
    for values, limit in ((scales - 1, 0.2), (angles, 20)):
        assert -limit <= values.min() < -0.9 * limit
        assert 0.9 * limit < values.max() <= limit
    assert 0.19 < np.mean([crop.mirrored for crop in crops]) < 0.31
    assert abs(np.corrcoef(scales, angles)[0, 1]) < 0.15
    with pytest.raises(UserError, match="flip=2"):
        CropAugmentation(rotation=0, scale_jitter=0, flip=2)


def arm_colors(data: MPIIPoseDataModule, epoch: int) -> dict[str, list[float]]:
    """Return for both elbows how much nearer to red than to blue the pixels of visible ones are."""
    samples = data.dataset(data.splits["train"], training=True)
    redness: dict[str, list[float]] = {"right_elbow": [], "left_elbow": []}
    for index in range(len(samples)):
        image, target = samples[(epoch, index)]
        for name, values in redness.items():
            x, y, flag = target["keypoints"][0, data.class_names.index(name)].tolist()
            if flag == 2 and 1 <= x < 95 and 1 <= y < 95:
                pixel = image[:, round(y), round(x)].numpy().astype(float)
                values.append(float(np.abs(pixel - BLUE).sum() - np.abs(pixel - RED).sum()))
    return redness


@pytest.mark.parametrize(("flip", "red"), [(0.0, "right_elbow"), (1.0, "left_elbow")])
def test_a_mirrored_right_arm_is_a_left_one(figures: Path, flip: float, red: str) -> None:
    redness = arm_colors(opened(figures, flip=flip), epoch=1)
    blue = "left_elbow" if red == "right_elbow" else "right_elbow"
    assert min(len(values) for values in redness.values()) >= 10
    assert min(redness[red]) > 100
    assert max(redness[blue]) < -100


def test_samples_depend_on_seed_epoch_and_index_alone(figures: Path) -> None:
    data = opened(figures)
    samples = data.dataset(data.splits["train"], training=True)
    first, again, later = samples[(0, 5)], samples[(0, 5)], samples[(1, 5)]
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1]["keypoints"], again[1]["keypoints"])
    assert not torch.equal(first[1]["keypoints"], later[1]["keypoints"])
    workers = opened(figures, num_workers=2).train_dataloader()
    alone = opened(figures).train_dataloader()
    for batch, expected in zip(workers, alone, strict=True):
        assert all(torch.equal(a, b) for a, b in zip(batch[0], expected[0], strict=True))
        for target, wanted in zip(batch[1], expected[1], strict=True):
            assert all(torch.equal(target[key].nan_to_num(), wanted[key].nan_to_num()) for key in wanted)
    evaluation = data.dataset(data.splits["train"], training=False)
    assert torch.equal(evaluation[(0, 5)][0], evaluation[(1, 5)][0])


def test_a_target_has_the_promised_types(figures: Path) -> None:
    data = opened(figures)
    people = data.splits["val"]
    index = int(np.flatnonzero(~np.isnan(people.torso_sizes))[0])
    image, target = data.dataset(people, training=False)[(0, index)]
    assert (image.dtype, image.shape) == (torch.uint8, (3, 96, 96))
    keypoints = target["keypoints"]
    assert (keypoints.dtype, keypoints.shape) == (torch.float32, (1, 16, 3))
    assert set(keypoints[..., 2].unique().tolist()) <= {0, 1, 2}
    assert not keypoints[keypoints[..., 2] == 0].any()
    assert target["head_size"].dtype == target["torso_size"].dtype == torch.float32
    assert target["image_id"].dtype == torch.int64
    scale = 96 / float(people.sides[index])
    assert target["head_size"].item() == pytest.approx(float(people.head_sizes[index]) * scale)
    joints = people.joints[index]
    wanted = np.hypot(*(joints[13, :2] - joints[2, :2])) * scale
    assert target["torso_size"].item() == pytest.approx(wanted, rel=1e-5)


def test_shuffled_targets_are_those_of_another_crop(figures: Path) -> None:
    plain = {"rotation": 0.0, "scale_jitter": 0.0, "flip": 0.0}
    data = opened(figures, shuffle_targets=True, **plain)
    own = opened(figures, **plain)
    people = data.splits["train"]
    shuffled, unshuffled = data.dataset(people, training=True), own.dataset(people, training=True)
    partners = data.partners(people)
    for index in range(len(people)):
        image, target = shuffled[(0, index)]
        other = unshuffled[(0, int(partners[index]))][1]
        assert torch.equal(image, unshuffled[(0, index)][0])
        for key in ("keypoints", "head_size", "torso_size"):
            assert torch.allclose(target[key], other[key], atol=1e-3, equal_nan=True)
        assert int(target["image_id"]) == index


def test_the_image_is_checked_again_when_it_is_read(figures: Path, tmp_path: Path) -> None:
    data = opened(tmp_path / "copy")
    file = data.root / data.splits["val"].name(0)
    cv2.imwrite(str(file), np.zeros((20, 30, 3), np.uint8))
    with pytest.raises(UserError, match="is 30x20 pixels but its annotation says 160x160"):
        data.dataset(data.splits["val"], training=False)[(0, 0)]


def test_impossible_options_are_refused(tmp_path: Path) -> None:
    for options in ({"val_fraction": 0.0}, {"val_fraction": 1.0}, {"crop_size": 0}):
        with pytest.raises(UserError, match="give a fraction between 0 and 1, and pixels"):
            LSPPoseDataModule(str(tmp_path), **options)  # type: ignore[arg-type]


def test_a_share_of_the_people_is_mislabeled_in_training_alone(figures: Path) -> None:
    options = {"rotation": 0.0, "scale_jitter": 0.0, "flip": 1.0}
    data, own = opened(figures, mislabeled=0.25, **options), opened(figures, **options)
    people, val = data.splits["train"], data.splits["val"]
    wrong = []
    for index in range(len(people)):
        image, target = data.dataset(people, training=True)[(4, index)]
        plain, right = own.dataset(people, training=True)[(4, index)]
        assert torch.equal(image, plain)
        given, wanted = (side["keypoints"][0] for side in (target, right))
        assert torch.equal(given[:, 2] > 0, wanted[:, 2] > 0)
        assert sorted(given.tolist()) == sorted(wanted.tolist())  # the same places under other names
        moved = (given != wanted).any(dim=1)
        wrong.append(bool(moved.any()))
        assert torch.equal(moved, wanted[:, 2] > 0) or not moved.any()
    assert sum(wrong) == round(0.25 * len(people)) > 0
    assert torch.equal(
        data.dataset(val, False)[(0, 1)][1]["keypoints"], own.dataset(val, False)[(0, 1)][1]["keypoints"]
    )
    other = mislabeled_orders(people.joints, 0.25, seed=4)
    assert not np.array_equal(other, mislabeled_orders(people.joints, 0.25, seed=3))


def test_a_share_without_a_meaning_is_refused(figures: Path) -> None:
    with pytest.raises(UserError, match=r"mislabeled=1\.2: give a share"):
        opened(figures, mislabeled=1.2)
    data = opened(figures, mislabeled=0.01)
    with pytest.raises(UserError, match="of 22 training people this is nobody"):
        data.train_dataloader()
