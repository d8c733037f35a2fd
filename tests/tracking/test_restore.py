import csv
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.errors import UserError
from lit_cv.runs.files import read_json
from lit_cv.tracking.restore import restore
from tests.fuzz.wandb_logs import write_logs
from tests.helpers.fake_project import write_run


@pytest.mark.slow
def test_report_from_wandb_equals_report_from_folders(server, sweep_file, monkeypatch, capfd):
    jobs = plan(load_sweep(sweep_file()))
    with monkeypatch.context() as offline:
        offline.setenv("WANDB_MODE", "offline")
        for job in (jobs[0], jobs[1]):
            subprocess.run(job.command, check=True, capture_output=True)
    assert main(["report", "runs/study", "--metric", "val/map_50"]) == 0
    expected = table("runs/study/report")
    for number, job in enumerate((jobs[0], jobs[1])):  # as copied from a cluster
        shutil.copytree(job.folder / "wandb", f"copied/{number}/wandb", symlinks=True)
    assert main(["report", "--wandb", "copied", "--metric", "val/map_50"]) == 0
    assert table("runs/wandb/copied/report") == expected
    ours, theirs = (dict_of_curves(group) for group in ("runs/study", "runs/wandb/copied"))
    assert ours == theirs

    assert main(["sweep", "sweep.yaml", "--sync"]) == 0
    for run in server.runs.values():
        run.sweep = "mine"
    assert main(["report", "--wandb", "tester/lit-cv/mine", "--metric", "val/map_50"]) == 0
    assert table("runs/wandb/mine/report") == expected
    assert dict_of_curves("runs/wandb/mine") == ours


@pytest.mark.slow
def test_equal_runs_of_two_groups_are_two_runs_of_wandb(sweep_file, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_MODE", "offline")
    job = plan(load_sweep(sweep_file()))[0]
    for group in ("study", "again, #2"):
        words = [word.replace("--run.group=study", f"--run.group={group}") for word in job.command]
        subprocess.run(words, check=True, capture_output=True)
    first, second = sorted({log.stem for log in Path("runs").glob("*/*/wandb/*/run-*.wandb")})
    assert first != second
    assert re.fullmatch(rf"run-{job.folder.name}-[0-9a-f]{{6}}", first)
    restored = restore("runs", Path("restored"))
    assert {read_json(file)["group"] for file in restored.glob("*/result.json")} == {"study", "again, #2"}


def table(folder):
    """Return the rows of a report's table with 1.0 as 1, because W&B writes it so."""
    lines = (Path(folder) / "table.csv").read_text().replace("1.0,", "1,").splitlines()
    return list(csv.reader(lines))


def dict_of_curves(group):
    return {run.folder.name: run.curve("val/map_50") for _, run in load_study([Path(group)]).runs}


def test_damaged_log_and_empty_folder_give_one_sentence(tmp_path):
    log = tmp_path / "logs" / "offline-run-20260101_000000-a" / "run-a.wandb"
    log.parent.mkdir(parents=True)
    log.write_bytes(b"this is no log")
    with pytest.raises(UserError, match=r"run-a\.wandb: cannot be read as a log of W&B"):
        restore(str(tmp_path / "logs"), tmp_path)
    log.unlink()
    with pytest.raises(UserError, match="none of its 0 runs has finished"):
        restore(str(tmp_path / "logs"), tmp_path)


def test_a_damaged_result_in_a_log_gives_one_sentence(tmp_path):
    write_run(tmp_path / "study" / "a", group="../..")
    log = tmp_path / "logs" / "offline-run-20260101_000000-a" / "run-a.wandb"
    log.parent.mkdir(parents=True)
    write_logs(log, read_json(tmp_path / "study" / "a" / "result.json"), {}, [])
    words = r"the result of run a: `group` is '\.\./\.\.', not the name of a folder; leave its log out"
    with pytest.raises(UserError, match=words):
        restore(str(tmp_path / "logs"), tmp_path)
