from pathlib import Path

import numpy as np
import pytest

from datamodules import VOCDetectionDataModule
from lit_cv.cli import main
from lit_cv.training.experiment import parsed
from lit_cv.training.from_data import data_module

ROOT = Path(__file__).parents[2]
FAST_RCNN = "experiments/quickstart/fast_rcnn.yaml"
SSD = "experiments/quickstart/ssd.yaml"


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("LITCV_CACHE", str(tmp_path / "cache"))


def small(tmp_path: Path) -> list[str]:
    return [f"--data.root={tmp_path}", "--data.shapes={train: 4, val: 2, size: 48}", "--data.proposals.mode=single"]


def test_proposals_are_computed_once_and_their_folder_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    # the file of the network's weights does not exist and is not needed
    args = ["proposals", FAST_RCNN, *small(tmp_path), f"--model.network.weights={tmp_path / 'none.pth'}"]
    assert main(args) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("train: 4 images, 4 computed now in ")
    assert lines[2].startswith("val: 2 images, 2 computed now in ")
    folders = [Path(line.strip()) for line in lines[1::2]]
    boxes = [np.load(folder / "boxes.npy") for folder in folders]
    assert lines[0].endswith(f", {len(boxes[0]) / 4:.0f} boxes per image")
    assert main(args) == 0
    assert "train: 4 images, 0 computed now" in capsys.readouterr().out

    data = data_module(parsed(["fit", "--config", FAST_RCNN, *small(tmp_path)]).fit)
    assert isinstance(data, VOCDetectionDataModule)
    assert [found.computed for found in data.prepare_proposals().values()] == [0, 0]


def test_stale_proposals_are_replaced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["proposals", FAST_RCNN, *small(tmp_path)]) == 0
    first, second = sorted((tmp_path / "VOCdevkit" / "VOC2012" / "JPEGImages").glob("*.jpg"))[:2]
    first.write_bytes(second.read_bytes())
    fit = ["fit", "--config", FAST_RCNN, *small(tmp_path), f"--run.root={tmp_path}", "--run.wandb=disabled"]
    assert main([*fit, "--trainer.accelerator=cpu"]) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("litcv: error: The proposals ")
    assert "run" not in {path.name for path in tmp_path.rglob("result.json")}
    assert main(["proposals", FAST_RCNN, *small(tmp_path)]) == 0
    assert "computed now" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["proposals"], 2, "CONFIG"),
        (
            ["proposals", FAST_RCNN, "--data.proposals.mode=sloppy"],
            2,
            "data.proposals.mode: expects one of single, fast, quality, not sloppy.",
        ),
        (
            ["proposals", FAST_RCNN, "--data.proposals.limit=0"],
            2,
            "data.proposals.limit: 0 is out of its range; give a number >0.",
        ),
        (["proposals", FAST_RCNN, "--data.proposal.mode=fast"], 2, "proposal"),
        (["proposals", "experiments/none.yaml"], 1, "experiments/none.yaml: there is no such file"),
        (["proposals", SSD], 1, "attaches no proposals: set data.proposals"),
        (["proposals", FAST_RCNN, "--data.source=local", "--data.root=none"], 1, "none holds no VOCdevkit folder"),
    ],
    ids=lambda value: " ".join(value[1:]) if isinstance(value, list) else None,
)
def test_user_errors_are_one_sentence(
    args: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        found = main(args)
    except SystemExit as exit_:
        found = int(exit_.code or 0)
    assert found == code
    text = capsys.readouterr().err.strip()
    assert sentence in text
    assert len(text.splitlines()) == 1


def test_settings_reach_an_experiment_without_proposals() -> None:
    args = ["fit", "--config", SSD]
    assert parsed(args).fit.data.init_args.proposals is None
    data = data_module(parsed([*args, "--data.proposals.mode=quality", "--data.proposals.limit=7"]).fit)
    assert isinstance(data, VOCDetectionDataModule)
    assert data.proposals is not None
    assert (data.proposals.mode, data.proposals.limit) == ("quality", 7)
