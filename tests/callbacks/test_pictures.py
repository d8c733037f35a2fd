import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from lightning.pytorch import Callback, LightningDataModule, LightningModule, Trainer
from lightning.pytorch.loggers import Logger, MLFlowLogger, TensorBoardLogger, WandbLogger
from torch import Tensor, nn
from torch.utils.data import DataLoader

from lit_cv.callbacks.pictures import Pictures
from lit_cv.callbacks.predictions import PredictionWriter, distinct_names
from lit_cv.errors import UserError
from lit_cv.renderers import BoxRenderer
from lit_cv.renderers.canvas import draw_boxes

SIDE = 96
Sample = tuple[Tensor, dict[str, Tensor]]


def sample(index: int) -> Sample:
    boxes = torch.tensor([[10.0, 40, 50, 80]]) if index != 1 else torch.zeros(0, 4)
    labels = torch.full((len(boxes),), 2)
    return torch.full((3, SIDE, SIDE + 10 * index), 30 * index, dtype=torch.uint8), {
        "boxes": boxes,
        "labels": labels,
        "image_id": torch.tensor(index),
    }


class Data(LightningDataModule):
    class_names = ("cat", "dog")

    def __init__(self, paths: list[Path] | None = None) -> None:
        super().__init__()
        self.paths = paths
        self.unreadable: dict[int, str] = {}

    def loader(self) -> DataLoader[Any]:
        return DataLoader(
            [sample(index) for index in range(5)], batch_size=2, collate_fn=lambda rows: tuple(zip(*rows, strict=True))
        )

    train_dataloader = val_dataloader = predict_dataloader = loader


