"""The statistics in the words of a report: intervals, claims, and the reasons for making none."""

import csv
import io
import math

import pytest

from lit_cv.ablation.plots.factor_plots import effects as effects_plot
from lit_cv.ablation.report.listings import listings
from lit_cv.ablation.report.options import Options
from lit_cv.ablation.report.web_table import arms_table
from lit_cv.ablation.report.words import facts, remarks
from lit_cv.ablation.results.cells import cells, comma_separated
from lit_cv.ablation.results.effects import level_effects
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.study import Arm, Run, Study, load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.commands.report import run_report
from tests.helpers.fake_project import change

A, B = "model.a", "model.b"
METRIC = "val/map_50"
NOISE = [0.004, -0.006, 0.002, 0.007, -0.003, 0.001, -0.005, 0.006, 0.0, -0.002, 0.005, -0.007]


def make(values, keys=(A,), levels=None, maximize=True, method="grid"):
    """Return the table of arms with the given scores by seed; a list is seeds 1, 2, …, None has diverged."""
    arms, seeds = [], []
    for number, own in enumerate(values):
        own = own if isinstance(own, dict) else dict(enumerate(own, 1))
        level = levels[number] if levels else (number,)
        arm = Arm(dict(zip(keys, level, strict=False)), label=f"arm {number}")
        for seed, value in own.items():
            result = {
                "metrics": {METRIC: value},
                "steps": 1,
                "git": {},
                "command": ["fit"],
                "data": {"fingerprint": "x"},
            }
            arm.runs[seed] = Run(None, result, seed)
            arm.runs[seed].__dict__["config"] = {}
        arms.append(arm)
        seeds += [seed for seed in own if seed not in seeds]
    study = Study("a study", [], None, None, list(keys), arms, seeds, [], method=method)
    found = metric_facts(study, METRIC)
    found = type(found)(True, maximize)
    first = arms[0] if arms else Arm(dict.fromkeys(keys, 0))
    table = make_table(study, METRIC, facts=found, baseline=first, published=None)
    return study, table


def told(study, table, compare="baseline"):
    """Return all sentences of a report, after a look whether a number that is none is printed."""
    notes = remarks(study, table, None)
    further = listings(table, compare)
    text = "\n".join([facts(study, table, controlled=True), *notes, *(listing.markdown for listing in further)])
    shown = "\n".join([text, *(cell for line in cells(table) for cell in line), comma_separated(table, study.seeds)])
    assert "nan" not in shown.replace("nan,", "")  # a seed that has diverged is nan in the CSV
    assert len({len(line) for line in cells(table)}) == 1
    assert arms_table(table, "litcv report").header == cells(table)[0]
    return text


def column(table, start):
    (place,) = [place for place, name in enumerate(cells(table)[0]) if name.startswith(start)]
    return [line[place] for line in cells(table)[1:]]


def noisy(mean, shift=0, spread=1.0, seeds=3):
    return [mean + 0.01 * seed + spread * NOISE[(3 * shift + seed) % len(NOISE)] for seed in range(seeds)]


@pytest.mark.parametrize(
    ("maximize", "claims"), [(True, ["better", "no claim", "worse"]), (False, ["worse", "no claim", "better"])]
)
def test_a_real_effect_is_claimed_and_none_where_there_is_none(maximize, claims):
    study, table = make([noisy(0.5), noisy(0.6, 1), noisy(0.501, 2), noisy(0.4, 3)], maximize=maximize)
    text = told(study, table)
    assert cells(table)[0][2] == "Δ to baseline [95 %, 3 arms compared]"
    assert column(table, "claim") == ["–", *claims]
    assert [row.claim for row in table.rows] == [None, *claims]
    chances = [row.superiority.value for row in table.rows[1:]]
    assert [round(chance, 1) in (0, 1) for chance in chances] == [True, False, True]
    assert (chances[0] > 0.99) == maximize
    assert "Its interval is Dunnett's: all 3 hold together in 95 % of studies" in text
    assert "(6 degrees of freedom)" in text
    assert (
        "With 3 seeds the exact sign-flip p is never below 0.25, so this test cannot reach 0.05 and claims nothing; "
        "the interval rests on the assumption of normal residuals of equal spread in all arms."
    ) in text


