"""The words of a report: claims about published numbers, and what is not controlled."""

import csv
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.report.options import Options
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from lit_cv.runs.settings import merged_arguments
from tests.helpers.fake_project import change

REPOSITORY = Path(__file__).parents[3]
SCALES, RATIOS = "model.network.anchor_scales", "model.network.anchor_ratios"
PUBLISHED = REPOSITORY / "sweeps" / "published" / "faster_rcnn_anchors.csv"


def published_lines(group, capsys, published=PUBLISHED):
    assert run_report([group], Options(published=published), force=True) == 0
    return [line for line in capsys.readouterr().out.splitlines() if "ublished" in line and line[0] not in "|/"]


def test_order_of_the_published_arms(make_group, capsys):
    # ours increase 40, 41, ..., 45 in the sweep's order; published: 65.8 68.8 66.7 67.9 69.8 69.9, two pairs decrease
    lines = published_lines(make_group(score=lambda arm, seed: 0.4 + 0.01 * arm + 0.0001 * (arm * seed % 4)), capsys)
    assert lines[0] == (
        "Order of the published arms, beyond the interval: 13 of 15 pairs reproduced, 2 contradicted; of 0 nothing can "
        "be said."
    )


def test_no_order_is_claimed_within_the_interval(make_group, capsys):
    group = make_group(score=lambda arm, seed: 0.4 + 0.0001 * arm + 0.01 * (arm + 1) * (seed - 2))
    lines = published_lines(group, capsys)
    assert lines[0].startswith("Order of the published arms, beyond the interval: 0 of 15 pairs reproduced, 0 contrad")
    single = make_group(seeds=(1,), name="single", score=lambda arm, seed: 0.4 + 0.01 * arm)
    assert "of 15 nothing can be said" in published_lines(single, capsys)[0]


def test_no_order_is_claimed_of_arms_that_have_learned_nothing(make_group, capsys):
    group = make_group(score=lambda arm, seed: 0.001 * arm + 0.00001 * seed)
    for folder in group.glob("0*"):
        fact = {"percent": True, "higher_is_better": True, "trivial": 0.01}
        change(folder, metric_facts={"val/map_50": fact})
    lines = published_lines(group, capsys)
    assert lines[0] == (
        "6 of 6 published arms are not better than a predictor without training (1.0), so nothing is said about their "
        "order."
    )
    assert not any(line.startswith("Order") for line in lines)


def test_settings_that_differ_from_the_published_protocol_are_named(make_group, capsys):
    group = make_group()
    for folder in group.glob("0*"):
        with (folder / "config.yaml").open("a") as file:
            file.write("trainer: {max_steps: 12}\n")
    (line,) = [line for line in published_lines(group, capsys) if "protocol:" in line]
    assert line.startswith(
        "These runs do not follow the published protocol: model.network.backbone is null (protocol: vg"
    )
    assert "trainer.max_steps is 12 (protocol: 80000)." in line


def test_published_numbers_of_no_arm_are_named(make_group, tmp_path, capsys):
    group = make_group()
    file = tmp_path / "other.csv"
    file.write_text(f"# a paper\n{SCALES},{RATIOS},published\n[7],[1.0],65.8\n[8],[1.0],60\n")
    assert published_lines(group, capsys, file) == [
        f"Published: none of the 2 rows of {file} matches an arm of these runs."
    ]


def test_every_protocol_is_followed_by_the_experiments_of_its_sweep():
    files = sorted((REPOSITORY / "sweeps" / "published").glob("*.csv"))
    assert len(files) > 10
    for file in files:
        (line,) = [line for line in file.read_text().splitlines() if line.startswith("# protocol:")]
        settings = dict(word.split("=") for word in line.removeprefix("# protocol: ").split("; "))
        for trial in load_sweep(REPOSITORY / "sweeps" / f"{file.stem}.yaml").trials():
            own = merged_arguments(trial.args)
            if file.stem != "localization_head":  # its paper has another data set
                assert {key: own[key] for key in settings} == {k: yaml.safe_load(v) for k, v in settings.items()}


@pytest.mark.parametrize(
    ("limit", "controlled"), [("7", "no"), ("0.5", "no"), ("1", "no"), ("1.0", "yes"), ("null", "yes")]
)
def test_a_limited_validation_is_not_controlled(make_group, capsys, limit, controlled):
    group = make_group({SCALES: [[128], [256]]})
    for folder in group.glob("0*"):
        change(folder, data={"fingerprint": "9f8e7d6c", "counts": {"val/images": 2913}})
        with (folder / "config.yaml").open("a") as file:
            file.write(f"trainer: {{limit_val_batches: {limit}}}\n")
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert f"200 steps · 2,913 validation images · commit 1a2b3c4 · data 9f8e7d6 · controlled: {controlled}" in output
    told = f"trainer.limit_val_batches is {limit}: only a part of the validation data was used." in output
    assert told == (controlled == "no")


