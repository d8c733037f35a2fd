import csv
import itertools
import json
import re
import time
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.report.options import Options
from lit_cv.ablation.results.comparability import check
from lit_cv.ablation.results.latex import escape_latex
from lit_cv.ablation.results.published import load_published
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.commands.report import run_report
from lit_cv.errors import UserError
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import change, write_run

REPOSITORY = Path(__file__).parents[3]
SCALES, RATIOS = "model.network.anchor_scales", "model.network.anchor_ratios"
PUBLISHED = REPOSITORY / "sweeps" / "published" / "faster_rcnn_anchors.csv"


def findings(group):
    return [finding.text for finding in check(load_study([group])) if finding.refuses]


class Tags(HTMLParser):
    """Checks that tags close in order, and collects the pictures."""

    def __init__(self):
        super().__init__()
        self.open, self.images, self.rows = [], [], 0

    def handle_starttag(self, tag, attributes):
        if tag == "img":
            self.images.append(dict(attributes)["src"])
        elif tag not in ("meta", "input"):
            self.open.append(tag)
        self.rows += tag == "tr"

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_report_writes_every_file(make_group, capsys):
    group = make_group()
    assert run_report([group], Options(published=PUBLISHED)) == 0
    output = capsys.readouterr().out
    folder = group / "report"
    names = ["report.md", "report.html", "table.csv", "table.tex", "commands.txt", "effects.csv"]
    names += ["effects.png", "speed_accuracy.png", "curves.png"]
    assert output.splitlines()[-9:] == [str(folder / name) for name in names]
    assert all((folder / name).stat().st_size > 400 for name in names)
    assert "3 paired seeds · 200 steps · commit 1a2b3c4 · data 9f8e7d6 · controlled: yes" in output
    assert "Published: Ren, He, Girshick, Sun 2015" in output

    text = (folder / "report.md").read_text()
    arms = text.partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in arms.splitlines() if line.startswith("|")]
    names = ["anchor_scales", "anchor_ratios", "val/map_50", "Δ to baseline [95 %, 5 arms compared]"]
    assert rows[0][:7] == [*names, "claim", "better on a new seed", "sign-flip p"]
    assert rows[0][7:] == ["published", "params", "GFLOPs", "ms/image", "GB"]
    # arm 1 scores 0.411, 0.412, 0.413 against 0.400 three times
    assert rows[2] == ["128", "1", "40.0 ± 0.0", "baseline", "–", "–", "–", "65.8", "1.2 M", "3.2", "10.0", "0.90"]
    assert rows[3][:8] == [
        "128",
        "0.5 1 2",
        "41.2 ± 0.1",
        "+1.2 [+1.0, +1.4]",
        "better",
        ">99% [>99%, >99%]",
        "1",
        "68.8",
    ]
    assert len(rows) == 8

    tags = Tags()
    tags.feed((folder / "report.html").read_text())
    assert tags.open == []
    assert tags.rows == 7 + 6 + 19  # the arms, the effects and the runs, each with a header
    assert len(tags.images) == 3
    assert all(image.startswith("data:image/png;base64,") for image in tags.images)

    table = list(csv.DictReader((folder / "table.csv").open()))
    assert json.loads(table[5][SCALES]) == [128, 256, 512]
    assert float(table[1]["seed_3"]) == pytest.approx(0.413)
    assert float(table[1]["difference"]) == pytest.approx(0.012)
    assert table[0]["difference"] == ""


def test_latex_is_escaped_and_complete(make_group):
    group = make_group({"model.network.a_b": ["50%", "x & {y}"]}, seeds=(1,))
    run_report([group])
    lines = (group / "report" / "table.tex").read_text().splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrrrr}"
    assert lines[2].startswith(r"a\_b & val/map\_50 & $\Delta$ to baseline [95 \%] & claim & params")
    assert lines[4].startswith(r"50\% & 40.0 $\pm$ -- & baseline & -- &")
    assert lines[5].startswith(r"x \& \{y\} & 41.1 $\pm$ -- & +1.1 -- & no claim &")
    assert lines[-1] == r"\end{tabular}"
    assert escape_latex("a\\b^~#$") == r"a\textbackslash{}b\textasciicircum{}\textasciitilde{}\#\$"


