"""The line about the differences that a design shows, and the designs that have none."""

import pytest

from lit_cv.ablation.report.resolution import about_resolution
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.ablation.statistics.resolution import Design
from lit_cv.cli import main
from lit_cv.errors import UserError
from tests.helpers.fake_project import change

KEY, METRIC = "data.augmentation", "val/map_50"
NOISE = [(0.00, 0.02, 0.01), (0.01, 0.00, 0.02), (0.02, 0.01, 0.03)]  # of three arms at three seeds


@pytest.fixture
def line(make_group):
    """Write a group, change it, and return the line about it for a wanted difference."""

    def make(wanted=None, arms=3, seeds=(1, 2, 3), noise=NOISE, edit=lambda group: None):
        levels = {KEY: list("abc")[:arms]}
        group = make_group(levels, seeds, score=lambda arm, seed: 0.5 + 0.1 * arm + noise[arm][seed - 1])
        edit(group)
        study = load_study([group])
        facts = metric_facts(study, METRIC)
        table = make_table(study, METRIC, facts=facts, baseline=study.arms[0], published=None)
        return about_resolution(study, table, wanted)

    return make


OWN = " This is for a baseline of the common spread; this one varies more, so only larger differences show."
SIGMA = 0.01  # without means of arms and seeds, NOISE has a sum of squares of 4e-4 and 4 degrees of freedom


def test_the_line_names_the_smallest_difference_and_the_seeds_of_another(line):
    design = Design(3, 3, SIGMA)
    (text,) = line(0.5)
    assert text == (
        f"This design (3 arms, 3 seeds) can show a difference of {100 * design.smallest:.1f} points with 80 % power; "
        f"for 0.5 points it would need {design.needed(0.005)} seeds.{OWN}"  # residuals of the others are equal
    )
    (text,) = line()
    assert text.endswith(f"; for 1 point it would need {design.needed(0.01)} seeds.{OWN}")


def lose_a_seed(group):
    change(group / "0001000002", metrics={METRIC: None})


def search(group):
    plan = (group / "sweep.json").read_text()
    (group / "sweep.json").write_text(plan.replace('"swept"', '"method": "random", "swept"'))


def test_the_fewest_seeds_count_where_arms_differ(line):
    (text,) = line(1, edit=lose_a_seed)
    assert text.startswith("This design (3 arms, 2 seeds, the fewest of an arm) can show")


@pytest.mark.parametrize(
    ("design", "reason"),
    [
        ({"arms": 1}, "only 1 arm has values of val/map_50"),
        ({"seeds": (1,)}, "an arm has one seed only"),
        ({"edit": search}, "a random search has one run of each trial"),
        ({"noise": [(0.0, 0.5, 0.25)] * 3}, "the differences between arms are the same at every seed"),
    ],
)
def test_a_design_without_spread_has_no_line_and_refuses_a_wanted_difference(line, design, reason):
    assert line(**design) == []
    with pytest.raises(UserError, match=f"--resolve 0.5 needs the spread over seeds, and {reason}"):
        line(0.5, **design)


@pytest.mark.parametrize("wanted", ["0", "-1", "nan", "inf"])
def test_a_difference_is_above_0(wanted, capsys):
    assert main(["report", "runs", f"--resolve={wanted}"]) == 2
    assert "give a difference above 0" in capsys.readouterr().err
