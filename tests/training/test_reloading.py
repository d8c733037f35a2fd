"""A run as the start of another one, and back in Python."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import lit_cv
from lit_cv.commands.fit import fit
from lit_cv.errors import UserError
from lit_cv.runs.folder import run_folder
from lit_cv.tasks import DetectionTask
from lit_cv.training.lightning_cli import LitCLI

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    root = tmp_path_factory.mktemp("runs")
    trainer = {"accelerator": "cpu", "callbacks": "null", "max_steps": 2, "val_check_interval": 2}
    data = {"root": root / "shapes", "shapes.train": 8, "shapes.val": 4, "shapes.size": 64, "batch_size": 4}
    return [
        "--config=experiments/quickstart/ssd.yaml",
        *(f"--trainer.{key}={value}" for key, value in trainer.items()),
        *(f"--data.{key}={value}" for key, value in data.items()),
        "--model.scheduler=null",
        "--run.wandb=disabled",
        f"--run.root={root}",
    ]


@pytest.fixture(scope="module")
def run(small: list[str]) -> Path:
    fit(["fit", *small], resume=False)
    return run_folder(["fit", *small])


def metrics(args: list[str]) -> dict[str, float]:
    return {name: float(value) for name, value in LitCLI(args).trainer.callback_metrics.items()}


def test_a_run_starts_from_another_and_reads_it_once(tmp_path: Path, run: Path, small: list[str]) -> None:
    copy = tmp_path / "earlier"
    shutil.copytree(run, copy)
    start = f"--model.initial_weights=run:{copy}"
    own = metrics(["validate", f"--config={run / 'config.yaml'}", f"--ckpt_path={run / 'checkpoints/best.ckpt'}"])
    assert metrics(["validate", *small, start]) == own
    args = ["fit", *small, start, "--model.optimizer.lr=1e-3"]
    fit(args, resume=False)
    folder = run_folder(args)
    result = json.loads((folder / "result.json").read_text())
    record = result["initial_weights"]
    assert (record["source"], record["share"], record["fresh"]) == (f"run:{copy}", 1, [])
    assert json.loads((run / "result.json").read_text())["initial_weights"] is None
    shutil.rmtree(copy)
    (folder / "result.json").unlink()
    fit(args, resume=True)
    assert json.loads((folder / "result.json").read_text())["initial_weights"] == record
    assert metrics(
        ["validate", f"--config={folder / 'config.yaml'}", f"--ckpt_path={folder / 'checkpoints/last.ckpt'}"]
    )
    with pytest.raises(UserError, match="give one of them"):
        LitCLI(["fit", *small, start, f"--ckpt_path={run / 'checkpoints/last.ckpt'}"])


def test_a_run_back_in_python(run: Path) -> None:
    network, data = lit_cv.load(run), lit_cv.data(run)
    assert list(network.class_names) == list(data.class_names)
    (images, _) = next(iter(data.val_dataloader()))
    state = torch.load(run / "checkpoints/best.ckpt", weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"network.{name}"]) for name, value in network.state_dict().items())
    array = images[0].permute(1, 2, 0).numpy()
    kinds = [images[0], array, Image.fromarray(array)]
    first, *others = (network.predict([image])[0] for image in kinds)
    assert len(first["boxes"])
    for other in others:
        assert all(torch.equal(first[key], other[key]) for key in first)
    task = DetectionTask.load_from_checkpoint(run / "checkpoints/best.ckpt", network=network)
    assert task.class_names == list(network.class_names)


def test_images_of_other_kinds(tmp_path: Path, run: Path) -> None:
    network, gray = lit_cv.load(str(run)), np.arange(64 * 48, dtype=np.uint8).reshape(64, 48)
    Image.fromarray(gray).save(tmp_path / "gray.png")
    assert torch.equal(lit_cv.image(tmp_path / "gray.png"), torch.from_numpy(gray).expand(3, -1, -1))
    assert torch.equal(network.predict([gray])[0]["boxes"], network.predict([Image.fromarray(gray)])[0]["boxes"])
    for image, said in (
        (str(tmp_path), "give lit_cv.image"),
        (gray / 255, "give uint8 RGB"),
        (gray[None], "uint8 RGB"),
    ):
        with pytest.raises(UserError, match=said):
            network.predict([image])
    with pytest.raises(UserError, match="is no run"):
        lit_cv.load(tmp_path)
    with pytest.raises(UserError, match="there is no such folder"):
        lit_cv.data(run / "nothing")


def test_the_notebook(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = json.loads(Path("docs/notebooks/run_in_python.ipynb").read_text())
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert len(cells) == 5
    shutil.copytree(run, tmp_path / "runs" / "quickstart-ssd" / run.name)
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    for cell in cells:
        exec(compile(cell, "cell", "exec"), names)
    assert names["run"] == Path("runs/quickstart-ssd") / run.name
    assert (tmp_path / "tuned.pth").exists()


def test_the_package_stays_light() -> None:
    code = "import sys, lit_cv; print(lit_cv.__all__, [name for name in ('torch', 'numpy') if name in sys.modules])"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    assert said == "['__version__', 'data', 'image', 'load'] []\n"
