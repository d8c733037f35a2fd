import hashlib
from collections import Counter
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from datamodules import Shapes, VOCDetectionDataModule
from datamodules.pose.generated import write_lsp
from datamodules.shapes.scenes import draw_scene
from datamodules.voc.generated import write_voc
from lit_cv.errors import UserError
from tests.helpers.small_shapes import SETTINGS, opened


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    content = b"".join(str(file.relative_to(root)).encode() + file.read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()


def test_same_seed_same_bytes(generated: Path, tmp_path: Path) -> None:
    write_voc(tmp_path / "again", SETTINGS)
    assert digest(tmp_path / "again") == digest(generated)
    write_voc(tmp_path / "other", Shapes(train=10, val=5, size=64, seed=2))
    assert digest(tmp_path / "other") != digest(generated)


def test_present_data_is_kept_and_other_settings_are_refused(voc_root: Path, tmp_path: Path) -> None:
    before = digest(voc_root)
    write_voc(voc_root, SETTINGS)
    assert digest(voc_root) == before
    with pytest.raises(UserError, match="other settings"):
        write_voc(voc_root, Shapes(train=11, val=5, size=64, seed=1))
    (tmp_path / "real" / "VOCdevkit" / "VOC2012").mkdir(parents=True)
    with pytest.raises(UserError, match="not a generated data set"):
        write_voc(tmp_path / "real", SETTINGS)


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="size must be at least 32"):
        write_voc(tmp_path / "new", Shapes(size=8))
    assert not (tmp_path / "new").exists()


def test_masks_agree_with_boxes_and_classes(generated: Path) -> None:
    data = VOCDetectionDataModule(str(generated), source="shapes", shapes=SETTINGS)
    data.prepare_data()
    data.setup()
    assert data.class_names == ("circle", "square", "triangle")
    train = data.splits["train"]
    for index in range(len(train)):
        mask_file = Path(train.name(index)).with_suffix(".png").name
        year = generated / "VOCdevkit" / "VOC2012"
        with Image.open(year / "SegmentationObject" / mask_file) as opened:
            assert opened.mode == "P"
            objects = np.asarray(opened)
        with Image.open(year / "SegmentationClass" / mask_file) as opened:
            classes = np.asarray(opened)
        assert ((objects == 255) == (classes == 255)).all()
        assert (objects == 255).any()
        for number, (box, label) in enumerate(
            zip(train.boxes[train.rows(index)], train.labels[train.rows(index)], strict=True), 1
        ):
            y, x = np.nonzero(objects == number)
            assert (classes[y, x] == label).all()
            if len(x):  # the void border takes the outermost pixels
                assert box[0] <= x.min() <= x.max() < box[2]
                assert box[1] <= y.min() <= y.max() < box[3]


def test_a_larger_set_has_all_classes_and_some_difficult_objects(tmp_path: Path) -> None:
    data = VOCDetectionDataModule(str(tmp_path), source="shapes", shapes=Shapes(train=150, val=1, size=64))
    data.prepare_data()
    data.setup()
    train = data.splits["train"]
    assert min(Counter(train.labels.tolist()).values()) > 80
    assert 0.01 < train.difficult.mean() < 0.1
    assert set(np.diff(train.offsets)) == {1, 2, 3}


def test_shapes_of_one_class_touch_as_often_as_asked(tmp_path: Path) -> None:
    size, met = 64, []
    for number in range(60):
        scene = draw_scene(np.random.default_rng(number), size, touching=1.0)
        assert len(set(scene.labels)) == 1
        grown = [cv2.dilate((scene.owner == k + 1).astype(np.uint8), np.ones((5, 5))) for k in range(len(scene.labels))]
        met += [bool((one & other).any()) for one, other in pairwise(grown)]
    assert len(met) > 40
    assert np.mean(met) > 0.95  # a third shape may hide the place where two touch
    some = [draw_scene(np.random.default_rng(number), size, touching=0.3).labels for number in range(200)]
    same = [one == other for labels in some for one, other in pairwise(labels)]
    assert abs(np.mean(same) - (0.3 + 0.7 / 3)) < 0.1
    with pytest.raises(UserError, match=r"shapes.touching=1.5: is a probability"):
        write_voc(tmp_path / "more", Shapes(touching=1.5))
    with pytest.raises(UserError, match=r"shapes.touching=0.5: stick figures do not touch"):
        write_lsp(tmp_path / "figures", Shapes(touching=0.5))
    before = write_voc(tmp_path / "apart", SETTINGS)
    assert "touching" not in (before / "shapes.json").read_text()
    with pytest.raises(UserError, match="other settings"):
        write_voc(tmp_path / "apart", replace(SETTINGS, touching=0.5))


def test_touching_shapes_are_no_crowd(tmp_path: Path) -> None:
    data = opened("COCOInstanceDataModule", tmp_path, shapes=Shapes(train=30, val=1, size=48, touching=1.0))
    assert data.counts["train/crowds"] == 0
