import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from datamodules import LSPPoseDataModule, MPIIPoseDataModule, Shapes
from datamodules.loading.decode import read_image
from datamodules.pose.generated import MAT, write_lsp, write_mpii
from datamodules.pose.mpii_files import read_mat
from lit_cv.errors import UserError

SETTINGS = Shapes(train=9, val=3, size=96, seed=4)
COLORS = {0: (245, 165, 40), 5: (40, 205, 230), 11: (235, 60, 50), 14: (50, 80, 235)}  # ankles and elbows of MPII


def digests(root: Path) -> dict[str, str]:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(path.relative_to(root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_same_settings_same_bytes(tmp_path: Path) -> None:
    for write in (write_mpii, write_lsp):
        first, second = (digests(write(tmp_path / write.__name__ / name, SETTINGS)) for name in "ab")
        assert first == second
        assert len(first) == 12 + 2
        other = digests(write(tmp_path / write.__name__ / "c", Shapes(train=9, val=3, size=96, seed=5)))
        assert set(other) == set(first)
        assert not set(first.values()) & set(other.values())
        assert not [path for path in (tmp_path / write.__name__).iterdir() if path.name.startswith(".")]


def test_visible_joints_have_the_colors_of_their_limbs(tmp_path: Path) -> None:
    root = write_mpii(tmp_path / "mpii", SETTINGS)
    people = read_mat(root / MAT)
    distances: dict[int, list[float]] = {joint: [] for joint in COLORS}
    for name, joints in zip(people.names, people.joints, strict=True):
        image = read_image(root / "images" / name).astype(float)
        for joint, color in COLORS.items():
            x, y, flag = joints[joint]
            if flag == 2:
                distances[joint].append(float(np.abs(image[round(y), round(x)] - color).mean()))
    for found in distances.values():
        assert len(found) > 6
        assert np.median(found) < 20


def test_the_sets_have_several_people_per_image_and_hidden_and_unlabeled_joints(tmp_path: Path) -> None:
    data = MPIIPoseDataModule(str(tmp_path / "mpii"), "shapes", shapes=Shapes(train=40, val=10, size=96))
    data.prepare_data()
    data.setup()
    counts = data.counts
    assert (counts["train/images"], counts["val/images"]) == (40, 10)
    assert 50 <= counts["train/people"] <= 70
    assert counts["train/people_without_head"] == counts["train/joints_dropped"] == 0
    flags = data.splits["train"].joints[..., 2]
    assert 0.01 < np.mean(flags == 0) < 0.15
    assert 0.005 < np.mean(flags == 1) < 0.2
    train, val = (
        {data.splits[split].name(index) for index in range(len(data.splits[split]))} for split in ("train", "val")
    )
    assert not train & val

    lsp = LSPPoseDataModule(str(tmp_path / "lsp"), "shapes", shapes=SETTINGS)
    lsp.prepare_data()
    lsp.setup()
    assert (lsp.counts["train/people"], lsp.counts["val/people"]) == (9, 3)
    assert lsp.counts["train/joints"] > 0.85 * 9 * 14
    assert cv2.imread(str(tmp_path / "lsp" / lsp.splits["val"].name(0))).shape == (96, 96, 3)


def test_existing_data_is_never_overwritten(tmp_path: Path) -> None:
    root = write_mpii(tmp_path / "figures", SETTINGS)
    before = digests(root)
    write_mpii(root, SETTINGS)
    assert digests(root) == before
    with pytest.raises(UserError, match="generated with other settings"):
        write_mpii(root, Shapes(train=9, val=3, size=96, seed=1))
    with pytest.raises(UserError, match="generated with other settings"):
        write_lsp(root, SETTINGS)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(UserError, match="not a generated data set"):
        write_lsp(tmp_path / "mine", SETTINGS)
    with pytest.raises(UserError, match="size must be at least 32"):
        write_lsp(tmp_path / "small", Shapes(size=16))
