import os
import signal
import subprocess
import sys
import time
import uuid
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.executors.local import LocalExecutor, Slot, slots
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from tests.helpers.fake_project import COMMAND, PROGRAM, runner_command


def accept(trials, metric):
    """Accept all trials: a preflight without objections."""


@pytest.fixture
def project(tmp_path, monkeypatch):
    """Return a function that writes an experiment and a sweep of 2 arms × 2 seeds to the working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def write(settings=None, **parameters):
        Path("experiment.yaml").write_text(yaml.safe_dump({"model": {"lr": 0.1}, **(settings or {})}))
        content = {
            "method": "grid",
            "metric": {"name": "val/map_50", "goal": "maximize"},
            "command": ["${env}", *COMMAND],
            "parameters": {
                "model.lr": {"values": [0.5, 0.25]},
                "seed_everything": {"values": [1, 2]},
                **parameters,
            },
        }
        Path("sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return Path("sweep.yaml")

    return write


def test_a_sweep_runs_once_and_saves_its_plan(project, capsys):
    file, seen = project(), []
    code = run_sweep(file, workers=2, preflight=lambda trials, metric: seen.append((trials, metric)))
    output = capsys.readouterr().out
    assert code == 0
    assert "2 arms × 2 seeds = 4 runs, 0 done" in output
    assert "lr=0.5, seed 1: finished" in output
    ((trials, metric),) = seen
    assert (metric.name, metric.goal) == ("val/map_50", "maximize")
    assert trials[0][-2:] == ["--model.lr=0.5", "--seed_everything=1"]
    saved = read_json(Path("runs/study/sweep.json"))
    assert saved["swept"] == ["model.lr"]
    assert [arm["values"] for arm in saved["arms"]] == [{"model.lr": 0.5}, {"model.lr": 0.25}]
    assert {run["id"] for arm in saved["arms"] for run in arm["runs"]} == {p.parent.name for p in results()}
    assert Path("runs/study/sweep.yaml").read_text() == file.read_text()

    assert run_sweep(file, workers=2, preflight=lambda *_: pytest.fail("nothing is left to be checked")) == 0
    assert "4 runs, 4 done" in capsys.readouterr().out
    assert starts() == [1, 1, 1, 1]


def results():
    return sorted(Path("runs/study").glob("*/result.json"))


def starts():
    return [len(file.read_text().splitlines()) for file in Path("runs/study").glob("*/starts.txt")]


def test_dry_run_prints_commands_and_an_estimate_and_writes_nothing(project, capsys):
    file = project()
    assert run_sweep(file, workers=1, dry_run=True, preflight=accept) == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 5
    assert lines[1].startswith(f"/usr/bin/env {sys.executable} {PROGRAM} fit --config experiment.yaml")
    assert lines[1].endswith("--model.lr=0.5 --seed_everything=1 --resume")
    assert not Path("runs").exists()
    run_sweep(file, workers=2, preflight=accept)
    results()[0].unlink()
    capsys.readouterr()
    run_sweep(file, workers=1, dry_run=True, preflight=accept)
    assert (
        "3 done; the remaining runs take about 60 s (1 at once, 60 s each as in 3 earlier runs)"
        in capsys.readouterr().out
    )


def test_a_failing_run_is_reported_and_does_not_stop_the_others(project, capsys):
    file = project(fail={"values": [True, False]})
    assert run_sweep(file, workers=2, preflight=accept) == 1
    output = capsys.readouterr().out
    assert "lr=0.5, fail=true, seed 1: FAILED, exit code 3; log: runs/study/" in output
    assert "    ValueError: the learning rate is cursed" in output
    assert "4 of 8 runs finished" in output
    assert len(results()) == 4
    (record, *_) = [read_json(path) for path in Path("runs/study").glob("*/failed.json")]
    assert (record["code"], record["reason"]) == (3, "exit code 3")

    assert run_sweep(file, workers=2, preflight=lambda *_: pytest.fail("nothing is to be run")) == 1
    output = capsys.readouterr().out
    assert "lr=0.5, fail=true, seed 1: left out, it failed at" in output
    assert "4 runs that failed before are left out; --retry-failed runs them again." in output
    assert "8 runs, 4 done" in output
    project({"repaired": True}, fail={"values": [True, False]})  # another experiment: new runs that have not failed
    assert run_sweep(file, workers=2, dry_run=True, preflight=accept) == 0
    assert "8 runs, 0 done" in capsys.readouterr().out


def test_retry_failed_repeats_only_the_failed_runs(project, capsys):
    file = project(fail={"values": [True, False]}, **{"model.lr": {"value": 0.5}, "seed_everything": {"value": 1}})
    assert run_sweep(file, workers=2, preflight=accept) == 1
    assert run_sweep(file, workers=2, retry_failed=True, preflight=accept) == 1
    assert sorted(starts()) == [1, 2]
    assert run_sweep(file, workers=2, preflight=accept) == 1
    assert sorted(starts()) == [1, 2]


@pytest.mark.slow
def test_a_killed_run_is_reported_with_the_signal_and_leaves_no_process(project, capsys):
    marker = uuid.uuid4().hex
    one = {"model.lr": {"value": 0.5}, "seed_everything": {"value": 1}}
    file = project({"sleep": 60, "child": True, "marker": marker}, **one)

    def kill():
        wait_until(lambda: processes(marker))
        run = next(pid for pid in processes("fake_project.py fit") if "guard.py" not in command_line(pid))
        os.kill(run, signal.SIGKILL)

    with ThreadPoolExecutor() as threads:
        killed = threads.submit(kill)
        assert run_sweep(file, workers=1, preflight=accept) == 1
        killed.result()
    assert "FAILED, killed by SIGKILL (exit code 137)" in capsys.readouterr().out
    wait_until(lambda: not processes(marker))


@pytest.mark.slow
def test_killing_the_guard_ends_its_run(project, capsys):
    file = project({"sleep": 60}, **{"model.lr": {"value": 0.5}, "seed_everything": {"value": 1}})

    def kill():
        wait_until(lambda: list(Path("runs").glob("*/*/starts.txt")))
        os.kill(
            next(pid for pid in processes("fake_project.py fit") if "guard.py" in command_line(pid)), signal.SIGKILL
        )

    with ThreadPoolExecutor() as threads:
        killed = threads.submit(kill)
        assert run_sweep(file, workers=1, preflight=accept) == 1
        killed.result()
    wait_until(lambda: not processes("fake_project.py fit"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may mount a small disk")
def test_a_full_disk_fails_only_its_own_run_with_one_sentence(project, capsys):
    file = project(**{"seed_everything": {"value": 1}})
    full = plan(load_sweep(file))[0].folder
    full.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", full], check=True)
    try:
        (full / "ballast").write_bytes(bytes(64 << 10))
        assert run_sweep(file, workers=1, preflight=accept) == 1
        output = capsys.readouterr().out
        assert f"lr=0.5, seed 1: FAILED, the disk of {full} is full; free some space" in output
        assert "lr=0.25, seed 1: finished" in output
        (full / "ballast").unlink()
        assert run_sweep(file, workers=1, retry_failed=True, preflight=accept) == 0
    finally:
        subprocess.run(["umount", full], check=True)


def test_preflight_stops_the_sweep_before_any_run(project):
    def refuse(trials, metric):
        raise UserError("experiment.yaml: has no model.lr")

    with pytest.raises(UserError, match=r"has no model\.lr"):
        run_sweep(project(), workers=1, preflight=refuse)
    assert not list(Path("runs").glob("*/*/*"))


@pytest.mark.slow
def test_kill_minus_9_of_the_runner_ends_its_children_and_the_next_call_finishes(project):
    marker = uuid.uuid4().hex
    project({"sleep": 0.4, "child": True, "marker": marker})
    runner = subprocess.Popen(runner_command(workers=2), stdout=subprocess.DEVNULL)
    wait_until(lambda: results() and len(processes(marker)) >= 2)
    with pytest.raises(UserError, match="another `litcv sweep` is running in runs/study"):
        run_sweep(Path("sweep.yaml"), workers=1, preflight=accept)
    runner.send_signal(signal.SIGKILL)
    runner.wait()
    wait_until(lambda: not processes("fake_project.py fit --config experiment.yaml"))
    done_before = Counter(file.parent.name for file in results())
    assert 0 < len(done_before) < 4
    assert run_sweep(Path("sweep.yaml"), workers=2, preflight=accept) == 0
    assert len(results()) == 4
    for name in done_before:
        assert (Path("runs/study") / name / "starts.txt").read_text() == "start\n"
    for pid in processes(marker):  # children of successful runs are not ended by the runner
        os.kill(pid, signal.SIGKILL)


@pytest.mark.slow
def test_killing_the_runner_ends_grandchildren(project):
    marker = uuid.uuid4().hex
    project({"sleep": 30, "child": True, "marker": marker})
    runner = subprocess.Popen(runner_command(workers=2), stdout=subprocess.DEVNULL)
    wait_until(lambda: len(processes(marker)) == 2)
    runner.kill()
    runner.wait()
    wait_until(lambda: not processes(marker))


@pytest.mark.slow
def test_ctrl_c_ends_everything_and_says_how_to_continue(project):
    marker = uuid.uuid4().hex
    project({"sleep": 30, "child": True, "marker": marker})
    runner = subprocess.Popen(
        runner_command(workers=2),
        stdout=subprocess.PIPE,
        text=True,
        # background processes of a shell ignore Ctrl-C, and so would their children
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    wait_until(lambda: len(processes(marker)) == 2)
    runner.send_signal(signal.SIGINT)
    output, _ = runner.communicate(timeout=60)
    assert runner.returncode == 1
    assert "The same command continues" in output
    wait_until(lambda: not processes(marker))


def wait_until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.02)


def processes(text):
    """Return the ids of live processes whose command line contains the text."""
    pids = [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]
    return [pid for pid in pids if text in command_line(pid)]


def command_line(pid):
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:  # it has ended
        return ""


def test_workers_get_groups_of_gpus_and_share_them_if_there_are_more_workers():
    pairs = [Slot("GPU 0,1", {"CUDA_VISIBLE_DEVICES": "0,1"}), Slot("GPU 2,3", {"CUDA_VISIBLE_DEVICES": "2,3"})]
    assert slots(2, ["0", "1", "2", "3"], 2) == pairs
    assert [slot.name for slot in slots(3, ["4", "7"], 1)] == ["GPU 4", "GPU 7", "GPU 4"]


def test_one_worker_per_group_of_visible_gpus(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4")
    assert LocalExecutor(gpus_per_run=2).workers == 2
    with pytest.raises(UserError, match="only 5 GPUs are visible"):
        LocalExecutor(gpus_per_run=6)
    with pytest.raises(UserError, match="at least 1"):
        LocalExecutor(workers=0)


def test_several_runs_on_each_gpu(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3")
    assert LocalExecutor(gpus_per_run=2, runs_per_gpu=3).workers == 6
    with pytest.raises(UserError, match="leave out --workers"):
        LocalExecutor(workers=2, runs_per_gpu=3)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(UserError, match="no GPU is visible; give --workers"):
        LocalExecutor(runs_per_gpu=3)


def test_equal_failures_are_shown_once_and_end_a_sweep_that_has_no_result(project, capsys):
    file = project({"fail": True}, **{"model.lr": {"values": [1, 2, 3, 4, 5]}})
    assert run_sweep(file, workers=1, preflight=accept) == 1
    output = capsys.readouterr().out
    assert output.count("ValueError: the learning rate is cursed") == 1
    assert output.count("FAILED, as lr=1, seed 1 above; log: runs/study/") == 2
    assert "The first 3 runs failed with the same error, so the others were not started." in output
    assert len(list(Path("runs/study").glob("*/failed.json"))) == 3

    assert run_sweep(file, workers=1, preflight=accept) == 1
    output = capsys.readouterr().out
    assert output.count("left out, it failed at") == 3
    assert "(exit code 3: ValueError: the learning rate is cursed)" in output


def test_only_the_last_attempt_tells_why_a_run_failed(project, capsys):
    one = {"model.lr": {"value": 0.5}, "seed_everything": {"value": 1}}
    file = project({"fail": True}, **one)
    log = plan(load_sweep(file))[0].folder / "log.txt"
    log.parent.mkdir(parents=True)
    log.write_text("litcv: error: an earlier reason\n")
    assert run_sweep(file, workers=1, preflight=accept) == 1
    output = capsys.readouterr().out
    assert "earlier reason" not in output
    assert "    ValueError: the learning rate is cursed" in output