class Detector(LightningModule):
    """Predict every target with score 0.9, and a corner of the image with score 0.1."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def training_step(self, batch: Any, batch_idx: int) -> Tensor:
        return self.weight**2

    def validation_step(self, batch: Any, batch_idx: int) -> list[dict[str, Tensor]]:
        return [
            {
                "boxes": torch.cat([target["boxes"], torch.tensor([[0.0, 0, 8, 8]])]),
                "scores": torch.tensor([0.9] * len(target["boxes"]) + [0.1]),
                "labels": torch.cat([target["labels"], torch.tensor([1])]),
            }
            for target in batch[1]
        ]

    predict_step = validation_step

    def renderer(self, score_threshold: float) -> BoxRenderer:
        return BoxRenderer(("cat", "dog"), score_threshold)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)


def trainer(folder: Path, callback: Callback, logger: Logger | bool = False) -> Trainer:
    return Trainer(
        default_root_dir=folder, callbacks=[callback], logger=logger, max_epochs=2, accelerator="cpu", devices=1,
        enable_progress_bar=False, enable_model_summary=False, enable_checkpointing=False,
    )  # fmt: skip


@pytest.mark.slow
def test_pictures_of_every_validation_are_written_and_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_SILENT", "true")
    logger = WandbLogger(offline=True, save_dir=tmp_path, project="test")
    trainer(tmp_path, Pictures(count=3), logger).fit(Detector(), Data())
    logger.experiment.finish()
    names = sorted(path.name for path in (tmp_path / "pictures").iterdir())
    assert names == [f"{step:06d}_{image_id}.png" for step in (3, 6) for image_id in range(3)]

    picture = cv2.imread(str(tmp_path / "pictures" / names[0]))
    halves = np.array_split(picture[30:], 2, axis=1)
    assert halves[0].any()  # there is a box on black in the ground truth
    assert halves[1].any()  # and in the predictions
    assert not np.array_equal(*halves)  # the predictions have a score behind the name
    empty = cv2.imread(str(tmp_path / "pictures" / names[1]))[30:]
    assert set(np.unique(empty)) == {30, 255}  # no box: the corner has a score of only 0.1

    assert len(list(tmp_path.glob("wandb/offline-run-*/files/media/images/val/pictures/*.png"))) == 6
    boxes = [
        json.loads(path.read_text()) for path in tmp_path.glob("wandb/offline-run-*/files/media/metadata/**/*.json")
    ]
    scores = [row["scores"]["score"] for found in boxes for row in found["box_data"] if "scores" in row]
    assert scores == pytest.approx([0.9] * 4)


@pytest.mark.slow
def test_tensorboard_gets_every_picture(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    trainer(tmp_path, Pictures(count=2), TensorBoardLogger(tmp_path, name="tb")).fit(Detector(), Data())
    (events,) = tmp_path.glob("tb/*/events.*")
    found = EventAccumulator(str(events), size_guidance={"images": 0}).Reload()
    assert sorted(found.Tags()["images"]) == ["val/pictures/0", "val/pictures/1"]
    for number in range(2):
        logged = found.Images(f"val/pictures/{number}")
        assert [event.step for event in logged] == [3, 6]
        for event in logged:
            pixels = cv2.imdecode(np.frombuffer(event.encoded_image_string, np.uint8), cv2.IMREAD_COLOR)
            assert np.array_equal(pixels, cv2.imread(str(tmp_path / f"pictures/{event.step:06d}_{number}.png")))


@pytest.mark.slow
def test_mlflow_gets_every_picture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mlflow")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    logger = MLFlowLogger(experiment_name="test", tracking_uri=f"file:{tmp_path / 'mlruns'}")
    trainer(tmp_path, Pictures(count=2), logger).fit(Detector(), Data())
    found = {file.name: file for file in tmp_path.glob("mlruns/*/*/artifacts/pictures/*.png")}
    assert sorted(found) == [f"{step:06d}_{image_id}.png" for step in (3, 6) for image_id in range(2)]
    assert all(file.read_bytes() == (tmp_path / "pictures" / name).read_bytes() for name, file in found.items())


def test_predictions_are_drawn_and_listed(tmp_path: Path) -> None:
    paths = [tmp_path / "in" / name for name in ("a.jpg", "b.jpg", "b.png", "c.jpg", "d.jpg")]
    out = tmp_path / "out"
    trainer(tmp_path, PredictionWriter(out)).predict(Detector(), Data(paths), return_predictions=False)
    assert sorted(path.name for path in out.iterdir()) == [
        "a.png", "b.jpg.png", "b.png.png", "c.png", "d.png", "predictions.json",
    ]  # fmt: skip
    rows = json.loads((out / "predictions.json").read_text())
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    assert rows[0] == {
        "file": str(paths[0]),
        "boxes": [[10, 40, 50, 80]],
        "scores": [pytest.approx(0.9)],
        "labels": ["dog"],
    }
    assert rows[1]["boxes"] == rows[1]["labels"] == []
    assert cv2.imread(str(out / "a.png")).any()


def test_predictions_never_overwrite_the_images(tmp_path: Path) -> None:
    image = tmp_path / "a.png"
    image.write_bytes(b"precious")
    with pytest.raises(UserError, match="another output folder"):
        trainer(tmp_path, PredictionWriter(tmp_path)).predict(Detector(), Data([image] * 5))
    assert image.read_bytes() == b"precious"


def test_an_unreadable_image_costs_nothing_but_itself(tmp_path: Path) -> None:
    paths = [tmp_path / "in" / f"{name}.png" for name in "abcdef"]
    data = Data(paths)
    data.unreadable = {5: "f.png is truncated: its end is missing."}
    with pytest.raises(
        UserError, match=r"1 of 6 images could not be read; .*/predictions.json has the others.* f.png is"
    ):
        trainer(tmp_path, PredictionWriter(tmp_path / "out")).predict(Detector(), data, return_predictions=False)
    rows = json.loads((tmp_path / "out" / "predictions.json").read_text())
    assert [row["file"] for row in rows] == [str(path) for path in paths]
    assert ["boxes" in row for row in rows] == [True] * 5 + [False]
    assert rows[5]["error"] == data.unreadable[5]


@pytest.mark.parametrize(
    ("files", "names"),
    [
        (["in/a.jpg", "in/a_mask.jpg"], ["a", "a_mask.jpg"]),
        (["in/a_mask.jpg", "in/b/a.jpg", "in/b/a.png"], ["a_mask", "b/a.jpg", "b/a.png"]),
        (["in/a", "in/a.jpg", "in/a.jpg_mask", "in/a.jpg_mask.png"], ["a", "a.jpg", "a.jpg_mask_2", "a.jpg_mask.png"]),
        (["x/photo.v2.jpg", "y/photo.v2.jpg"], ["x/photo.v2", "y/photo.v2"]),
    ],
)
def test_no_drawing_overwrites_another(files: list[str], names: list[str]) -> None:
    found = distinct_names([Path("/photos", file) for file in files], (".png", "_mask.png"))
    written = [f"{name}{suffix}" for name in found for suffix in (".png", "_mask.png")]
    assert len(set(written)) == 2 * len(files)
    assert found == names


def test_boxes_are_drawn_at_their_place_and_small_images_are_enlarged() -> None:
    image = torch.zeros(3, SIDE, 2 * SIDE, dtype=torch.uint8)
    one = draw_boxes(image, torch.tensor([[20.0, 50, 60, 90]]), torch.tensor([1]), ["cat"])
    zoom = one.shape[0] // SIDE
    assert zoom >= 2
    assert one.shape == (zoom * SIDE, zoom * 2 * SIDE, 3)
    assert not image.any()  # the batch is not changed
    for x, y, drawn in ((20, 70, True), (59.5, 70, True), (40, 89.5, True), (40, 70, False), (100, 70, False)):
        assert one[int(y * zoom), int(x * zoom)].any() == drawn
    assert one[: 50 * zoom].any()  # the name above the box
    other = draw_boxes(image, torch.tensor([[20.0, 50, 60, 90]]), torch.tensor([2]), ["cat", "dog"])
    assert (one[70 * zoom, 20 * zoom] != other[70 * zoom, 20 * zoom]).any()
    large = draw_boxes(torch.zeros(3, 500, 800, dtype=torch.uint8), torch.zeros(0, 4), torch.zeros(0).long(), [])
    assert large.shape == (500, 800, 3)
    assert not large.any()


def test_an_unwritable_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write the picture"):
        trainer(tmp_path, PredictionWriter(tmp_path / "file")).predict(Detector(), Data([tmp_path / "x" / "a.jpg"] * 5))
