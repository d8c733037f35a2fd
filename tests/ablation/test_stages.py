"""``litcv sweep --resolve``: seeds are added by Stein's rule, and the report keeps the intervals of the first stage."""

import csv
import json
import shutil
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.executors.local import LocalExecutor
from lit_cv.ablation.stages import Goal
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UsageError, UserError
from tests.helpers.fake_project import COMMAND, change, write_run

NOISE = {0.5: (0.00, 0.01, 0.02), 0.25: (0.02, 0.01, 0.00)}  # of the first three seeds; the differences spread by 0.02
HALF = 4.302653 * 0.02 / 3**0.5  # t(0.975, 2) · s / √n = 0.0497


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """Write a sweep of two arms and three seeds; return its file. Later runs have their learning rate as score."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")

    def write(finished=True, score=lambda lr, seed: lr + NOISE[lr][seed - 1], **changes):
        Path("experiment.yaml").write_text("model: {lr: 0.1}\ntrainer: {max_steps: 200}\n")
        parameters = {"model.lr": {"values": [0.5, 0.25]}, "seed_everything": {"values": [1, 2, 3]}}
        metric = {"name": "val/map_50", "goal": "maximize"}
        content = {"method": "grid", "metric": metric, "command": COMMAND, "parameters": parameters} | changes
        Path("sweep.yaml").write_text(yaml.safe_dump(content))
        if finished:
            for job in plan(load_sweep(Path("sweep.yaml"))):
                lr, seed = job.trial.values["model.lr"], job.trial.seed
                write_run(job.folder, seed=seed, score=score(lr, seed), command=job.trial.args,
                          config={"model": {"lr": lr}, "trainer": {"max_steps": 200}})  # fmt: skip
        return Path("sweep.yaml")

    return write


def resolve(file, width, most, **options):
    return run_sweep(file, workers=1, preflight=lambda *_: None, goal=Goal(width, most), **options)


def seeds_of(group="runs/study"):
    record = json.loads(Path(group, "sweep.json").read_text())
    return [run["seed"] for run in record["arms"][1]["runs"]], record.get("stages")


def test_seeds_are_added_until_the_interval_is_narrow(sweep, capsys, monkeypatch):
    file = sweep()
    execute = LocalExecutor.execute
    assert resolve(file, 4.0, 12, dry_run=True) == 0
    dry = capsys.readouterr().out
    told = "--resolve 4: with 3 seeds, intervals are ± 4.97 wide (percent points of val/map_50); ± 4 needs 5 seeds. "
    assert told + "Stage 2 of 2: seeds 4 to 5 of all 2 arms, 4 runs." in dry.replace("\n", " ")
    assert "the remaining runs take about 4 min" in dry  # as the six finished runs
    assert not Path("runs/study/sweep.json").exists()

    def killed(self, queue):
        queue.take()
        raise KeyboardInterrupt

    monkeypatch.setattr(LocalExecutor, "execute", killed)
    assert resolve(file, 4.0, 12) == 1
    monkeypatch.setattr(LocalExecutor, "execute", execute)
    capsys.readouterr()
    assert run_sweep(file, workers=1, preflight=lambda *_: None) == 0  # without --resolve it continues as well
    assert "2 arms × 5 seeds = 10 runs, 6 done" in capsys.readouterr().out
    assert resolve(file, 4.0, 12) == 0
    assert "every interval is at most ± 3.85 wide, as wanted." in capsys.readouterr().out.replace("\n", " ")
    assert seeds_of()[0] == [1, 2, 3, 4, 5]
    with pytest.raises(UserError, match="its seeds were counted with --resolve 4, and a width that is chosen after"):
        resolve(file, 3.0, 12)

    assert main(["report", "runs/study"]) == 0
    assert (
        "The number of seeds follows from the spread of the first 3 by Stein's two-stage rule, for intervals of "
        "val/map_50 of at most ± 4.0 points. So all intervals use the spread of seeds 1, 2, 3 alone."
    ) in (output := capsys.readouterr().out)
    assert "This is from the spread of all seeds; the intervals are from that of the first 3." in output
    row = list(csv.DictReader(Path("runs/study/report/table.csv").read_text().splitlines()))[1]
    assert float(row["high"]) - float(row["difference"]) == pytest.approx(HALF * (3 / 5) ** 0.5, rel=1e-5)
    shutil.copytree("runs/study", "runs/other")
    assert main(["report", "runs/study", "runs/other", "--force"]) == 0
    assert "take the intervals from the report of study alone." in capsys.readouterr().out


def test_a_limit_is_obeyed_and_may_be_raised(sweep, capsys):
    file = sweep()
    assert resolve(file, 1.0, 4) == 0
    output = capsys.readouterr().out.replace("\n", " ")
    assert "± 1 needs 75 seeds, but --max-seeds allows 4, for ± 4.3. Stage 2 of 2: seeds 4 to 4 of all 2 arms" in output
    assert "every interval is at most ± 4.3 wide, not ± 1, which needs 75 seeds." in output
    seeds, stages = seeds_of()
    assert (seeds, stages["first"], stages["needed"]) == ([1, 2, 3, 4], [1, 2, 3], 75)
    assert resolve(file, 1.0, 5, dry_run=True) == 0
    assert "Stage 2 of 2: seeds 4 to 5" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--max-seeds 2: the first stage has 3 seeds; give at least 3"):
        resolve(file, 1.0, 2)


def test_a_first_stage_is_run_first(sweep, capsys):
    file = sweep(finished=False)
    assert resolve(file, 1.0, 4, dry_run=True) == 0
    output = capsys.readouterr().out.replace("\n", " ")
    assert "Stage 1 of 2: the 6 runs of the file; their spread counts the seeds of stage 2, at most 4 in all" in output
    assert "so at most 8 runs" in output
    with pytest.raises(UserError, match="the differences between arms are the same at every seed"):
        resolve(file, 1.0, 4)  # the fake runs have no spread
    assert "2 arms × 3 seeds = 6 runs" in capsys.readouterr().out


REFUSED = {
    "a search": ({"method": "random", "run_cap": 4}, "a random search has one run of each trial"),
    "one arm": ({"parameters": {"model.lr": {"value": 0.5}, "seed_everything": {"values": [1, 2]}}}, "it has one arm"),
    "no seeds": ({"parameters": {"model.lr": {"values": [0.5, 0.25]}}}, "the spread needs at least two seeds"),
    "one seed": (
        {"parameters": {"model.lr": {"values": [0.5, 0.25]}, "seed_everything": {"value": 1}}},
        "the spread needs at least two seeds",
    ),
    "no metric": ({"metric": None}, "it has no `metric`"),
    "left out": ({"run_cap": 5}, "run_cap: 5 leaves out runs"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_sweeps_without_a_first_stage_are_refused(sweep, kind):
    changes, expected = REFUSED[kind]
    with pytest.raises(UserError, match=f"^sweep.yaml: --resolve 1: {expected}"):
        resolve(sweep(finished=False, **changes), 1.0, 4)


def test_a_first_stage_with_a_diverged_run_is_refused(sweep):
    file = sweep()
    change(plan(load_sweep(file))[3].folder, metrics={"val/map_50": None})
    with pytest.raises(UserError, match=r"val/map_50 of lr=0\.25, seed 2 is missing or not finite"):
        resolve(file, 1.0, 4)


def test_unfinished_runs_of_another_executor_are_refused(sweep, monkeypatch):
    monkeypatch.setattr(LocalExecutor, "waits", False)
    with pytest.raises(UserError, match="6 of 6 runs of the first stage are not finished"):
        resolve(sweep(finished=False), 1.0, 4)


@pytest.mark.parametrize("words", [["--resolve", "0.5"], ["--max-seeds", "4"], ["--resolve", "0", "--max-seeds", "4"]])
def test_options_are_given_together(sweep, words, capsys):
    assert main(["sweep", str(sweep(finished=False)), *words]) == 2
    assert "--resolve" in capsys.readouterr().err
