from pathlib import Path

import cv2
import numpy as np
import pytest
import scipy.io

from datamodules import LSPPoseDataModule
from lit_cv.errors import UserError

JOINTS = 14


def write(root: Path, joints: np.ndarray, digits: int = 5, size: tuple[int, int] = (90, 80)) -> Path:
    """Write joints (N, 14, 3) as LSPET, or as LSP with 4 digits, with black images of this width and height."""
    (root / "images").mkdir(parents=True)
    order = (1, 2, 0) if digits == 5 else (2, 1, 0)
    scipy.io.savemat(root / "joints.mat", {"joints": joints.transpose(order)})
    for number in range(1, len(joints) + 1):
        path = root / "images" / f"im{number:0{digits}d}.jpg"
        cv2.imwrite(str(path), np.zeros((size[1], size[0], 3), np.uint8))
    return root


def people(count: int) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.concatenate([rng.uniform(10, 70, (count, JOINTS, 2)), np.ones((count, JOINTS, 1))], axis=2)


def opened(root: Path, **options: object) -> LSPPoseDataModule:
    data = LSPPoseDataModule(str(root), **{"val_fraction": 0.25, **options})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_lspet_labels_what_its_third_row_says(tmp_path: Path) -> None:
    joints = people(4)
    joints[3, 5] = (-26.0, 0.0, 0)
    data = opened(write(tmp_path / "lspet", joints))
    assert (len(data.splits["train"]), len(data.splits["val"])) == (3, 1)
    val = data.splits["val"]
    assert val.name(0) == "images/im00004.jpg"
    assert val.sizes.tolist() == [[90, 80]]
    expected = joints[3, :, :2] - 1  # MATLAB counts from 1
    rest = [joint for joint in range(JOINTS) if joint != 5]
    assert val.joints[0, rest, :2] == pytest.approx(expected[rest], rel=1e-6)
    assert val.joints[0, rest, 2].tolist() == [2] * 13
    assert val.joints[0, 5].tolist() == [0, 0, 0]
    lower, upper = expected[rest].min(axis=0), expected[rest].max(axis=0)
    assert val.centers[0] == pytest.approx((lower + upper) / 2, rel=1e-6)
    assert val.sides[0] == pytest.approx(1.25 * max(upper - lower), rel=1e-6)
    assert val.head_sizes[0] == pytest.approx(np.hypot(*(expected[12] - expected[13])), rel=1e-6)
    assert val.torso_sizes[0] == pytest.approx(np.hypot(*(expected[9] - expected[2])), rel=1e-6)
    assert data.class_names[data.skeleton.torso[0]] == "left_shoulder"
    assert data.class_names[data.skeleton.torso[1]] == "right_hip"


def test_lsp_labels_every_joint_and_flags_the_hidden_ones(tmp_path: Path) -> None:
    joints = people(8)
    joints[..., 2] = 0
    joints[7, :3, 2] = 1
    data = opened(write(tmp_path / "lsp", joints, digits=4))
    val = data.splits["val"]
    assert val.name(1) == "images/im0008.jpg"
    assert val.joints[1, :, 2].tolist() == [1] * 3 + [2] * 11
    assert data.counts["train/joints"] == 6 * JOINTS


def test_unusable_joints_and_people_are_dropped_and_counted(tmp_path: Path) -> None:
    joints = people(8)
    joints[0, 0, 0] = np.nan
    joints[0, 1, :2] = (95, 20)  # the image is 90 wide
    joints[0, 2, :2] = (90.4, 0.6)  # still inside the last and the first pixel
    joints[1, :, 2] = 0
    joints[2, 1:, 2] = 0  # one joint has no extent
    joints[3, 13] = joints[3, 12]
    data = opened(write(tmp_path / "lspet", joints))
    counts = {name.removeprefix("train/"): value for name, value in data.counts.items() if name.startswith("train/")}
    assert counts == {
        "images": 4, "people": 4, "joints": 4 * JOINTS - 2, "joints_dropped": 2, "people_dropped": 2,
        "people_without_head": 1, "people_without_torso": 0,
    }  # fmt: skip
    train = data.splits["train"]
    assert [train.name(index)[-5:-4] for index in range(4)] == ["1", "4", "5", "6"]
    assert train.joints[0, :3, 2].tolist() == [0, 0, 2]
    assert np.isnan(train.head_sizes[1])


