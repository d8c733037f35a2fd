"""Unit and direction of a metric come from the sweep and from the runs, never from the metric's name."""

import json

import pytest

from lit_cv.ablation.report.options import Options
from lit_cv.ablation.results.metric_facts import MetricFacts, metric_facts
from lit_cv.ablation.results.study import load_study
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

ODD = {"val/thing": {"percent": True, "higher_is_better": False}}


@pytest.fixture
def make_group(tmp_path):
    """Return a function that writes a group of two runs, one per arm, with the metric ``val/thing``."""

    def make(metric_facts=ODD, goal=None, best=("val/map_50", "max")):
        group, arms = tmp_path / "group", []
        for number, value in enumerate((0.25, 0.5)):
            changes = {"metrics": {"val/thing": value}, "metric_facts": metric_facts}
            write_run(group / str(number), config={"a": number}, best={"metric": best[0], "mode": best[1]}, **changes)
            arms.append({"values": {"a": number}, "runs": [{"seed": 1, "id": str(number)}]})
        metric = {"name": "val/thing", "goal": goal} if goal else None
        plan = {"name": "g", "description": "", "file": "g.yaml", "metric": metric, "swept": ["a"], "arms": arms}
        write_json(group / "sweep.json", plan)
        return group

    return make


def facts_of(group):
    return metric_facts(load_study([group]), "val/thing")


def forget_facts(folder):
    """Turn a run into one that was recorded without ``metric_facts``."""
    result = json.loads((folder / "result.json").read_text())
    del result["metric_facts"]
    write_json(folder / "result.json", result)


def test_facts_come_from_the_runs(make_group):
    assert facts_of(make_group()) == MetricFacts(percent=True, higher_is_better=False)


def test_the_goal_of_the_sweep_has_priority_for_its_own_metric(make_group):
    assert facts_of(make_group(goal="maximize")) == MetricFacts(percent=True, higher_is_better=True)
    other = {"val/map_50": {"percent": False, "higher_is_better": False}}
    study = load_study([make_group(metric_facts=other, goal="maximize")])
    assert metric_facts(study, "val/map_50") == MetricFacts(percent=False, higher_is_better=False)


def test_older_runs_are_shown_as_logged_with_a_warning(make_group):
    shown = "The runs do not record whether val/thing is in percent (it is shown as logged)"
    assumed = ", and not whether higher or lower is better (higher is assumed)"
    assert facts_of(make_group(metric_facts={})) == MetricFacts(False, True, f"{shown}{assumed}.")
    assert facts_of(make_group(metric_facts={}, goal="minimize")) == MetricFacts(False, False, f"{shown}.")
    selected = make_group(metric_facts={}, best=("val/thing", "min"))
    assert facts_of(selected) == MetricFacts(False, False, f"{shown}.")
    for number in range(2):
        forget_facts(selected / str(number))
    assert facts_of(selected) == MetricFacts(False, False, f"{shown}.")


def test_one_run_that_records_the_facts_is_enough(make_group):
    group = make_group()
    forget_facts(group / "0")
    assert facts_of(group) == MetricFacts(percent=True, higher_is_better=False)


def test_runs_that_disagree_are_refused(make_group):
    group = make_group()
    write_run(group / "1", config={"a": 1}, metrics={"val/thing": 0.5},
              metric_facts={"val/thing": {"percent": False, "higher_is_better": False}})  # fmt: skip
    with pytest.raises(UserError, match="runs disagree about percent or direction of val/thing; report them apart"):
        facts_of(group)


def test_the_report_shows_the_unit_and_the_warning(make_group, capsys):
    assert run_report([make_group()], Options(metric="val/thing")) == 0
    output = capsys.readouterr().out
    assert "| 25.0 ± – | baseline |" in " ".join(output.split())
    assert "val/thing: value at the end of training, in percent" in output
    assert "Warnings:" not in output
    assert run_report([make_group(metric_facts={})], Options(metric="val/thing")) == 0
    output = capsys.readouterr().out
    assert "| 0.2500 ± – | baseline |" in " ".join(output.split())
    assert "- The runs do not record whether val/thing is in percent (it is shown as logged), and not whether" in output


@pytest.mark.parametrize(("higher", "best"), [(True, "0.5"), (False, "0.25")])
def test_the_direction_sorts_a_search(make_group, higher, best):
    group = make_group(metric_facts={"val/thing": {"percent": False, "higher_is_better": higher}})
    plan = json.loads((group / "sweep.json").read_text())
    write_json(group / "sweep.json", plan | {"method": "random"})
    assert run_report([group], Options(metric="val/thing")) == 0
    first = (group / "report" / "table.csv").read_text().splitlines()[1]
    assert first.split(",")[1] == best