def test_text_cannot_break_the_page(make_group):
    group = make_group({"data.root": ["<script>", "a|b"]}, seeds=(1,))
    run_report([group], force=True)
    text = (group / "report" / "report.html").read_text()
    assert text.count("<script>") == 1  # the script of the page itself
    assert "&lt;script&gt;" in text
    assert "a\\|b" in (group / "report" / "report.md").read_text()


def test_a_commit_a_fingerprint_and_a_missing_seed_are_reported_separately(make_group, capsys):
    group = make_group()
    change(group / "0001000002", git={"commit": "ffffffff", "dirty": False})
    change(group / "0003000001", data={"fingerprint": "other"})
    (group / "0005000003" / "result.json").unlink()
    assert run_report([group]) == 1
    refusal = capsys.readouterr().err.splitlines()
    label = "anchor_scales=128 256 512, anchor_ratios=0.5 1 2"
    assert refusal[1:5] == [
        f"- anchors/0005000003 ({label}, seed 3) is unfinished.",
        f"- Arm {label}: seed 3 is missing; expected 3 seeds (1, 2, 3).",
        "- Run anchors/0001000002 (seed 2) of arm anchor_scales=128, anchor_ratios=0.5 1 2: git commit is fffffff, "
        "expected 1a2b3c4 as in 16 of 17 runs.",
        "- Run anchors/0003000001 (seed 1) of arm anchor_scales=256, anchor_ratios=0.5 1 2: data fingerprint is other, "
        "expected 9f8e7d6c as in 16 of 17 runs.",
    ]
    assert len(refusal) == 6
    assert not (group / "report").exists()
    assert run_report([group], force=True) == 0
    text = (group / "report" / "report.md").read_text()
    assert "controlled: no" in text
    assert all(line in text for line in refusal[1:5])
    assert refusal[3][2:] in (group / "report" / "report.html").read_text()


def test_a_config_difference_outside_the_swept_keys_is_reported_by_arm(make_group):
    group = make_group()
    for seed in (1, 2, 3):
        file = group / f"000200000{seed}" / "config.yaml"
        file.write_text(file.read_text().replace("root: data", "root: elsewhere"))  # the fingerprint is compared
    assert findings(group) == []
    for seed in (1, 2, 3):
        file = group / f"000200000{seed}" / "config.yaml"
        file.write_text(file.read_text().replace("root: elsewhere", "root: elsewhere\n  source: shapes"))
    expected = "Arm anchor_scales=256, anchor_ratios=1: data.source is shapes, expected unset as in 15 of 18 runs."
    assert findings(group) == [expected]


def test_seeds_run_settings_and_paths_of_the_run_may_differ(make_group):
    group = make_group()
    for folder in group.glob("0*"):
        own = {
            "run": {"root": folder.name},
            "trainer": {"default_root_dir": str(folder), "callbacks": [{"init_args": {"dirpath": f"{folder}/x"}}]},
        }
        with (folder / "config.yaml").open("a") as file:
            file.write(yaml.safe_dump(own))
    assert findings(group) == []


def test_budgets_agree_unless_they_are_swept(make_group):
    group = make_group()
    change(group / "0000000001", steps=150)
    (text,) = findings(group)
    assert "steps is 150, expected 200 as in 17 of 18 runs" in text
    swept = make_group({"trainer.max_steps": [100, 200]}, name="budget")
    for seed in (1, 2, 3):
        change(swept / f"000000000{seed}", steps=100, epochs=2)
    assert findings(swept) == []


def test_batch_sizes_may_trade_steps_for_epochs(make_group):
    group = make_group({"data.batch_size": [8, 16]}, name="batch")
    for seed in (1, 2, 3):
        change(group / f"000100000{seed}", epochs=8)
    assert findings(group) == []
    change(group / "0001000001", steps=100)
    assert len(findings(group)) == 2


def test_swept_data_may_change_the_fingerprint_but_only_between_the_levels(make_group):
    group = make_group({"data.train_sets": [["2007"], ["2012"]]}, name="data")
    for seed in (1, 2, 3):
        change(group / f"000100000{seed}", data={"fingerprint": "second"})
    assert findings(group) == []
    assert any("change the data themselves" in finding.text for finding in check(load_study([group])))
    change(group / "0001000003", data={"fingerprint": "third"})
    assert len(findings(group)) == 1


