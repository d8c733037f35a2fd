"""Verdicts follow from the adjusted intervals: cases by hand."""

import json
import math

import pytest

from benchmarks.lecture.claims import chosen, load_claims
from benchmarks.lecture.verdicts import CONFIRMED, CONTRADICTED, UNDECIDED, answer, decide, verdict
from lit_cv.errors import UserError
from tests.helpers.fake_project import change
from tests.lecture.conftest import ENTRY, SCORES


def expecting(project, *expect, **changes):
    """Return the answer to a claim that expects these comparisons."""
    project.write_claims({**ENTRY, "expect": list(expect), **changes})
    return answer(load_claims(project.root)[0], project.group)


@pytest.mark.parametrize(
    ("low", "high", "least", "most", "holds"),
    [
        (0.1, 0.3, 0.0, math.inf, True),
        (-0.3, -0.1, 0.0, math.inf, False),
        (-0.1, 0.3, 0.0, math.inf, None),
        (-0.3, -0.1, -math.inf, 0.0, True),
        (-0.01, 0.01, -0.02, 0.02, True),
        (0.03, 0.05, -0.02, 0.02, False),
        (0.01, 0.03, -0.02, 0.02, None),
        (math.nan, math.nan, 0.0, math.inf, None),
        (0.0, 0.0, -math.inf, 0.0, False),
    ],
)
def test_an_interval_decides_only_wholly_on_one_side(low, high, least, most, holds) -> None:
    assert decide(low, high, least, most) is holds


def test_one_comparison_against_a_claim_contradicts_it() -> None:
    assert verdict([True, True]) == CONFIRMED
    assert verdict([True, None]) == UNDECIDED
    assert verdict([True, None, False]) == CONTRADICTED


@pytest.mark.parametrize(
    ("expect", "expected"),
    [
        ({"arm": {"lr": 0.2}, "is": "better"}, CONFIRMED),
        ({"arm": {"model.lr": 0.2}, "is": "worse"}, CONTRADICTED),
        ({"arm": {"lr": 0.3}, "is": "better"}, UNDECIDED),
        ({"arm": {"lr": 0.3}, "within": 5}, CONFIRMED),
        ({"arm": {"lr": 0.2}, "within": 5}, CONTRADICTED),
        ({"arm": {"lr": 0.2}, "gflops": "higher"}, CONFIRMED),
        ({"arm": {"lr": 0.2}, "gflops": "lower"}, CONTRADICTED),
        ({"arm": {"lr": 0.2}, "params": "lower"}, CONTRADICTED),  # both have the same number
        ({"arm": {"lr": 0.2}, "ms": "lower"}, UNDECIDED),  # the ranges of the rounds overlap
        ({"arm": {"lr": 0.2}, "metric": "val/map", "is": "better"}, CONFIRMED),
        ({"arm": {"lr": 0.2}, "is": "better", "gflops": "lower"}, CONTRADICTED),
        ({"arm": {"lr": 0.2}, "against": {"lr": 0.3}, "is": "better", "gflops": "lower"}, CONFIRMED),
        ({"arm": {"lr": 0.3}, "against": {"lr": 0.1}, "is": "better"}, UNDECIDED),
    ],
)
def test_written_runs(project, expect, expected) -> None:
    project.write_runs()
    found = expecting(project, expect)
    assert found.verdict == expected
    assert "controlled: yes" in found.facts


def test_the_words_have_the_reports_interval_and_a_metric_that_is_better_if_lower_turns_the_side(project) -> None:
    project.write_runs()
    words = expecting(project, {"arm": {"lr": 0.2}, "is": "better"}).outcomes[0].words
    # residuals: SS 0.000283, 6 degrees of freedom, σ 0.00687; Dunnett's c 2.86; half 2.86 · σ · √(2 / 4) = 0.0139
    assert words == "val/map_50 of lr=0.2 differs by +9.7 points [+8.4, +11.1], claimed better: as claimed"
    words = expecting(project, {"arm": {"lr": 0.3}, "against": {"lr": 0.2}, "is": "worse"}).outcomes[0].words
    # Tukey's q 4.34 for three arms; half 4.34 / √2 · σ · √(2 / 4) = 0.0149
    assert (
        words == "val/map_50 of lr=0.3 against lr=0.2 differs by -9.5 points [-11.0, -8.0], claimed worse: as claimed"
    )
    lower = {name: {"percent": True, "higher_is_better": name != "val/error"} for name in ("val/map_50", "val/error")}
    for file in project.group.glob("*/result.json"):
        score = json.loads(file.read_text())["metrics"]["val/map_50"]
        change(file.parent, metric_facts=lower, metrics={"val/map_50": score, "val/error": score})
    assert expecting(project, {"arm": {"lr": 0.2}, "metric": "val/error", "is": "worse"}).verdict == CONFIRMED


