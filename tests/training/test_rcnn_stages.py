"""R-CNN runs that are killed in each stage end with exactly the detections of an uninterrupted run."""

from functools import partial
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch

from lit_cv.ablation.executors.processes import Starter
from lit_cv.commands.evaluate import evaluate
from lit_cv.commands.fit import fit
from tests.helpers.killed_run import run

# Maps each stage to the file that shows that it has started and the file that is written at its end.
STAGES = {
    "training": ("metrics.csv", "stages/made_with.txt"),
    "features": ("stages/features.json", "stages/svms.progress"),
    "svms": ("stages/svms.progress", "stages/svms.pt"),
    "box features": ("stages/box_features.json", "stages/boxes.pt"),
    "validation": ("stages/boxes.pt", "result.json"),
}
OPTIONS = [
    "--config=experiments/quickstart/rcnn.yaml",
    "--model.network.size=32",
    "--model.network.padding=2",
    "--model.network.windows=32",
    "--data.shapes.train=24",
    "--data.shapes.val=8",
    "--data.batch_size=2",
    "--trainer.max_steps=12",
    "--trainer.val_check_interval=6",
    "--trainer.log_every_n_steps=1",
    "--run.checkpoint_every=4",
    "--run.wandb=disabled",
    "--run.group=test",
]


def arguments(root: Path) -> list[str]:
    return [*OPTIONS, f"--run.root={root / 'runs'}", f"--data.root={root.parent / 'shapes'}"]


def found(root: Path, file: str) -> list[Path]:
    return list(root.glob(f"runs/test/*/{file}"))


def final(folder: Path) -> dict[str, Any]:
    return torch.load(folder / "checkpoints" / "last.ckpt", weights_only=True)["state_dict"]


def metrics(folder: Path, name: str = "result.json") -> dict[str, float]:
    content = orjson.loads((folder / name).read_bytes())
    return content["metrics"] if name == "result.json" else content


@pytest.mark.slow
def test_run_killed_in_each_stage_and_resumed_ends_bit_identical(tmp_path: Path) -> None:
    roots = [tmp_path / "uninterrupted", tmp_path / "killed"]
    with Starter({}) as starter:
        run(starter, arguments(roots[0]), roots[0])
        for stage, (begun, ended) in STAGES.items():
            assert not run(starter, arguments(roots[1]), roots[1], partial(found, roots[1], begun)), stage
            assert not found(roots[1], ended), stage
        run(starter, arguments(roots[1]), roots[1])
    uninterrupted, folder = (next(root.glob("runs/test/*")) for root in roots)

    weights = final(folder)
    assert weights["network.region_classifiers.svm_trained"]
    assert weights["network.region_classifiers.boxes_trained"]
    for name, value in final(uninterrupted).items():
        assert torch.equal(value, weights[name]), name
    for name, value in metrics(uninterrupted).items():
        assert metrics(folder)[name] == pytest.approx(value, nan_ok=True, abs=0), name
    assert not list(folder.glob("stages/*.f16"))
    log = (tmp_path / "uninterrupted" / "log.txt").read_text()
    assert "features.f16: features of" in log

    # The best checkpoint before the stages would give the detections of the softmax.
    assert not (folder / "checkpoints" / "best.ckpt").exists()
    evaluate("validate", [str(folder), "--trainer.enable_progress_bar=false"])
    for name, value in metrics(folder, "validate.json").items():
        assert value == pytest.approx(metrics(folder)[name], nan_ok=True, abs=1e-6), name


@pytest.mark.slow
def test_stages_work_on_a_network_that_is_not_fine_tuned(tmp_path: Path) -> None:
    root = tmp_path / "fixed"
    args = ["fit", *arguments(root), "--trainer.max_steps=0", "--model.network.box_regression=false"]
    fit(args, resume=False)
    (folder,) = root.glob("runs/test/*")
    weights = final(folder)
    assert weights["network.region_classifiers.svm_trained"]
    assert not weights["network.region_classifiers.boxes_trained"]
    assert metrics(folder)["val/map"] >= 0