def test_dirty_trees_versions_and_hardware_only_warn(make_group):
    group = make_group()
    change(group / "0000000001", git={"commit": "1a2b3c4d5e6f", "dirty": True})
    change(group / "0000000002", versions={"python": "3.11.7", "torch": "2.14.0"}, hardware={"device": "another"})
    assert findings(group) == []
    texts = [finding.text for finding in check(load_study([group]))]
    assert texts[0] == "1 runs come from a working tree with uncommitted changes (anchors/0000000001)."
    assert any("versions torch" in text and "2.14.0 in 1 (anchors/0000000002)" in text for text in texts)
    assert run_report([group]) == 0
    assert "Warnings:" in (group / "report" / "report.md").read_text()


def test_unknown_commits_warn(make_group):
    group = make_group({SCALES: [[128], [256]]}, seeds=(1,))
    for folder in group.glob("0*"):
        change(folder, git={"commit": None, "dirty": False})
    (finding,) = check(load_study([group]))
    assert finding.text == "2 runs do not know their git commit (anchors/0000000001, anchors/0001000001)."
    assert not finding.refuses


def test_baseline_by_value_changes_the_differences(make_group, capsys):
    group = make_group()
    run_report([group], Options(baseline="anchor_scales=[256],anchor_ratios=[0.5, 1.0, 2.0]"))
    lines = capsys.readouterr().out.splitlines()
    assert "baseline" in next(line for line in lines if line.startswith("| 256           | 0.5 1 2"))
    with pytest.raises(UserError, match=r"--baseline anchor_scales=\[256\]: 2 arms have these values; the arms are"):
        run_report([group], Options(baseline="anchor_scales=[256]"))
    with pytest.raises(UserError, match="0 arms have these values"):
        run_report([group], Options(baseline="scale=[256]"))


def test_another_metric_and_its_direction(make_group, capsys):
    group = make_group()
    run_report([group], Options(metric="train/loss"))
    assert "0.2500 ± 0.0000" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"has no metric 'val/map_05'; choose --metric from val/map_50"):
        run_report([group], Options(metric="val/map_05"))


def test_published_numbers_are_found_beside_the_sweep_file(make_group, tmp_path, capsys):
    place = tmp_path / "sweeps" / "published"
    place.mkdir(parents=True)
    (place / "anchors.csv").write_text(PUBLISHED.read_text())
    group = make_group()
    run_report([group])
    assert "| published |" in capsys.readouterr().out
    (place / "anchors.csv").write_text("model.other,published\n1,2.0\n")
    with pytest.raises(UserError, match=r"anchors\.csv: its columns must be model\.network\.anchor_scales"):
        run_report([group])


def test_runs_without_a_sweep_are_grouped_by_the_overrides_in_which_they_differ(tmp_path):
    for number, (rate, seed) in enumerate(itertools.product((0.1, 0.2), (1, 2))):
        command = ["fit", "--config", "x.yaml", f"--model.lr={rate}", "--data.root=d", f"--seed_everything={seed}"]
        config = {"model": {"init_args": {"lr": rate}}, "data": {"root": "d"}}
        write_run(tmp_path / "plain" / str(number), seed=seed, config=config, command=command)
    begun = tmp_path / "plain" / "begun"
    begun.mkdir()
    write_json(begun / "run.json", {"status": "running"})
    study = load_study([tmp_path / "plain"])
    assert [(arm.label, sorted(arm.runs)) for arm in study.arms] == [("lr=0.1", [1, 2]), ("lr=0.2", [1, 2])]
    assert [run.problem for run in study.unfinished] == ["plain/begun is unfinished."]


