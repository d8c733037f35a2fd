import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from pycocotools.coco import COCO

from datamodules import COCOInstanceDataModule, COCOKeypointDataModule, Shapes
from datamodules.coco.generated import CATEGORIES, write_coco
from lit_cv.cli import main
from lit_cv.errors import UserError
from tests.helpers.small_shapes import SETTINGS


def digest(root: Path) -> str:
    files = sorted(path for path in root.rglob("*") if path.is_file())
    content = b"".join(str(file.relative_to(root)).encode() + file.read_bytes() for file in files)
    return hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coco(tmp_path_factory.mktemp("shapes") / "coco", Shapes(train=60, val=20, size=96))


def test_same_seed_same_bytes_and_nothing_else_is_overwritten(tmp_path: Path) -> None:
    first, second = (write_coco(tmp_path / name, SETTINGS) for name in ("first", "second"))
    assert digest(first) == digest(second)
    write_coco(first, SETTINGS)
    assert digest(first) == digest(second)
    with pytest.raises(UserError, match="other settings"):
        write_coco(first, Shapes(train=11, val=5, size=64, seed=1))


def test_pycocotools_opens_it_and_masks_boxes_and_areas_agree(root: Path) -> None:
    official = COCO(str(root / "annotations" / "instances_train2017.json"))
    assert {number: kind["name"] for number, kind in official.cats.items()} == CATEGORIES
    assert [len(official.getImgIds()), len(list((root / "train2017").iterdir()))] == [60, 60]
    rows = official.dataset["annotations"]
    for row in rows:
        mask = official.annToMask(row)
        y, x = np.nonzero(mask)
        assert row["bbox"] == [x.min(), y.min(), x.max() + 1 - x.min(), y.max() + 1 - y.min()]
        assert row["area"] == mask.sum()
        if row["iscrowd"]:
            assert isinstance(row["segmentation"], dict)
    forms = [isinstance(row["segmentation"], dict) for row in rows if not row["iscrowd"]]
    assert 0.05 < np.mean(forms) < 0.3
    assert 2 < sum(row["iscrowd"] for row in rows) < 20
    assert sum(not official.getAnnIds(image) for image in official.imgs) == 3
    assert {row["category_id"] for row in rows} == set(CATEGORIES)


def test_masks_lie_on_the_drawn_objects(root: Path) -> None:
    """Check that shapes differ from their surroundings, which a mask beside its shape would not."""
    official = COCO(str(root / "annotations" / "instances_train2017.json"))
    contrasts = []
    for row in official.dataset["annotations"]:
        if row["category_id"] != 1 and row["area"] > 100:
            image = cv2.imread(str(root / "train2017" / official.imgs[row["image_id"]]["file_name"])).astype(float)
            mask = official.annToMask(row)
            ring = cv2.dilate(mask, np.ones((7, 7), np.uint8)) - cv2.dilate(mask, np.ones((3, 3), np.uint8))
            inside = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
            contrasts.append(np.abs(image[inside].mean(axis=0) - image[ring > 0].mean(axis=0)).mean())
    assert np.median(contrasts) > 60
    assert np.mean(np.array(contrasts) > 30) > 0.9


def test_people_have_their_joints(root: Path) -> None:
    data = COCOKeypointDataModule(str(root), masks=True)
    data.prepare_data()
    data.setup()
    official = COCO(str(root / "annotations" / "person_keypoints_train2017.json"))
    assert data.counts["train/images"] == len(official.imgs) < 31
    names = list(data.joint_names)
    rows = official.dataset["annotations"]
    assert any(row["num_keypoints"] == 0 for row in rows)
    facing = 0
    for row in rows:
        joints = np.array(row["keypoints"]).reshape(17, 3)
        assert row["num_keypoints"] == (joints[:, 2] > 0).sum()
        assert (joints[joints[:, 2] == 0] == 0).all()
        x, y = joints[joints[:, 2] == 2][:, :2].T
        assert official.annToMask(row)[y, x].mean() > 0.8 if len(x) else True  # joints lie on their person
        nose, ears = joints[names.index("nose")], joints[[names.index("left_ear"), names.index("right_ear")]]
        if nose[2] and (ears[:, 2] > 0).all():
            facing += 1
            assert ears[0, 0] > ears[1, 0]  # a person who faces the camera has the left ear on the right
    assert facing > 3


def test_captions_describe_the_image(root: Path) -> None:
    captions = COCO(str(root / "annotations" / "captions_val2017.json"))
    objects = COCO(str(root / "annotations" / "instances_val2017.json"))
    assert len(captions.anns) == 20
    for row in captions.anns.values():
        kinds = {objects.cats[a["category_id"]]["name"] for a in objects.imgToAnns[row["image_id"]]}
        said = {kind for kind in CATEGORIES.values() if kind in row["caption"].replace("people", "person")}
        assert kinds <= said


def test_source_shapes_and_the_verb_write_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = COCOInstanceDataModule(str(tmp_path / "one"), source="shapes", shapes=Shapes(4, 2, 64))
    assert data.class_names == ("person", "circle", "square", "triangle")
    data.prepare_data()
    data.setup()
    assert data.counts["train/images"] == 4
    assert main(["shapes", "coco", str(tmp_path / "two"), "--train=4", "--val=2", "--size=64"]) == 0
    assert str(tmp_path / "two") in capsys.readouterr().out
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
