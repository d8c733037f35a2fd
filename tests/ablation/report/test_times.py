"""Times that were measured alone, after the runs, in the table of a report."""

import json

import pytest

from lit_cv.ablation.plots.style import pareto
from lit_cv.ablation.results.metric_facts import metric_facts
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.results.tables import make_table
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json

SIZE, SHUFFLE = "model.network.size", "data.shuffle_targets"


def write_costs(group, *structures, **changes):
    """Write the ``cost.json`` of a group; a structure is (key, ids of the runs, shortest ms, upper quartile)."""
    found = [
        {"key": key, "runs": runs, "rounds": 20, "precision": "bf16-mixed", "ms": {"min": low, "upper": high}}
        for key, runs, low, high in structures
    ]
    record = {
        "measured": "2026-01-01T00:00:00Z",
        "hardware": {"device": "a GPU", "threads": 8},
        "other_work": 0.02,
        "structures": found,
    }
    write_json(group / "cost.json", record | changes)


def times(output):
    rows = [[cell.strip() for cell in line.split("|")] for line in output.splitlines() if line.startswith("|")]
    return [row[-3] for row in rows[2:]]


def test_a_report_prefers_the_times_that_were_measured_alone(make_group, capsys):
    group = make_group({SIZE: [96, 128]}, seeds=(1, 2))
    runs = [[f"{arm:04x}{seed:06x}" for seed in (1, 2)] for arm in (0, 1)]
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert times(output) == ["10.0", "20.0"]
    assert "during the runs: after each one and perhaps beside others; networks of the same structure" in output
    assert "litcv report --measure measures all of them alone and in turns." in output
    write_costs(group, ("a", runs[0], 4.0, 4.25), ("b", runs[1], 5.0, 5.0))
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert times(output) == ["4.0–4.2", "5.0"]
    assert (
        "ms/image: predict with a batch of one image, in bf16-mixed, on a GPU, threads: 8, measured alone after the "
        "runs, all networks in turns: shortest–upper quartile of 20 rounds; networks of the same structure share it.\n"
    ) in output
    html = (group / "report" / "report.html").read_text()
    notes = html.partition('<div class="notes">')[2].partition("</div>")[0]
    assert "measured alone" in notes
    assert "`" not in notes
    write_costs(group, ("a", runs[0], 4.0, 4.2), ("b", runs[1], 5.0, 5.0), other_work=0.456)
    assert run_report([group]) == 0
    assert "share it. Other programs used 46% of the machine's processors meanwhile." in capsys.readouterr().out
    write_costs(group, ("a", runs[0], 4.0, 4.2), ("b", runs[1][:1], 5.0, 5.0))  # a seed was added later
    assert run_report([group]) == 0
    assert times(capsys.readouterr().out) == ["10.0", "20.0"]


def test_a_control_in_another_group_shares_the_time_of_its_twin(make_group, capsys):
    """The twin finds nothing and seems faster by chance: it does not come to lie on the front."""
    scores = {"anchors": 0.7, "control": 0.1}
    arms = {SIZE: [96], SHUFFLE: ["false"]}, {SIZE: [96], SHUFFLE: ["true"]}
    groups = [
        make_group(levels, seeds=(1, 2), name=name, score=lambda arm, seed, best=scores[name]: best + seed / 1000)
        for name, levels in zip(scores, arms, strict=True)
    ]
    runs = ["0000000001", "0000000002"]
    write_costs(groups[0], ("a", runs, 4.0, 4.2))
    write_costs(groups[1], ("a", runs, 3.1, 3.3), measured="2026-01-01T00:09:00Z")
    assert run_report(groups) == 0
    output = capsys.readouterr().out
    assert times(output) == ["3.1–4.2", "3.1–4.2"]
    assert "The groups were measured one after the other; litcv report --measure measures them together." in output
    study = load_study(groups)
    facts = metric_facts(study, "val/map_50")
    table = make_table(study, "val/map_50", facts=facts, baseline=study.arms[0], published=None)
    assert [round(row.mean, 1) for row in pareto(table.rows, maximize=True)] == [0.7]


@pytest.mark.parametrize(
    "change", [{"structures": {}}, {"structures": [{"runs": "a"}]}, {"structures": [{"runs": [], "ms": {}}]},
               {"hardware": "a GPU"}, None],
)  # fmt: skip
def test_a_damaged_record_is_one_sentence(make_group, change):
    group = make_group({SIZE: [96]}, seeds=(1,))
    write_costs(group, ("a", ["0000000001"], 4.0, 4.2), **(change or {}))
    if change is None:
        (group / "cost.json").write_text(json.dumps([1]))
    with pytest.raises(UserError, match=r"cost\.json: .*; delete it"):
        run_report([group])