def test_several_groups_become_a_factor(make_group, capsys):
    first = make_group({SCALES: [[128], [256]]}, name="one")
    second = make_group({SCALES: [[128], [256]]}, name="two")
    assert run_report([first, second]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "# one and two"
    assert lines[4].startswith("| group | anchor_scales |")
    assert lines[9].startswith("| two   | 256 ")


@pytest.mark.parametrize("content", [None, "{", "[]", '{"status": "running"}'])
def test_broken_results_give_one_sentence(tmp_path, content):
    folder = tmp_path / "runs" / "group"
    folder.mkdir(parents=True)
    if content is not None:
        (folder / "1").mkdir()
        (folder / "1" / "result.json").write_text(content)
    with pytest.raises(UserError, match=re.escape(str(folder))):
        load_study([folder])


def test_a_step_logged_twice_counts_once(make_group):
    group = make_group(seeds=(1,))
    with (group / "0000000001" / "metrics.csv").open("a") as file:
        file.write("150,3,val/map_50,0.875\n")
    study = load_study([group])
    assert study.arms[0].runs[1].curve("val/map_50") == {50: 0.1, 100: 0.2, 150: 0.875, 200: 0.4}


def test_two_hundred_runs_are_reported_in_seconds(make_group):
    levels = {"model.network.a": list(range(8)), "model.network.b": list(range(5))}
    group = make_group(levels, seeds=range(5))
    begin = time.process_time()
    assert run_report([group]) == 0
    assert time.process_time() - begin < 10  # minutes would mean a quadratic step


@pytest.mark.parametrize(
    "file", sorted((REPOSITORY / "sweeps" / "published").glob("*.csv")), ids=lambda file: file.stem
)
def test_every_published_number_belongs_to_an_arm_of_its_sweep(file, make_group):
    sweep = load_sweep(REPOSITORY / "sweeps" / f"{file.stem}.yaml")
    group = make_group({key: sweep.parameters[key] for key in sweep.swept()}, seeds=(1,))
    study = load_study([group])
    published = load_published(file, study)
    numbers = [number for arm in study.arms if (number := published.of(arm)) is not None]
    assert len(numbers) == len(published.values) > 1
    assert re.search(r"arXiv:\d{4}\.\d{4,5}; Table \d+.*(VOC|ILSVRC|COCO|Visual Genome)", published.source)


def test_a_search_is_reported_from_the_best_to_the_worst_trial(make_group, capsys):
    group = make_group({"model.lr": [0.3, 0.1, 0.2, 0.4]}, seeds=(0,), score=lambda number, _: number)
    plan = json.loads((group / "sweep.json").read_text())
    runs = [arm["runs"][0]["id"] for arm in plan["arms"]]
    for arm in plan["arms"]:
        arm["runs"][0]["seed"] = None
    write_json(group / "sweep.json", plan | {"method": "random"})
    change(group / runs[1], stopped_early=True, steps=50, epochs=1)
    change(group / runs[2], metrics={"val/map_50": None})  # NaN is written as null
    (group / runs[3] / "result.json").unlink()
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert "2 trials of a random search · 50 to 200 steps" in output
    assert [line.split("|")[1].strip() for line in output.splitlines() if line.startswith("|")][2:] == ["0.1", "0.3"]
    text = (group / "report" / "report.md").read_text()
    assert "1 runs were stopped early by Hyperband, before their budget" in text
    assert f"anchors/{runs[2]} (lr=0.2) has no finite metric." in text
    assert f"anchors/{runs[3]} (lr=0.4) is unfinished." in text


def test_a_grid_with_runs_stopped_early_is_compared_with_a_warning(make_group):
    group = make_group()
    change(next(group.glob("*/result.json")).parent, stopped_early=True, steps=50)
    found = check(load_study([group]))
    assert [finding.refuses for finding in found if "stopped early by Hyperband" in finding.text] == [False]
    assert not any(finding.refuses for finding in found)


def test_table_says_how_many_runs_of_an_arm_stopped_early_and_when(make_group, capsys):
    group = make_group({"model.lr": [0.1, 0.2]})
    assert run_report([group]) == 0
    assert "stopped early" not in capsys.readouterr().out
    for name, step in (("0001000001", 50), ("0001000003", 90)):
        stopped = {"by": "EarlyStopping", "reason": "No better.", "step": step}
        change(group / name, stopped_early=True, stopped_by="EarlyStopping", stopped=stopped, steps=step)
    assert run_report([group]) == 0
    output = capsys.readouterr().out
    assert "controlled: yes" in output
    rows = [[cell.strip() for cell in line.split("|")] for line in output.splitlines() if line.startswith("|")]
    column = rows[0].index("stopped early")
    assert [row[column] for row in rows[2:]] == ["–", "2 of 3 at step 50–90"]
    (low, high) = csv.DictReader((group / "report/table.csv").open())
    assert (low["stopped"], low["stopped_at_median"]) == ("0", "")
    assert (high["stopped"], high["stopped_at_median"]) == ("2", "70.0")
    assert "2 of 3 at step 50–90" in (group / "report/report.html").read_text()
