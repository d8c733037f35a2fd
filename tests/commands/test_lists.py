"""`litcv list` and `litcv completion`."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torchvision

from lit_cv.cli import main

ROOT = Path(__file__).parents[2]


def listed(capsys: pytest.CaptureFixture[str], *args: str) -> str:
    assert main(["list", *args]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("kind", "names"),
    [
        ("networks", ["MaskRCNN", "FCN", "SlidingWindowDetector", "DenseCap"]),
        ("tasks", ["DetectionTask", "SegmentationTask", "PoseTask"]),
        ("datamodules", ["COCOKeypointDataModule", "MPIIPoseDataModule", "VOCSegmentationDataModule"]),
        ("backbones", ["resnet50", "efficientnet_b0", "timm/<name>"]),
        ("experiments", ["experiments/quickstart/ssd.yaml", "experiments/voc/ssd_squeezenet.yaml"]),
        ("sweeps", ["sweeps/quickstart.yaml", "sweeps/lecture/upsampling.yaml"]),
    ],
)
def test_every_kind_is_listed(
    kind: str, names: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    found = [line.split()[0] for line in listed(capsys, kind).splitlines() if line[:1].strip()]
    assert set(names) <= set(found)
    assert not {"Network", "Detector", "Task", "DataModule"} & set(found)
    if kind == "experiments":
        assert len(found) == len(list(ROOT.glob("experiments/*/*.yaml")))
    if kind == "backbones":
        assert set(found) & set(torchvision.models.list_models())


def test_metrics_are_those_of_the_experiment(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    text = listed(capsys, "metrics", "experiments/quickstart/mask_rcnn.yaml")
    assert "val/mask_map_50 " in text
    assert "val/ap/<class>" in text
    assert "oks" not in text


def test_metrics_need_an_experiment_and_the_others_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "metrics"]) == 2
    assert main(["list", "networks", "experiments/quickstart/ssd.yaml"]) == 2
    assert "litcv list metrics CONFIG" in capsys.readouterr().err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_each_shell(shell: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", shell]) == 0
    assert "litcv" in capsys.readouterr().out


def test_verbs_and_options_are_completed(tmp_path: Path) -> None:
    def completed(line: str) -> set[str]:
        out = tmp_path / "out"
        variables = {"_ARGCOMPLETE": "1", "_ARGCOMPLETE_STDOUT_FILENAME": str(out), "IFS": "\n"}
        variables |= {"COMP_LINE": line, "COMP_POINT": str(len(line)), "_ARGCOMPLETE_IFS": "\n"}
        subprocess.run(
            [sys.executable, "-c", "from lit_cv.cli import main; main()"], env={**os.environ, **variables}, cwd=ROOT
        )
        return {word.strip() for word in out.read_text().split("\n")}

    assert {"validate"} <= completed("litcv va")
    assert {"--dry-run"} <= completed("litcv sweep --dr")
    assert {"networks"} <= completed("litcv list net")
