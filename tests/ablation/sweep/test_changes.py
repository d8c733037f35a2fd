from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.sweep.plan import plan, save_plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.errors import UserError

LR, SEEDS = {"values": [0.5, 0.25]}, {"values": [1, 2]}


@pytest.fixture
def edit(tmp_path, monkeypatch):
    """Return a function that writes the sweep file, plans it, and starts its first runs."""
    monkeypatch.chdir(tmp_path)
    Path("experiment.yaml").write_text("{}")

    def write(begin=0, **changes):
        content = {
            "method": "grid",
            "name": "first",
            "metric": {"name": "val/map", "goal": "maximize"},
            "parameters": {"model.lr": LR, "seed_everything": SEEDS},
            "command": ["fit", "--config", "experiment.yaml", "--run.group=study", "${args}"],
        } | changes
        Path("sweep.yaml").write_text(yaml.safe_dump(content))
        sweep = load_sweep(Path("sweep.yaml"))
        jobs = plan(sweep)
        for job in jobs[:begin]:
            job.folder.mkdir(parents=True)
        if begin:
            save_plan(sweep, jobs, jobs[0].folder.parent)
        return jobs

    return write


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "second", "description": "other words", "run_cap": 9},
        {"parameters": {"model.lr": {"values": [0.5, 0.25, 0.1]}, "seed_everything": SEEDS}},
        {"parameters": {"model.lr": LR, "seed_everything": {"values": [1, 2, 3]}}},
        {"metric": {"name": "val/map_50", "goal": "maximize"}},
        {"command": ["/usr/bin/env", "fit", "--config", "experiment.yaml", "--run.group=study", "${args}"]},
        {"command": ["fit", "--config", "experiment.yaml", "--run.group=other", "--model.depth=3", "${args}"]},
    ],
    ids=["words", "a value", "a seed", "the metric", "the program", "another group"],
)
def test_additions_and_harmless_changes_are_accepted(edit, changes):
    before = edit(begin=4)
    assert len({job.folder for job in edit(**changes)} | {job.folder for job in before}) >= 4


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"parameters": {"model.lr": {"values": [0.5, 0.75]}, "seed_everything": SEEDS}}, "+    values: [0.5, 0.75]"),
        ({"parameters": {"model.lr": LR, "seed_everything": {"values": [1]}}}, "-    values: [1, 2]"),
        ({"parameters": {"model.lr": LR, "seed_everything": SEEDS, "b": {"value": 1}}}, "+  b: {value: 1}"),
        ({"early_terminate": {"type": "hyperband", "min_iter": 1}}, "+early_terminate: {min_iter: 1, type: hyperband}"),
    ],
    ids=["a value", "a seed", "a parameter", "hyperband"],
)
def test_other_changes_are_refused_with_the_difference(edit, changes, line, capsys):
    edit(begin=4)
    with pytest.raises(UserError, match=r"sweep\.yaml: differs as shown from what the 4 runs in runs/study were star"):
        edit(**changes)
    shown = capsys.readouterr().err.splitlines()
    assert shown[:2] == ["--- runs/study/sweep.yaml", "+++ sweep.yaml"]
    assert line in shown


def test_a_plan_without_runs_may_change(edit):
    edit(begin=4)
    for folder in Path("runs/study").glob("*/"):
        folder.rmdir()
    edit(parameters={"model.lr": {"values": [7]}})


def test_a_changed_experiment_reports_the_runs_left_behind(edit, capsys):
    edit(begin=3)
    Path("experiment.yaml").write_text("model: {depth: 3}")
    edit()
    assert "The experiment has changed: 3 runs of its former version stay in runs/study" in capsys.readouterr().out


def test_a_search_may_only_get_more_runs(edit):
    space = {"model.lr": {"min": 0.1, "max": 0.9}}
    former = edit(begin=4, method="random", parameters=space, run_cap=4)
    assert [job.folder for job in edit(method="random", parameters=space, run_cap=6)][:4] == [j.folder for j in former]
    assert len(edit(method="random", parameters=space, run_cap=2)) == 4  # started runs stay
    for changes in ({"parameters": {"model.lr": {"min": 0.1, "max": 0.8}}}, {"method": "bayes", "parameters": space}):
        with pytest.raises(UserError, match="differs as shown from what the 4 runs"):
            edit(**{"method": "random", "run_cap": 4, **changes})
