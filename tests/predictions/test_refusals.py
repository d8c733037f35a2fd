"""Predictions that do not fit are refused in one sentence."""

import json
import resource
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import hotcoco
import numpy as np
import pytest
import yaml
from numpy.typing import NDArray

from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.predictions.files import Predictions, write_predictions
from lit_cv.predictions.records import ImageRecord
from tests.helpers import small_coco
from tests.predictions.guesses import EXPERIMENTS, ROOT, evaluated, experiment, scored_again

RESULT = {"image_id": 2, "category_id": 7, "bbox": [1, 2, 3, 4], "score": 0.5}
POLYGON = {"image_id": 1, "category_id": 3, "segmentation": [small_coco.SQUARE], "score": 1}


@pytest.fixture(scope="module")
def coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An experiment on two images of 40x30 pixels with the ids 1 and 2 and categories 3 and 7."""
    folder = tmp_path_factory.mktemp("coco")
    small_coco.write(folder / "data", [small_coco.record(1)])
    name, _ = EXPERIMENTS["instances"]
    content = yaml.safe_load((ROOT / "experiments" / "quickstart" / f"{name}.yaml").read_text())
    settings = {"root": str(folder / "data"), "source": "local", "batch_size": 2}
    content["data"] = {"class_path": "datamodules.COCOInstanceDataModule", "init_args": settings}
    (folder / "config.yaml").write_text(yaml.safe_dump(content))
    return folder


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([RESULT, RESULT | {"image_id": 99}], "result 1 has image_id 99, but the data has 1, 2, ...;"),
        ([RESULT | {"category_id": 1}], "result 0 has category_id 1, but the data has 3, 7, ...;"),
        ([RESULT | {"score": float("nan")}], "result 0 has score nan, not a finite number"),
        ([RESULT | {"score": None}], "result 0 has score None, not a finite number"),
        ([RESULT | {"bbox": [1, 2, -3, 4]}], "result 0 has bbox [1, 2, -3, 4], not [x, y, width, height]"),
        ([RESULT | {"bbox": "1 2 3 4"}], "not [x, y, width, height]"),
        ([POLYGON | {"segmentation": {"size": [4, 4], "counts": [16]}}], "RLE of a mask of 30x40 pixels"),
        ([POLYGON | {"segmentation": {"size": [30, 40], "counts": [7]}}], "RLE of a mask of 30x40 pixels"),
        ([{"image_id": 1, "category_id": 3, "keypoints": [1, 2, 1], "score": 1}], "DataModule with joint_names"),
        ([RESULT, POLYGON], "only some results have bbox, result 1 differs"),
        ([{"image_id": 1, "category_id": 3, "score": 1.0}], "result 0 has no bbox, segmentation or keypoints"),
        ([{"id": 1}], "no bbox, segmentation or keypoints"),
        ([7], "has no bbox, segmentation or keypoints"),
        ([], "holds no result"),
        ({"images": []}, "holds no list of results"),
    ],
)
def test_a_wrong_results_file_is_refused(rows: Any, said: str, coco: Path, tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    file.write_text(json.dumps(rows))
    with pytest.raises(UserError) as refusal:
        scored_again(file, coco)
    assert said in str(refusal.value)
    assert str(file) in str(refusal.value) or "joint_names" in said


def test_results_in_each_form_of_mask_are_right(coco: Path, tmp_path: Path) -> None:
    columns = [155, *[10, 20] * 9, 10, 1200 - 155 - 280]
    packed = hotcoco.mask.encode(np.asfortranarray(square()))
    texts = {"size": [30, 40], "counts": packed["counts"].decode()}
    for shape in ([small_coco.SQUARE], {"size": [30, 40], "counts": columns}, texts):
        file = tmp_path / "results.json"
        file.write_text(json.dumps({"annotations": [POLYGON | {"segmentation": shape}]}))
        scores = scored_again(file, coco)
        assert scores["val/mask_ap/dog"] == scores["val/ap/dog"] == pytest.approx(1)


def square() -> NDArray[np.uint8]:
    mask = np.zeros((30, 40), dtype=np.uint8)
    mask[5:15, 5:15] = 1
    return mask


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("boxes")
    evaluated("detection", folder)
    return folder


def changed(folder: Path, place: Path, edit: Callable[[dict[str, Any]], Any]) -> Path:
    own = Predictions.open(folder / "predictions" / "val")
    meta = dict(own.meta)
    edit(meta)
    records = [ImageRecord(int(n), tuple(own.sizes[i].tolist()), own._record(i)) for i, n in enumerate(own.image_ids)]
    write_predictions(place, records[: meta.pop("kept", None)], meta.pop("names", own.names), meta)
    return place


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (lambda meta: meta.update(class_names=["a", "b"]), "is of the classes a, b, but the data has circle, square"),
        (
            lambda meta: meta.update(names=[f"{n}.jpg" for n in range(9)]),
            "is of other images: image 0 is 0.jpg, the val data has",
        ),
        (lambda meta: meta.update(kept=4, names=[]), "has no prediction for VOCdevkit"),
        (lambda meta: meta.update(tasks=["PoseTask"]), "its predictions are those of PoseTask, but"),
        (lambda meta: meta.update(split="predict"), "is of pictures without targets"),
        (lambda meta: meta.update(split="test"), "No test data is configured"),
    ],
)
def test_predictions_of_something_else_are_refused(
    edit: Callable[[dict[str, Any]], Any], said: str, boxes: Path, tmp_path: Path
) -> None:
    def edit_names(meta: dict[str, Any]) -> None:
        edit(meta)
        if meta.get("names") == []:
            meta["names"] = Predictions.open(boxes / "predictions" / "val").names[: meta["kept"]]

    place = changed(boxes, tmp_path / "val", edit_names)
    with pytest.raises(UserError) as refusal:
        scored_again(place, boxes)
    assert said in str(refusal.value)


def test_another_task_a_damaged_folder_and_no_folder_are_refused(
    boxes: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other, folder = experiment("segmentation", tmp_path), tmp_path / "val"
    kept = boxes / "predictions" / "val"

    def said(path: Path, config: Path) -> str:
        assert main(["evaluate", str(path), str(config)]) == 1
        (line,) = capsys.readouterr().err.strip().splitlines()
        return line

    assert "its predictions are those of GuessedDetection, but the experiment has a GuessedSegm" in said(kept, other)
    named = f"{boxes}: is no folder of predictions; give one, such as {boxes}/predictions/val."
    assert named in said(boxes, boxes / "config.yaml")
    assert "there is no such file or folder" in said(tmp_path / "none", other)
    changed(boxes, folder, lambda meta: None)
    (folder / "scores.npy").write_bytes(b"")
    assert "val: is damaged (" in said(folder, boxes / "config.yaml")


def test_a_disk_that_refuses_is_one_sentence_and_keeps_the_older_predictions(boxes: Path, tmp_path: Path) -> None:
    place = changed(boxes, tmp_path / "val", lambda meta: None)
    before = {file.name: file.read_bytes() for file in place.iterdir()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    former = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (200, hard))  # of each file
        with pytest.raises(UserError, match=r"val: the predictions cannot be written: file too large"):
            changed(boxes, place, lambda meta: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, former)
    assert {file.name: file.read_bytes() for file in place.iterdir()} == before
    assert [path.name for path in tmp_path.iterdir()] == ["val"]
