"""The optimizer's rate is the one rate of an experiment, and its length is the training's."""

from pathlib import Path

import lightning as L
import pytest
import torch
import yaml
from lightning.pytorch.cli import LRSchedulerCallable, OptimizerCallable
from torch import nn
from torch.optim import SGD, AdamW, Optimizer
from torch.optim.lr_scheduler import CosineAnnealingLR, CyclicLR, LRScheduler, OneCycleLR, PolynomialLR

from lit_cv.errors import UserError
from lit_cv.tasks import OneCycle, WarmupDecayLR, WarmupMultiStepLR
from lit_cv.tasks.schedules.length import take_length
from lit_cv.training.arguments.parsing import Parser
from lit_cv.training.preflight import check_trials
from tests.tasks.test_base import Data, Trained, TwoLosses, trainer

ROOT = Path(__file__).parents[2]
EXPERIMENTS = sorted(ROOT.glob("experiments/*/*.yaml"))
LONGEST = 10_000  # all schedules have reached their peak by then


def build(kind: type[Optimizer], rates: tuple[float, ...] = (0.3, 0.02), **settings: object) -> Optimizer:
    return kind([{"params": [nn.Parameter(torch.zeros(1))], "lr": rate} for rate in rates], **settings)


def walk(schedule: LRScheduler, steps: int) -> list[list[tuple]]:
    """Return rate, momentum and betas of each group in each step."""
    used = []
    for step in range(steps):
        groups = schedule.optimizer.param_groups
        used.append([(group["lr"], group.get("momentum"), group.get("betas")) for group in groups])
        schedule.optimizer.step()
        if step + 1 < steps:
            schedule.step()
    return used


def rates(schedule: LRScheduler, steps: int) -> list[float]:
    return [groups[0][0] for groups in walk(schedule, steps)]


@pytest.mark.parametrize("given", [True, False], ids=["given", "of_the_training"])
@pytest.mark.parametrize(
    ("kind", "steps", "settings"),
    [
        (AdamW, 360, {}),
        (SGD, 47, {"anneal_strategy": "linear", "div_factor": 3.0, "base_momentum": 0.5}),
        (AdamW, 1, {}),
        (SGD, 33, {"three_phase": True, "pct_start": 0.4, "cycle_momentum": False}),
    ],
)
def test_one_cycle_is_that_of_pytorch_with_the_rates_of_the_optimizer(kind, steps, settings, given) -> None:
    theirs = OneCycleLR(build(kind), max_lr=[0.3, 0.02], total_steps=steps, **settings)
    ours = OneCycle(build(kind), total_steps=steps if given else None, **settings)
    assert ours.needs_length is not given
    take_length(ours, lambda: steps)
    assert walk(ours, steps) == walk(theirs, steps)


def test_decays_are_those_of_pytorch() -> None:
    def decayed(**settings: object) -> list[float]:
        schedule = WarmupDecayLR(build(SGD), **{"warmup_steps": 0} | settings)
        take_length(schedule, lambda: 40)
        return rates(schedule, 40)

    assert decayed() == pytest.approx(rates(CosineAnnealingLR(build(SGD), 40), 40), abs=1e-12)
    assert decayed(decay="poly", power=2) == pytest.approx(rates(PolynomialLR(build(SGD), 40, 2), 40), abs=1e-12)
    drops = {"milestones": [20, 30], "gamma": 0.2}
    expected = rates(WarmupMultiStepLR(build(SGD), 4, start_factor=0.1, **drops), 40)
    given = {"start_factor": 0.1, "gamma": 0.2, "decay": "steps"}
    assert decayed(warmup_steps=4, **given, milestones=[20, 30]) == pytest.approx(expected)
    assert decayed(warmup_steps=0.1, **given, milestones=[0.5, 0.75]) == pytest.approx(expected)
    assert decayed(decay="constant", warmup_steps=0.001) == [0.3] * 40
    warm = decayed(warmup_steps=0.25, end_factor=0.5)
    assert max(warm) == warm[10] == 0.3
    assert warm[25] == pytest.approx(0.3 * 0.75)
    assert decayed(warmup_steps=10, total_steps=100)[-1] > 0.2


@pytest.mark.parametrize(
    "settings",
    [
        {"warmup_steps": -1},
        {"warmup_steps": 1.5},
        {"decay": "steps"},
        {"milestones": [3]},
        {"decay": "steps", "milestones": [0.5, 7.5]},
        {"total_steps": 0},
    ],
)
def test_lengths_that_are_none_are_refused(settings) -> None:
    with pytest.raises(ValueError, match=r"expected|has milestones"):
        WarmupDecayLR(build(SGD), **settings)


