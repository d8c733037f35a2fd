import re
from pathlib import Path
from typing import Any

import orjson
import pytest
import torch
from torch import nn

from lit_cv.bench import cost as bench
from lit_cv.cli import main
from lit_cv.runs.folder import run_folder

ROOT = Path(__file__).parents[2]
FASTER_RCNN = "experiments/quickstart/faster_rcnn.yaml"
NUMBER = r"(\d+\.\d+)"


@pytest.fixture(autouse=True)
def in_the_project(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Return options for a few generated images."""
    root = tmp_path_factory.mktemp("bench") / "shapes"
    return [f"--data.root={root}", "--data.shapes.train=2", "--data.shapes.val=3", "--data.batch_size=2"]


def rows(text: str) -> dict[str, float]:
    """Return the milliseconds per image of each stage from the printed table."""
    return {name: float(number) for name, number in re.findall(rf"\| (\w+) +\| +{NUMBER} \|", text)}


def test_stages_sum_to_the_total_in_the_table_and_in_the_file(
    small: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "new" / "cost.json"
    options = [*small, "--images", "3", "--repeats=2", "--trainer.accelerator=cpu", f"--json={file}"]
    assert main(["bench", FASTER_RCNN, *options]) == 0
    text = capsys.readouterr().out
    table = rows(text)
    assert list(table) == ["proposals", "backbone", "heads", "NMS", "rest", "total"]
    assert sum(table.values()) - table["total"] == pytest.approx(table["total"], abs=0.04)
    assert all(value > 0 for value in table.values())

    result = orjson.loads(file.read_bytes())
    assert (result["network"], result["images"], result["repeats"]) == ("FasterRCNN", 3, 2)
    assert sum(result["stages"].values()) == pytest.approx(result["total"])
    assert 1000 * result["total"] == pytest.approx(table["total"], abs=0.01)
    gflops, params, trained, memory = map(
        float,
        re.search(
            rf"{NUMBER} GFLOPs/image · {NUMBER} M parameters \({NUMBER} M trained\) · peak memory {NUMBER} GB", text
        ).groups(),
    )
    assert gflops == pytest.approx(result["gflops"], abs=0.01)
    assert params == trained == pytest.approx(result["params"] / 1e6, abs=0.01)
    assert 0.1 < memory < 10
    assert memory == pytest.approx(result["peak_memory_gb"], abs=0.01)
    assert text.rstrip().endswith(str(file))


def test_overrides_reach_the_network(small: list[str], tmp_path: Path) -> None:
    costs = []
    for size in (64, 128):
        file = tmp_path / f"{size}.json"
        change = ["--model.network.size", str(size), "--trainer.precision=bf16-mixed"]
        options = ["--images=1", "--repeats=1", "--json", str(file), "--trainer.accelerator=cpu"]
        assert main(["bench", "experiments/quickstart/ssd.yaml", *small, *change, *options]) == 0
        costs.append(orjson.loads(file.read_bytes()))
    assert costs[1]["gflops"] > 3 * costs[0]["gflops"]
    assert costs[0]["precision"] == "bf16-mixed"


@pytest.mark.parametrize("name", ["fcn", "full_resolution_fcn", "sliding_window_segmenter", "localization"])
def test_networks_of_other_tasks_have_a_backbone_and_heads(name: str, small: list[str], tmp_path: Path) -> None:
    file = tmp_path / "cost.json"
    options = [*small, "--images=1", "--repeats=1", "--trainer.accelerator=cpu", f"--json={file}"]
    assert main(["bench", f"experiments/quickstart/{name}.yaml", *options]) == 0
    stages = orjson.loads(file.read_bytes())["stages"]
    assert min(stages["backbone"], stages["heads"], stages["rest"]) > 0
    assert stages["proposals"] == stages["nms"] == 0


@pytest.mark.slow
def test_a_run_is_measured_with_its_trained_weights(
    small: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = [*small, f"--run.root={tmp_path}", "--run.wandb=disabled", "--trainer.accelerator=cpu"]
    steps = ["--trainer.max_steps=1", "--trainer.val_check_interval=1", "--trainer.callbacks=[]"]
    args = ["fit", "--config", "experiments/quickstart/ssd.yaml", *options, *steps]
    assert main(args) == 0
    folder, file = run_folder(args), tmp_path / "cost.json"
    networks = []

    measure = bench.measure

    def measured(network: nn.Module, *rest: Any) -> bench.Cost:
        networks.append(network)
        return measure(network, *rest)

    monkeypatch.setattr(bench, "measure", measured)
    assert main(["bench", str(folder), "--images=1", "--repeats=1", f"--json={file}"]) == 0
    checkpoint = folder / "checkpoints" / "best.ckpt"
    assert orjson.loads(file.read_bytes())["weights"] == str(checkpoint)
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    assert all(torch.equal(value, state[f"network.{key}"]) for key, value in networks[0].state_dict().items())


@pytest.mark.parametrize(
    ("args", "code", "sentence"),
    [
        (["experiments/none.yaml"], 1, "experiments/none.yaml: there is no such file"),
        (["experiments"], 1, "experiments: no checkpoint in it"),
        ([FASTER_RCNN, "--images=0"], 2, "--images 0 --repeats 5: give at least 1 of each"),
        ([FASTER_RCNN, "--model.network.backbne=x"], 2, "backbne"),
        ([FASTER_RCNN, "--trainer.accelerator=tpu"], 1, "--trainer.accelerator=tpu: bench measures on cpu and gpu"),
        ([FASTER_RCNN, "--trainer.precision=64-true"], 1, "--trainer.precision=64-true: bench measures 32-true"),
        ([FASTER_RCNN, "--data.source=local", "--data.root=none"], 1, "none holds no VOCdevkit"),
    ],
    ids=["file", "folder", "images", "option", "accelerator", "precision", "data"],
)
def test_user_errors_are_one_sentence(
    args: list[str], code: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["bench", *args]) == code
    text = capsys.readouterr().err.strip()
    assert sentence in text
    assert len(text.splitlines()) == 1


def test_other_verbs_refuse_unknown_options(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "runs/none", "--data.root=x"]) == 2
    assert "litcv report: there is no option --data.root=x" in capsys.readouterr().err