def test_a_changed_file_is_parsed_again_and_an_unchanged_one_is_not(tmp_path: Path) -> None:
    root = write(tmp_path / "lspet", people(8))
    first = opened(root)
    assert opened(root).splits["train"].folder == first.splits["train"].folder
    assert opened(root, val_fraction=0.5).fingerprint != first.fingerprint
    joints = people(8)
    joints[0, 0, 0] += 1
    scipy.io.savemat(root / "joints.mat", {"joints": joints.transpose(1, 2, 0)})
    assert opened(root).fingerprint != first.fingerprint


def test_bad_files_are_named_in_one_sentence(tmp_path: Path) -> None:
    root = write(tmp_path / "lspet", people(4))
    with pytest.raises(UserError, match=r"leaves a split empty"):
        opened(root, val_fraction=0.01)
    (root / "images" / "im00002.jpg").rename(root / "elsewhere.jpg")
    with pytest.raises(UserError, match=r"im00002\.jpg is missing, though .*joints\.mat describes it"):
        opened(root)
    (root / "images" / "im00002.jpg").write_bytes(b"no image")
    with pytest.raises(UserError, match=r"im00002\.jpg is not a readable image"):
        opened(root)
    scipy.io.savemat(root / "joints.mat", {"joints": np.zeros((16, 3, 4))})
    with pytest.raises(UserError, match=r"shape \(16, 3, 4\), not \(14, 3, N\)"):
        opened(root)
    scipy.io.savemat(root / "joints.mat", {"points": np.zeros((14, 3, 4))})
    with pytest.raises(UserError, match="no MATLAB 5 file with an array `joints`"):
        opened(root)
    (root / "joints.mat").write_bytes(b"damaged" * 100)
    with pytest.raises(UserError, match="no MATLAB 5 file with an array `joints`"):
        opened(root)
    with pytest.raises(UserError, match="does not hold joints"):
        opened(tmp_path)
    joints = people(4)
    joints[3, :, 2] = 0
    with pytest.raises(UserError, match="leaves nobody in this split: of 1 people, 1 without a labeled joint; fix"):
        opened(write(tmp_path / "unlabeled", joints))


def test_the_real_subset_loads(real_data: Path) -> None:
    data = opened(real_data / "lspet", val_fraction=0.1)
    assert (data.counts["train/people"], data.counts["val/people"]) == (180, 20)
    flags = scipy.io.loadmat(real_data / "lspet" / "joints.mat")["joints"][:, 2]
    dropped = data.counts["train/joints_dropped"] + data.counts["val/joints_dropped"]
    assert data.counts["train/joints"] + data.counts["val/joints"] + dropped == int(flags.sum())
    assert dropped == 2
    for split in ("train", "val"):
        samples = data.dataset(data.splits[split], training=False)
        keypoints = np.stack([samples[(0, index)][1]["keypoints"][0].numpy() for index in range(len(samples))])
        labeled = keypoints[..., 2] > 0
        assert keypoints[labeled][:, :2].min() > 0
        assert keypoints[labeled][:, :2].max() < 223  # the crop contains the whole person


def test_lsp_does_not_label_the_origin(tmp_path: Path) -> None:
    joints = people(4)
    joints[3, 5] = (0.0, 0.0, 0)
    data = opened(write(tmp_path / "lsp", joints, digits=4))
    assert data.splits["val"].joints[0, 4:7, 2].tolist() == [1, 0, 1]
    assert data.survey("val").defects == []
