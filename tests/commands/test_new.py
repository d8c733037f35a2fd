"""`litcv new` writes experiments and sweeps that every task accepts, and overwrites nothing."""

import shlex
from pathlib import Path

import pytest
import torch
import yaml

from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.starters.pretrained import weights_for
from lit_cv.training.preflight import check_trials

Console = pytest.CaptureFixture[str]
LAYOUTS = {
    "voc": ("detection", "segmentation"),
    "coco": ("instances", "pose"),
    "lsp": ("pose",),
    "visual_genome": ("captioning",),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for layout in LAYOUTS:
        assert main(["shapes", layout, str(folder / layout), "--train", "4", "--val", "2", "--size", "64"]) == 0
    return folder


@pytest.mark.parametrize(("layout", "task"), [(layout, task) for layout, tasks in LAYOUTS.items() for task in tasks])
def test_every_task_has_a_start_that_is_accepted(
    layout: str, task: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    monkeypatch.chdir(tmp_path)
    chosen = ["--task", task] if len(LAYOUTS[layout]) > 1 else []  # it may be left out if only one fits
    assert main(["new", str(data / layout), *chosen, "--weights", "none"]) == 0
    printed = [shlex.split(line) for line in capsys.readouterr().out.partition("next:\n")[2].splitlines()]
    assert [words[1] for words in printed] == ["fit", "predict", "sweep", "report"]
    assert any(Path(printed[1][3]).iterdir())
    sweep = load_sweep(Path(printed[2][2]))
    trials = sweep.trials()
    assert len(trials) == 6
    assert sweep.metric is not None
    check_trials([trial.args for trial in trials[:2]], sweep.metric.name)
    trainer = yaml.safe_load(Path(printed[0][2]).read_text())["trainer"]
    assert trainer["val_check_interval"] <= 60 <= trainer["max_steps"]


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["coco"], "can serve detection, instances, pose: choose one with --task"),
        (["voc", "--task", "captioning"], "cannot serve captioning: choose --task detection or segmentation"),
        (["lsp", "--weights", "none.pth"], "--weights: there is no file none.pth"),
        (["lsp", "--task", "poses"], "there is no poses; did you mean pose?"),
        (["none"], "does not exist"),
        ([], "name a folder of data, or an experiment to copy with --like"),
        (["--like", "voc/ssd_squeeznet"], "did you mean voc/ssd_squeezenet"),
        (["--like", "quickstart", "other"], "a sweep keeps its name"),
        (["--like", "voc/ssd_squeezenet", "--weights", "none"], "--weights is for data of your own"),
    ],
)
def test_a_mistake_is_one_sentence_and_writes_nothing(
    args: list[str], said: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    monkeypatch.chdir(tmp_path)
    names = {layout: str(data / layout) for layout in (*LAYOUTS, "none")}
    assert main(["new", *(names.get(arg, arg) if number == 0 else arg for number, arg in enumerate(args))]) != 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert said in lines[0]
    assert not list(tmp_path.iterdir())


def test_no_file_is_overwritten(data: Path, tmp_path: Path, capsys: Console) -> None:
    (tmp_path / "bees_sweep.yaml").write_text("mine")
    assert main(["new", str(data / "lsp"), "--name", "bees", "--out", str(tmp_path), "--weights", "none"]) == 1
    assert main(["new", "--like", "voc/ssd_squeezenet", "bees_sweep", "--out", str(tmp_path)]) == 1
    assert capsys.readouterr().err.count("bees_sweep.yaml exists and is not overwritten") == 2
    assert [(file.name, file.read_text()) for file in tmp_path.iterdir()] == [("bees_sweep.yaml", "mine")]


def test_a_shipped_sweep_comes_with_its_experiments(tmp_path: Path, capsys: Console) -> None:
    for name in ("quickstart", "quickstart_control"):  # of the same experiment
        assert main(["new", "--like", name, "--out", str(tmp_path)]) == 0
    files = {str(file.relative_to(tmp_path)) for file in tmp_path.rglob("*.yaml")}
    names = ("sweeps/quickstart", "sweeps/quickstart_control", "experiments/quickstart/faster_rcnn")
    assert files == {f"{name}.yaml" for name in names}
    assert main(["new", "--like", "faster_rcnn_anchors", "--out", str(tmp_path)]) == 0
    assert (tmp_path / "sweeps/published/faster_rcnn_anchors.csv").exists()
    assert "litcv sweep sweeps/quickstart.yaml" in capsys.readouterr().out
    assert main(["new", "--like", "lecture/upsampling", "--out", str(tmp_path)]) == 0
    assert "litcv sweep sweeps/lecture/upsampling.yaml" in capsys.readouterr().out
    assert (tmp_path / "experiments/quickstart/fcn.yaml").exists()


def test_weights_that_cannot_be_had_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = torch.hub.get_dir()
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")  # nobody answers there
    try:
        torch.hub.set_dir(tmp_path)
        wanted = weights_for("squeezenet1_0", None)
        assert wanted.value == "null"
        assert "is not in" in wanted.reason
        assert "cannot be reached" in wanted.reason
        assert weights_for("squeezenet1_0", "imagenet") == ("imagenet", "")
        (tmp_path / "checkpoints").mkdir()
        (tmp_path / "checkpoints/squeezenet1_0-b66bff10.pth").touch()
        assert weights_for("squeezenet1_0", None) == ("imagenet", "")
    finally:
        torch.hub.set_dir(before)


def test_the_reason_is_in_the_experiment_and_on_the_console(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Console
) -> None:
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    before = torch.hub.get_dir()
    try:
        torch.hub.set_dir(tmp_path / "hub")
        assert main(["new", str(data / "lsp"), "--out", str(tmp_path)]) == 0
    finally:
        torch.hub.set_dir(before)
    assert "note: training starts from random weights" in capsys.readouterr().err
    (line,) = (line for line in (tmp_path / "lsp.yaml").read_text().splitlines() if "weights:" in line)
    assert "null  # squeezenet1_0-b66bff10.pth is not in" in line