def test_the_smallest_p_takes_the_number_of_comparisons_into_account():
    arms = [noisy(0.5, place, seeds=6) for place in range(5)]
    assert (
        "With 6 seeds the exact sign-flip p is never below 0.031, after Holm's adjustment for 4 comparisons never "
        "below 0.12, so this test cannot reach 0.05"
    ) in told(*make(arms))
    text = told(*make(arms[:2]))
    assert "cannot reach" not in text
    assert "Its 95 % interval is that of the paired differences." in text
    assert "Holm" not in text
    assert "100,000 random flips" in told(*make([noisy(0.5, place, seeds=21) for place in range(2)]))


def test_an_arm_of_another_spread_is_marked():
    arms = [*(noisy(0.5, place, seeds=8) for place in range(4)), noisy(0.5, 4, spread=20, seeds=8)]
    study, table = make(arms)
    text = told(study, table)
    assert [" own spread" in cell for cell in column(table, "Δ")] == [False] * 4 + [True]
    assert "Own spread: the scores of 'arm 4' vary more over the seeds than those of the other arms (F test" in text
    assert "so its Δ has Student's interval of the arm's own paired differences" in text
    study, table = make(arms[::-1])
    assert [" own spread" in cell for cell in column(table, "Δ")] == [False] + [True] * 4
    assert "so every Δ has Student's interval" in told(study, table)


@pytest.mark.parametrize(
    ("arms", "sentence"),
    [
        ([[0.5], [0.6]], "One seed shows no spread, so no Δ has an interval and there is no claim"),
        ([[0.5, 0.6], [0.6, 0.7]], "The arms differ by the same amount in every seed, so there is no spread to judge"),
        ([[0.5, 0.5]] * 3, "The arms differ by the same amount in every seed"),
        ([[0.5, 0.6, 0.7]], "There is one arm, so nothing is compared."),
        ([{1: 0.5, 2: 0.6}, {3: 0.5, 4: 0.7}], "No arm shares a seed with a finite value with the baseline"),
        ([[0.5, None, 0.6], noisy(0.9), noisy(0.1, 1)], "Seeds of the baseline have diverged, so there is no"),
        ([noisy(0.1), [0.9, None, 0.92]], "There is no claim about 'arm 1': seeds have diverged"),
        ([noisy(0.1), [None, None, None]], "No arm shares a seed with a finite value with the baseline"),
        ([noisy(0.5), noisy(0.5, 1), {8: 0.5, 9: 0.6}], "No seed is shared with the baseline by 'arm 2'"),
        ([noisy(0.5), noisy(0.5, 1), noisy(0.5, 2)[:2]], "Some arms lack seeds: their Δ are least-squares estimates"),
    ],
)  # fmt: skip
def test_the_reason_for_no_claim_is_said(arms, sentence, recwarn):
    study, table = make(arms)
    assert sentence in told(study, table, "all")
    assert {row.claim for row in table.rows if row.arm is not table.baseline} <= {"no claim"}
    assert all(pair.endswith("no claim") for pair in column(table, "claim")[1:]) if len(arms) > 1 else True
    assert not [warning for warning in recwarn.list if issubclass(warning.category, RuntimeWarning)]


def test_a_search_claims_nothing_and_says_why():
    study, table = make([[0.5], [0.6], [0.4]], method="random")
    text = told(study, table, "all")
    assert "A search has one run of each arm, so no Δ has an interval and nothing is claimed." in text
    assert "claim" not in cells(table)[0]


