import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import scipy.io

from datamodules import MPIIPoseDataModule
from datamodules.pose.mpii_files import read_json, read_mat
from lit_cv.errors import UserError

MAT = "mpii_human_pose_v1_u12_1.mat"
EMPTY = np.zeros((0, 0))


def structs(rows: list[dict[str, Any]]) -> np.ndarray:
    array = np.empty((1, len(rows)), dtype=[(name, object) for name in rows[0]])
    for number, row in enumerate(rows):
        array[0, number] = tuple(row.values())
    return array


def point(joint: float, x: float, y: float, visible: Any) -> dict[str, Any]:
    return {"x": x, "y": y, "id": float(joint), "is_visible": visible}


def person(points: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    rectangle = {"x1": 10.0, "y1": 20.0, "x2": 40.0, "y2": 60.0}
    place = {"scale": 0.5, "objpos": structs([{"x": 50.0, "y": 40.0}])}
    annopoints = structs([{"point": structs(points)}]) if points else EMPTY
    return {**rectangle, "annopoints": annopoints, **place, **changes}


def standing(**changes: Any) -> dict[str, Any]:
    return person([point(joint, 30.0 + joint, 20.0 + joint, "1") for joint in range(16)], **changes)


def image(name: str, video: Any, *people: dict[str, Any]) -> dict[str, Any]:
    rectangles = structs(list(people)) if people else EMPTY
    return {"image": structs([{"name": name}]), "annorect": rectangles, "frame_sec": EMPTY, "vididx": video}


def write(root: Path, images: list[dict[str, Any]], trained: list[int] | None = None) -> Path:
    (root / "images").mkdir(parents=True)
    for row in images:
        cv2.imwrite(str(root / "images" / row["image"]["name"][0, 0]), np.zeros((90, 120, 3), np.uint8))
    flags = np.array([trained or [1] * len(images)], dtype=np.uint8)
    release = structs([{"annolist": structs(images), "img_train": flags}])
    scipy.io.savemat(root / MAT, {"RELEASE": release})
    return root


def opened(root: Path, **options: object) -> MPIIPoseDataModule:
    data = MPIIPoseDataModule(str(root), **{"val_fraction": 0.5, **options})  # type: ignore[arg-type]
    data.prepare_data()
    data.setup()
    return data


def test_points_of_every_form(tmp_path: Path) -> None:
    without_flag = {key: value for key, value in point(5, 1.0, 2.0, "1").items() if key != "is_visible"}
    first = person(
        [
            point(15, 11.0, 21.0, "1"),
            point(0, 12.5, 22.5, "0"),
            point(1, 13.0, 23.0, 1.0),
            point(2, 14.0, 24.0, 0.0),
            point(9, 15.0, 25.0, EMPTY),
        ]
    )
    images = [
        image("test.jpg", 1.0, {"scale": 1.0, "objpos": structs([{"x": 5.0, "y": 5.0}])}),  # like the test images
        image("nobody.jpg", 1.0),
        image("two.jpg", EMPTY, first, person([without_flag], x2=40.0, y2=20.0)),
        image("last.jpg", 7.0, standing(objpos=EMPTY)),
    ]
    people = read_mat(write(tmp_path, images, [0, 1, 1, 1]) / MAT)
    assert people.names == ["two.jpg", "two.jpg", "last.jpg"]
    assert people.videos.tolist() == [-1, -1, 7]
    wanted = np.zeros((16, 3))
    wanted[15], wanted[0], wanted[1] = (10, 20, 2), (11.5, 21.5, 1), (12, 22, 2)
    wanted[2], wanted[9] = (13, 23, 1), (14, 24, 2)
    assert np.array_equal(people.joints[0], wanted)
    wanted = np.zeros((16, 3))
    wanted[5] = (0, 1, 2)
    assert np.array_equal(people.joints[1], wanted)
    assert people.joints[2, :, 2].tolist() == [2] * 16
    assert people.positions[:2].tolist() == [[49, 39]] * 2
    assert np.isnan(people.positions[2]).all()
    assert people.head_sizes[0] == 0.6 * 50  # a box of 30 x 40
    assert np.isnan(people.head_sizes[1])  # without area


def test_crops_follow_position_and_scale(tmp_path: Path) -> None:
    data = opened(write(tmp_path, [image("a.jpg", 1.0, standing()), image("b.jpg", 2.0, standing(scale=0.25))]))
    train, val = data.splits["train"], data.splits["val"]
    assert train.centers[0] == pytest.approx([49, 39 + 15 * 0.5])
    assert train.sides[0] == 0.5 * 200 * 1.25
    assert val.sides[0] == 0.25 * 200 * 1.25
    assert train.sizes.tolist() == [[120, 90]]
    assert data.skeleton.left_out == (data.class_names.index("pelvis"), data.class_names.index("thorax"))
    assert data.open_split("test") is None


def test_images_of_one_video_stay_together(tmp_path: Path) -> None:
    videos = [5.0, 2.0, EMPTY, 5.0, 3.0, 2.0]
    images = [image(f"{k}.jpg", video, standing(), standing()) for k, video in enumerate(videos)]
    data = opened(write(tmp_path, images), val_fraction=0.5)
    members = {
        split: [data.splits[split].name(row)[7:-4] for row in range(len(data.splits[split]))]
        for split in ("train", "val")
    }
    assert members == {"train": list("112255"), "val": list("003344")}


def test_unusable_joints_and_people_are_dropped_and_counted(tmp_path: Path) -> None:
    points = [point(k, 30.0 + k, 20.0 + k, "1") for k in range(16)]
    points[0]["x"], points[1]["y"], points[2]["x"] = np.nan, 91.0, 0.0  # the image is 90 high; columns start at 1
    images = [
        image("a.jpg", 1.0, person(points, y1=60.0), person([]), standing(scale=EMPTY), standing(objpos=EMPTY)),
        image("b.jpg", 2.0, standing()),
    ]
    data = opened(write(tmp_path, images))
    counts = {name.removeprefix("train/"): value for name, value in data.counts.items() if name.startswith("train/")}
    assert counts == {
        "images": 1, "people": 1, "joints": 13, "joints_dropped": 3, "people_dropped": 3, "people_without_head": 1,
        "people_without_torso": 1,
    }  # fmt: skip
    assert data.splits["train"].joints[0, :3].tolist() == [[0, 0, 0]] * 3


def test_the_mat_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write(tmp_path / "mpii", [image(f"{k}.jpg", float(k), standing()) for k in range(4)])
    calls = []
    parse = scipy.io.loadmat
    monkeypatch.setattr(scipy.io, "loadmat", lambda *args, **options: calls.append(1) or parse(*args, **options))
    first = opened(root)
    assert opened(root).fingerprint == first.fingerprint
    assert opened(root, val_fraction=0.25).counts["val/people"] == 1
    assert len(calls) == 1
    archive = root / "mpii_human_pose_v1_u12_2"  # the folder of the official archive
    archive.mkdir()
    (root / MAT).rename(archive / MAT)
    assert opened(root).fingerprint == first.fingerprint


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"annolist": structs([image("a.jpg", 1.0)])}, "does not have the layout"),
        ({"RELEASE": structs([{"annolist": structs([image("a.jpg", 1.0, standing())])}])}, "img_train"),
        (
            {"RELEASE": structs([{"annolist": structs([{"image": 1.0, "annorect": 1.0}]), "img_train": 1.0}])},
            "does not have the layout",
        ),
        (
            {
                "RELEASE": structs(
                    [
                        {
                            "annolist": structs([image("a.jpg", 1.0, person([point(16, 1.0, 1.0, "1")]))]),
                            "img_train": 1.0,
                        }
                    ]
                )
            },
            "0 to 15",
        ),
    ],
)
def test_a_mat_of_another_layout_is_refused(tmp_path: Path, content: dict[str, Any], reason: str) -> None:
    (tmp_path / "images").mkdir()
    scipy.io.savemat(tmp_path / MAT, content)
    with pytest.raises(UserError, match=f"{MAT}.*{reason}.*: fetch that release"):
        opened(tmp_path)


