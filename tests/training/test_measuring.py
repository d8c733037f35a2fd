"""The time per image of the networks of a sweep, measured after its runs."""

import json
from pathlib import Path

import pytest
import torch

from lit_cv.errors import UserError
from lit_cv.runs.files import lock, write_json
from lit_cv.runs.structure import unmeasured
from lit_cv.training import measuring
from lit_cv.training.experiment import parsed

SSD = [
    *("fit", "--config", "experiments/quickstart/ssd.yaml", "--trainer.accelerator=cpu"),
    *("--data.shapes.train=4", "--data.shapes.val=2", "--data.shapes.size=64", "--data.batch_size=2"),
    "--model.network.num_classes=4",
]
ARMS = {
    "seed": ["--seed_everything=2"],
    "weight": ["--model.loss_weights.box=3"],
    "control": ["--data.shuffle_targets=true"],
    "wide": ["--model.network.backbone=tiny_vgg"],
    "size": ["--data.shapes.size=96", "--data.root={}/larger"],
}


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Write two groups of finished runs: what is left of them after their checkpoints were deleted."""
    monkeypatch.setattr(measuring.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(measuring, "SECONDS", 0.01)
    for place, changes in [("first/base", []), *((f"second/{name}", words) for name, words in ARMS.items())]:
        folder = tmp_path / place
        folder.mkdir(parents=True)
        changes = [word.format(tmp_path) for word in changes]
        setting = parsed([*SSD, f"--data.root={tmp_path / 'shapes'}", *changes])
        write_json(folder / "config.yaml", json.loads(json.dumps(setting.fit.as_dict(), default=str)))
        write_json(folder / "result.json", {"params": 1})
    return [tmp_path / "first", tmp_path / "second"]


def test_networks_of_equal_structure_are_measured_once(groups: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = groups
    assert unmeasured(second) == sorted(second / name for name in ARMS)
    measuring.measure_groups(groups)
    records = [json.loads((group / "cost.json").read_text()) for group in groups]
    (base,) = records[0]["structures"]
    shared = {tuple(entry["runs"]): entry for entry in records[1]["structures"]}
    assert set(shared) == {("control", "seed", "weight"), ("wide",), ("size",)}
    assert shared["control", "seed", "weight"]["ms"] == base["ms"]
    assert len({entry["key"] for entry in shared.values()} | {base["key"]}) == 3
    assert 0 < base["ms"]["min"] <= base["ms"]["upper"] <= base["ms"]["max"]
    assert base["rounds"] >= 5
    assert (base["precision"], base["weights"]) == ("32-true", "as the experiment starts")
    assert records[0]["hardware"]["threads"] == torch.get_num_threads()
    assert (records[0]["batch"], records[0]["git"].keys()) == (1, {"commit", "dirty"})
    output = capsys.readouterr().out
    assert output.startswith("time per image: measuring 2 networks of 6 runs, in turns and alone\n")
    assert unmeasured(first) == unmeasured(second) == []


def test_two_processes_measure_nothing_at_once(groups: list[Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measuring, "PATIENCE", 0.0)
    with (
        lock(measuring.lock_file(), ""),
        pytest.raises(UserError, match="another process has been measuring on this machine"),
    ):
        measuring.measure_groups(groups[:1])
    assert unmeasured(groups[0]) != []


def test_a_network_that_cannot_be_measured_is_named(groups: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    first, second = groups
    config = json.loads((second / "wide" / "config.yaml").read_text())
    config["trainer"]["precision"] = "64-true"
    write_json(second / "wide" / "config.yaml", config)
    measuring.measure_groups([second])
    assert f"{second / 'wide'} is left out (--trainer.precision=64-true: bench measures" in capsys.readouterr().out
    assert unmeasured(second) == [second / "wide"]
    with pytest.raises(UserError, match="no finished run to measure"):
        measuring.measure_groups([second / "wide"])
    measuring.measure_groups([first], most=0)
    assert "1 networks are not measured; `litcv report" in capsys.readouterr().out
    assert unmeasured(first) != []
