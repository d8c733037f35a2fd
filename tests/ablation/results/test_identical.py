"""Settings without effect are named: arms, or seeds, whose runs are bit-identical."""

import itertools

import pytest

from lit_cv.ablation.results.study import load_study
from lit_cv.cli import main
from lit_cv.runs.files import write_json
from tests.helpers.fake_project import write_run

LR, SIZE = "model.optimizer.lr", "model.network.size"
ONE_CYCLE = {"class_path": "torch.optim.lr_scheduler.OneCycleLR", "init_args": {"max_lr": 0.002}}


@pytest.fixture
def make_group(tmp_path):
    """Write a grid; ``loss`` gives the first training loss of a run from its levels and seed, ``score`` its metric."""

    def make(levels, loss, score=lambda *_: 0.5, seeds=(1, 2), change=lambda *_: {}, scheduler=None):
        group, arms = tmp_path / "runs" / "grid", []
        for number, combination in enumerate(itertools.product(*levels.values())):
            arm = {"values": dict(zip(levels, combination, strict=True)), "runs": []}
            for seed in seeds:
                run = f"{number}-{seed}"
                result = {"score": score(*combination, seed), "loss": loss(*combination, seed)}
                config = {"model": {"init_args": {"scheduler": scheduler}}}
                write_run(group / run, seed=seed, config=config, **result, **change(*combination, seed))
                arm["runs"].append({"seed": seed, "id": run})
            arms.append(arm)
        metric = {"name": "val/map_50", "goal": "maximize"}
        plan = {"name": "grid", "description": "", "file": "grid.yaml", "metric": metric, "swept": list(levels)}
        write_json(group / "sweep.json", {**plan, "arms": arms})
        return group

    return make


def lines_of(group, capsys):
    assert main(["report", str(group)]) == 0
    return [line for line in capsys.readouterr().out.splitlines() if "bit-identical" in line]


def test_a_swept_key_without_effect_is_named_with_its_reason(make_group, capsys):
    levels = {LR: [0.1, 0.01, 0.001, 0.0001], SIZE: [96, 128]}
    group = make_group(levels, lambda rate, size, seed: size + seed, scheduler=ONE_CYCLE)
    (line,) = lines_of(group, capsys)
    assert line == (
        "- The swept key model.optimizer.lr has no effect: arms that differ in it are bit-identical in every seed "
        "('lr=0.1, size=96'; 'lr=0.01, size=96'; 'lr=0.001, size=96' and 5 more). OneCycleLR takes its rate from "
        "model.scheduler.max_lr; sweep that."
    )
    assert "has no effect" in (group / "report" / "report.html").read_text()


@pytest.mark.parametrize("different", ["loss", "score"])
def test_arms_that_differ_in_one_seed_are_not_named(make_group, capsys, different):
    group = make_group(
        {LR: [0.1, 0.2]}, **{"loss": lambda rate, seed: seed, different: lambda rate, seed: seed + rate * (seed == 2)}
    )
    assert lines_of(group, capsys) == []


def test_levels_without_effect_among_others_are_named(make_group, capsys):
    group = make_group({SIZE: [96, 128, 256]}, lambda size, seed: min(size, 128) + seed)
    (line,) = lines_of(group, capsys)
    assert line == "- 2 arms are bit-identical in every seed, so size has no effect here: 'size=128'; 'size=256'."


def test_seeds_without_effect_are_named(make_group, capsys):
    group = make_group({SIZE: [96, 128]}, lambda size, seed: size)
    assert lines_of(group, capsys) == [
        f"- Arm size={size}: its seeds 1, 2 are bit-identical, so they are one result and have no spread."
        for size in (96, 128)
    ]


def test_seeds_that_equal_another_one_than_the_first_are_named(make_group, capsys):
    group = make_group({SIZE: [96]}, lambda size, seed: min(seed, 2), seeds=(1, 2, 3))
    assert lines_of(group, capsys) == [
        "- Arm size=96: its seeds 2, 3 are bit-identical, so they are one result and have no spread."
    ]


def test_a_run_stopped_early_is_compared_up_to_its_end(make_group, capsys):
    def stop(rate, seed):
        return {"stopped_early": True, "steps": 100, "metrics": {"val/map_50": 0.25}} if rate == 0.1 else {}

    group = make_group({LR: [0.1, 0.2]}, lambda rate, seed: seed, change=stop)
    for file in group.glob("0-*/metrics.csv"):
        file.write_text("".join(line for line in file.read_text().splitlines(True) if line[:3] not in ("150", "200")))
    (line,) = lines_of(group, capsys)
    assert line.startswith("- The swept key model.optimizer.lr has no effect")


def test_a_shared_beginning_is_not_identity(make_group, capsys):
    """Two budgets share their first steps by construction."""
    key = "trainer.max_steps"
    group = make_group({key: [100, 200]}, lambda steps, seed: seed, change=lambda steps, seed: {"steps": steps})
    assert lines_of(group, capsys) == []


def test_runs_that_measured_nothing_are_not_called_identical(make_group, capsys):
    """Zeros everywhere, without a log, show that nothing was learned, not that the key has no effect."""
    group = make_group({SIZE: [96, 128]}, lambda size, seed: 0, change=lambda *_: {"metrics": {"val/map_50": 0.0}})
    for file in group.glob("*/metrics.csv"):
        file.unlink()
    assert lines_of(group, capsys) == []
    assert len(load_study([group]).arms) == 2