def test_missing_and_damaged_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"images is no folder: set data\.root"):
        opened(tmp_path)
    (tmp_path / "images").mkdir()
    with pytest.raises(UserError, match=f"{MAT} is missing"):
        opened(tmp_path)
    (tmp_path / MAT).write_bytes(b"MATLAB 5.0 MAT-file" + b"x" * 400)
    with pytest.raises(UserError, match="no MATLAB 5 file that can be read"):
        opened(tmp_path)
    root = write(tmp_path / "mpii", [image("a.jpg", 1.0, standing()), image("b.jpg", 2.0, standing())])
    with pytest.raises(UserError, match="leaves a split empty"):
        opened(root, val_fraction=0.1)
    (root / "images" / "b.jpg").unlink()
    with pytest.raises(UserError, match=r"b\.jpg is missing, though .* describes it"):
        opened(root)


def as_json(real_data: Path, root: Path, change: Callable[[Any], Any] = lambda records: records) -> Path:
    """A copy of the real subset in which the training split is the changed validation split."""
    shutil.copytree(real_data / "mpii", root)
    records = json.loads((root / "annot" / "valid.json").read_text())
    (root / "annot" / "train.json").write_text(json.dumps(change(records)))
    return root


def test_the_real_subset_loads(real_data: Path, tmp_path: Path) -> None:
    data = opened(as_json(real_data, tmp_path / "mpii"), annotations="json")
    val = data.splits["val"]
    assert data.counts["val/people"] == data.counts["val/images"] == 3
    assert data.counts["val/joints"] == 44
    assert val.joints[0, 1].tolist() == [1032, 648, 2]
    assert val.joints[0, 0].tolist() == [0, 0, 0]
    assert val.centers[0] == pytest.approx([1029, 395 + 15 * 3.139233])
    assert val.head_sizes[0] == pytest.approx(0.75 * np.hypot(1026.998 - 997.002, 281.6248 - 181.3752), rel=1e-5)
    image, target = data.dataset(val, training=False)[(0, 0)]
    assert image.shape == (3, 224, 224)
    assert target["keypoints"][0, 1, :2].tolist() == pytest.approx(
        ((np.array([1032, 648]) - val.centers[0]) * 224 / val.sides[0] + 111.5).tolist(), rel=1e-5
    )


