import sys
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.cost import Cost, _around, _validation_batches, _validations, describe, known_cost, timed_cost
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
    assert cost.seconds == pytest.approx(1000 * 0.5, abs=5)  # the process starts and ends before its claimed seconds
    assert cost.bytes > 100
    assert not Path("runs").exists()


@pytest.mark.parametrize("steps", [1, 2, 3, 5])
def test_a_schedule_shorter_than_the_short_runs_is_timed(jobs, steps):
    (job, *_) = jobs("study", steps)
    assert timed_cost(job).seconds == pytest.approx(steps * 0.5 if steps > 1 else 0, abs=5)
    assert f"--trainer.max_steps={steps}" in job.trial.args


def test_the_number_and_length_of_validations(jobs):
    (job, *_) = jobs("study", 100, **{"trainer.val_check_interval": 30, "data.batch_size": 4})
    assert _validations(job, 100) == 4
    assert _validation_batches(job, {"data": {"counts": {"train/images": 7, "val/images": 10}}}) == 3
    (job, *_) = jobs("study", 100, **{"trainer.limit_val_batches": 2})
    assert (_validations(job, 100), _validation_batches(job, {"data": {"counts": {"val/images": 100}}})) == (1, 2)


def test_the_time_around_the_steps_counts(jobs):
    assert _around({"fit_seconds": 50.0, "started": "2026-01-01T00:00:00Z", "finished": "2026-01-01T00:01:05Z"}) == 15
    assert _around({"fit_seconds": 50.0}) == 0


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
    output = capsys.readouterr().out
    assert (
        "2 runs, 0 done; the remaining runs take about 8 min (2 at once, 8 min each timed at 0.5 s per step" in output
    )


def test_a_first_dry_run_says_why_it_knows_no_cost(jobs, capsys):
    jobs("study", 1000)
    assert run_sweep(Path("sweep.yaml"), workers=2, dry_run=True, preflight=lambda *_: None) == 0
    expected = "2 runs, 0 done; cost unknown, because no run of this experiment has finished: --measure times a few"
    assert expected in capsys.readouterr().out
