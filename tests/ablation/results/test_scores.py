"""Values of the metric: diverged runs, runs without a validation, missing seeds, and the best validation."""

import csv
import json

import pytest

from lit_cv.cli import main
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

METRIC, LR = "val/map_50", "model.optimizer.lr"


@pytest.fixture
def make_group(tmp_path):
    """Write a grid of learning rates from the metric of each arm by seed; ``None`` is a metric that is not finite."""

    def make(scores, metric=METRIC, **changes):
        group, arms = tmp_path / "runs" / "grid", []
        for number, (rate, of_seeds) in enumerate(scores.items()):
            arms.append({"values": {LR: rate}, "runs": []})
            for seed, score in of_seeds.items():
                folder = group / f"{number}-{seed}"
                metrics = {METRIC: score, "val/map": 0.1} if score != "absent" else {}
                best = {"metric": METRIC, "mode": "max", "value": score} if metrics else None
                write_run(folder, seed=seed, **{"metrics": metrics, "best": best, **changes})
                arms[-1]["runs"].append({"seed": seed, "id": folder.name})
        plan = {"name": "grid", "description": "", "file": "grid.yaml", "swept": [LR], "arms": arms}
        write_json(group / "sweep.json", {**plan, "metric": metric and {"name": metric, "goal": "maximize"}})
        return group

    return make


def refused(group, capsys, *options):
    assert main(["report", str(group), *options]) == 1
    return capsys.readouterr().err


def rows_of(group, capsys, *options):
    assert main(["report", str(group), *options]) == 0
    lines = capsys.readouterr().out.splitlines()
    return [[cell.strip() for cell in line.split("|")[1:4]] for line in lines if line.startswith("|")][2:]


def test_diverged_seeds_are_refused_and_left_out_of_means(make_group, capsys):
    group = make_group({0.1: {1: 0.4, 2: 0.5, 3: 0.6}, 9: {1: None, 2: 0.3, 3: None}, 99: {1: None, 2: None, 3: None}})
    error = refused(group, capsys)
    assert "Arm lr=9 has diverged in 2 of 3 seeds (seed 1, 3): val/map_50 is not finite" in error
    assert "Arm lr=99 has diverged in 3 of 3 seeds" in error
    assert rows_of(group, capsys, "--force") == [
        ["0.1", "50.0 ± 10.0", "baseline"],
        ["9", "30.0 ± – (n=1), diverged (2 of 3 seeds)", "-20.0 – (n=1)"],
        ["99", "diverged (3 of 3 seeds)", "–"],
    ]
    table = list(csv.DictReader((group / "report" / "table.csv").open()))
    assert [table[1][name] for name in ("seed_1", "seed_2", "n", "mean", "paired")] == ["nan", "0.3", "1", "0.3", "1"]
    assert table[2]["mean"] == table[2]["std"] == table[2]["difference"] == ""
    assert "diverged" in (group / "report" / "report.html").read_text()


def test_a_baseline_that_has_diverged_leaves_no_difference(make_group, capsys):
    group = make_group({9: {1: None, 2: None}, 0.1: {1: 0.4, 2: 0.5}})
    assert [row[2] for row in rows_of(group, capsys, "--force")] == ["baseline", "–"]


def test_a_sweep_that_has_diverged_as_a_whole_is_written_without_plots(make_group, capsys):
    group = make_group({0.1: {1: None}, 0.2: {1: None}})
    assert [row[1] for row in rows_of(group, capsys, "--force")] == ["diverged (1 of 1 seeds)"] * 2
    assert not (group / "report" / "curves.png").exists()


def test_runs_without_a_validation_are_one_sentence(make_group, capsys):
    group = make_group({0.1: {1: "absent"}, 0.2: {1: "absent"}}, config={"trainer": {"val_check_interval": 500}})
    for options in ([], ["--force"], ["--metric", "val/map"]):
        error = refused(group, capsys, *options)
        assert (
            "no run has reached a validation (grid/0-1 ended at step 200, trainer.val_check_interval is 500)" in error
        )
        assert "Traceback" not in error


def test_a_run_without_a_validation_among_others_is_left_out(make_group, capsys):
    group = make_group({0.1: {1: 0.4, 2: 0.5}, 0.2: {1: 0.4, 2: "absent"}})
    assert "Arm lr=0.2: grid/1-2 (seed 2) has no val/map_50 (no validation: grid/1-2 ended at" in refused(group, capsys)
    assert rows_of(group, capsys, "--force")[1] == ["0.2", "40.0 ± – (n=1)", "+0.0 – (n=1)"]


def test_runs_without_a_best_checkpoint_need_a_metric(make_group, capsys):
    group = make_group({0.1: {1: 0.4}, 0.2: {1: 0.5}}, metric=None, best=None)
    error = refused(group, capsys, "--force")
    assert "no metric has selected a best checkpoint" in error
    assert "choose --metric from val/map_50, val/map." in error
    assert len(rows_of(group, capsys, "--metric", "val/map")) == 2


def test_different_seed_sets_are_counted_in_each_row(make_group, capsys):
    group = make_group({0.1: {1: 0.4, 2: 0.5}, 0.2: {1: 0.4, 2: 0.6, 3: 0.8}, 0.3: {3: 0.2, 4: 0.3}})
    assert [row[1:] for row in rows_of(group, capsys, "--force")] == [
        ["45.0 ± 7.1 (n=2)", "baseline"],
        ["60.0 ± 20.0 (n=3)", "+5.0 [-58.5, +68.5] (n=2)"],
        ["25.0 ± 7.1 (n=2)", "–"],
    ]
    assert "4 seeds, 0 to 2 paired" in (group / "report" / "report.md").read_text()


@pytest.mark.parametrize(("goal", "best"), [("maximize", "80.0"), ("minimize", "10.0")])
def test_the_best_of_all_validations_is_chosen_on_request(make_group, capsys, goal, best):
    group = make_group({0.1: {1: 0.4}, 0.2: {1: 0.5}})
    plan = json.loads((group / "sweep.json").read_text())
    write_json(group / "sweep.json", plan | {"metric": {"name": METRIC, "goal": goal}})
    for folder in group.glob("*-1"):
        values = ("nan", 0.1, 0.8, 0.3)
        lines = "".join(f"{step},0,{METRIC},{value}\n" for step, value in enumerate(values))
        (folder / "metrics.csv").write_text(f"step,epoch,name,value\n{lines}")
    assert rows_of(group, capsys)[0][1] == "40.0 ± –"
    assert rows_of(group, capsys, "--value", "best")[0][1] == f"{best} ± –"
    text = (group / "report" / "report.md").read_text()
    assert "| val/map_50 (best) |" in text
    assert "best of all validations of a run, chosen on the validation data themselves" in text


def test_a_baseline_that_fits_nothing_lists_the_nearest_five(make_group, capsys):
    group = make_group({rate: {1: 0.5} for rate in (0.1, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7)})
    error = refused(group, capsys, "--baseline", "lr=0.26")
    assert "0 arms have these values; the nearest of 8 are 'lr=0.2" in error
    assert error.count("'lr=") == 5