@pytest.mark.parametrize(
    ("distance", "box", "official"),
    [(48.98, (38, 48), 36.73), (126.72, None, 95.04)],  # two officially annotated people
)
def test_heads_of_the_json_format_have_the_official_size(
    tmp_path: Path, distance: float, box: tuple[int, int] | None, official: float
) -> None:
    assert box is None or 0.6 * np.hypot(*box) == pytest.approx(official, abs=0.005)
    joints = [[20.0 + 2 * k, 30.0] for k in range(16)]
    joints[8], joints[9] = [50.0, 170.0], [50.0 + 0.6 * distance, 170.0 - 0.8 * distance]
    (tmp_path / "images").mkdir()
    (tmp_path / "annot").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "a.png"), np.zeros((200, 200, 3), np.uint8))
    record = {"image": "a.png", "center": [90, 90], "scale": 0.5, "joints": joints, "joints_vis": [1] * 16}
    for name in ("train", "valid"):
        (tmp_path / "annot" / f"{name}.json").write_text(json.dumps([record]))
    data = opened(tmp_path, annotations="json")
    assert data.splits["val"].head_sizes[0] == pytest.approx(official, abs=0.01)
    _, target = data.dataset(data.splits["val"], training=False)[(0, 0)]
    assert target["head_size"] == pytest.approx(official * 224 / 125, abs=0.02)  # a crop of 0.5 * 200 * 1.25 pixels


