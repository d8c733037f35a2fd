"""The record that a finished run leaves."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml

from lit_cv.cli import main
from lit_cv.commands.evaluate import evaluate, predict
from lit_cv.commands.fit import fit
from lit_cv.errors import UserError
from lit_cv.predictions.files import Predictions
from lit_cv.tasks import DetectionTask

pytestmark = pytest.mark.slow
SSD = ["fit", "--config", "experiments/quickstart/ssd.yaml", "--run.wandb=disabled"]
SHORT = ["--data.shapes.train=4", "--data.shapes.val=2", "--data.batch_size=2"]
SHORT += ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.log_every_n_steps=1"]


class TaskWithoutMap(DetectionTask):
    METRICS = {}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("runs")
    fit([*SSD, *SHORT, f"--data.root={root / 'data'}", f"--run.root={root}"], resume=False)
    return next(root.glob("quickstart-ssd/*"))


def test_the_number_of_classes_is_recorded_so_that_it_predicts_without_the_data(run: Path, tmp_path: Path) -> None:
    config = yaml.safe_load((run / "config.yaml").read_text())
    assert config["model"]["init_args"]["network"]["init_args"]["num_classes"] == 4
    kept = Predictions.open(run / "predictions" / "val")
    evaluate("validate", [str(run)])
    again = Predictions.open(run / "predictions" / "val")
    assert again.meta == kept.meta == Predictions.open(run / "predictions" / "val_best").meta
    output = ["--output", str(tmp_path / "again.json")]
    assert main(["evaluate", str(again.folder), str(run / "config.yaml"), *output]) == 0
    measured, scored = (json.loads(file.read_text()) for file in (run / "validate.json", tmp_path / "again.json"))
    assert measured.items() >= scored.items()
    assert measured.keys() - scored.keys() == {"val/loss", "val/class", "val/box"}
    (tmp_path / "images").mkdir()
    cv2.imwrite(str(tmp_path / "images" / "gray.png"), np.full((64, 64, 3), 128, np.uint8))
    predict(run, tmp_path / "images", tmp_path / "found", score_threshold=0.0)
    assert (tmp_path / "found" / "predictions.json").exists()


def test_the_frames_of_a_video_are_predicted_with_their_numbers(run: Path, tmp_path: Path) -> None:
    video = tmp_path / "clip.avi"
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter.fourcc(*"MJPG"), 10, (64, 48))
    for shade in (0, 120, 240):
        writer.write(np.full((48, 64, 3), shade, np.uint8))
    writer.release()
    predict(run, video, tmp_path / "found", score_threshold=0.6)
    found = Predictions.open(tmp_path / "found" / "predict")
    assert (found.image_ids.tolist(), found.names[2]) == ([0, 1, 2], "clip.avi/000002")
    assert found[0]["scores"].min() < 0.6  # all scores, not only those that are drawn
    document = json.loads((tmp_path / "found" / "coco.json").read_text())
    assert [image["id"] for image in document["images"]] == [0, 1, 2]
    assert len(document["annotations"]) == sum(len(one["scores"]) for one in found)
    first, boxes = document["annotations"][0], found[0]["boxes"].double()
    assert first["bbox"] == [*boxes[0, :2].tolist(), *(boxes[0, 2:] - boxes[0, :2]).tolist()]
    assert sorted(path.name for path in (tmp_path / "found").glob("*.png")) == [f"{n:06d}.png" for n in range(3)]
    video.write_bytes(b"no video")
    with pytest.raises(UserError, match=r"clip.avi: OpenCV decodes no frame of it"):
        predict(run, video, tmp_path / "found", score_threshold=0.3)


def test_numbers_with_test_time_augmentation_are_kept_apart(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evaluate("validate", [str(run)])
    plain = (run / "validate.json").read_bytes()
    evaluate("validate", [str(run)], tta="{}")
    assert "test-time augmentation: mirrored, scales 1\n" in capsys.readouterr().out
    evaluate("validate", [str(run), "--model.tta.flip=true"])
    assert (run / "validate.json").read_bytes() == plain
    augmented = json.loads((run / "validate_tta.json").read_text())
    assert augmented.pop("tta") == {"flip": True, "scales": [1.0]}
    assert augmented.keys() == json.loads(plain).keys()
    assert augmented["val/loss"] == json.loads(plain)["val/loss"]  # losses are those of the image itself
    metas = [
        json.loads((run / folder / "val" / "meta.json").read_text()) for folder in ("predictions", "predictions_tta")
    ]
    assert [meta.get("tta") for meta in metas] == [None, {"flip": True, "scales": [1.0]}]
    with pytest.raises(UserError, match=r"model.tta.scales: SSD takes images of one size only"):
        evaluate("validate", [str(run)], tta="{scales: [0.5, 1.0]}")


def test_unit_and_direction_of_every_metric_are_recorded(run: Path) -> None:
    result = json.loads((run / "result.json").read_text())
    facts = result["metric_facts"]
    assert set(facts) == set(result["metrics"]) - {"train/lr"}
    assert facts["val/ap/circle"] == {"percent": True, "higher_is_better": True}
    assert facts["val/map_50"] == {"percent": True, "higher_is_better": True, "trivial": 0.01}
    assert -1.0 not in result["metrics"].values()  # sizes that do not occur are left out
    assert facts["val/loss"] == facts["train/box"] == {"percent": False, "higher_is_better": False}
    assert (result["best"]["metric"], result["best"]["mode"]) == ("val/map", "max")


def test_a_setting_that_a_network_refuses_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"^anchor_ratios has 1 lists: SSD needs at least two maps, one list each\.$"):
        fit([*SSD, "--model.network.anchor_ratios=[[2]]", f"--data.root={tmp_path}", f"--run.root={tmp_path}"], False)


def test_a_task_without_its_monitored_metric_is_refused(tmp_path: Path) -> None:
    task = f"--model={__name__}.TaskWithoutMap"
    with pytest.raises(UserError, match=r"^TaskWithoutMap: MONITOR is val/map, which METRICS does not name"):
        fit([*SSD, *SHORT, task, f"--data.root={tmp_path / 'data'}", f"--run.root={tmp_path}"], False)