def test_effects_of_two_factors_and_their_interaction():
    levels = [(a, b) for a in (1, 2) for b in ("x", "y", "z")]
    means = [0.5, 0.5, 0.6, 0.5, 0.7, 0.6]  # b = y helps with a = 2 alone
    study, table = make([noisy(mean, place) for place, mean in enumerate(means)], (A, B), levels)
    table.pool.own[:] = False
    text = told(study, table)
    assert "effects.png has the same intervals." in text
    (listing,) = listings(table, "baseline")
    rows = list(csv.DictReader(io.StringIO(listing.csv)))
    assert [(row["factor"], row["level"], row["factor_2"], row["level_2"]) for row in rows] == [
        (A, "2", "", ""), (B, "y", "", ""), (B, "z", "", ""), (A, "2", B, "y"), (A, "2", B, "z"),
    ]  # fmt: skip
    claims = [line.cells[-1].text for line in listing.table.lines]
    assert claims == ["better", "better", "better", "changes", "no claim"]
    assert float(rows[3]["effect"]) == pytest.approx(0.2, abs=0.02)
    # the plot's data are the table's
    for row in rows[:3]:
        plotted = level_effects(table, row["factor"])[row["level"]]
        assert (plotted.low, plotted.high) == (float(row["low"]), float(row["high"]))
    assert effects_plot(table).axes[0].lines


@pytest.mark.parametrize("arms", [[], [[]], [[], []], [[None], [None]], [{None: 0.5}, {None: 0.6}]])
def test_a_study_with_few_or_no_scores_is_told(arms, recwarn):
    for keys in ((A,), (A, B)):
        study, table = make(arms, keys, [(place, place) for place in range(len(arms))])
        told(study, table, "all")
    assert not recwarn.list


def test_one_factor_has_one_interval_in_table_and_plot():
    _, table = make([noisy(0.5 + 0.02 * place, place) for place in range(4)])
    assert listings(table, "baseline") == []
    plotted = level_effects(table, A)
    for row in table.rows[1:]:
        same = plotted[str(row.arm.values[A])]
        assert (same.low, same.high) == (row.difference.low, row.difference.high)


def test_interactions_of_an_incomplete_grid_are_left_out_and_that_is_said():
    levels = [(1, "x"), (1, "y"), (2, "x")]
    study, table = make([noisy(0.5, place) for place in range(3)], (A, B), levels)
    assert "Interactions are left out: the grid is not complete" in told(study, table)


def test_all_pairs_are_compared_up_to_twenty_arms():
    study, table = make([noisy(0.5 + 0.1 * (place == 2), place) for place in range(3)])
    text = told(study, table, "all")
    rows = list(csv.DictReader(io.StringIO(listings(table, "all")[0].csv)))
    assert [(row["arm"], row["minus"], row["claim"]) for row in rows] == [
        ("arm 1", "arm 0", "no claim"), ("arm 2", "arm 0", "better"), ("arm 2", "arm 1", "better"),
    ]  # fmt: skip
    assert "difference [95 %, 3 pairs compared]" in text
    # Tukey's intervals of all pairs are wider than Dunnett's of those with the baseline
    assert float(rows[1]["high"]) > table.rows[2].difference.high
    study, table = make([noisy(0.5 + 0.001 * place, place) for place in range(23)])
    assert "Pairs of the best 20 arms and the baseline; 2 other arms are left out." in told(study, table, "all")


def test_the_console_writes_pairs_and_claims(make_group, capsys):
    group = make_group({A: [1, 2]}, score=lambda arm, seed: 0.4 + 0.2 * arm + 0.01 * ((arm + 1) * seed % 3))
    assert run_report([group], Options(compare="all")) == 0
    output = capsys.readouterr().out
    assert "## All pairs" in output
    assert str(group / "report" / "pairs.csv") in output.splitlines()
    page = (group / "report" / "report.html").read_text()
    assert '<table id="pairs" style' in page
    assert '<table id="arms" data-filtered style' in page
    (line,) = list(csv.DictReader((group / "report" / "table.csv").open()))[1:]
    assert line["claim"] == "better"
    assert 0.9 < float(line["superiority_low"]) < float(line["superiority"]) <= 1
    assert math.isclose(float(line["sign_flip_p"]), 0.25)
    load_study([group])
    change(group / "0001000001", metrics={METRIC: None})
    assert run_report([group], force=True) == 0
    assert "There is no claim about 'a=2': seeds have diverged" in capsys.readouterr().out
