"""`litcv export RUN --network FORM`, and the example beside an ONNX file, which runs without this package."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from lit_cv.cli import main
from lit_cv.commands.export import export_network
from lit_cv.errors import UsageError, UserError
from lit_cv.runs.checkpoints import best_checkpoint
from lit_cv.training.experiment import parsed
from lit_cv.training.measuring import build
from tests.exporting.same_predictions import assert_same

ROOT = Path(__file__).parents[2]
SETTINGS = [
    "--run.wandb=disabled",
    *("--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.accelerator=cpu", "--trainer.callbacks=[]"),
    *("--data.batch_size=2", "--data.shapes.train=2", "--data.shapes.val=2", "--data.shapes.size=64"),
]
ALONE = """
import runpy, sys
sys.modules |= {"torch": None, "lit_cv": None}  # an import of them fails
runpy.run_path(sys.argv.pop(1), run_name="__main__")
"""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run of one step."""
    folder = tmp_path_factory.mktemp("export")
    experiment = ROOT / "experiments/quickstart/localization.yaml"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["fit", str(experiment), *SETTINGS, f"--data.root={folder / 'data'}"]) == 0
    return next((folder / "runs").glob("*/*/result.json")).parent


def test_the_example_beside_the_file_needs_only_onnxruntime_and_opencv(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "mine.onnx"
    assert main(["export", str(run), "--network", "onnx", "--output", str(file)]) == 0
    assert f"network: {file}\nnext: python {file.parent / 'mine_example.py'} {file} IMAGE" in capsys.readouterr().out
    picture = np.random.default_rng(0).integers(0, 256, (50, 70, 3), dtype=np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), picture)
    command = [sys.executable, "-c", ALONE, file.parent / "mine_example.py", file, tmp_path / "a.png"]
    options = ["--draw", tmp_path / "drawn", "--score-threshold=0"]
    done = subprocess.run([*command, *options], capture_output=True, text=True, cwd=tmp_path, check=True)
    said = json.loads(done.stdout)

    checkpoint = best_checkpoint(run)
    network, _ = build(parsed(["fit", "--config", str(run / "config.yaml")]), checkpoint)
    names = torch.load(checkpoint, weights_only=True)["class_names"]
    (expected,) = network.predict([torch.from_numpy(np.ascontiguousarray(picture[..., ::-1].transpose(2, 0, 1)))])
    assert said["file"] == str(tmp_path / "a.png")
    found = {
        "boxes": np.array([one["box"] for one in said["objects"]], np.float32),
        "scores": np.array([one["score"] for one in said["objects"]], np.float32),
        "labels": np.array([1 + names.index(one["class"]) for one in said["objects"]]),
    }
    assert_same(found, expected)
    assert cv2.imread(str(tmp_path / "drawn" / "a.png")).shape == picture.shape


def test_a_program_of_torch_is_in_the_folder_of_the_run(run: Path) -> None:
    assert export_network(run, "torch-export") == run / "network.pt2"
    notes = {"class_names": "", "network": ""}
    program = torch.export.load(run / "network.pt2", extra_files=notes)
    assert json.loads(notes["network"]) == "LocalizationNet"
    assert len(json.loads(notes["class_names"])) == len(program.module()(torch.zeros(3, 30, 40).byte())["labels"])


def test_a_wrong_output_is_refused(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--output .*a.pt: .* ends in \.onnx"):
        export_network(run, "onnx", tmp_path / "a.pt")
    (tmp_path / "a.onnx").mkdir()
    with pytest.raises(UsageError, match=r"--output .*a.onnx: is a folder"):
        export_network(run, "onnx", tmp_path / "a.onnx")


def test_missing_packages_and_runs_are_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UserError, match=r"pip install 'lit-cv\[export\]'"):
        export_network(run, "onnx")
    (run / "checkpoints").rename(run / "gone")
    with pytest.raises(UserError, match="no checkpoint in it"):
        export_network(run, "onnx")
    (run / "gone").rename(run / "checkpoints")
