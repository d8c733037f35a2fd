"""Sweeps over objects, ``{class_path: ..., init_args: ...}``, from the sweep file to the report."""

import csv
import json
from pathlib import Path

import pytest
import yaml

from lit_cv.ablation.results.comparability import check
from lit_cv.ablation.results.study import load_study
from lit_cv.ablation.sweep.labels import name_levels, short_names, show
from lit_cv.ablation.sweep.plan import plan
from lit_cv.ablation.sweep.sweep_file import load_sweep
from lit_cv.cli import main
from lit_cv.commands.sweep import run_sweep
from lit_cv.errors import UserError
from lit_cv.training.preflight import check_trials
from tests.helpers.fake_project import COMMAND, write_run

SGD = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9}}
ADAMW = {"class_path": "torch.optim.AdamW", "init_args": {"lr": 0.001}}
DEFAULTS = {  # settings that the parser adds to the classes
    "SGD": {"lr": 0.01, "momentum": 0.0, "nesterov": False},
    "AdamW": {"lr": 0.01, "betas": [0.9, 0.999], "weight_decay": 0.01},
}


@pytest.fixture
def sweep_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    Path("experiment.yaml").write_text(yaml.safe_dump({"seed_everything": 1, "model": {"lr": 0.1}}))

    def write(parameters, method="grid", **others):
        content = {"method": method, "command": ["${env}", *COMMAND], "parameters": parameters, **others}
        content["metric"] = {"name": "val/map_50", "goal": "maximize"}
        Path("sweep.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        return Path("sweep.yaml")

    return write


def labels():
    return [job.label for job in plan(load_sweep(Path("sweep.yaml")))]


@pytest.mark.parametrize("levels", [[SGD, ADAMW], [ADAMW, SGD]])
def test_a_swept_object_is_one_factor_from_the_plan_to_the_report(sweep_file, capsys, levels):
    seeds = {"values": [1, 2]}
    file = sweep_file({"model.optimizer": {"values": levels}, "seed_everything": seeds})
    assert run_sweep(file, workers=4, preflight=lambda *_: None) == 0
    assert main(["report", "runs/study", "--baseline", "optimizer=SGD(lr=0.01, momentum=0.9)"]) == 0
    output = capsys.readouterr().out
    assert "2 arms × 2 seeds = 4 runs" in output
    assert "optimizer=SGD(lr=0.01, momentum=0.9), seed 1: finished" in output
    assert "| SGD(lr=0.01, momentum=0.9) | 10.0 ± 0.0 | baseline" in output
    assert "| AdamW(lr=0.001)            | 10.0 ± 0.0 | +0.0" in output
    assert "controlled: yes" in output
    with Path("runs/study/report/table.csv").open() as lines:
        levels_in_table = {json.loads(row["model.optimizer"]) for row in csv.DictReader(lines)}
    assert levels_in_table == {"SGD(lr=0.01, momentum=0.9)", "AdamW(lr=0.001)"}


def test_levels_are_named_by_class_and_what_differs():
    decayed = {"class_path": "torch.optim.SGD", "init_args": {"lr": 0.01, "momentum": 0.9, "weight_decay": 0.1}}
    assert name_levels([SGD, decayed]) == ["SGD", "SGD(weight_decay=0.1)"]
    assert name_levels([SGD, "null"]) == ["SGD(lr=0.01, momentum=0.9)", "null"]
    assert name_levels([{"class_path": "a.Net"}, {"class_path": "b.Net"}]) == ["a.Net", "b.Net"]
    nested = {"class_path": "a.Net", "init_args": {"neck": {"class_path": "b.FPN", "init_args": {"depth": 3}}}}
    assert name_levels([nested]) == ["Net(neck.class_path=b.FPN, neck.depth=3)"]
    assert show([SGD, {"class_path": "x.Stop"}]) == "SGD(lr=0.01, momentum=0.9) + Stop"
    assert name_levels([1, [2], None]) == [1, [2], None]


def test_lists_of_objects_mappings_and_nulls(sweep_file):
    callback = {"class_path": "lit_cv.callbacks.Pictures", "init_args": {"count": 4}}
    sweep_file({"trainer.callbacks": {"values": [[callback], []]}})
    assert labels() == ["callbacks=Pictures(count=4)", "callbacks=[]"]
    sweep_file({"model.loss_weights": {"values": [{"box": 1, "class": 2}, {"box": 3}]}})
    assert labels() == ["box=1, class=2", "box=3"]
    with pytest.raises(UserError, match=r"parameter `model.optimizer` has the value null"):
        load_sweep(sweep_file({"model.optimizer": {"values": [{"class_path": "x.Y", "init_args": {"a": None}}]}}))


def test_a_search_over_objects(sweep_file):
    levels = {"model.optimizer": {"values": [SGD, ADAMW, {**SGD, "init_args": {"lr": 0.1}}]}, "model.lr": {"value": 1}}
    sweep_file(levels, method="random", run_cap=3)
    assert set(labels()) == {
        "optimizer=SGD(lr=0.01, momentum=0.9)",
        "optimizer=AdamW(lr=0.001)",
        "optimizer=SGD(lr=0.1)",
    }


def test_init_args_in_a_key_change_nothing(sweep_file, capsys):
    sweep_file({"model.lr": {"values": [0.5, 0.25]}})
    short = {job.folder for job in plan(load_sweep(Path("sweep.yaml")))}
    file = sweep_file({"model.init_args.lr": {"values": [0.5, 0.25]}})
    assert {job.folder for job in plan(load_sweep(file))} == short
    assert run_sweep(file, preflight=lambda *_: None) == 0
    assert main(["report", "runs/study"]) == 0
    assert "controlled: yes" in capsys.readouterr().out


def resolved(name, **settings):
    optimizer = {"class_path": f"torch.optim.{name}", "init_args": DEFAULTS[name] | settings}
    return {"model": {"init_args": {"optimizer": optimizer}}}


def test_runs_by_hand_with_other_classes_are_compared(tmp_path):
    group = tmp_path / "runs" / "hand"
    for seed in (1, 2):
        write_run(group / f"a{seed}", seed=seed, config=resolved("SGD"), command=["fit", "--model.optimizer=SGD"])
        write_run(group / f"b{seed}", seed=seed, config=resolved("AdamW"), command=["fit", "--model.optimizer=AdamW"])
    study = load_study([group])
    assert [arm.label for arm in study.arms] == ["optimizer=SGD", "optimizer=AdamW"]
    assert [finding.text for finding in check(study) if finding.refuses] == []


def test_runs_by_hand_with_other_arguments_of_a_class_are_told_apart(tmp_path):
    group = tmp_path / "runs" / "hand"
    given = "--model.optimizer={class_path: SGD, init_args: {lr: 0.5}}"
    write_run(group / "a", config=resolved("SGD", lr=0.5), command=["fit", given])
    write_run(group / "b", config=resolved("SGD"), command=["fit"])
    write_run(group / "c", config=resolved("AdamW"), command=["fit", "--model.optimizer=AdamW"])
    study = load_study([group])
    assert {arm.label for arm in study.arms} == {"optimizer=SGD(lr=0.5)", "optimizer=SGD(lr=0.01)", "optimizer=AdamW"}
    assert [finding.text for finding in check(study) if finding.refuses] == []


def test_a_class_and_its_arguments_given_apart_are_two_factors(tmp_path):
    group = tmp_path / "runs" / "hand"
    for name in ("SGD", "AdamW"):
        for rate in (0.1, 0.2):
            command = ["fit", f"--model.optimizer={name}", f"--model.optimizer.init_args.lr={rate}"]
            write_run(group / f"{name}{rate}", config=resolved(name, lr=rate), command=command)
    study = load_study([group])
    assert study.swept == ["model.optimizer", "model.optimizer.lr"]
    assert sorted(arm.label for arm in study.arms)[0] == "optimizer=AdamW, lr=0.1"


def test_a_swept_class_path_covers_the_defaults_of_its_classes(tmp_path):
    group = tmp_path / "runs" / "hand"
    for name in ("SGD", "AdamW"):
        command = ["fit", f"--model.optimizer.class_path=torch.optim.{name}"]
        write_run(group / f"run-{len(name)}", config=resolved(name), command=command)
    assert [finding.text for finding in check(load_study([group])) if finding.refuses] == []


def test_the_real_parser_accepts_objects(tmp_path, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[3])
    file = tmp_path / "sweep.yaml"
    command = ["${interpreter}", "-m", "lit_cv", "fit", "--config", "experiments/quickstart/ssd.yaml", "${args}"]
    levels = [{"class_path": "torch.optim.SGD", "init_args": {"lr": 1.0e-05, "nesterov": True, "momentum": 0.9}}, ADAMW]
    content = {"method": "grid", "command": command, "parameters": {"model.optimizer": {"values": levels}}}
    file.write_text(yaml.safe_dump(content))
    check_trials([trial.args for trial in load_sweep(file).trials()], "val/map")


def test_a_pattern_of_parameter_names_is_named_with_its_last_word():
    keys = ["model.lr_factors.backbone.*", "model.lr_factors.*.norm.*", "model.layer_decay"]
    assert list(short_names(keys).values()) == ["backbone.*", "norm.*", "layer_decay"]
