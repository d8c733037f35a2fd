import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.cost import Cost, _around, _validation_batches, _validations, describe, known_cost, timed_cost
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.training.pace import Pace
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


def test_timed_steps_count_start_and_validation_and_leave_no_files(jobs):
    cost = timed_cost(jobs("study", 1000)[:1])
    assert cost.seconds == pytest.approx(
        1002 * 0.5 + 2.0, abs=5
    )  # the first step and one batch of 2 s; the start varies
    assert cost.basis.startswith("timed at 0.5 s per step, 2 s per validation and ")
    assert cost.bytes > 100
    assert not Path("runs").exists()


@pytest.mark.parametrize("steps", [1, 2, 5, 24])
def test_a_schedule_shorter_than_a_short_run_is_timed(jobs, steps):
    (job, *_) = jobs("study", steps)
    assert timed_cost([job]).seconds == pytest.approx((steps + 2) * 0.5 + 2.0, abs=5)
    assert f"--trainer.max_steps={steps}" in job.trial.args


def test_one_run_of_each_structure_is_timed_within_the_bound(jobs):
    found = jobs("study", 100)
    larger = [
        replace(job, trial=replace(job.trial, args=[*job.trial.args, "--model.network.size=128"])) for job in found
    ]
    cost = timed_cost([*found, *larger])
    assert cost.basis.startswith("timed at 0.5 to 1 s per step, ")
    assert cost.seconds == pytest.approx((102 * 0.5 + 102) / 2 + 2.0, abs=5)
    slow = [replace(job, trial=replace(job.trial, args=[*job.trial.args, "--sleep=60"])) for job in larger]
    start = time.monotonic()
    assert timed_cost(slow, 0.5) is None
    cost = timed_cost([*found, *slow], 8.0)
    assert time.monotonic() - start < 30
    assert cost.basis.endswith("; 1 of 2 structures were not timed within 8 s")


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
        timed_cost(jobs("study", None))
    with pytest.raises(UserError, match="failed: ValueError: the learning rate is cursed"):
        timed_cost(jobs("study", 10, fail=True))


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


def test_a_first_dry_run_measures_by_itself_and_not_against_the_will(jobs, capsys):
    jobs("study", 20)
    dry = ["sweep", "sweep.yaml", "--workers=2", "--dry-run"]
    assert main(dry) == 0
    output = capsys.readouterr().out
    assert "No run of this experiment has finished, so a few steps are timed (at most 20 s) ...\n" in output
    assert "2 runs, 0 done; the remaining runs take about 13 s (2 at once, 13 s each timed at 0.5 s per step" in output
    assert not Path("runs").exists()
    assert main([*dry, "--no-measure"]) == 0
    expected = "2 runs, 0 done; cost unknown, because no run of this experiment has finished: --measure times a few"
    assert expected in capsys.readouterr().out
    jobs("study", 20, fail=True)
    assert main(dry) == 0
    reason = "cost unknown, because a run of 6 steps for the estimate failed: ValueError: the learning rate is cursed"
    assert reason in capsys.readouterr().out
    assert main([*dry, "--measure"]) == 1


def test_a_refused_sweep_leaves_no_folder_and_does_not_explain_its_cost(jobs, capsys):
    def refuse(*_):
        raise UserError("no such metric.")

    jobs("study", 20)
    with pytest.raises(UserError, match="no such metric"):
        run_sweep(Path("sweep.yaml"), workers=2, preflight=refuse)
    assert not Path("runs").exists()
    assert capsys.readouterr().out.splitlines() == ["sweep: 2 arms × 1 seed = 2 runs, 0 done"]


def test_the_pace_of_a_run(monkeypatch):
    clock = iter([0.0, 1.0, 4.0, 5.0, 7.0, 8.0, 13.0, 15.0])
    monkeypatch.setattr(time, "monotonic", lambda: next(clock))
    pace = Pace()
    pace.begin()
    pace.step()  # 3 s
    pace.step()  # 1 s
    pace.step()  # 2 s
    pace.begin()
    pace.validated(2)  # 5 s
    pace.step()  # 2 s
    expected = {"first_step": 3.0, "step": 5 / 3, "validation": 5.0, "batches": 2, "total": 13.0}
    assert pace.record() == expected
