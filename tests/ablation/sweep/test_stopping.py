from pathlib import Path

import pytest

from lit_cv.ablation.sweep import stopping
from lit_cv.ablation.sweep.hyperband import make_hyperband
from lit_cv.ablation.sweep.jobs import FixedQueue, Job
from lit_cv.ablation.sweep.sweep_file import Metric, Trial
from lit_cv.runs.files import read_curve

RULE = make_hyperband({"type": "hyperband", "min_iter": 2, "eta": 2})


@pytest.fixture
def make_job(tmp_path):
    """Return a function that makes a job and logs values of its metric, one at every tenth step."""

    def make(name, *values):
        job = Job(Trial([], [], {}), tmp_path / name, name)
        job.folder.mkdir()
        rows = [f"{10 * step},0,{key},{value}" for step, v in enumerate(values) for key, value in (("m", v), ("n", 0))]
        (job.folder / "metrics.csv").write_text("\n".join(["step,epoch,name,value", *rows]) + "\n")
        return job

    return make


def asked(*jobs):
    return [job.label for job in jobs if (job.folder / "stop").exists()]


def test_runs_below_the_rung_are_asked_to_stop(make_job, monkeypatch, capsys):
    former, good, bad = make_job("former", 0.5, 0.6), make_job("good", 0.1, 0.9), make_job("bad", 0.3, 0.2)
    young = make_job("young", 0.0)
    queue = stopping.EarlyTermination(FixedQueue([]), RULE, Metric("m", "maximize"), [former])
    queue.watch([good, bad, young])
    assert asked(former, good, bad, young) == ["bad"]
    assert "bad: is asked to stop" in capsys.readouterr().out
    with (young.folder / "metrics.csv").open("a") as log:
        log.write("10,1,m,0.1\n")
    queue.watch([good, bad, young])
    assert asked(young) == []  # the queue checks every two seconds
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 0.0)
    queue.watch([good, bad, young])
    assert asked(former, good, bad, young) == ["bad", "young"]
    assert "bad" not in capsys.readouterr().out  # no run is asked twice


def test_a_curve_has_one_value_per_step_and_ignores_an_incomplete_line(tmp_path):
    file = tmp_path / "metrics.csv"
    file.write_text("step,epoch,name,value\n10,0,m,1.0\n20,0,m,2.0\n20,0,other,9.0\n10,0,m,3.0\n30,0,m,4")
    assert read_curve(tmp_path, "m") == {10: 3.0, 20: 2.0}


def test_a_run_without_a_log_has_no_history(make_job):
    job = make_job("new")
    Path(job.folder / "metrics.csv").unlink()
    queue = stopping.EarlyTermination(FixedQueue([]), RULE, Metric("m", "maximize"), [])
    queue.watch([job])
    assert asked(job) == []
