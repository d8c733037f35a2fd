import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.cost import Cost, describe, known_cost, timed_cost
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from tests.helpers.fake_project import PROGRAM


@pytest.fixture
def jobs(tmp_path, monkeypatch):
    """Return a function that makes the jobs of a sweep; each run has ``steps`` steps of 0.5 s."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def make(group, steps, **settings):
        Path("experiment.yaml").write_text(yaml.safe_dump({"model": {"lr": 0.1}, "step_seconds": 0.5, **settings}))
        command = [sys.executable, PROGRAM, "fit", "--config", "experiment.yaml", f"--run.group={group}", "${args}"]
        steps = {"trainer.max_steps": {"value": steps}} if steps else {}
        parameters = {"model.lr": {"values": [0.5, 0.25]}, "seed_everything": {"value": 1}, **steps}
        content = {"method": "grid", "command": command, "parameters": parameters}
        Path("sweep.yaml").write_text(yaml.safe_dump(content))
        return plan(load_sweep(Path("sweep.yaml")))

    return make


def test_the_cost_scales_with_the_steps_of_earlier_runs_in_any_group(jobs):
    assert known_cost(jobs("first", 100)) is None
    run_sweep(Path("sweep.yaml"), workers=2, preflight=lambda *_: None)
    cost = known_cost(jobs("second", 1000))
    assert cost.seconds == pytest.approx((5 + 100 * 0.5) * 10)
    assert cost.bytes == sum(file.stat().st_size for file in Path("runs/first").glob("*/*")) / 2
    assert cost.basis == "as in 2 earlier runs"


def test_timed_steps_exclude_the_start_and_leave_no_files(jobs):
    cost = timed_cost(jobs("study", 1000)[0])
    assert cost.seconds == pytest.approx(15 + 1000 * 0.5)
    assert cost.bytes > 100
    assert not Path("runs").exists()


def test_failing_or_unknown_steps_give_one_sentence(jobs):
    with pytest.raises(UserError, match=r"max_steps is not set.*set it"):
        timed_cost(jobs("study", None)[0])
    with pytest.raises(UserError, match="failed: ValueError: the learning rate is cursed"):
        timed_cost(jobs("study", 10, fail=True)[0])


def test_the_cost_in_words(tmp_path):
    words = describe(Cost(1800, 2e9, "as in 3 earlier runs"), 9, 4, 0.5, tmp_path / "runs" / "study")
    assert words.startswith(
        "the remaining runs take about 90 min (4 at once, 30 min each as in 3 earlier runs), 2.2 GPU-hours, "
    )
    assert "18 GB of the disk, which has " in words


def test_a_dry_run_can_measure(jobs, capsys):
    jobs("study", 1000)
    assert run_sweep(Path("sweep.yaml"), workers=2, dry_run=True, measure=True, preflight=lambda *_: None) == 0
    expected = (
        "2 runs, 0 done; the remaining runs take about 9 min "
        "(2 at once, 9 min each timed at 0.5 s per step, without validation)"
    )
    assert expected in capsys.readouterr().out