def test_hidden_joints_of_the_json_format_stay_labeled(real_data: Path, tmp_path: Path) -> None:
    def hide(records: Any) -> Any:
        records[0]["joints_vis"][1] = 0
        return records

    joints = read_json(as_json(real_data, tmp_path / "mpii", hide) / "annot" / "train.json").joints
    assert joints[0, :3, 2].tolist() == [0, 1, 2]


def test_each_person_gets_the_right_reason(real_data: Path, tmp_path: Path) -> None:
    def damage(records: Any) -> Any:
        first, second, third = records
        first["center"], second["scale"] = [-1, -1], 0
        third["joints"][0], third["joints_vis"][0] = [0, 0], 0  # how some tools write a joint without label
        third["joints"][1], third["joints_vis"][1] = [0, 0], 1
        return records

    data = MPIIPoseDataModule(str(as_json(real_data, tmp_path / "mpii", damage)), annotations="json")
    found = [(defect.kind, defect.what.split(" of the split")[0]) for defect in data.survey("train").defects]
    assert found == [
        ("joint outside the image", "the right_knee of person 3"),
        ("person without center", "person 1"),
        ("person without scale", "person 2"),
    ]


def test_hidden_points_at_the_origin_are_not_labeled(tmp_path: Path) -> None:
    points = [point(0, 0.0, 0.0, "0"), point(1, 0.0, 0.0, "1"), point(2, 5.0, 0.0, "0")]
    people = read_mat(write(tmp_path, [image("a.jpg", 1.0, person(points, scale=EMPTY))]) / MAT)
    assert people.joints[0, :3, 2].tolist() == [0, 2, 1]
    images = [image(f"{k}.jpg", 1.0 + k, standing(), standing(scale=EMPTY)) for k in (0, 1)]
    data = opened(write(tmp_path / "b" / "c", images))
    assert [defect.kind for defect in data.survey("val").defects] == ["person without scale"]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (
            lambda records: [{**records[0], "joints": records[0]["joints"][:14]}],
            r'record 1 \("051423444.jpg"\) has the joints \[.*, not 16 pairs \[x, y\]; fix',
        ),
        (lambda records: [{key: value for key, value in records[0].items() if key != "scale"}], "lacks 'scale'; fix"),
        (
            lambda records: [{**record, "center": None} for record in records],
            r"has the center null, not \[x, y\] \(2 more records have a fault\); fix",
        ),
        (lambda records: [*records[:2], 5], "record 3 is 5, not an object; fix"),
        (lambda records: [{**records[0], "image": 5}], "has the image 5, not the name of a file"),
        (lambda records: {"annotations": records}, "holds no list of people"),
        (lambda _: [], "holds no list of people"),
        (
            lambda records: [{**record, "joints": [[-1, -1]] * 16} for record in records],
            "leaves nobody in this split: of 3 people, 3 without a labeled joint; fix",
        ),
        (
            lambda records: [{**record, "center": [-1, -1]} for record in records],
            "of 3 people, 3 without a center; fix",
        ),
        (lambda records: [{**record, "scale": 0} for record in records], "of 3 people, 3 without a usable scale; fix"),
        (
            lambda records: [{**record, "joints": [[0.5, 0.2]] * 16} for record in records],
            "3 without a labeled joint, and 48 joints are outside their image or not finite; fix",
        ),
    ],
)
def test_bad_json_is_refused(
    real_data: Path, tmp_path: Path, change: Callable[[Any], Any], reason: str
) -> None:  # fmt: skip
    with pytest.raises(UserError, match=rf"train\.json.*{reason}"):
        opened(as_json(real_data, tmp_path / "mpii", change), annotations="json")


def test_missing_and_unparsable_json_is_named(real_data: Path, tmp_path: Path) -> None:
    root = as_json(real_data, tmp_path / "mpii")
    (root / "annot" / "train.json").write_text("[{")
    with pytest.raises(UserError, match=r"train\.json is not valid JSON"):
        opened(root, annotations="json")
    (root / "annot" / "train.json").unlink()
    with pytest.raises(UserError, match=r"train\.json is missing"):
        opened(root, annotations="json")