class Rates(L.Callback):
    """Keeps the rate of each step."""

    def __init__(self) -> None:
        self.used: list[float] = []

    def on_before_optimizer_step(self, trainer: L.Trainer, *_: object) -> None:
        self.used.append(trainer.optimizers[0].param_groups[0]["lr"])


@pytest.mark.parametrize("schedule", [OneCycle, WarmupDecayLR])
def test_a_training_in_epochs_gives_its_length(schedule, capsys) -> None:
    settings = {} if schedule is OneCycle else {"warmup_steps": 2}

    def used(**length: int) -> list[float]:
        seen = Rates()
        task = Trained(TwoLosses(), None, lambda params: SGD(params, lr=0.2), lambda to: schedule(to, **settings))
        trainer(callbacks=[seen], **length).fit(task, Data())
        return seen.used

    expected = used(max_steps=6)
    assert used(max_epochs=2) == expected
    assert used(max_epochs=2, max_steps=9) == expected
    assert len(set(expected)) == len(expected) == 6
    with pytest.raises(UserError, match="takes its length from the training, which has no end"):
        used(max_steps=-1, max_epochs=-1)
    assert "note:" not in capsys.readouterr().out


def test_schedule_without_a_length_stops_at_its_second_step() -> None:
    for schedule in (OneCycle(build(SGD)), WarmupDecayLR(build(SGD))):
        schedule.optimizer.step()
        with pytest.raises(UserError, match=r"has no length, because the training's is unknown; set total_steps"):
            schedule.step()


@pytest.mark.parametrize(
    ("scheduler", "said"),
    [
        (lambda to: OneCycleLR(to, 1e-3, total_steps=3), "OneCycleLR takes its rates from max_lr (0.001), so model.op"),
        (
            lambda to: CyclicLR(to, 1e-4, 1e-3),
            "CyclicLR takes its rates from max_lr (0.001), so model.op",
        ),
        (lambda to: OneCycleLR(to, 0.2, total_steps=3), None),
        (lambda to: CyclicLR(to, 1e-4, 0.2), None),
        (
            lambda to: WarmupMultiStepLR(to, 3),
            "the warm-up takes 3 steps and the training 3, so the rate",
        ),
        (lambda to: WarmupMultiStepLR(to, 2), None),
    ],
)
def test_a_peak_that_is_not_the_optimizers_rate_is_said(scheduler, said, capsys) -> None:
    trainer(max_steps=3).fit(
        Trained(TwoLosses(), None, lambda params: SGD(params, lr=0.2, momentum=0.9), scheduler), Data()
    )
    notes = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: model.scheduler")]
    assert len(notes) == (said is not None)
    assert all(said in note for note in notes)


def test_sweep_of_a_rate_that_the_schedule_overrules_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    fit = ["fit", "--config=experiments/quickstart/ssd.yaml"]
    theirs = ["--model.scheduler=OneCycleLR", "--model.scheduler.max_lr=0.002", "--model.scheduler.total_steps=360"]
    check_trials([[*fit, *theirs], [*fit, *theirs, "--model.optimizer.lr=0.002"]], None)
    with pytest.raises(UserError, match=r"model.optimizer.lr: OneCycleLR takes its rates from model.scheduler.max_lr"):
        check_trials([[*fit, *theirs, "--model.optimizer.lr=0.002"], [*fit, *theirs, "--model.optimizer.lr=0.1"]], None)


@pytest.fixture(scope="module")
def parser() -> Parser:
    parser = Parser()
    parser.add_argument("--optimizer", type=OptimizerCallable)
    parser.add_argument("--scheduler", type=LRSchedulerCallable | None)
    return parser


@pytest.mark.parametrize("path", EXPERIMENTS, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_the_peak_of_an_experiment_is_the_rate_that_is_set(path: Path, parser: Parser) -> None:
    content = yaml.safe_load(path.read_text())
    model, steps = content["model"]["init_args"], content["trainer"]["max_steps"]
    for rate in (1e-4, 2e-3):
        model["optimizer"]["init_args"]["lr"] = rate
        parts = parser.parse_object({name: model.get(name) for name in ("optimizer", "scheduler")})
        task = Trained(TwoLosses(), None, *parser.instantiate_classes(parts).values())
        task.trainer = trainer(max_steps=steps, max_epochs=-1)
        schedule = task.configure_optimizers()["lr_scheduler"]["scheduler"]
        schedule.optimizer.step()
        peak = 0.0
        for _ in range(min(steps, LONGEST)):
            peak = max(peak, schedule.get_last_lr()[0])
            schedule.step()
        assert peak == pytest.approx(rate, rel=1e-9)
