"""Axes of the factors: numbers are placed by their value, in any order of the arms."""

import numpy as np
import pytest
import yaml

from lit_cv.ablation.plots.factor_plots import values
from lit_cv.ablation.results.metric_facts import MetricFacts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

KEYS = ["model.optimizer.lr", "model.width", "model.kind"]


@pytest.fixture
def make_table_of(tmp_path):
    """Return the table of a random search with one run per (rate, width, kind)."""

    def make(trials, parameters=None):
        group, arms = tmp_path / "search", []
        for number, trial in enumerate(trials):
            write_run(group / str(number), seed=1, score=0.1 * number)
            arms.append({"values": dict(zip(KEYS, trial, strict=True)), "runs": [{"seed": None, "id": str(number)}]})
        plan = {"name": "search", "description": "", "file": "s.yaml", "method": "random", "swept": KEYS, "arms": arms}
        write_json(group / "sweep.json", plan | {"metric": {"name": "val/map_50", "goal": "maximize"}})
        (group / "sweep.yaml").write_text(yaml.safe_dump({"parameters": parameters or {}}))
        study = load_study([group])
        return make_table(study, "val/map_50", facts=MetricFacts(True, True), baseline=study.arms[0], published=None)

    return make


def points_of(axis):
    """Return the sorted (x, y) of the points of all arms."""
    return sorted(zip(*axis.lines[0].get_data(), strict=True))


@pytest.mark.parametrize("count", [4, 12, 13, 40])
def test_numbers_are_on_a_numeric_axis_for_any_number_of_trials(make_table_of, count):
    rates = np.random.default_rng(0).permutation(np.geomspace(1e-4, 1e-2, count)).tolist()
    widths = [16 + 2 * place for place in range(count)]
    figure = values(make_table_of(list(zip(rates, widths, "ab" * (count // 2) + "a" * (count % 2), strict=True))))
    rate, width, kind = [axis for axis in figure.axes if axis.get_xlabel()]
    assert [x for x, _ in points_of(rate)] == pytest.approx(sorted(rates))
    assert [x for x, _ in points_of(width)] == widths
    assert {x for x, _ in points_of(kind)} == {0, 1}
    assert [text.get_text() for text in kind.get_xticklabels()] == ["a", "b"]


@pytest.mark.parametrize(
    ("parameters", "scale"),
    [
        ({"model.optimizer.lr": {"distribution": "log_uniform_values", "min": 0.001, "max": 0.002}}, "log"),
        ({"model.optimizer.lr": {"distribution": "uniform", "min": 0.001, "max": 0.002}}, "linear"),
        ({"model": {"parameters": {"optimizer": {"parameters": {"lr": {"distribution": "log_normal"}}}}}}, "log"),
        ({}, "linear"),
    ],
)
def test_the_axis_is_logarithmic_where_the_distribution_is(make_table_of, parameters, scale):
    trials = [(0.001, 1, "a"), (0.0015, 2, "b"), (0.002, 3, "c")]
    assert values(make_table_of(trials, parameters)).axes[0].get_xscale() == scale


def test_null_among_numbers_is_counted_not_placed(make_table_of):
    axis = values(make_table_of([(0.1, 1, "a"), (0.2, None, "b"), (0.3, 3, "c")])).axes[1]
    assert [x for x, _ in points_of(axis)] == [1, 3]
    assert axis.get_xlabel() == "width (1 arms with null not shown)"