def test_one_level_is_written_in_one_way(make_group):
    """W&B can pass null only as a text, and 1.0 is 1."""
    group = make_group({"model.network.a": ["null", 2.0], "model.network.b": [1.0, 1e20]})
    assert run_report([group]) == 0
    table = list(csv.DictReader((group / "report" / "table.csv").open()))
    assert [(row["model.network.a"], row["model.network.b"]) for row in table] == [
        ("null", "1"),
        ("null", "1e+20"),
        ("2", "1"),
        ("2", "1e+20"),
    ]
    arms = (group / "report" / "report.md").read_text().partition("\n## ")[0]
    rows = [line.split("|")[1:3] for line in arms.splitlines() if line[:1] == "|"]
    assert [row[0].strip() for row in rows[2:]] == ["null", "null", "2", "2"]


def test_null_is_explained(make_group, capsys):
    group = make_group({"model.network.trainable_layers": ["null", 2], "model.network.size": [96, None]}, seeds=(1,))
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert "trainable_layers null: every layer of the backbone is trained." in output
    assert "size null: model.network.size is not set, so its default applies." in output


def test_networks_of_equal_structure_share_one_time(make_group, capsys):
    """The learning rate does not change what a network computes: its differences in time are noise."""
    group = make_group({"model.optimizer.lr": [0.1, 0.2], "model.network.size": [96, 128]}, seeds=(1,))
    config = "model: {init_args: {network: {init_args: {size: %d}}}}\ntrainer: {precision: bf16-mixed}\n"
    for number, seconds in enumerate((0.0127, 0.1, 0.046, 0.1)):
        folder = group / f"{number:04x}{1:06x}"
        change(folder, seconds_per_image=seconds)
        (folder / "config.yaml").write_text("seed_everything: 1\n" + config % (96, 128)[number % 2])
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    rows = [[cell.strip() for cell in line.split("|")] for line in output.splitlines() if line.startswith("|")]
    assert [row[-3] for row in rows[2:]] == ["12.7–46.0", "100.0", "12.7–46.0", "100.0"]
    assert "with a batch of one image, in bf16-mixed, on a CPU, threads: 2" in output


def test_a_single_run_and_a_folder_of_groups_are_named(make_group):
    first, second = make_group(name="one"), make_group(name="two")
    for group in (first, second):
        for folder in group.glob("0*"):
            (folder / "run.json").write_text("{}")
    single = first / "0000000001"
    with pytest.raises(UserError, match=f"{single}: is a single run, .* pass {first}\\."):
        run_report([single])
    with pytest.raises(UserError, match=f"holds groups of runs; pass one of {first}, {second}, or several"):
        run_report([first.parent])


def test_highest_rates_are_named_where_arms_differ(make_group, capsys):
    def line(**groups):
        group = make_group({"model.optimizer.lr": [0.1, 0.2]}, seeds=(1,))
        for rate, folder in zip((0.1, 0.2), sorted(path.parent for path in group.glob("*/result.json")), strict=True):
            used = {"first": 0.0, "peak": rate} | ({"groups": {**groups, "others": rate}} if groups else {})
            change(folder, optimization={"learning_rate": used})
        assert run_report([group]) == 0
        return [text for text in capsys.readouterr().out.splitlines() if text.startswith("Highest learning rates")]

    assert line() == ["Highest learning rates that were used: lr=0.1 0.1; lr=0.2 0.2."]
    (text,) = line(backbone=0.01)
    assert text.endswith("lr=0.1 (backbone 0.01, others 0.1); lr=0.2 (backbone 0.01, others 0.2).")
    (text,) = line(**{f"stage {number}": 0.01 * number for number in range(1, 5)})
    assert text.endswith("lr=0.1 (0.01 to 0.1 in 5 groups); lr=0.2 (0.01 to 0.2 in 5 groups).")


def test_rate_that_is_no_number_is_refused(make_group):
    group = make_group({"model.optimizer.lr": [0.1, 0.2]}, seeds=(1,))
    change(
        next(path.parent for path in group.glob("*/result.json")),
        optimization={"learning_rate": {"groups": {"a": "x"}}},
    )
    with pytest.raises(UserError, match=r"optimization\.learning_rate\.groups"):
        run_report([group])