def test_no_verdict_without_an_interval_or_control(project) -> None:
    project.write_runs(dict.fromkeys(SCORES, (0.5,) * 4))
    found = expecting(project, {"arm": {"lr": 0.2}, "is": "better"})
    assert (found.verdict, found.outcomes[0].words) == (
        UNDECIDED,
        "val/map_50 of lr=0.2 has no interval to the baseline",
    )
    project.write_runs()
    change(next(project.group.glob("*/result.json")).parent, metrics={"val/map_50": None})
    with pytest.raises(UserError, match=r"not controlled.*diverged in 1 of 4 seeds"):
        expecting(project, {"arm": {"lr": 0.2}, "is": "better"})


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"page": "necks"}, "claims.yaml: rates: `page` is 'necks', but number 2 belongs to heads"),
        ({"number": 3}, "`number` is 3; give one of benchmarks/lecture/table.yaml, 1 to 2"),
        ({"metric": "map"}, "`metric` is 'map'; name a metric of the validation"),
        ({"claims": "x"}, "`claims` is no field; did you mean claim?"),
        ({"claim": ""}, "`claim` is '', not a text"),
        ({"name": "rate"}, "there is no sweeps/lecture/rate.yaml"),
        ({"baseline": {"lr": 0.4}}, "`baseline` lr=0.4: 0 arms have these values; the arms are 'lr=0"),
        ({"more": "val/map"}, "`more` is 'val/map'; list metrics of the validation"),
        ({"more": ["map"]}, "`more` is 'map'; name a metric of the validation"),
        ({"expect": []}, "`expect` is []; list at least one"),
        ({"expect": [{"arm": {"lr": 0.2}}]}, "write `arm` and one of is, gflops, params, ms, within"),
        ({"expect": [{"arm": {"lr": 0.2}, "is": "beter"}]}, "`expect.is` is 'beter'; write better or worse"),
        ({"expect": [{"arm": {"lr": 0.2}, "within": 0}]}, "`expect.within` is 0; give a number above 0"),
        ({"expect": [{"arm": {"lr": 0.1}, "is": "better"}]}, "`expect.arm` lr=0.1 is the baseline"),
        ({"expect": [{"arm": {"lr": 0.2}, "against": {"lr": 0.2}, "is": "better"}]}, "is the same as `against` lr=0.2"),
        ({"expect": [{"arm": {"lr": 0.2}, "against": {"lr": 5}, "is": "better"}]}, "`expect.against` lr=5: 0 arms"),
    ],
)
def test_entries_of_another_form_are_refused(project, changes, said) -> None:
    project.write_claims({**ENTRY, **changes})
    with pytest.raises(UserError) as refused:
        load_claims(project.root)
    assert said in str(refused.value)


def test_sweeps_that_do_not_fit_are_refused(project) -> None:
    project.write_sweep(parameters={"model.lr": {"values": [0.1, 0.2]}, "seed_everything": {"values": [1, 2, 3]}})
    with pytest.raises(UserError, match=r"rates.yaml: `seed_everything` has 3 values .* at least 4 seeds"):
        load_claims(project.root)
    project.write_sweep(command=["${interpreter}", "-m", "lit_cv", "fit", "--run.group=rates", "${args}"])
    with pytest.raises(UserError, match=r"belong to runs/rates; write `--run.group=lecture_rates`"):
        load_claims(project.root)
    project.write_sweep()
    project.write_claims(ENTRY, ENTRY)
    with pytest.raises(UserError, match="rates: `name` appears twice"):
        load_claims(project.root)
    project.write_claims(ENTRY)
    with pytest.raises(UserError, match="has no entry rate; did you mean rates"):
        chosen(load_claims(project.root), ["rate"])
