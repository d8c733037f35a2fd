"""Traps of an ablation are named in the report, each by a planted case; healthy runs are left alone."""

import json

import pytest
import yaml

from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.ablation.results.traps.traps import find_traps
from lit_cv.cli import main
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import METRIC_FACTS, change

KEY, METRIC = "data.augmentation", "val/map_50"
STEADY = {50: 0.30, 100: 0.40, 150: 0.44, 200: 0.45}  # the last quarter gains 0.01 of 0.45
STOPPING = {"class_path": "lightning.pytorch.callbacks.EarlyStopping", "init_args": {"monitor": METRIC}}


@pytest.fixture
def traps(make_group):
    """Write two arms of two seeds that fall into no trap except a planted one; return what is found."""

    def make(value="last", curve=None, loss=(), key=KEY, config=None, method="grid", goal="maximize", **changes):
        group = make_group({key: ["a", "b"]}, seeds=(1, 2), score=lambda arm, seed: 0.45 + 0.01 * arm + 0.002 * seed)
        plan = json.loads((group / "sweep.json").read_text())
        write_json(group / "sweep.json", plan | {"method": method, "metric": {"name": METRIC, "goal": goal}})
        for number, folder in enumerate(sorted(group.glob("0*"))):
            values = {step: value + 0.001 * number for step, value in (curve or STEADY).items()}
            rows = [f"{step - 1},0,{METRIC},{value}" for step, value in values.items()]
            rows += [f"{step},0,train/loss,{value + 0.001 * number}" for step, value in loss]
            (folder / "metrics.csv").write_text("\n".join(["step,epoch,name,value", *rows]) + "\n")
            settings = yaml.safe_load((folder / "config.yaml").read_text())
            (folder / "config.yaml").write_text(yaml.safe_dump(settings | (config or {})))
            result = {"metrics": {METRIC: values[max(values)]}, "optimization": {"learning_rate": {"peak": 0.002}}}
            change(folder, **result | changes)
        study = load_study([group])
        facts = metric_facts(study, METRIC)
        table = make_table(study, METRIC, facts=facts, baseline=study.arms[0], published=None, value=value)
        return find_traps(study, table)

    return make


def losses(end):
    """Return a falling training loss, one value for every four steps; its last quarter falls to ``end``."""
    return [(step, 3 - 2 * min(1, step / 150) + (end - 1) * max(0, step - 150) / 50) for step in range(0, 200, 4)]


def test_healthy_runs_fall_into_no_trap(traps):
    assert traps() == []
    assert traps(curve={200: 0.45}, loss=losses(1.0), metric_facts={}) == []


TRIVIAL = {METRIC: METRIC_FACTS[METRIC] | {"trivial": 0.05}}
ERROR = {METRIC: {"percent": True, "higher_is_better": False}}
PLANTED = {
    "a metric at its worst value": (
        {"curve": dict.fromkeys(STEADY, 0.01), "metric_facts": TRIVIAL},
        "val/map_50 is not above 5.0, the score of a predictor without training, in all 4 runs: nothing was learned",
    ),
    "a run that still improves": (
        {"curve": {50: 0.1, 100: 0.2, 150: 0.3, 200: 0.4}},
        "2 of 2 arms still improve at the end: in each run the last quarter of the steps changes val/map_50 by at "
        "least a tenth of the whole progress (augmentation=a +10.0 points; augmentation=b +10.0 points)",
    ),
    "a run of one validation that still improves": (
        {"curve": {200: 0.45}, "loss": losses(0.3), "metric_facts": {}},
        "2 of 2 arms still improve at the end: in each run the last quarter of the steps changes train/loss by at "
        "least a tenth of the whole progress (augmentation=a -0.7",
    ),
    "best and last validation far apart": (
        {"curve": {50: 0.3, 100: 0.5, 150: 0.45, 200: 0.4}},
        "In 4 of 4 runs the last validation is worse than the best one by at least a tenth of the progress ("
        "val/map_50: anchors/0000000001 40.0 after 50.0 at step 100; ",
    ),
    "the best of all validations": (
        {"curve": {50: 0.3, 100: 0.45, 150: 0.46, 200: 0.44}, "value": "best"},
        "--value best: each value is the best of up to 4 validations, chosen on the images that it is reported on. It "
        "is better than the last one by 2.0 points on average",
    ),
    "early stopping by the reported images": (
        {"config": {"trainer": {"callbacks": [STOPPING]}}, "stopped_by": "EarlyStopping"},
        "EarlyStopping ends runs by val/map_50, on the images that val/map_50 is reported on (4 of 4 runs ended so)",
    ),
    "the best trial of a search": (
        {"method": "random"},
        "The first row is the best of 2 trials, chosen by val/map_50 on the images that it is reported on",
    ),
    "one learning rate for networks": (
        {"key": "model.network.backbone"},
        "All arms use one learning rate (0.002), chosen for none of them or for one alone, and backbone may need "
        "another one for each value",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", PLANTED)
def test_each_trap_is_named_alone(traps, kind):
    planted, expected = PLANTED[kind]
    (line,) = traps(**planted)
    assert line.startswith(expected)


def test_traps_are_warnings_of_the_report(make_group, capsys):
    group = make_group({KEY: ["a", "b"]}, seeds=(1,))  # their curves are straight lines
    assert main(["report", str(group)]) == 0
    warnings = capsys.readouterr().out.partition("Warnings:")[2]
    assert "\n- 2 of 2 arms still improve at the end" in warnings
    assert "2 of 2 arms still improve at the end" in (group / "report" / "report.html").read_text()


def test_an_error_is_worst_at_100_percent_and_improves_downwards(traps):
    (line,) = traps(curve=dict.fromkeys(STEADY, 1.0) | {50: 0.997}, metric_facts=ERROR, goal="minimize")
    assert line.startswith("val/map_50 is not below 100.0, its worst value, in all 4 runs")
    (line,) = traps(curve={50: 0.9, 100: 0.8, 150: 0.7, 200: 0.6}, metric_facts=ERROR, goal="minimize")
    assert "(augmentation=a -10.0 points; augmentation=b -10.0 points)" in line


def test_a_learning_rate_that_is_swept_is_no_trap(traps):
    assert traps(key="model.optimizer.lr") == []
