from pathlib import Path
from typing import Any

import lightning as L
import pytest
import torch

from datamodules import Shapes, VisualGenomeDataModule
from lit_cv.errors import UserError
from lit_cv.metrics import DenseCaptionAP
from lit_cv.metrics.facts import SCORE, SHARE
from lit_cv.models import DenseCap
from lit_cv.renderers import PhraseRenderer
from lit_cv.tasks import CaptioningTask

WEIGHTS = {"rpn_objectness": 0.1, "rpn_box": 0.05, "objectness": 0.1, "box": 0.1}  # of the released code
QUIET = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "num_sanity_val_steps": 0}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> VisualGenomeDataModule:
    shapes = Shapes(train=4, val=3, size=64, seed=1)
    root = tmp_path_factory.mktemp("visual_genome")
    return VisualGenomeDataModule(str(root), "shapes", min_count=1, max_words=12, batch_size=2, shapes=shapes)


def task(words: int, **options: Any) -> CaptioningTask:
    L.seed_everything(1, verbose=False)
    network = DenseCap(
        words, embedding=16, hidden=16, backbone="tiny", neck="c4", anchor_scales=[24.0], head_features=32,
        min_size=64, max_size=64, rpn_post_nms_train=20, rpn_post_nms_test=10,
    )  # fmt: skip
    return CaptioningTask(network, **{"meteor": "exact_match_meteor", "loss_weights": WEIGHTS, **options})


def trainer(folder: Path, **options: Any) -> L.Trainer:
    return L.Trainer(
        default_root_dir=folder, accelerator="cpu", devices=1, use_distributed_sampler=False,
        **{**QUIET, "enable_checkpointing": False, **options},
    )  # fmt: skip


def samples(data: VisualGenomeDataModule) -> tuple[list[Any], list[Any]]:
    packed = data.open_split("val")
    dataset = data.dataset(packed, training=False)
    images, targets = zip(*(dataset[(0, index)] for index in range(len(dataset))), strict=True)
    return list(images), list(targets)


@pytest.mark.parametrize("test_boxes", ["found", "given"])
def test_logged_numbers_are_those_of_the_metric(data: Any, tmp_path: Path, test_boxes: str) -> None:
    model = task(len(data.vocabulary), test_boxes=test_boxes)
    (measured,) = trainer(tmp_path).validate(model, data, verbose=False)
    images, targets = samples(data)
    boxes = [target["boxes"] for target in targets]
    found = model.network.describe(images, boxes) if test_boxes == "given" else model.network.predict(images)
    metric = DenseCaptionAP("exact_match_meteor")
    metric.update([{**one, "phrases": data.vocabulary.decode(one["tokens"])} for one in found], targets)
    expected = metric.compute()
    assert {name: measured[f"val/{name}"] for name in expected} == pytest.approx(expected, abs=1e-6)
    assert model.MONITOR == "val/exact_match_densecap_map"
    assert model.MONITOR in measured
    facts = model.logged_metrics()
    assert set(measured) == {name for name in facts if name.startswith("val/")}
    assert (facts["val/exact_match_ap_30_05"], facts["val/exact_match_meteor"]) == (SHARE, SCORE)
    if test_boxes == "given":
        assert measured["val/box_map"] > 0.5  # target boxes that are merged into others do not count
    weighted = sum(model.loss_weights[name] * measured[f"val/{name}"] for name in model.loss_names)
    assert measured["val/loss"] == pytest.approx(weighted, rel=1e-4)
    assert model.loss_weights == {**WEIGHTS, "caption": 1.0}


def test_a_checkpoint_holds_the_vocabulary(data: Any, tmp_path: Path) -> None:
    model = task(len(data.vocabulary))
    loop = trainer(tmp_path, max_steps=1, limit_val_batches=0)
    loop.fit(model, data)
    loop.save_checkpoint(tmp_path / "last.ckpt")
    copy = task(len(data.vocabulary))
    copy.on_load_checkpoint(torch.load(tmp_path / "last.ckpt", weights_only=True))
    copy.load_state_dict(model.state_dict())
    images, _ = samples(data)
    (found, *_), (expected, *_) = copy.predict_step((images, []), 0), model.predict_step((images, []), 0)
    assert found["phrases"] == expected["phrases"]
    assert len(found["phrases"]) == len(found["boxes"]) > 0
    assert set(" ".join(found["phrases"]).split()) <= set(data.vocabulary.words)
    renderer = copy.renderer(0.0)
    assert isinstance(renderer, PhraseRenderer)
    assert renderer.describe(found)["phrases"] == found["phrases"]


def test_a_network_for_another_vocabulary_is_refused(data: Any, tmp_path: Path) -> None:
    words = len(data.vocabulary)
    message = f"vocabulary of {words} words, so the network needs vocabulary_size: {words} instead of {words + 1}"
    with pytest.raises(UserError, match=message):
        trainer(tmp_path).validate(task(words + 1), data, verbose=False)
