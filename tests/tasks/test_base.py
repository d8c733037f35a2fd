from typing import ClassVar

import lightning as L
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchmetrics import SumMetric

from lit_cv.errors import UserError
from lit_cv.metrics.facts import LOSS, PRECISION, SHARE
from lit_cv.tasks import DetectionTask, Task, WarmupMultiStepLR


class TwoLosses(nn.Module):
    """A network with one weight w and two losses, w and 3 w."""

    loss_names = ("near", "far")
    num_classes = 3

    def __init__(self, start: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor(start))
        self.sampled: list[float] = []

    def losses(self, images: list[Tensor], targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        self.sampled.append(torch.rand(()).item())
        return {"near": self.weight, "far": 3 * self.weight}


class Trained(Task):
    """A task without an evaluation."""

    renderer = target_renderer = update_metrics = compute_metrics = None


class Data(L.LightningDataModule):
    class_names = ("a", "b")

    def train_dataloader(self) -> DataLoader:
        images = [torch.zeros(3, 4, 4)] * 2
        batches = [(images, [{"image_id": torch.tensor(i)}, {"image_id": torch.tensor(i + 1)}]) for i in (0, 2, 4)]
        return DataLoader(batches, batch_size=None)


def trainer(**options: object) -> L.Trainer:
    quiet = {
        "logger": False,
        "enable_checkpointing": False,
        "enable_progress_bar": False,
        "enable_model_summary": False,
    }
    return L.Trainer(accelerator="cpu", **{**quiet, **options})


def test_the_total_is_the_weighted_sum() -> None:
    task = Trained(TwoLosses(2.0), loss_weights={"far": 10.0})
    assert task.total(task.network.losses([], [])).item() == 2.0 + 10.0 * 6.0


def test_a_weight_for_an_unknown_loss_is_refused() -> None:
    with pytest.raises(UserError, match=r"\['fra'\].*\['near', 'far'\]"):
        Trained(TwoLosses(), loss_weights={"fra": 1.0})


def test_gradients_follow_the_weights() -> None:
    task = Trained(
        TwoLosses(), {"far": 2.0}, lambda params: torch.optim.SGD(params, lr=1.0), lambda o: WarmupMultiStepLR(o, 0)
    )
    trainer(max_steps=1).fit(task, Data())
    assert task.network.weight.item() == pytest.approx(1.0 - (1.0 + 2.0 * 3.0))


def test_a_loss_that_is_not_finite_names_the_images() -> None:
    with pytest.raises(UserError, match=r"not finite at step 0 \(near inf.*image_id \[0, 1\]"):
        trainer(max_steps=2).fit(Trained(TwoLosses(float("inf"))), Data())


def test_a_network_with_another_number_of_outputs_is_refused() -> None:
    network = TwoLosses()
    network.num_classes = 21
    with pytest.raises(UserError, match=r"num_classes: 3 .* instead of 21"):
        trainer(max_steps=1).fit(Trained(network), Data())


def test_the_randomness_of_a_step_depends_only_on_seed_and_step(monkeypatch: pytest.MonkeyPatch) -> None:
    def numbers(seed: int) -> list[float]:
        monkeypatch.setenv("PL_GLOBAL_SEED", str(seed))
        torch.manual_seed(int(torch.randint(0, 1000, ()).item()))  # the state of the generator does not matter
        network = TwoLosses()
        trainer(max_epochs=2).fit(Trained(network), Data())
        return network.sampled

    first = numbers(1)
    assert first == numbers(1)
    assert len(set(first)) == 6
    assert not set(first) & set(numbers(2))


def test_warmup_and_steps() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(()))], lr=1.0)
    schedule = WarmupMultiStepLR(optimizer, warmup_steps=4, milestones=[6, 8], gamma=0.1, start_factor=0.2)
    rates = []
    for _ in range(10):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates == pytest.approx([0.2, 0.4, 0.6, 0.8, 1.0, 1.0, 0.1, 0.1, 0.01, 0.01])


def test_logged_metrics_name_losses_measures_and_classes() -> None:
    facts = DetectionTask(TwoLosses()).logged_metrics(["cat"])
    assert facts["val/map_50"] == facts["test/voc_map_11point"] == PRECISION
    assert facts["val/ap/cat"] == facts["val/voc_ap/cat"] == SHARE
    assert facts["train/near"] == facts["val/loss"] == LOSS
    assert not {"train/map_50", "val/ap/dog"} & set(facts)


class Measured(Trained):
    """A task with a metric of its own, and one that belongs to the training."""

    METRICS: ClassVar = {"count": LOSS}

    def __init__(self, *, resets: bool, name: str) -> None:
        super().__init__(TwoLosses())
        self.count, self.of_training = SumMetric(), SumMetric()
        self.of_training.update(1)
        self.resets, self.name = resets, name

    def evaluate(self, batch):
        return self.network.losses(*batch), []

    def update_metrics(self, found, targets):
        self.count.update(len(targets))

    def compute_metrics(self):
        value = self.count.compute()
        if self.resets:
            self.count.reset()
        return {self.name: value}


class EvaluationData(Data):
    val_dataloader = test_dataloader = Data.train_dataloader


@pytest.mark.parametrize("verb", ["validate", "test"])
@pytest.mark.parametrize(
    ("resets", "name", "sentence"),
    [
        (False, "count", "Measured.compute_metrics does not reset count, so the next evaluation"),
        (True, "counts", r"Measured.compute_metrics returns \['counts'\], which METRICS and PER_CLASS do not name"),
    ],
)
def test_a_metric_that_is_not_reset_or_not_named_is_refused(verb: str, resets: bool, name: str, sentence: str) -> None:
    evaluate = getattr(trainer(), verb)
    with pytest.raises(UserError, match=sentence):
        evaluate(Measured(resets=resets, name=name), EvaluationData(), verbose=False)
    (logged,) = evaluate(Measured(resets=True, name="count"), EvaluationData(), verbose=False)
    assert logged[f"{verb.replace('validate', 'val')}/count"] == 6
