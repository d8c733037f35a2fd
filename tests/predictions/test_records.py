"""Predictions of every form are stored exactly; others are named, and stop no evaluation."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import hotcoco
import numpy as np
import pytest
import torch
from lit_cv.training.kept_predictions import KeptPredictions

from lit_cv.ops.mask_runs import decode_masks
from lit_cv.ops.objects import masks_of
from lit_cv.predictions.files import Predictions, write_predictions
from lit_cv.predictions.records import ImageRecord, Unkept, to_record

META = {"split": "val", "class_names": ["a"], "tasks": ["DetectionTask"], "weights": "0", "data": None, "step": 1}
SIZE = (7, 5)  # width and height


def stored(folder: Path, *founds: dict[str, Any]) -> Predictions:
    records = [ImageRecord(number, SIZE, to_record(found, SIZE)) for number, found in enumerate(founds)]
    write_predictions(folder / "val", records, [f"{number}.png" for number in range(len(founds))], META)
    return Predictions.open(folder / "val")


def test_masks_in_every_form_and_images_without_objects_come_back(tmp_path: Path) -> None:
    dense = torch.zeros(2, 5, 7, dtype=torch.bool)
    dense[0, 1:4, 2:6] = True
    texts = [hotcoco.mask.encode(np.asfortranarray(mask.numpy().astype(np.uint8))) for mask in dense]
    forms = [{"masks": dense}, {"masks": texts}, {"masks": dense[:0]}, {"masks": dense[1:].byte()}]
    wanted = [dense, dense, dense[:0], dense[1:]]
    for found, mask in zip(stored(tmp_path, *forms), wanted, strict=True):
        assert torch.equal(decode_masks(masks_of(found)), mask.byte())


def test_labels_take_a_byte_and_texts_keep_every_character(tmp_path: Path) -> None:
    labels = [torch.tensor([1, 255]), torch.tensor([], dtype=torch.int64), torch.tensor([7])]
    phrases = [["ein\nÄpfel", ""], [], ["猫"]]
    scores = [
        torch.tensor([0.1, 1 / 3], dtype=torch.float64),
        torch.zeros(0, dtype=torch.float64),
        torch.ones(1).double(),
    ]
    rows = [{"labels": a, "phrases": b, "scores": c} for a, b, c in zip(labels, phrases, scores, strict=True)]
    opened = stored(tmp_path, *rows)
    assert np.load(opened.folder / "labels.npy").dtype == np.uint8
    for found, row in zip(opened, rows, strict=True):
        assert found["phrases"] == row["phrases"]
        for name in ("labels", "scores"):
            assert torch.equal(found[name], row[name])
            assert found[name].dtype == row[name].dtype


@pytest.mark.parametrize(
    ("found", "said"),
    [
        (torch.zeros(3), "a prediction is a Tensor, not a dictionary"),
        ({"seconds": 0.5}, "seconds is no tensor with rows and no list of text"),
        ({"boxes": torch.zeros(2, 4), "scores": torch.zeros(3)}, "have different lengths, {'boxes': 2, 'scores': 3}"),
        ({"masks": torch.zeros(1, 5, 5, dtype=torch.bool)}, "a mask of (5, 5) is in an image of (5, 7)"),
        ({"masks": torch.zeros(1, 5, 7)}, "masks are torch.float32"),
    ],
)
def test_predictions_of_another_form_are_named_once_and_stop_no_evaluation(
    found: Any, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(Unkept) as refusal:
        to_record(found, SIZE)
    assert said in str(refusal.value)
    alone = SimpleNamespace(reduce_boolean_decision=lambda decision, all: decision)
    trainer: Any = SimpleNamespace(sanity_checking=False, strategy=alone, state=SimpleNamespace(stage="validate"))
    task: Any = None
    kept, batch = KeptPredictions(tmp_path), ([torch.zeros(3, 5, 7)], [{"image_id": torch.tensor(0)}])
    for _ in range(2):
        kept.on_validation_batch_end(trainer, task, [found], batch, 0)
    kept.on_validation_end(trainer, task)
    kept.keep_best()
    assert capsys.readouterr().out.count("note: the predictions are not kept as files: ") == 1
    assert not list(tmp_path.iterdir())
